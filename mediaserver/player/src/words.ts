/** What the player says about streams, in plain words. Pure. */
import type { PlayParameters } from "./parameters.ts";
import type { PairState } from "./pairstate.ts";

export interface Words {
  readonly message: string;
  readonly detail: string;
}

/** waitingWords says what a viewer whose connection is fine is waiting for. */
export function waitingWords(p: PlayParameters, state: PairState | undefined, seenPicture: boolean): Words {
  const pair = p.backupStreamId !== "";
  // `active` remembers what was played last, also for a viewer who has just come.
  const played = seenPicture || (state !== undefined && state.active !== "");
  const detail = played ? "Playback resumes by itself." : "";
  const live = state?.legs.find((leg) => leg.live);
  if (live !== undefined) {
    return { message: `The stream “${live.streamId}” arrives, but nothing of it can be shown yet.`, detail };
  }
  if (!played) {
    return pair
      ? { message: `Waiting for the stream “${p.name}” or “${p.backupStreamId}” to start…`, detail }
      : { message: `Waiting for the stream “${p.name}” to start…`, detail };
  }
  return pair
    ? { message: "Both streams are away.", detail }
    : { message: `The stream “${p.name}” is away.`, detail };
}

/** What a viewer is told while the server sends key pictures only. */
export const reducedWords =
  "Too much is lost between the server and you: the picture moves in steps. It becomes smooth again by itself when the connection is better.";

/** The server's reasons; a newer server may have more. */
const reasons: Readonly<Record<string, string>> = {
  NoLiveStream: "no stream is live",
  Started: "it was the first to start",
  PrimaryStarted: "the primary started soon after",
  PrimaryInputLost: "the primary fell silent",
  BackupInputLost: "the backup fell silent",
  PrimaryDisconnected: "the primary's encoder disconnected",
  BackupDisconnected: "the backup's encoder disconnected",
  PrimaryDegraded: "the primary lost its picture or sound",
  BackupDegraded: "the backup lost its picture or sound",
  PrimaryBlack: "the primary's picture was black",
  BackupBlack: "the backup's picture was black",
  PrimaryFrozen: "the primary's picture stood still",
  BackupFrozen: "the backup's picture stood still",
  PrimarySilent: "the primary's sound was silent",
  BackupSilent: "the backup's sound was silent",
  PrimaryLowRate: "the primary's rate was low",
  BackupLowRate: "the backup's rate was low",
  PrimaryRecovered: "the primary is back",
  Selected: "it was selected",
  FollowedPeer: "the pair's other server plays it",
  PrimaryDraining: "the primary's server was shut down",
  BackupDraining: "the backup's server was shut down",
};

/** reasonWords turns a switch reason, which is a PascalCase word of the API, into words. */
export function reasonWords(reason: string): string {
  return reasons[reason] ?? reason.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
}

/** legWords is the badge's text. */
export function legWords(state: PairState | undefined): string {
  if (state === undefined) {
    return "Unknown";
  }
  if (state.active === "") {
    return "Nothing yet";
  }
  return state.backupStreamId === "" ? state.activeStreamId : `${state.active} · ${state.activeStreamId}`;
}

/** bitrateWords: "2.45 Mbit/s", "640 kbit/s". */
export function bitrateWords(bps: number): string {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}
