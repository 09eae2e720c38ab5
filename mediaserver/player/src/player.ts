import { refusedWait, retryWait, shortestWaitMs } from "./backoff.ts";
import { Connection } from "./connection.ts";
import { type Act, type Facts, type View, decide, settledMs } from "./decide.ts";
import { EventFeed } from "./events.ts";
import type { Failure } from "./failure.ts";
import { ActiveReporter, tellError, tellHost } from "./host.ts";
import type { PlayParameters } from "./parameters.ts";
import type { PairState } from "./pairstate.ts";
import { Sound } from "./sound.ts";
import { rest } from "./stall.ts";
import { type Figures, figures } from "./statistics.ts";

/** How often counters are read and decisions taken. */
const tickMs = 250;
/** A server that is about to end says so to all its players at once: they leave it within this time. */
const moveWithinMs = 1_000;
/** A tick this late means that the page was frozen or throttled: quiet proves nothing. */
const lateMs = 3_000;

/** A Snapshot is all that the user interface shows. */
export interface Snapshot {
  readonly view: View;
  readonly pair: PairState | undefined;
  readonly muted: boolean;
  /** The browser refused sound; a tap brings it. */
  readonly mutedByBrowser: boolean;
  /** The browser refuses to play at all before a tap. */
  readonly needsTap: boolean;
  readonly paused: boolean;
  /** There is a frame on screen. */
  readonly picture: boolean;
}

/**
 * A Player owns the connections and the two elements they are shown in, asks decide
 * what to do, and does it. The user interface is told by `render`.
 */
export class Player {
  private shown: Connection | undefined;
  private pending: Connection | undefined;
  private readonly feed: EventFeed;
  private readonly sound: Sound;
  private readonly active = new ActiveReporter();
  private started = false;
  private attempts = 0;
  private retryAt: number | undefined;
  private lastFailure: Failure | undefined;
  private onAirSince = 0;
  private onAir: boolean | undefined;
  private feedWasOk = false;
  private moveAt: number | undefined;
  private movesFor: PairState | undefined;
  private opened = 0;
  private tickTimer: number | undefined;
  private tickedAt = 0;
  private view: View = { phase: "idle", message: "", detail: "", failure: undefined };

  constructor(
    private readonly parameters: PlayParameters,
    private readonly videos: readonly [HTMLVideoElement, HTMLVideoElement],
    /** The address of the app, ending in "/": WHEP and events are below it. */
    private readonly base: URL,
    private readonly render: (snapshot: Snapshot) => void,
  ) {
    this.feed = new EventFeed(this.eventsUrl(), () => this.feedChanged());
    this.sound = new Sound(videos, parameters.mute, () => this.draw());
  }

  start(): void {
    if (this.started) {
      return;
    }
    this.started = true;
    this.tickedAt = performance.now();
    this.tickTimer = window.setInterval(() => void this.tick(), tickMs);
    this.evaluate();
  }

  /** stop ends the sessions; the last frame stays. start begins again. */
  stop(): void {
    this.started = false;
    window.clearInterval(this.tickTimer);
    this.feed.stop();
    this.pending?.close();
    this.shown?.close();
    this.pending = undefined;
    this.retryAt = undefined;
    this.lastFailure = undefined;
    this.attempts = 0;
  }

  /** tapped is called from a click or a key: browsers allow sound and playback only then. */
  tapped(): void {
    this.sound.allow();
    this.start();
  }

  toggleMute(): void {
    this.sound.setMuted(!this.sound.muted);
  }

  togglePause(): void {
    this.sound.setPaused(!this.sound.paused);
  }

  /** retryNow ends a wait under way. */
  retryNow(): void {
    if (this.retryAt !== undefined) {
      this.retryAt = performance.now();
      this.evaluate();
    }
  }

  /** retrySoon is retryNow for signs that a thousand players see at once. */
  retrySoon(): void {
    // Not when the server itself has said for how long.
    if (this.retryAt !== undefined && !this.lastFailure?.lasting && !this.lastFailure?.retryAfterMs) {
      this.retryAt = Math.min(this.retryAt, performance.now() + Math.random() * shortestWaitMs);
    }
    this.feed.retrySoon();
  }

  /** becameVisible begins to look again. */
  becameVisible(): void {
    this.restFlows();
    this.sound.keepPlaying();
    this.evaluate();
  }

  get figures(): Figures | undefined {
    const c = this.shown;
    return c?.reading && figures(c.previous, c.reading, this.feed.clockOffsetMs, Date.now() - (performance.now() - c.reading.at));
  }

  get connection(): Connection | undefined {
    return this.shown ?? this.pending;
  }

  get snapshot(): Snapshot {
    const { muted, mutedByBrowser, needsTap, paused } = this.sound;
    const picture = this.shown?.hasPicture ?? false;
    return { view: this.view, pair: this.feed.state, muted, mutedByBrowser, needsTap, paused, picture };
  }

  /** Numbers for the hooks. */
  get counters(): { opened: number; attempts: number; pending: boolean; eventsConnected: boolean } {
    return {
      opened: this.opened,
      attempts: this.attempts,
      pending: this.pending !== undefined,
      eventsConnected: this.feed.health.ok,
    };
  }

