import { bitrateWords, reasonWords } from "../../../mediaserver/player/src/words.ts";
import { type Alarm, alarms } from "./alarms.ts";
import { secondsWords } from "./phrases.ts";
import { type LegMeasures, type LegStatus, type Pair, type PairStatus, type Role, roles, type Selection } from "./state.ts";

/** A tile without news for so long is stale. */
export const staleAfter = 2000;
/** A picture that is older says so. */
export const oldPicture = 3000;
/** Measures that are older are not shown. */
const oldMeasures = 3000;
/** The scale of a meter, in dBFS. */
const meterFloor = -60;
const shownSwitches = 8;

/** TileView is one pair as the page shows it. Everything in it is text, and never markup. */
export interface TileView {
  name: string;
  stale: string; // empty: it is not
  onAir: Role | "";
  headline: string;
  why: string;
  figures: string[];
  legs: LegView[];
  alarms: Alarm[];
  switches: string[];
  takes: TakeView[];
}

export interface TakeView {
  selection: Selection;
  label: string;
  disabled: boolean;
  pressed: boolean;
}

export interface LegView {
  role: Role;
  streamID: string;
  onAir: boolean;
  health: "good" | "poor" | "lost";
  words: string;
  picture: string; // a URL; empty: there is none
  pictureWords: string; // why there is none, or that it is old
  meter: { peak: number; rms: number; words: string } | null;
  figures: string[];
  faults: string[];
}

/**
 * tileView returns what the page shows of a pair. sinceAnswer is the time in milliseconds since the page
 * got the state, and serverTime the server's clock by then.
 */
export function tileView(pair: Pair, serverTime: string, sinceAnswer: number): TileView {
  const age = pair.ageMilliseconds + sinceAnswer;
  const now = Date.parse(serverTime) + sinceAnswer;
  const status = pair.status;
  const stale = !status ? "no media server has answered" : age >= staleAfter ? `no news for ${secondsWords(age)}` : "";
  const onAir = status?.onAir ? asRole(status.active) : "";
  return {
    name: pair.name,
    stale,
    onAir,
    headline: onAir ? `${onAir} on air` : "Nothing on air",
    why: status ? why(status, now) : "",
    figures: status ? pairFigures(pair, status) : [],
    legs: roles.map((role) => legView(pair, role, onAir, sinceAnswer)),
    alarms: alarms(pair, now),
    switches: status ? switches(status, now) : [],
    takes: takes(status, stale !== ""),
  };
}

function asRole(name: string | undefined): Role | "" {
  return roles.find((role) => role === name) ?? "";
}

function why(status: PairStatus, now: number): string {
  const parts = [reasonWords(status.reason)];
  if (status.onAir && status.since) {
    parts.push(`for ${secondsWords(now - Date.parse(status.since))}`);
  }
  if (status.switchingTo) {
    parts.push(`switching to the ${status.switchingTo.toLowerCase()} at its next key frame`);
  }
  return parts.join(", ");
}

function pairFigures(pair: Pair, status: PairStatus): string[] {
  const out = [status.viewers === 1 ? "1 viewer" : `${status.viewers} viewers`];
  const offset = pair.measures?.offset;
  if (offset) {
    const ms = Math.round(Math.abs(offset.milliseconds));
    out.push(ms === 0 ? "legs in step" : `backup ${ms} ms ${offset.milliseconds > 0 ? "later" : "earlier"}`);
    if (offset.driftPPM !== undefined && Math.abs(offset.driftPPM) >= 1) {
      out.push(`drift ${offset.driftPPM.toFixed(0)} ppm`);
    }
  } else {
    out.push("offset unknown");
  }
  return out;
}

function legView(pair: Pair, role: Role, onAir: Role | "", sinceAnswer: number): LegView {
  const status = pair.status?.legs?.find((leg) => leg.role === role);
  const measures = pair.measures?.legs?.find((leg) => leg.role === role);
  const isOld = measures?.ageMilliseconds === undefined || measures.ageMilliseconds + sinceAnswer > oldMeasures;
  const current = isOld ? undefined : measures;
  const faults = current?.faults ?? [];
  return {
    role,
    streamID: status?.streamID ?? "",
    onAir: onAir === role,
    health: !status?.live ? "lost" : faults.length > 0 || status.rank !== "Full" ? "poor" : "good",
    words: legWords(status),
    ...picture(pair, role, measures, sinceAnswer),
    meter: meter(current),
    figures: current ? legFigures(current) : [],
    faults: faults.map(faultWords),
  };
}

