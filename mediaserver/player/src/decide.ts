/**
 * The player's decisions. Pure: facts and now go in, what to do and what to say come
 * out, so every branch that may take the picture from a viewer is tested without a
 * browser. player.ts collects the facts and acts.
 *
 * One connection is `shown`: its last frame is on screen, alive or not. While another is
 * needed there are `lanes`, one for each place where it may be had. They run beside each
 * other, each with waits of its own, and the first with a frame takes the place of the
 * connection shown.
 */
import { type Target, mostTargets, moveTargets, raceTargets } from "./bases.ts";
import type { Failure } from "./failure.ts";
import type { PlayParameters } from "./parameters.ts";
import { quietMs } from "./stall.ts";
import { type ConnectionFacts, type FeedFacts, recoveredMs, trouble } from "./trouble.ts";
import { type View, viewOf } from "./view.ts";

/** A connection this old without trouble ends the back-off. */
export const settledMs = 10_000;
/** The second picture may take its time, until the browser has filled its buffers: while another plays, that is waited for. */
const smoothMs = 300;
/** After so many connections that were lost before they were settled there is no more hurry. */
const hurriesUnsettled = 3;

/** A lane leads to one place: it has a connection there, or waits to open one. */
export interface LaneFacts {
  readonly target: Target;
  readonly connection: ConnectionFacts | undefined;
  /** When the next connection may be opened; of no meaning while there is one. */
  readonly nextAt: number;
  /** Connections it has opened so far that failed. */
  readonly failures: number;
}

/** The server of the connection shown is about to end. */
export interface MoveFacts {
  /** The number of that connection. */
  readonly from: number;
  /** When to leave it. */
  readonly at: number;
}

export interface Facts {
  readonly now: number;
  readonly hidden: boolean;
  /** The viewer, or autoplay, has asked for playback. */
  readonly started: boolean;
  readonly parameters: PlayParameters;
  /** The app's address where the page came from. */
  readonly page: string;
  /** Addresses of other servers that refusals have named. */
  readonly alternates: readonly string[];
  readonly shown: ConnectionFacts | undefined;
  readonly lanes: readonly LaneFacts[];
  readonly feed: FeedFacts;
  readonly move: MoveFacts | undefined;
  /** How often a connection has had to be replaced since the last that was settled. */
  readonly needs: number;
  /** Why the last attempt failed. */
  readonly lastFailure: Failure | undefined;
}

/** How long new lanes wait before their first attempt. */
export type Pace =
  /** Not at all. */
  | "now"
  /** A moment, drawn at random; then each asks again and again, a few times. */
  | "race"
  /** A moment, drawn at random. */
  | "spread"
  /** As after a failed attempt. */
  | "backoff";

export type Act =
  | { readonly kind: "none" }
  /** Add lanes. The failure is what they are needed for, the first time. */
  | { readonly kind: "add"; readonly targets: readonly Target[]; readonly pace: Pace; readonly failure: Failure | undefined }
  /** Open the lane's connection now. */
  | { readonly kind: "open"; readonly lane: number }
  /** Close the lane's connection, and wait before its next. */
  | { readonly kind: "abandon"; readonly lane: number; readonly failure: Failure }
  /** Close all lanes but this one. */
  | { readonly kind: "keep"; readonly lane: number }
  /** Show the lane's connection, close the one shown and all other lanes. */
  | { readonly kind: "swap"; readonly lane: number }
  /** Trouble is over: close all lanes. */
  | { readonly kind: "calm" };

export interface Decision {
  readonly act: Act;
  readonly view: View;
}

export function decide(f: Facts): Decision {
  return { act: nextAct(f), view: viewOf(f) };
}

function nextAct(f: Facts): Act {
  if (!f.started) {
    return { kind: "none" };
  }
  const failure = f.shown && trouble(f, f.shown);
  const plays = f.shown !== undefined && failure === undefined;
  const first = f.lanes.findIndex(({ connection }) => connection && f.now >= swapAt(connection, plays));
  if (first >= 0) {
    return { kind: "swap", lane: first };
  }
  for (const [lane, { connection }] of f.lanes.entries()) {
    const reason = connection && trouble(f, connection);
    if (reason !== undefined) {
      return { kind: "abandon", lane, failure: reason };
    }
  }
  if (plays && f.shown !== undefined && !moving(f, f.shown)) {
    return f.lanes.length > 0 && recovered(f, f.shown) ? { kind: "calm" } : { kind: "none" };
  }
  return nextLane(f, failure);
}

