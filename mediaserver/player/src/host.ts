/**
 * What the player tells the page around it: each event as a DOM event on the player's
 * document, for scripts in it, and by postMessage to the page that embeds it. Nothing
 * told is secret (never a token), so any page that embeds the player may hear it.
 */
import type { Failure } from "./failure.ts";
import type { PairState } from "./pairstate.ts";
import type { View } from "./view.ts";

/** The events and their details; docs/players.md documents them for embedders. */
export interface HostEvents {
  /** Another leg, or another switch of the same: which one is on air. */
  "streampair:active": {
    readonly role: string;
    readonly streamId: string;
    readonly reason: string;
    readonly since: string;
    readonly switches: number;
  };
  /** No moving picture at the moment, and why. */
  "streampair:waiting": { readonly phase: string; readonly message: string };
  /** The picture moves, or the sound of a programme without one. */
  "streampair:playing": {
    readonly role: string;
    readonly streamId: string;
    readonly width: number;
    readonly height: number;
    readonly muted: boolean;
  };
  /** Something failed; with retrying the player goes on by itself. */
  "streampair:error": { readonly code: string; readonly message: string; readonly retrying: boolean };
}

export function tellHost<K extends keyof HostEvents>(type: K, detail: HostEvents[K]): void {
  document.dispatchEvent(new CustomEvent(type, { detail, bubbles: true }));
  if (window.parent !== window) {
    window.parent.postMessage({ type, detail }, "*");
  }
}

/** tellError reports a failure that the player retries. */
export function tellError(failure: Failure): void {
  tellHost("streampair:error", { code: failure.code, message: failure.message, retrying: true });
}

/** ActiveReporter reports each change of the leg on air once. */
export class ActiveReporter {
  private last = "";

  report(state: PairState | undefined): void {
    if (state === undefined || state.active === "") {
      return;
    }
    const key = `${state.active}/${state.activeStreamId}/${state.switches}`;
    if (key === this.last) {
      return;
    }
    this.last = key;
    tellHost("streampair:active", {
      role: state.active,
      streamId: state.activeStreamId,
      reason: state.reason,
      since: state.since,
      switches: state.switches,
    });
  }
}

/** ViewReporter reports what the page shows, once each time that it changes. */
export class ViewReporter {
  private last: View = { phase: "idle", message: "", detail: "", failure: undefined };

  /** report is given the details of a picture as a function, because they are seldom needed. */
  report(view: View, playing: () => HostEvents["streampair:playing"]): void {
    const before = this.last;
    this.last = view;
    if (view.phase === "playing" && before.phase !== "playing") {
      tellHost("streampair:playing", playing());
    } else if (view.phase !== "playing" && view.phase !== "idle" && view.message !== before.message) {
      tellHost("streampair:waiting", { phase: view.phase, message: view.message });
    }
  }
}
