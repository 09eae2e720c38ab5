import { raceAnswerMs, raceStart, raceTries, raceWait, refusedWait, retryWait, shortestWaitMs } from "./backoff.ts";
import type { Target } from "./bases.ts";
import type { Connection } from "./connection.ts";
import type { LaneFacts, Pace } from "./decide.ts";
import type { Failure } from "./failure.ts";

/** A Lane is one place where a new connection may be had: the one on its way there, or when to open the next. */
export class Lane {
  connection: Connection | undefined;

  private nextAt: number;
  private failures = 0;
  /** Attempts left, the one under way included, that are part of a race. */
  private hurries: number;
  /** The server itself has said for how long to wait, or refuses for good. */
  private told = false;

  /** attempts is how many have failed or been lost already: where the waits go on. */
  constructor(
    readonly target: Target,
    pace: Pace,
    private attempts: number,
    now: number,
  ) {
    this.hurries = pace === "race" ? raceTries : 0;
    this.nextAt = now + firstWait(pace, attempts);
  }

  get facts(): LaneFacts {
    const { target, nextAt, failures } = this;
    return { target, nextAt, failures, connection: this.connection?.facts };
  }

  /** waits: no connection is on its way. */
  get waits(): boolean {
    return this.connection === undefined;
  }

  /** answerMs bounds how long the next attempt waits for its answer; undefined: as long as any request. */
  get answerMs(): number | undefined {
    return this.hurries > 0 ? raceAnswerMs : undefined;
  }

  /** failed ends the connection and begins the wait for the next; it says whether that is worth telling. */
  failed(failure: Failure, now: number): boolean {
    const spent = now - (this.connection?.facts.openedAt ?? now);
    this.release();
    this.failures++;
    // A server that answers has made up its mind: asking again at once is of no use.
    if (this.hurries > 1 && failure.code === "unreachable") {
      this.hurries--;
      this.nextAt = now + raceWait(Math.random(), spent);
      return false;
    }
    this.hurries = 0;
    this.attempts++;
    this.told = failure.lasting || failure.retryAfterMs > 0;
    const wait = failure.lasting ? refusedWait : (random: number, ms: number) => retryWait(this.attempts, random, ms);
    this.nextAt = now + wait(Math.random(), failure.retryAfterMs);
    return true;
  }

  /** retryAt ends the wait under way at that time at the latest. */
  retryAt(at: number): void {
    this.nextAt = Math.min(this.nextAt, at);
  }

  /** retrySoon is for signs that a thousand players see at once; it breaks no word of the server's. */
  retrySoon(now: number): void {
    if (!this.told) {
      this.retryAt(now + Math.random() * shortestWaitMs);
    }
  }

  release(): void {
    this.connection?.release();
    this.connection = undefined;
  }
}

function firstWait(pace: Pace, attempts: number): number {
  switch (pace) {
    case "now":
      return 0;
    case "race":
    case "spread":
      return raceStart(Math.random());
    case "backoff":
      return retryWait(attempts, Math.random());
  }
}
