/** What the address of play.html asks for. Pure: no window, no document. */

/** A Way is how media comes, in the names that addresses use. */
export type Way = "webrtc" | "hls";

export interface PlayParameters {
  /** The stream to play; the primary of a pair. */
  readonly name: string;
  /** The other stream of a pair; "" plays `name` alone and never switches. */
  readonly backupStreamId: string;
  /** The ways to play, the first preferred; one or two. */
  readonly order: readonly Way[];
  /**
   * Sent as a bearer token to WHEP and in the query of the event stream and of HLS; "" for none. It
   * may be replaced while the stream is played, and counts from the next request on.
   */
  token: string;
  /** Start without being asked; default true. */
  readonly autoplay: boolean;
  /** Start without sound; default false. */
  readonly mute: boolean;
  /** 0 to 1. */
  readonly volume: number;
  /** Play by HLS first and show its captions; default false. */
  readonly captions: boolean;
  /** Show which leg is on air; default false. */
  readonly badge: boolean;
  /** Open the statistics panel; default false. */
  readonly statistics: boolean;
}

export interface Parsed {
  readonly parameters: PlayParameters;
  /** Things that were ignored, in words for the person who wrote the address. */
  readonly notices: readonly string[];
  /** Why nothing can be played, in words; undefined if it can. */
  readonly problem?: string;
}

/** The same rule as the server's for apps and stream ids. */
const streamId = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

const defaultOrder: readonly Way[] = ["webrtc", "hls"];

/** parsePlayParameters reads the query of play.html, "?name=primary&…". */
export function parsePlayParameters(search: string): Parsed {
  const query = new URLSearchParams(search);
  const notices: string[] = [];

  const name = text(query, "name") || text(query, "id");
  const backupStreamId = text(query, "backupStreamId");
  const parameters: PlayParameters = {
    name,
    backupStreamId,
    order: playOrder(text(query, "playOrder"), notices),
    token: text(query, "token"),
    autoplay: flag(query, "autoplay", true, notices),
    mute: flag(query, "mute", false, notices),
    volume: 1,
    captions: flag(query, "captions", false, notices),
    badge: flag(query, "badge", false, notices),
    statistics: flag(query, "statistics", false, notices),
  };

  const problem = name === "" ? addressWithoutName : problemOf(name, backupStreamId, "backupStreamId");
  return problem === undefined ? { parameters, notices } : { parameters, notices, problem };
}

const addressWithoutName = "The address names no stream. Add ?name= and the stream's name, for example play.html?name=primary.";

/** problemOf says why a stream of this name cannot be played; undefined if it can. backup is what the backup's name is called. */
export function problemOf(name: string, backupStreamId: string, backup: string): string | undefined {
  if (!streamId.test(name)) {
    return `“${shorten(name)}” cannot be a stream's name. ${nameRule}`;
  }
  if (backupStreamId !== "" && !streamId.test(backupStreamId)) {
    return `“${shorten(backupStreamId)}” cannot be the backup stream's name. ${nameRule}`;
  }
  if (backupStreamId === name) {
    return `name and ${backup} are both “${name}”. A backup must be another stream; leave ${backup} out to play one stream.`;
  }
  return undefined;
}

export const nameRule = "A name has 1 to 128 letters, digits, dots, underscores or hyphens, and begins with a letter or digit.";

export function validStreamId(id: string): boolean {
  return streamId.test(id);
}

/** playOrder reads a play order. Unknown entries are skipped with a notice; where all are, the default is used. */
export function playOrder(value: string, notices: string[]): readonly Way[] {
  const asked = [...new Set(value.split(",").map((entry) => entry.trim().toLowerCase()))].filter((entry) => entry !== "");
  const known = asked.filter((entry): entry is Way => entry === "webrtc" || entry === "hls");
  const skipped = asked.filter((entry) => !known.some((way) => way === entry));
  if (skipped.length > 0) {
    const names = skipped.map((entry) => `“${shorten(entry)}”`).join(", ");
    notices.push(`This player cannot play ${names} and ${known.length > 0 ? "skips it" : "uses WebRTC and HLS"}.`);
  }
  return known.length > 0 ? known : defaultOrder;
}

function text(query: URLSearchParams, key: string): string {
  return (query.get(key) ?? "").trim();
}

function flag(query: URLSearchParams, key: string, otherwise: boolean, notices: string[]): boolean {
  const value = query.get(key);
  if (value === null) {
    return otherwise;
  }
  switch (value.trim().toLowerCase()) {
    case "": // "?mute" alone means yes
    case "1":
    case "true":
    case "yes":
    case "on":
      return true;
    case "0":
    case "false":
    case "no":
    case "off":
      return false;
  }
  notices.push(`${key}=${shorten(value)} is neither true nor false and is ignored.`);
  return otherwise;
}

/** shorten keeps a hostile or mistaken parameter from filling the page. */
export function shorten(value: string): string {
  return value.length <= 40 ? value : value.slice(0, 39) + "…";
}
