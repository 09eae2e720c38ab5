/** What `GET /room/state` answers: see State in room.go, and Measures and Pair in api/control. */
export interface State {
  place: string;
  time: string;
  pairs: Pair[];
}

export interface Pair {
  name: string;
  ageMilliseconds: number;
  status?: PairStatus;
  measures?: PairMeasures;
  credentials?: { name: string; notAfter: string }[];
  warnings?: string[];
}

export interface PairStatus {
  active?: string;
  onAir: boolean;
  reason: string;
  switchingTo?: string;
  since?: string;
  switches: number;
  lastSwitch?: { from: string; to: string; reason: string; time: string };
  /** The latest events, the newest first; absent: the media server does not report them. */
  history?: HistoryEntry[] | null;
  select: string;
  viewers: number;
  legs: LegStatus[] | null;
}

export interface HistoryEntry {
  kind: string;
  time: string;
  leg: string;
  reason?: string;
  gapMilliseconds?: number;
}

export interface LegStatus {
  role: string;
  streamID: string;
  live: boolean;
  rank: string;
  publishing: boolean;
  lossReason?: string;
  conflict?: boolean;
  warnings?: { code: string; message: string }[];
}

export interface PairMeasures {
  legs: LegMeasures[] | null;
  offset?: { milliseconds: number; driftPPM?: number };
  offsetDoubt?: string;
}

export interface LegMeasures {
  role: string;
  ageMilliseconds?: number;
  sound?: { rmsDBFS: number; peakDBFS: number; momentaryLUFS: number; shortTermLUFS: number };
  rates?: { bitrateBPS: number; frameRate: number; usualFrameRate: number; keyFrameIntervalMilliseconds: number; jumps: number };
  soundMeasured: boolean;
  pictureMeasured: boolean;
  unwatched?: string;
  undecoded?: boolean;
  faults?: string[];
  faultsKnown: boolean;
  thumbnailTime?: string;
  thumbnailAgeMilliseconds?: number;
}

export type Selection = "Primary" | "Backup" | "Auto";
export const roles = ["Primary", "Backup"] as const;
export type Role = (typeof roles)[number];
