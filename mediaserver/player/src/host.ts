/**
 * What a player tells the page around it. Nothing told is secret (never a token), so any
 * page that embeds the player may hear it.
 */
import type { Failure } from "./failure.ts";
import type { PairState } from "./pairstate.ts";
import type { View } from "./view.ts";

/** Which leg is on air, and why. */
export interface ActiveLeg {
  readonly role: string;
  readonly streamId: string;
  readonly reason: string;
  readonly since: string;
  readonly switches: number;
}

/** The events and their details; docs/players.md documents them for embedders. */
export interface HostEvents {
  /** Another leg, or another switch of the same: which one is on air. */
  readonly active: ActiveLeg;
  /** No moving picture at the moment, and why. */
  readonly waiting: { readonly phase: string; readonly message: string };
  /** The picture moves, or the sound of a programme without one. */
  readonly playing: {
    readonly role: string;
    readonly streamId: string;
    readonly width: number;
    readonly height: number;
    readonly muted: boolean;
  };
  /** Something failed; with retrying the player goes on by itself. */
  readonly error: { readonly code: string; readonly message: string; readonly retrying: boolean };
  /** The token, a JSON Web Token, ends within a minute: give the player another. */
  readonly tokenexpiring: { readonly expires: string; readonly secondsLeft: number };
}

/** A Tell hands an event to the page around the player. */
export type Tell = <K extends keyof HostEvents>(type: K, detail: HostEvents[K]) => void;

/**
 * tellAround is the Tell of a page that is nothing but a player: a DOM event on its document, for
 * scripts in it, and by postMessage to the page that embeds it.
 */
export const tellAround: Tell = (name, detail) => {
  const type = `streampair:${name}`;
  document.dispatchEvent(new CustomEvent(type, { detail, bubbles: true }));
  if (window.parent !== window) {
    window.parent.postMessage({ type, detail }, "*");
  }
};

/** tellFailure reports a failure that the player retries. */
export function tellFailure(tell: Tell, failure: Failure): void {
  tell("error", { code: failure.code, message: failure.message, retrying: true });
}

/** ActiveReporter reports each change of the leg on air once. */
export class ActiveReporter {
  private last = "";

  constructor(private readonly tell: Tell) {}

  report(state: PairState | undefined): void {
    if (state === undefined || state.active === "") {
      return;
    }
    const key = `${state.active}/${state.activeStreamId}/${state.switches}`;
    if (key === this.last) {
      return;
    }
    this.last = key;
    this.tell("active", activeLeg(state));
  }
}

export function activeLeg(state: PairState): ActiveLeg {
  const { active, activeStreamId, reason, since, switches } = state;
  return { role: active, streamId: activeStreamId, reason, since, switches };
}

/** ViewReporter reports what the page shows, once each time that it changes. */
export class ViewReporter {
  private last: View = { phase: "idle", message: "", detail: "", failure: undefined };

  constructor(private readonly tell: Tell) {}

  /** report is given the details of a picture as a function, because they are seldom needed. */
  report(view: View, playing: () => HostEvents["playing"]): void {
    const before = this.last;
    this.last = view;
    if (view.phase === "playing" && before.phase !== "playing") {
      this.tell("playing", playing());
    } else if (view.phase !== "playing" && view.phase !== "idle" && view.message !== before.message) {
      this.tell("waiting", { phase: view.phase, message: view.message });
    }
  }
}
