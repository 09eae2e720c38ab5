/** When the second way of a play order is used, and where HLS goes on. Pure. */
import type { View } from "./view.ts";

/** So long the first way may be without a picture before the second begins. */
export const patienceMs = 5_000;
/** The second way ends when the first has played for this long. */
export const steadyMs = 1_000;
/** HLS jumps to the live edge this seldom. */
const jumpSpacingMs = 5_000;
/** A jump over less than this is not worth the pause that it makes. */
const leastJumpSeconds = 1;

/** What the first way of the order lacks. */
export interface Condition {
  readonly lacking:
    /** It plays, there is nothing to play, or another way would not be allowed to play either. */
    | "nothing"
    /** It has no picture, or the picture stopped. */
    | "picture"
    /** It has key pictures only, because too much is lost on the way. */
    | "motion"
    /** The server refuses it, and only a person can mend that. */
    | "way";
  /** Since when it lacks something, or nothing. */
  readonly since: number;
}

/** observeFirst returns the condition of the first way, whose view is given. reduced: it gets key pictures only. */
export function observeFirst(before: Condition | undefined, view: View, now: number, reduced = false): Condition {
  const lacking = reduced && view.phase === "playing" ? "motion" : lackingIn(view);
  const same = before !== undefined && (before.lacking === "nothing") === (lacking === "nothing");
  return { lacking, since: same ? before.since : now };
}

function lackingIn({ phase, failure }: View): Condition["lacking"] {
  switch (phase) {
    case "connecting":
    case "reconnecting":
      return "picture";
    case "error":
      // A token that one way refuses, the other refuses too.
      return failure?.code === "unauthorized" ? "nothing" : "way";
    case "idle":
    case "waiting":
    case "playing":
      return "nothing";
  }
}

/**
 * wantsSecond reports whether the second way is to run now; `runs` is whether it does. keepsUp is whether
 * what it loads comes within its own duration; undefined: not known yet.
 */
export function wantsSecond(first: Condition, runs: boolean, now: number, keepsUp?: boolean): boolean {
  switch (first.lacking) {
    case "nothing":
      return runs && now - first.since < steadyMs;
    case "picture":
      return runs || now - first.since >= patienceMs;
    case "motion":
      return keepsUp !== false;
    case "way":
      return true;
  }
}

/** loadsInTime reports whether a segment or a part came within its own duration. Its times are those of hls.js, milliseconds. */
export function loadsInTime(loading: { readonly first: number; readonly end: number }, durationSeconds: number): boolean {
  return loading.end - loading.first <= durationSeconds * 1000;
}

/** Where HLS plays in a live playlist, in seconds. */
export interface LivePosition {
  readonly currentTime: number;
  /** The picture stands. */
  readonly stalled: boolean;
  /** Behind the live edge. */
  readonly latency: number;
  /** Behind the live edge where it should be. */
  readonly targetLatency: number;
  readonly targetDuration: number;
  /** The position of targetLatency. */
  readonly syncPosition: number;
}

/** HLS goes nearer to the live edge again when it has not stalled for so long. */
const calmMs = 30_000;

/**
 * calmLatency is the latency to aim at again, in seconds; undefined: leave it. hls.js aims further
 * behind the live edge with each stall, and stays there.
 */
export function calmLatency(targetLatency: number, leastLatency: number, stalledAt: number, now: number): number | undefined {
  return targetLatency > leastLatency && now - stalledAt >= calmMs ? leastLatency : undefined;
}

/**
 * jumpTo is the position to jump to; undefined: stay. hls.js catches up by rate while
 * playback is at most a target duration late (its latency-controller.ts), and leaves alone
 * what is further behind: a viewer who paused, or a long stall. It also sometimes loads no
 * part any more after a short last part of a segment, until something moves the position.
 */
export function jumpTo(p: LivePosition, jumpedAt: number, now: number): number | undefined {
  const late = p.stalled || p.latency - p.targetLatency > p.targetLatency + p.targetDuration;
  const ahead = p.syncPosition - p.currentTime >= leastJumpSeconds;
  return late && ahead && now - jumpedAt >= jumpSpacingMs ? p.syncPosition : undefined;
}
