/** Where a pair can be reached: at the page's own address, and at each server's own. Pure. */
import type { PairState } from "./pairstate.ts";
import type { PlayParameters } from "./parameters.ts";

/** A Target is one place to open a session at. */
export interface Target {
  /** The address of the app, ending in "/": WHEP and events are below it. */
  readonly base: string;
  /** Tells apart several attempts at one place. */
  readonly copy: number;
}

/** At most so many places are tried at a time. */
export const mostTargets = 3;

/**
 * ownBase is the app's address at a server whose own is `own`, such as
 * "https://a.example.com:5443"; undefined if the page cannot use it: browsers forbid a
 * page that came by https everything that does not.
 */
export function ownBase(page: string, own: string): string | undefined {
  const here = new URL(page);
  const app = here.pathname.split("/").filter((segment) => segment !== "").pop() ?? "";
  let url: URL;
  try {
    url = new URL(`${own.replace(/\/+$/, "")}/${app}/`);
  } catch {
    return undefined;
  }
  const usable = url.protocol === "https:" || (url.protocol === "http:" && here.protocol !== "https:");
  return usable ? url.href : undefined;
}

/**
 * raceTargets are all places known, the page's own first. What is behind that may be
 * more than one server, so it is tried twice where nothing else is known.
 */
export function raceTargets(page: string, state: PairState | undefined, alternates: readonly string[]): Target[] {
  const bases = everyBase(page, state, alternates);
  return targets(bases.length === 1 ? [page, page] : bases);
}

/** moveTargets are the places to go to from a server that is about to end. */
export function moveTargets(page: string, state: PairState | undefined, alternates: readonly string[], shown: string): Target[] {
  const own = (state?.baseURLs ?? []).map((url) => ownBase(page, url));
  const roles = ["Primary", "Backup"];
  // With one address only nobody says whose it is, unless the session was opened there.
  const serving = own.length === roles.length ? own[roles.indexOf(state?.servedBy ?? "")] : undefined;
  const left = everyBase(page, state, alternates).filter((base) => base !== serving && (base !== shown || !own.includes(base)));
  return targets(left.length === 0 ? [page] : left);
}

function everyBase(page: string, state: PairState | undefined, alternates: readonly string[]): string[] {
  const bases = [page];
  for (const url of [...(state?.baseURLs ?? []), ...alternates]) {
    const base = ownBase(page, url);
    if (base !== undefined && !bases.includes(base)) {
      bases.push(base);
    }
  }
  return bases.slice(0, mostTargets);
}

function targets(bases: readonly string[]): Target[] {
  return bases.map((base, i) => ({ base, copy: bases.slice(0, i).filter((other) => other === base).length }));
}

/** whepAddress takes offers. */
export function whepAddress(base: string, p: PlayParameters): string {
  return address(base, "whep", p).href;
}

/** hlsAddress has the playlist. Without a backup it asks for the stream alone: a name that is not given may get a pair. */
export function hlsAddress(base: string, p: PlayParameters): string {
  const url = address(base, "streams", { ...p, name: `${p.name}.m3u8` });
  url.searchParams.set("backupStreamId", p.backupStreamId);
  if (p.token !== "") {
    url.searchParams.set("token", p.token);
  }
  return url.href;
}

/** reportAddress takes reports of what the viewer sees. */
export function reportAddress(base: string, p: PlayParameters): string {
  const url = new URL("qoe", base);
  url.searchParams.set("name", p.name);
  if (p.backupStreamId !== "") {
    url.searchParams.set("backupStreamId", p.backupStreamId);
  }
  return url.href;
}

/** renewToken puts another token in the place of the one in an address; other addresses stay. */
export function renewToken(address: string, token: string): string {
  const url = new URL(address);
  if (token === "" || !url.searchParams.has("token") || url.searchParams.get("token") === token) {
    return address;
  }
  url.searchParams.set("token", token);
  return url.href;
}

/** eventsSessionOf is what a server without the header Streampair-Events-Session calls a session: its id. */
export function eventsSessionOf(resource: string | undefined): string {
  return resource === undefined ? "" : decodeURIComponent(new URL(resource).pathname.split("/").pop() ?? "");
}

/** eventsAddress has the events of a session, or if that is empty of the pair. */
export function eventsAddress(base: string, p: PlayParameters, session: string): string {
  const url = address(base, "events", p);
  if (session !== "") {
    url.searchParams.set("session", session);
  }
  if (p.token !== "") {
    // A header would cost a request before each, which asks whether it may be sent.
    url.searchParams.set("token", p.token);
  }
  return url.href;
}

function address(base: string, surface: string, { name, backupStreamId }: PlayParameters): URL {
  const url = new URL(`${surface}/${encodeURIComponent(name)}`, base);
  if (backupStreamId !== "") {
    url.searchParams.set("backupStreamId", backupStreamId);
  }
  return url;
}
