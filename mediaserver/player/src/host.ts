/**
 * What the player tells the page around it: each event as a DOM event on the player's
 * document, for scripts in it, and by postMessage to the page that embeds it. Nothing
 * told is secret (never a token), so any page that embeds the player may hear it.
 */
import type { Failure } from "./failure.ts";
import type { PairState } from "./pairstate.ts";

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
