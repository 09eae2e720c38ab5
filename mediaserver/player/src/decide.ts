/**
 * The player's decisions. Pure: facts and now go in, what to do and what to say come
 * out, so every branch that may take the picture from a viewer is tested without a
 * browser. player.ts collects the facts and acts.
 *
 * There are at most two connections: `shown`, whose last frame is on screen, alive or
 * not, and `pending`, which takes its place with its first frame.
 */
import { type Failure, noConnection, stalledFailure } from "./failure.ts";
import type { PlayParameters } from "./parameters.ts";
import type { PairState } from "./pairstate.ts";
import { type Expectation, type Flow, quietMs, stalled } from "./stall.ts";
import { waitingWords } from "./words.ts";

/** An offer that has led to no connection after this long has failed. */
export const connectLimitMs = 15_000;
/** ICE reports "disconnected" during short gaps too. */
export const disconnectedLimitMs = 3_000;
/** A connection that was in trouble and delivers again for this long is kept. */
export const recoveredMs = 1_000;
/** Nothing to play for this long: say so. */
const awayMs = 500;
/** A connection this old without trouble ends the back-off. */
export const settledMs = 10_000;

export interface ConnectionFacts {
  readonly phase: "opening" | "connected" | "failed";
  readonly openedAt: number;
  readonly connectedAt: number | undefined;
  /** Since when ICE has been "disconnected". */
  readonly disconnectedAt: number | undefined;
  readonly failure: Failure | undefined;
  readonly flow: Flow;
  /** It has had something to show: a picture, or sound of a programme without pictures. */
  readonly firstFrame: boolean;
}

export interface FeedFacts {
  readonly ok: boolean;
  readonly since: number;
  readonly state: PairState | undefined;
  /** Since when state.onAir has had its value. */
  readonly onAirSince: number;
}

export interface Facts {
  readonly now: number;
  readonly hidden: boolean;
  /** The viewer, or autoplay, has asked for playback. */
  readonly started: boolean;
  readonly parameters: PlayParameters;
  readonly shown: ConnectionFacts | undefined;
  readonly pending: ConnectionFacts | undefined;
  readonly feed: FeedFacts;
  /** When to leave connections opened before then, because their server is about to end; undefined: never. */
  readonly moveAt: number | undefined;
  /** When the wait under way ends; undefined: none. */
  readonly retryAt: number | undefined;
  /** Attempts since the last settled connection. */
  readonly attempts: number;
  /** Why the last attempt failed. */
  readonly lastFailure: Failure | undefined;
}

export type Act =
  | { readonly kind: "none" }
  /** Open a pending connection now. */
  | { readonly kind: "open" }
  /** Begin to wait before the next attempt. */
  | { readonly kind: "wait"; readonly failure: Failure }
  /** Close the pending connection; with a failure: and wait before the next. */
  | { readonly kind: "abandon"; readonly failure: Failure | undefined }
  /** Show the pending connection and close the one shown. */
  | { readonly kind: "swap" }
  /** Trouble is over: forget the wait. */
  | { readonly kind: "calm" };

export type Phase = "idle" | "connecting" | "waiting" | "playing" | "reconnecting" | "error";

export interface View {
  readonly phase: Phase;
  /** One sentence; "" while playing. */
  readonly message: string;
  readonly detail: string;
  /** The failure behind it, if any. */
  readonly failure: Failure | undefined;
}

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
  if (f.pending !== undefined) {
    return judgePending(f, f.pending);
  }
  const failure = f.shown === undefined ? f.lastFailure : trouble(f, f.shown);
  if (f.shown !== undefined && failure === undefined) {
    if (moving(f, f.shown)) {
      return f.retryAt === undefined || f.now >= f.retryAt ? { kind: "open" } : { kind: "none" };
    }
    return f.retryAt === undefined ? { kind: "none" } : { kind: "calm" };
  }
  if (f.retryAt !== undefined) {
    return f.now >= f.retryAt ? { kind: "open" } : { kind: "none" };
  }
  // The very first connection is not worth waiting for; all others are.
  return failure === undefined ? { kind: "open" } : { kind: "wait", failure };
}

