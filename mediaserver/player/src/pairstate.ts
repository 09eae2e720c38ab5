/** The pair's state as the server's event stream tells it. Pure. */

export interface Leg {
  readonly role: string;
  readonly streamId: string;
  readonly live: boolean;
  readonly rank: string;
  /** The width of a pixel over its height; 1 if the server does not say. */
  readonly sampleAspect: number;
}

export interface Warning {
  readonly role: string;
  readonly code: string;
  readonly message: string;
}

export interface PairState {
  readonly streamId: string;
  readonly backupStreamId: string;
  /** "Primary" or "Backup"; "" if nothing has been played yet. */
  readonly active: string;
  readonly activeStreamId: string;
  /** Whether media goes out now. */
  readonly onAir: boolean;
  /** The server is about to end: connections are to be opened anew. */
  readonly draining: boolean;
  readonly reason: string;
  readonly since: string;
  readonly switches: number;
  readonly legs: readonly Leg[];
  readonly warnings: readonly Warning[];
  /** The servers' own addresses without a path, the primary's first; may be empty. */
  readonly baseURLs: readonly string[];
  /** Which of them serves the session whose events these are: "Primary", "Backup" or "". */
  readonly servedBy: string;
  /** The server sends key pictures only, because too much is lost on the way to this page. */
  readonly reduced: boolean;
  /** Which share of the players, 0 to 1, is to report what its viewer sees. */
  readonly reportShare: number;
}

/**
 * parsePairState reads the data of a `state` event. Fields that are missing or of
 * another type become their zero value, so that a newer or older server never breaks
 * the page; undefined means that it was no state at all.
 */
export function parsePairState(data: string): PairState | undefined {
  const o = record(json(data));
  if (o === undefined || typeof o["onAir"] !== "boolean") {
    return undefined;
  }
  return {
    streamId: string(o["streamId"]),
    backupStreamId: string(o["backupStreamId"]),
    active: string(o["active"]),
    activeStreamId: string(o["activeStreamId"]),
    onAir: o["onAir"],
    draining: o["draining"] === true,
    reason: string(o["reason"]),
    since: string(o["since"]),
    switches: number(o["switches"]),
    legs: records(o["legs"]).map((leg) => ({
      role: string(leg["role"]),
      streamId: string(leg["streamId"]),
      live: leg["live"] === true,
      rank: string(leg["rank"]),
      sampleAspect: sensibleAspect(leg["sampleAspect"]),
    })),
    warnings: records(o["warnings"]).map((warning) => ({
      role: string(warning["role"]),
      code: string(warning["code"]),
      message: string(warning["message"]),
    })),
    // By position, so what is no address stays in its place.
    baseURLs: list(o["baseURLs"]).map(string),
    servedBy: string(o["servedBy"]),
    reduced: o["reduced"] === true,
    reportShare: number(o["reportShare"]),
  };
}

/** parseServerTime returns the time of a heartbeat in milliseconds since 1970, or undefined. */
export function parseServerTime(data: string): number | undefined {
  const now = Date.parse(string(record(json(data))?.["now"]));
  return Number.isNaN(now) ? undefined : now;
}

type Fields = Record<string, unknown>;

function json(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

function record(v: unknown): Fields | undefined {
  return typeof v === "object" && v !== null && !Array.isArray(v) ? (v as Fields) : undefined;
}

function records(v: unknown): Fields[] {
  return list(v)
    .map(record)
    .filter((o): o is Fields => o !== undefined);
}

function list(v: unknown): unknown[] {
  return Array.isArray(v) ? v : [];
}

function string(v: unknown): string {
  return typeof v === "string" ? v : "";
}

/** sensibleAspect is v, or 1 where v is no aspect that a pixel can have. */
function sensibleAspect(v: unknown): number {
  return typeof v === "number" && v >= 0.1 && v <= 10 ? v : 1;
}

function number(v: unknown): number {
  return typeof v === "number" && Number.isFinite(v) ? v : 0;
}

/**
 * stretchedAspect is the width over the height of the picture on air, of width by height
 * pixels, if its pixels are not square; undefined if they are, or if nothing is known.
 */
export function stretchedAspect(state: PairState | undefined, width: number, height: number): number | undefined {
  const pixel = state?.legs.find((leg) => leg.role === state.active)?.sampleAspect ?? 1;
  return pixel === 1 || width === 0 || height === 0 ? undefined : (width * pixel) / height;
}
