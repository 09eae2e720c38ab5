import { parseRetryAfter, refusedWait, retryWait } from "./backoff.ts";
import { type PairState, parsePairState, parseServerTime } from "./pairstate.ts";
import { EventParser, type ServerEvent } from "./sse.ts";

/** The server sends one every 500 ms; a feed without any for this long is opened anew. */
const heartbeatLimitMs = 3_000;
const watchMs = 500;
/** A watchdog that itself ran this late (a frozen page, a suspended laptop) proves nothing. */
const lateMs = 1_000;

export interface FeedHealth {
  readonly ok: boolean;
  /** performance.now() of the last change of ok, or since when it follows its connection. */
  readonly since: number;
}

/**
 * An EventFeed follows the event stream of one session at a time and comes back to it by
 * itself. It reads with fetch and not with EventSource, which does not tell a session that
 * is gone from a server that is, gives up for good on an HTTP error, retries without
 * jitter otherwise, and does not notice a connection that is silent.
 */
export class EventFeed {
  /** The last state told; kept while the feed is lost, and by the next session's. */
  state: PairState | undefined;
  health: FeedHealth = { ok: false, since: performance.now() };
  /** The connection whose session is followed. */
  follows: number | undefined;
  /** The feed has been ok since it follows that session. */
  heard = false;
  heardAt = 0;
  /** The server said that there is no such session. */
  gone = false;
  /** Server clock minus this machine's, milliseconds; undefined before the first heartbeat. */
  clockOffsetMs: number | undefined;

  private url = () => "";
  private request: AbortController | undefined;
  private attempt = 0;
  private retryTimer: number | undefined;
  private retryAt = 0;
  private watchTimer: number | undefined;
  private watchedAt = 0;

  /** changed is called after state, health or gone has changed. */
  constructor(private readonly changed: () => void) {}

  /**
   * follow turns to the session of a connection; nothing happens if it is followed already. The
   * address is asked for each time that the events are opened, because the token may be another.
   */
  follow(connection: number, url: () => string): void {
    if (this.follows === connection && this.watchTimer !== undefined) {
      return;
    }
    this.stop();
    this.follows = connection;
    this.url = url;
    this.health = { ok: false, since: performance.now() };
    this.heard = false;
    this.gone = false;
    this.attempt = 0;
    this.watchedAt = performance.now();
    this.watchTimer = window.setInterval(() => this.watch(), watchMs);
    this.connect();
  }

  stop(): void {
    window.clearInterval(this.watchTimer);
    this.watchTimer = undefined;
    this.follows = undefined;
    this.disconnect();
    this.health = { ok: false, since: performance.now() };
  }

  /** retrySoon shortens a wait under way, when something suggests that the server is back. */
  retrySoon(): void {
    const wait = retryWait(1, Math.random());
    if (this.retryTimer !== undefined && performance.now() + wait < this.retryAt) {
      this.retryAfter(wait);
    }
  }

  /** rest forgets the silence so far: after a time in which nobody listened. */
  rest(): void {
    this.heardAt = performance.now();
  }

  private connect(): void {
    this.disconnect();
    const request = new AbortController();
    this.request = request;
    this.heardAt = performance.now();
    void this.read(request.signal).then((waitMs) => {
      if (!request.signal.aborted) {
        this.lost(waitMs);
      }
    });
  }

  /** read returns when the stream has ended, with the time to wait before the next. */
  private async read(signal: AbortSignal): Promise<number> {
    try {
      const response = await fetch(this.url(), { signal, cache: "no-store", headers: { Accept: "text/event-stream" } });
      const body = response.status === 200 ? response.body : null;
      if (body === null) {
        const asked = parseRetryAfter(response.headers.get("Retry-After"), Date.now());
        const lasting = response.status === 401 || response.status === 403;
        this.gone ||= response.status === 404 && !signal.aborted;
        return lasting ? refusedWait(Math.random(), asked) : retryWait(this.attempt + 1, Math.random(), asked);
      }
      await this.readEvents(body, signal);
    } catch {
      // It could not be reached, or broke off.
    }
    return retryWait(this.attempt + 1, Math.random());
  }

  private async readEvents(body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        if (signal.aborted) {
          return;
        }
        this.take(event);
      }
    }
  }

  private take(event: ServerEvent): void {
    if (event.type === "state") {
      const state = parsePairState(event.data);
      if (state !== undefined) {
        this.state = state;
        this.hear();
        this.changed();
      }
    } else if (event.type === "heartbeat") {
      this.hear();
      this.setClock(parseServerTime(event.data));
    }
  }

  private hear(): void {
    this.heardAt = performance.now();
    this.attempt = 0;
    // A heartbeat without a state says nothing about what to expect.
    if (!this.health.ok && this.state !== undefined) {
      this.heard = true;
      this.gone = false;
      this.setHealth(true);
    }
  }

  private lost(waitMs: number): void {
    this.attempt++;
    this.disconnect();
    this.retryAfter(waitMs);
    this.setHealth(false);
  }

  private disconnect(): void {
    window.clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.request?.abort();
    this.request = undefined;
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
      this.rest();
    } else if (this.request !== undefined && now - this.heardAt > heartbeatLimitMs) {
      this.lost(retryWait(this.attempt + 1, Math.random()));
    }
  }

  private setHealth(ok: boolean): void {
    if (this.health.ok !== ok) {
      this.health = { ok, since: performance.now() };
    }
    this.changed();
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
