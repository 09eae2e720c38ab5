/** What the player says about itself, from the same facts as its decisions. Pure. */
import type { Facts } from "./decide.ts";
import type { Failure } from "./failure.ts";
import type { PairState } from "./pairstate.ts";
import type { PlayParameters } from "./parameters.ts";
import { quietMs } from "./stall.ts";
import { type ConnectionFacts, recoveredMs, trouble } from "./trouble.ts";
import { waitingWords } from "./words.ts";

/** Nothing to play for this long: say so. */
const awayMs = 500;

export type Phase = "idle" | "connecting" | "waiting" | "playing" | "reconnecting" | "error";

export interface View {
  readonly phase: Phase;
  /** One sentence; "" while playing. */
  readonly message: string;
  readonly detail: string;
  /** The failure behind it, if any. */
  readonly failure: Failure | undefined;
}

export function viewOf(f: Facts): View {
  if (!f.started) {
    return view("idle", "");
  }
  const pending = f.lanes.flatMap((lane) => lane.connection ?? []);
  if (pending.some((c) => c.firstFrameAt !== undefined)) {
    return view("playing", "");
  }
  const monitored = furthest(pending) ?? f.shown;
  const now = monitored && trouble(f, monitored);
  // A refusal that only a person can mend is worth more words than the loss before it.
  const problem = f.lastFailure?.lasting ? f.lastFailure : (now ?? f.lastFailure);
  if (f.shown !== undefined && trouble(f, f.shown) === undefined) {
    if (pending.length === 0) {
      return away(f) ? waiting(f) : view("playing", "");
    }
    // A false alarm, or a gap that is over: do not talk over a moving picture.
    if (quietMs(f.shown.flow, f.now) < recoveredMs) {
      return view("playing", "");
    }
  }
  if (monitored?.phase === "connected" && trouble(f, monitored) === undefined) {
    // Connected, nothing seen of this connection yet.
    return f.feed.ok && f.feed.state?.onAir === false ? waiting(f) : starting(f);
  }
  return problem === undefined && f.shown === undefined ? view("connecting", "Connecting…") : interrupted(problem, f.shown !== undefined);
}

/** interrupted says why there is no picture, for a viewer who has seen one or has not. */
function interrupted(problem: Failure | undefined, seen: boolean): View {
  if (problem?.lasting) {
    return { phase: "error", message: problem.message, detail: "It is tried again every half minute.", failure: problem };
  }
  if (seen || problem === undefined) {
    const plain = problem === undefined || problem.code === "stalled" || problem.code === "server-lost";
    return { phase: "reconnecting", message: "Connection lost, reconnecting…", detail: plain ? "" : problem.message, failure: problem };
  }
  return { phase: "reconnecting", message: problem.message, detail: "Trying again…", failure: problem };
}

/** HlsFacts is what is known of playback by HLS. */
export interface HlsFacts {
  /** The picture moves, or nothing but the viewer keeps it from moving. */
  readonly plays: boolean;
  /** The element has something to show. */
  readonly ready: boolean;
  /** It has had something to show since it was started. */
  readonly seen: boolean;
  /** The server has nothing to play yet. */
  readonly dark: boolean;
  readonly failure: Failure | undefined;
}

/** hlsView is what to say of playback by HLS. The pair's state is undefined if the server does not tell it now. */
export function hlsView(p: PlayParameters, f: HlsFacts, state: PairState | undefined): View {
  if (f.plays) {
    return view("playing", "");
  }
  if (f.dark || state?.onAir === false) {
    return { phase: "waiting", ...waitingWords(p, state, f.seen), failure: undefined };
  }
  return f.failure === undefined && !f.seen ? view("connecting", "Connecting…") : interrupted(f.failure, f.seen);
}

/** furthest is the connection that has come furthest of those that wait to be shown. */
function furthest(pending: readonly ConnectionFacts[]): ConnectionFacts | undefined {
  return pending.find((c) => c.phase === "connected") ?? pending[0];
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
