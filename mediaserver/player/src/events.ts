import { retryWait } from "./backoff.ts";
import { type PairState, parsePairState, parseServerTime } from "./pairstate.ts";

/** The server sends one every 500 ms; a feed without any for this long is lost. */
const heartbeatLimitMs = 3_000;
const watchMs = 500;
/** A watchdog that itself ran this late (a frozen page, a suspended laptop) proves nothing. */
const lateMs = 2_000;

export interface FeedHealth {
  readonly ok: boolean;
  /** performance.now() of the last change of ok. */
  readonly since: number;
}

/**
 * An EventFeed follows the server's event stream and comes back to it by itself. It
 * does its own reconnecting, because EventSource gives up for good on an HTTP error,
 * retries without jitter otherwise, and does not notice a connection that is silent.
 */
export class EventFeed {
  /** The last state told; kept while the feed is lost. */
  state: PairState | undefined;
  health: FeedHealth = { ok: false, since: performance.now() };
  /** Server clock minus this machine's, milliseconds; undefined before the first heartbeat. */
  clockOffsetMs: number | undefined;

  private source: EventSource | undefined;
  private heardAt = 0;
  private attempt = 0;
  private retryTimer: number | undefined;
  private retryAt = 0;
  private watchTimer: number | undefined;
  private watchedAt = 0;

  /** changed is called after state or health has changed. */
  constructor(
    private readonly url: string,
    private readonly changed: () => void,
  ) {}

  /** start begins to follow; nothing happens if it does already. */
  start(): void {
    if (this.watchTimer !== undefined) {
      return;
    }
    this.health = { ok: false, since: performance.now() };
    this.attempt = 0;
    this.watchedAt = performance.now();
    this.watchTimer = window.setInterval(() => this.watch(), watchMs);
    this.connect();
  }

  stop(): void {
    window.clearInterval(this.watchTimer);
    this.watchTimer = undefined;
    this.disconnect();
    this.setHealth(false);
  }

  /** retrySoon shortens a wait under way, when something suggests that the server is back. */
  retrySoon(): void {
    const wait = retryWait(1, Math.random());
    if (this.retryTimer !== undefined && performance.now() + wait < this.retryAt) {
      this.retryAfter(wait);
    }
  }

  private connect(): void {
    this.disconnect();
    const source = new EventSource(this.url);
    this.source = source;
    this.heardAt = performance.now();
    source.addEventListener("state", (event) => {
      const state = parsePairState(String(event.data));
      if (state !== undefined) {
        this.state = state;
        this.heard();
        this.changed();
      }
    });
    source.addEventListener("heartbeat", (event) => {
      this.heard();
      this.setClock(parseServerTime(String(event.data)));
    });
    source.onerror = () => this.lost();
  }

  private disconnect(): void {
    window.clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    if (this.source !== undefined) {
      this.source.onerror = null;
      this.source.close();
      this.source = undefined;
    }
  }

  private heard(): void {
    this.heardAt = performance.now();
    this.attempt = 0;
    // A heartbeat without a state says nothing about what to expect.
    if (!this.health.ok && this.state !== undefined) {
      this.setHealth(true);
    }
  }

  private lost(): void {
    this.attempt++;
    this.disconnect();
    this.retryAfter(retryWait(this.attempt, Math.random()));
    this.setHealth(false);
  }

  private retryAfter(ms: number): void {
    window.clearTimeout(this.retryTimer);
    this.retryAt = performance.now() + ms;
    this.retryTimer = window.setTimeout(() => this.connect(), ms);
  }

  private watch(): void {
    const now = performance.now();
    const late = now - this.watchedAt > watchMs + lateMs;
    this.watchedAt = now;
    if (late) {
      this.heardAt = now;
    } else if (this.source !== undefined && now - this.heardAt > heartbeatLimitMs) {
      this.lost();
    }
  }

  private setHealth(ok: boolean): void {
    if (this.health.ok !== ok) {
      this.health = { ok, since: performance.now() };
      this.changed();
    }
  }

  private setClock(serverMs: number | undefined): void {
    if (serverMs === undefined) {
      return;
    }
    // Delay on the way only ever makes the server look late, so the largest
    // difference is the best. It decays by 1 ms a heartbeat, to follow clock drift.
    const offset = serverMs - Date.now();
    this.clockOffsetMs = Math.max(offset, (this.clockOffsetMs ?? -Infinity) - 1);
  }
}