  private async tick(): Promise<void> {
    const now = performance.now();
    if (now - this.tickedAt > tickMs + lateMs) {
      this.restFlows();
    }
    this.tickedAt = now;
    await Promise.all([this.shown?.sample(), this.pending?.sample()]);
    this.sound.keepPlaying();
    this.evaluate();
  }

  /** evaluate decides and acts until there is nothing more to do now. */
  private evaluate(): void {
    for (let i = 0; i < 4 && this.started; i++) {
      const decision = decide(this.facts());
      this.setView(decision.view);
      if (decision.act.kind === "none") {
        break;
      }
      this.perform(decision.act);
    }
    this.settle();
    this.draw();
  }

  private facts(): Facts {
    return {
      now: performance.now(),
      hidden: document.hidden,
      started: this.started,
      parameters: this.parameters,
      shown: this.shown?.facts,
      pending: this.pending?.facts,
      feed: { ...this.feed.health, state: this.feed.state, onAirSince: this.onAirSince },
      moveAt: this.moveAt,
      retryAt: this.retryAt,
      attempts: this.attempts,
      lastFailure: this.lastFailure,
    };
  }

  private perform(act: Act): void {
    switch (act.kind) {
      case "open":
        this.open();
        break;
      case "wait":
        this.failed(act.failure);
        break;
      case "abandon":
        this.pending?.release();
        this.pending = undefined;
        if (act.failure !== undefined) {
          this.failed(act.failure);
        }
        break;
      case "swap":
        this.swap();
        break;
      case "calm":
        this.retryAt = undefined;
        this.lastFailure = undefined;
        break;
    }
  }

  private open(): void {
    this.retryAt = undefined;
    const video = this.shown?.video === this.videos[0] ? this.videos[1] : this.videos[0];
    video.muted = true;
    const { name, token } = this.parameters;
    const target = { purpose: "play" as const, stream: name, url: this.whepUrl(), token };
    this.opened++;
    this.feed.start();
    this.pending = new Connection(this.opened, video, target, () => this.evaluate());
    void this.pending.open();
  }

  private failed(failure: Failure): void {
    this.attempts++;
    this.lastFailure = failure;
    const wait = failure.lasting
      ? refusedWait(Math.random(), failure.retryAfterMs)
      : retryWait(this.attempts, Math.random(), failure.retryAfterMs);
    this.retryAt = performance.now() + wait;
    if (failure.lasting && this.shown === undefined) {
      this.feed.stop(); // it would be refused as well, again and again
    }
    tellError(failure);
  }

  private swap(): void {
    const old = this.shown;
    this.shown = this.pending;
    this.pending = undefined;
    this.lastFailure = undefined;
    if (this.shown !== undefined) {
      this.sound.show(this.shown.video);
      this.feed.retrySoon(); // the server is there
    }
    old?.release();
  }

  /** settle ends the back-off once a connection has proved itself. */
  private settle(): void {
    const c = this.pending ?? this.shown;
    const connectedAt = c?.facts.connectedAt;
    if (c?.facts.phase !== "connected" || connectedAt === undefined) {
      return;
    }
    this.lastFailure = this.retryAt === undefined ? undefined : this.lastFailure;
    if (this.retryAt === undefined && performance.now() - connectedAt > settledMs) {
      this.attempts = 0;
    }
  }

  private feedChanged(): void {
    const state = this.feed.state;
    if (state !== undefined && state.onAir !== this.onAir) {
      this.onAir = state.onAir;
      this.onAirSince = performance.now();
    }
    if (state?.draining === true && state !== this.movesFor) {
      this.movesFor = state;
      this.moveAt = performance.now() + Math.random() * moveWithinMs;
    }
    const ok = this.feed.health.ok;
    if (ok) {
      this.active.report(state);
    }
    if (ok && !this.feedWasOk) {
      this.retrySoon(); // the server is there again
    }
    this.feedWasOk = ok;
    this.evaluate();
  }

  private restFlows(): void {
    const now = performance.now();
    this.shown?.restFlow((flow) => rest(flow, now));
    this.pending?.restFlow((flow) => rest(flow, now));
  }

  private setView(view: View): void {
    const before = this.view;
    this.view = view;
    if (view.phase === "playing" && before.phase !== "playing") {
      const pair = this.feed.state;
      const video = this.connection?.video;
      tellHost("streampair:playing", {
        role: pair?.active ?? "",
        streamId: pair?.activeStreamId || this.parameters.name,
        width: video?.videoWidth ?? 0,
        height: video?.videoHeight ?? 0,
        muted: this.sound.muted,
      });
    } else if (view.phase !== "playing" && view.phase !== "idle" && view.message !== before.message) {
      tellHost("streampair:waiting", { phase: view.phase, message: view.message });
    }
  }

  private draw(): void {
    this.render(this.snapshot);
  }

  private whepUrl(): string {
    return this.address("whep", {});
  }

  private eventsUrl(): string {
    // EventSource cannot send a header.
    return this.address("events", this.parameters.token === "" ? {} : { token: this.parameters.token });
  }

  private address(surface: string, query: Record<string, string>): string {
    const { name, backupStreamId } = this.parameters;
    const url = new URL(`${surface}/${encodeURIComponent(name)}`, this.base);
    if (backupStreamId !== "") {
      url.searchParams.set("backupStreamId", backupStreamId);
    }
    for (const [key, value] of Object.entries(query)) {
      url.searchParams.set(key, value);
    }
    return url.href;
  }
}