/** swapAt is when a connection may take the place of the one shown; never, as long as it has nothing to show. */
export function swapAt(c: ConnectionFacts, shownPlays: boolean): number {
  return (c.firstFrameAt ?? Infinity) + (shownPlays ? smoothMs : 0);
}

/** nextLane is for when another connection is needed, and none has anything to show. */
function nextLane(f: Facts, failure: Failure | undefined): Act {
  const waiting = f.lanes.findIndex((lane) => waitsForProgramme(f, lane.connection));
  if (waiting >= 0) {
    return f.lanes.length > 1 ? { kind: "keep", lane: waiting } : { kind: "none" };
  }
  const targets = wantedTargets(f, failure)
    .filter((target) => !f.lanes.some((lane) => same(lane.target, target)))
    .slice(0, mostTargets - f.lanes.length);
  if (targets.length > 0) {
    return f.lanes.length === 0
      ? { kind: "add", targets, pace: firstPace(f, failure), failure }
      : { kind: "add", targets, pace: "spread", failure: undefined };
  }
  const due = f.lanes.findIndex((lane) => lane.connection === undefined && f.now >= lane.nextAt);
  return due >= 0 ? { kind: "open", lane: due } : { kind: "none" };
}

function wantedTargets(f: Facts, failure: Failure | undefined): Target[] {
  const { page, alternates, shown } = f;
  const state = f.feed.state;
  if (shown !== undefined && failure === undefined) {
    return moveTargets(page, state, alternates, shown.base);
  }
  const race = raceTargets(page, state, alternates);
  if (urgent(failure)) {
    return race;
  }
  // Everywhere once the page's own place has failed, and then each place once.
  const everywhere = f.lanes.some((lane) => lane.failures > 0);
  return everywhere ? race.filter((target) => target.copy === 0) : [{ base: page, copy: 0 }];
}

function firstPace(f: Facts, failure: Failure | undefined): Pace {
  // The very first connection is not worth waiting for, and who moves has waited.
  if (failure === undefined) {
    return "now";
  }
  return urgent(failure) && f.needs < hurriesUnsettled ? "race" : "backoff";
}

/** urgent: the picture has stopped for everybody who is on that server, and others may have it. */
function urgent(failure: Failure | undefined): boolean {
  return failure?.code === "server-lost";
}

/** waitsForProgramme: it is connected, and its server has nothing to play. */
function waitsForProgramme(f: Facts, c: ConnectionFacts | undefined): boolean {
  return c?.phase === "connected" && f.feed.follows === c.number && f.feed.ok && f.feed.state?.onAir === false;
}

/** moving: the connection shown plays, and its server is about to end. */
function moving(f: Facts, shown: ConnectionFacts): boolean {
  return f.move !== undefined && f.move.from === shown.number && f.now >= f.move.at;
}

/** recovered: the connection shown has delivered again since others were opened. */
function recovered(f: Facts, shown: ConnectionFacts): boolean {
  const opened = f.lanes.flatMap((lane) => lane.connection?.openedAt ?? []);
  return opened.length === 0 || (quietMs(shown.flow, f.now) < recoveredMs && shown.flow.mediaAt - Math.min(...opened) >= recoveredMs);
}

/** followed is the number of the connection whose session's events to follow; undefined: none yet. */
export function followed(f: Facts): number | undefined {
  const { shown, feed } = f;
  const sessions = f.lanes.flatMap((lane) => (lane.connection?.answered && lane.connection.phase !== "failed" ? [lane.connection.number] : []));
  if (feed.follows !== undefined && (sessions.includes(feed.follows) || (feed.follows === shown?.number && feed.ok))) {
    return feed.follows;
  }
  return sessions[0] ?? (shown?.answered && shown.phase !== "failed" ? shown.number : feed.follows);
}

function same(a: Target, b: Target): boolean {
  return a.base === b.base && a.copy === b.copy;
}
