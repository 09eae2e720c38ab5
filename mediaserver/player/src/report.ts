import type { Figures } from "./statistics.ts";
import type { Way } from "./parameters.ts";

/**
 * What the viewer sees, for the server: Common Media Client Data version 2 (CTA-5004-B), event
 * mode. Nothing in a report tells one viewer from another. Pure.
 */

/** A player reports once in this time, milliseconds. */
export const reportEveryMs = 10_000;
/** More stalls than that are not told in one report. */
const mostStalls = 20;

/** A Sample is what a player shows at a moment. */
export interface Sample {
  /** performance.now() */
  readonly at: number;
  readonly way: Way;
  readonly playing: boolean;
  readonly figures: Figures | undefined;
}

interface Counters {
  readonly stalls: number;
  readonly stalledMs: number;
  readonly lost: number;
  readonly received: number;
}

const nothing: Counters = { stalls: 0, stalledMs: 0, lost: 0, received: 0 };

/** An Observer sums up samples, and gives a report from time to time. */
export class Observer {
  private sum = nothing;
  private last = nothing;
  private joinMs: number | undefined;
  private joined = false;
  private reportedAt: number;

  /** begun is when the player was started, performance.now(). */
  constructor(private readonly begun: number) {
    this.reportedAt = begun;
  }

  /** observe takes a sample into account. It returns a report when one is due. */
  observe(s: Sample): string | undefined {
    if (s.playing && !this.joined) {
      this.joined = true;
      this.joinMs = s.at - this.begun;
    }
    if (s.figures !== undefined) {
      const now = counters(s.figures);
      this.sum = add(this.sum, grown(this.last, now));
      this.last = now;
    }
    if (!this.joined || s.at - this.reportedAt < reportEveryMs) {
      return undefined;
    }
    const text = report(s, this.sum, this.joinMs);
    this.reportedAt = s.at;
    this.sum = nothing;
    this.joinMs = undefined;
    return text;
  }
}

function counters(f: Figures): Counters {
  return { stalls: f.freezes, stalledMs: f.frozenMs, lost: f.packetsLost, received: f.packetsReceived };
}

/** grown is by how much counters grew. A new connection counts from zero. */
function grown(before: Counters, now: Counters): Counters {
  const anew = now.received < before.received || now.stalls < before.stalls;
  const by = (name: keyof Counters) => Math.max(0, now[name] - (anew ? 0 : before[name]));
  return { stalls: by("stalls"), stalledMs: by("stalledMs"), lost: by("lost"), received: by("received") };
}

function add(a: Counters, b: Counters): Counters {
  return { stalls: a.stalls + b.stalls, stalledMs: a.stalledMs + b.stalledMs, lost: a.lost + b.lost, received: a.received + b.received };
}

/** report writes the lines: one for each stall, and one with the figures. */
function report(s: Sample, sum: Counters, joinMs: number | undefined): string {
  const format = s.way === "hls" ? "h" : "o";
  const fields: Record<string, string> = { e: "t", sf: format, sta: s.playing ? "p" : "w", v: "2" };
  const put = (key: string, value: number | undefined, write: (rounded: number) => string = String) => {
    if (value !== undefined) {
      fields[key] = write(Math.round(value));
    }
  };
  put("bsd", sum.stalledMs || undefined, (ms) => `(${ms})`);
  put("ltc", s.figures?.delayMs);
  put("msd", joinMs);
  if (s.way === "webrtc") {
    put("com.streampair-lost", sum.lost);
    put("com.streampair-received", sum.received);
  }
  const line = Object.keys(fields).sort().map((key) => `${key}=${fields[key]}`).join(",");
  const stall = `e=ps,sf=${format},sta=r,v=2`;
  return [...Array<string>(Math.min(sum.stalls, mostStalls)).fill(stall), line].join("\n");
}