function legWords(status: LegStatus | undefined): string {
  switch (status?.live ? "Live" : status?.lossReason) {
    case "Live":
      return status?.rank === "Full" ? "live" : `live, rank ${status?.rank}`;
    case "NotPublished":
      return "no encoder";
    case "Disconnected":
      return "encoder gone";
    case "Silent":
      return "encoder sends nothing";
  }
  return "unknown";
}

function picture(pair: Pair, role: Role, measures: LegMeasures | undefined, sinceAnswer: number): { picture: string; pictureWords: string } {
  if (!measures?.thumbnailTime) {
    return { picture: "", pictureWords: unwatchedWords(measures) };
  }
  const made = Date.parse(measures.thumbnailTime);
  const age = (measures.thumbnailAgeMilliseconds ?? 0) + sinceAnswer;
  return {
    picture: `room/pairs/${encodeURIComponent(pair.name)}/${role}/picture?at=${made}`,
    pictureWords: age > oldPicture ? `${secondsWords(age)} old` : "",
  };
}

function unwatchedWords(measures: LegMeasures | undefined): string {
  switch (measures?.unwatched) {
    case "NoFFmpeg":
      return "no picture: the server has no ffmpeg";
    case "Full":
      return "no picture: --max-analysers is reached";
    case "Failed":
      return "no picture: ffmpeg fails on it";
  }
  return "no picture";
}

/** meter returns the levels as shares of the scale, 0 to 1. */
function meter(measures: LegMeasures | undefined): LegView["meter"] {
  const sound = measures?.sound;
  if (!sound || !measures.soundMeasured) {
    return null;
  }
  const share = (db: number): number => Math.min(Math.max(1 - db / meterFloor, 0), 1);
  const loudness = sound.shortTermLUFS > -70 ? `${sound.shortTermLUFS.toFixed(0)} LUFS` : "silence";
  return { peak: share(sound.peakDBFS), rms: share(sound.rmsDBFS), words: loudness };
}

function legFigures(measures: LegMeasures): string[] {
  const out: string[] = [];
  const rates = measures.rates;
  if (rates) {
    out.push(bitrateWords(rates.bitrateBPS));
    if (rates.frameRate > 0) {
      const isUsual = rates.usualFrameRate === 0 || Math.abs(rates.frameRate - rates.usualFrameRate) <= 1;
      out.push(`${Math.round(rates.frameRate)}${isUsual ? "" : ` of ${Math.round(rates.usualFrameRate)}`} fps`);
    }
    if (rates.keyFrameIntervalMilliseconds > 0) {
      out.push(`key frame ${(rates.keyFrameIntervalMilliseconds / 1000).toFixed(1)} s`);
    }
  }
  if (measures.undecoded) {
    out.push("sound not measured");
  }
  return out;
}

function faultWords(fault: string): string {
  return { LowBitrate: "Low bit rate", LowFrameRate: "Low picture rate" }[fault] ?? fault;
}

/** switches returns the last switches, the newest first, with what each has cost where that is known. */
function switches(status: PairStatus, now: number): string[] {
  const ago = (time: string): string => `${secondsWords(now - Date.parse(time))} ago`;
  if (status.history) {
    return status.history
      .filter((entry) => entry.kind === "Switched" || entry.kind === "Dark")
      .slice(0, shownSwitches)
      .map((entry) => {
        const what = entry.kind === "Dark" ? "both legs lost" : `to ${entry.leg.toLowerCase()}: ${reasonWords(entry.reason ?? "")}`;
        const cost = entry.gapMilliseconds === undefined ? "" : `, ${entry.gapMilliseconds} ms without a picture`;
        return `${ago(entry.time)} ${what}${cost}`;
      });
  }
  const last = status.lastSwitch;
  return last ? [`${ago(last.time)} to ${last.to.toLowerCase()}: ${reasonWords(last.reason)}`] : [];
}

function takes(status: PairStatus | undefined, stale: boolean): TakeView[] {
  const all: [Selection, string][] = [
    ["Primary", "Take primary"],
    ["Backup", "Take backup"],
    ["Auto", "Auto"],
  ];
  return all.map(([selection, label]) => ({ selection, label, disabled: stale, pressed: status?.select === selection }));
}