function judgePending(f: Facts, pending: ConnectionFacts): Act {
  if (pending.firstFrame) {
    return { kind: "swap" };
  }
  const failure = trouble(f, pending);
  if (failure !== undefined) {
    return { kind: "abandon", failure };
  }
  if (f.shown !== undefined && !moving(f, f.shown) && recovered(f, f.shown, pending)) {
    return { kind: "abandon", failure: undefined };
  }
  return { kind: "none" };
}

/** moving: the connection shown plays, and its server is about to end. */
function moving(f: Facts, shown: ConnectionFacts): boolean {
  return f.moveAt !== undefined && f.now >= f.moveAt && shown.openedAt < f.moveAt;
}

/** recovered: the connection shown has delivered again since the other was opened. */
function recovered(f: Facts, shown: ConnectionFacts, pending: ConnectionFacts): boolean {
  return (
    shown.phase === "connected" &&
    trouble(f, shown) === undefined &&
    quietMs(shown.flow, f.now) < recoveredMs &&
    shown.flow.mediaAt - pending.openedAt >= recoveredMs
  );
}

/** trouble says what is wrong with a connection; undefined if nothing is. */
export function trouble(f: Facts, c: ConnectionFacts): Failure | undefined {
  switch (c.phase) {
    case "failed":
      return c.failure ?? noConnection;
    case "opening":
      return f.now - c.openedAt > connectLimitMs ? noConnection : undefined;
    case "connected":
      if (c.disconnectedAt !== undefined && f.now - c.disconnectedAt > disconnectedLimitMs) {
        return noConnection;
      }
      // Browsers stop or slow down everything on a hidden page: quiet means nothing there.
      return !f.hidden && stalled(c.flow, expectation(f.feed), f.now) ? stalledFailure : undefined;
  }
}

export function expectation(feed: FeedFacts): Expectation {
  if (!feed.ok || feed.state === undefined) {
    return { kind: "unknown", since: feed.since };
  }
  return feed.state.onAir ? { kind: "media", since: Math.max(feed.onAirSince, feed.since) } : { kind: "nothing" };
}

function viewOf(f: Facts): View {
  if (!f.started) {
    return view("idle", "");
  }
  const monitored = f.pending ?? f.shown;
  const problem = monitored === undefined ? f.lastFailure : trouble(f, monitored) ?? f.lastFailure;
  if (f.pending?.firstFrame) {
    return view("playing", "");
  }
  if (f.shown !== undefined && trouble(f, f.shown) === undefined) {
    if (f.pending === undefined) {
      return away(f) ? waiting(f) : view("playing", "");
    }
    // A false alarm, or a gap that is over: do not talk over a moving picture.
    if (quietMs(f.shown.flow, f.now) < recoveredMs) {
      return view("playing", "");
    }
  }
  if (monitored?.phase === "connected" && trouble(f, monitored) === undefined) {
    // Connected, nothing seen of this connection yet.
    return f.feed.ok && f.feed.state?.onAir ? starting(f) : waiting(f);
  }
  if (problem?.lasting) {
    return { phase: "error", message: problem.message, detail: "It is tried again every half minute.", failure: problem };
  }
  if (f.shown !== undefined) {
    const detail = problem === undefined || problem.code === "stalled" ? "" : problem.message;
    return { phase: "reconnecting", message: "Connection lost, reconnecting…", detail, failure: problem };
  }
  if (problem !== undefined) {
    return { phase: "reconnecting", message: problem.message, detail: "Trying again…", failure: problem };
  }
  return view("connecting", "Connecting…");
}

/**
 * away: the server has nothing to play. Media may still come: the server keeps the audio
 * track alive with silence.
 */
function away(f: Facts): boolean {
  return f.feed.ok && f.feed.state?.onAir === false && f.now - f.feed.onAirSince >= awayMs;
}

function waiting(f: Facts): View {
  const words = waitingWords(f.parameters, f.feed.state, f.shown !== undefined);
  return { phase: "waiting", message: words.message, detail: words.detail, failure: undefined };
}

function starting(f: Facts): View {
  return f.shown === undefined ? view("connecting", "Starting…") : view("reconnecting", "Connected again, waiting for the picture…");
}

function view(phase: Phase, message: string): View {
  return { phase, message, detail: "", failure: undefined };
}
