/**
 * What is wrong with a connection, if anything. Pure.
 *
 * That the server has died is told by two witnesses who agree: the events, which end or
 * fall silent, and the media, which stops at the same time. Either alone is most often
 * something else (a proxy that ends long requests, an encoder that pauses), and a new
 * connection would not help. ICE is no witness: it takes many seconds.
 */
import { type Failure, noConnection, serverLost, stalledFailure, unreachable } from "./failure.ts";
import type { PairState } from "./pairstate.ts";
import { type Expectation, type Flow, stalled } from "./stall.ts";

/** An offer that has led to no connection after this long has failed. */
export const connectLimitMs = 15_000;
/** ICE reports "disconnected" during short gaps too. */
export const disconnectedLimitMs = 3_000;
/** A connection that was in trouble and delivers again for this long is kept. */
export const recoveredMs = 1_000;
/** The server sends a heartbeat every 500 ms: two are missing. */
export const heartbeatLateMs = 1_100;
/** One is missing: look closer. */
const heartbeatMissedMs = 700;
/** Media that pauses for this long while the events are missing has stopped. */
export const mediaQuietMs = 300;
/** Media and events that stop further apart than this stopped for two reasons. */
const togetherMs = 2_000;
/** How often to look, and how often while something may be wrong. */
export const lookMs = 250;
export const lookCloserMs = 50;
/** Media quiet for this long is worth a closer look if the events are missing. */
const hushMs = 150;

export interface ConnectionFacts {
  /** Counts the page's connections. */
  readonly number: number;
  readonly base: string;
  readonly phase: "opening" | "connected" | "failed";
  readonly openedAt: number;
  /** The offer was answered: there is a session. */
  readonly answered: boolean;
  readonly connectedAt: number | undefined;
  /** Since when ICE has been "disconnected". */
  readonly disconnectedAt: number | undefined;
  readonly failure: Failure | undefined;
  readonly flow: Flow;
  /** When it first had something to show: a picture, or sound of a programme without pictures. */
  readonly firstFrameAt: number | undefined;
  /** When its server was found dead; that holds until media comes again. */
  readonly lostAt: number | undefined;
}

export interface FeedFacts {
  /** The number of the connection whose session's events these are. */
  readonly follows: number | undefined;
  readonly ok: boolean;
  readonly since: number;
  /** It has been ok since it follows that connection. */
  readonly heard: boolean;
  /** When something was heard last. */
  readonly heardAt: number;
  /** The server said that the session does not exist any more. */
  readonly gone: boolean;
  /** The last state told, of whichever connection. */
  readonly state: PairState | undefined;
  /** Since when state.onAir has had its value. */
  readonly onAirSince: number;
}

/** What is known beside the connection itself. */
export interface Surroundings {
  readonly now: number;
  readonly hidden: boolean;
  readonly feed: FeedFacts;
}

/** trouble says what is wrong with a connection; undefined if nothing is. */
export function trouble(s: Surroundings, c: ConnectionFacts): Failure | undefined {
  switch (c.phase) {
    case "failed":
      return c.failure === undefined || c.failure === noConnection ? blocked(s, c) : c.failure;
    case "opening":
      return s.now - c.openedAt > connectLimitMs ? blocked(s, c) : undefined;
    case "connected":
      if ((c.lostAt !== undefined && c.flow.mediaAt <= c.lostAt) || serverDied(s, c)) {
        return serverLost;
      }
      if (c.disconnectedAt !== undefined && s.now - c.disconnectedAt > disconnectedLimitMs) {
        return blocked(s, c);
      }
      return stall(s, c);
  }
}

/** blocked is why media does not get through: only a server that answers leaves the network to blame. */
function blocked(s: Surroundings, c: ConnectionFacts): Failure {
  if (!c.answered) {
    return unreachable;
  }
  const silent = s.feed.follows === c.number && missingSince(s.feed, s.now, heartbeatLateMs) !== undefined;
  return silent ? serverLost : noConnection;
}

function serverDied(s: Surroundings, c: ConnectionFacts): boolean {
  const feed = s.feed;
  // Judged by when somebody looked last: what came since then is not known yet.
  const quiet = c.flow.sampledAt - c.flow.mediaAt >= mediaQuietMs;
  if (feed.follows !== c.number || !quiet) {
    return false;
  }
  if (feed.gone) {
    return true;
  }
  const since = missingSince(feed, s.now, heartbeatLateMs);
  // On a hidden page quiet means nothing; with nothing on air neither.
  return !s.hidden && since !== undefined && feed.heard && feed.state?.onAir === true && c.flow.everMedia && c.flow.mediaAt - since < togetherMs;
}

function stall(s: Surroundings, c: ConnectionFacts): Failure | undefined {
  // Browsers stop or slow down everything on a hidden page: quiet means nothing there.
  const expected = expectation(s.feed, c);
  if (s.hidden || !stalled(c.flow, expected, s.now)) {
    return undefined;
  }
  return expected.kind === "unknown" ? serverLost : stalledFailure;
}

/** expectation is what the events let us expect of a connection. */
export function expectation(feed: FeedFacts, c: ConnectionFacts): Expectation {
  const { state } = feed;
  // A connection that waits to be shown may be judged by the events of the one shown:
  // they play the same pair. One whose events were left because they had stopped may not.
  const speaks = feed.follows === c.number || c.firstFrameAt === undefined;
  if (!feed.ok || state === undefined || !speaks) {
    return { kind: "unknown", since: feed.since, onAir: state?.onAir ?? true };
  }
  return state.onAir ? { kind: "media", since: Math.max(feed.onAirSince, feed.since) } : { kind: "nothing" };
}

/** missingSince is when the events stopped; undefined if they have not. */
function missingSince(feed: FeedFacts, now: number, limitMs: number): number | undefined {
  if (!feed.ok) {
    return feed.since;
  }
  return now - feed.heardAt >= limitMs ? feed.heardAt + limitMs : undefined;
}

/** lookAgainMs is when to look at the connections next. */
export function lookAgainMs(s: Surroundings, c: ConnectionFacts | undefined): number {
  const since = missingSince(s.feed, s.now, heartbeatMissedMs);
  if (c === undefined || since === undefined || s.hidden) {
    return lookMs;
  }
  const quiet = s.now - c.flow.mediaAt;
  return s.now - since < togetherMs || (quiet >= hushMs && quiet < togetherMs) ? lookCloserMs : lookMs;
}
