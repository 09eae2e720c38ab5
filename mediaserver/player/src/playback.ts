import { eventsAddress, hlsAddress, raceTargets, renewToken } from "./bases.ts";
import type { Connection } from "./connection.ts";
import { EventFeed } from "./events.ts";
import { type Condition, observeFirst, wantsSecond } from "./fallback.ts";
import { HlsFallback } from "./hlsfallback.ts";
import { ActiveReporter, type Tell, ViewReporter } from "./host.ts";
import type { PairState } from "./pairstate.ts";
import type { PlayParameters, Way } from "./parameters.ts";
import { Player } from "./player.ts";
import { Sound } from "./sound.ts";
import type { Figures } from "./statistics.ts";
import { type View, hlsView } from "./view.ts";

/** A Snapshot is all that the user interface shows. */
export interface Snapshot {
  readonly view: View;
  readonly pair: PairState | undefined;
  readonly muted: boolean;
  /** 0 to 1. */
  readonly volume: number;
  /** The browser refused sound; a tap brings it. */
  readonly mutedByBrowser: boolean;
  /** The browser refuses to play at all before a tap. */
  readonly needsTap: boolean;
  readonly paused: boolean;
  /** There is a frame on screen. */
  readonly picture: boolean;
  /** Captions are wanted. */
  readonly captions: boolean;
}

const idle: View = { phase: "idle", message: "", detail: "", failure: undefined };

/**
 * A Playback plays by the ways of the play order. The first way always runs, and the second
 * while wantsSecond says so. The first of them that plays is seen and heard.
 */
export class Playback {
  /** The way whose element is in front. */
  way: Way;

  private order: readonly Way[];
  private readonly sound: Sound;
  private readonly player: Player;
  private readonly hls: HlsFallback;
  /** The pair's events while no WebRTC session has any. */
  private readonly feed = new EventFeed(() => this.evaluate());
  private readonly active: ActiveReporter;
  private readonly views: ViewReporter;
  private captions = false;
  private readonly running = new Set<Way>();
  private condition: Condition | undefined;
  /** HLS does not come in time while WebRTC has key pictures only. */
  private hlsTooSlow = false;
  private evaluating = false;

  constructor(
    private readonly parameters: PlayParameters,
    webrtcVideos: readonly HTMLVideoElement[],
    hlsVideo: HTMLVideoElement,
    /** The address of the app, ending in "/". */
    private readonly base: URL,
    tell: Tell,
    private readonly render: (snapshot: Snapshot) => void,
  ) {
    this.order = parameters.order;
    this.sound = new Sound([...webrtcVideos, hlsVideo], parameters.mute, parameters.volume, () => this.draw());
    this.active = new ActiveReporter(tell);
    this.views = new ViewReporter(tell);
    this.player = new Player(parameters, webrtcVideos, base, this.sound, tell, () => this.evaluate());
    const renewed = (url: string) => renewToken(url, parameters.token);
    this.hls = new HlsFallback(hlsVideo, parameters.name, base, renewed, (attempt) => this.playlist(attempt), tell, () => this.evaluate());
    this.useCaptions(parameters.captions && this.canCaption);
    this.way = this.order[0] ?? "webrtc";
  }

  start(): void {
    if (this.running.size === 0) {
      this.condition = undefined;
      this.order.slice(0, 1).forEach((way) => this.begin(way));
      this.evaluate();
    }
  }

  /** stop ends all ways. start begins again. */
  stop(): void {
    this.order.forEach((way) => this.end(way));
    this.feed.stop();
  }

  /** tapped is called from a click or a key: browsers allow sound and playback only then. */
  tapped(): void {
    this.sound.allow();
    this.start();
  }

  /** release ends all ways and empties the elements, for good. */
  release(): void {
    this.stop();
    this.player.release();
  }

  setMuted(muted: boolean): void {
    this.sound.setMuted(muted);
  }

  /** setVolume takes 0 to 1. */
  setVolume(volume: number): void {
    this.sound.setVolume(volume);
  }

  setPaused(paused: boolean): void {
    this.sound.setPaused(paused);
  }

  /** canCaption: HLS is among the ways. No browser lets a page read the captions in what comes by WebRTC. */
  get canCaption(): boolean {
    return this.parameters.order.includes("hls");
  }

  /** setCaptions shows captions or not. They come by HLS only, so that HLS is the first way meanwhile. */
  setCaptions(on: boolean): void {
    if (!this.canCaption || on === this.captions) {
      return;
    }
    this.useCaptions(on);
    this.condition = undefined;
    if (this.running.size > 0) {
      this.order.slice(0, 1).filter((way) => !this.running.has(way)).forEach((way) => this.begin(way));
    }
    this.evaluate();
  }

  private useCaptions(on: boolean): void {
    const { order } = this.parameters;
    this.captions = on;
    this.order = on ? ["hls", ...order.filter((way) => way !== "hls")] : order;
    this.hls.setCaptions(on);
  }

  /** setToken replaces the token, without a new connection. */
  setToken(token: string): void {
    this.parameters.token = token;
    this.player.renew(token);
  }

  /** clockOffsetMs is the server's clock minus this machine's; 0 where it is not known. */
  get clockOffsetMs(): number {
    return this.events.clockOffsetMs ?? 0;
  }

  /** retryNow ends the waits under way. */
  retryNow(): void {
    this.hls.retryNow();
    this.player.retryNow();
  }

  /** retrySoon is retryNow for signs that a thousand players see at once. */
  retrySoon(): void {
    this.player.retrySoon();
    this.feed.retrySoon();
  }

  /** becameVisible begins to look again. */
  becameVisible(): void {
    this.feed.rest();
    this.sound.keepPlaying();
    this.player.becameVisible();
  }

  get figures(): Figures | undefined {
    return this.way === "hls" ? this.hls.figures(this.clockOffsetMs) : this.player.figures;
  }

  /** reportShare is which share of the players the server asks for reports. */
  get reportShare(): number {
    return this.events.state?.reportShare ?? 0;
  }

  /** connection is the WebRTC connection that is shown, or that will be. */
  get connection(): Connection | undefined {
    return this.way === "hls" ? undefined : this.player.connection;
  }

  /** video is the element in front. */
  get video(): HTMLVideoElement | undefined {
    return this.way === "hls" ? this.hls.video : this.player.connection?.video;
  }

  get snapshot(): Snapshot {
    const { muted, volume, mutedByBrowser, needsTap, paused } = this.sound;
    const picture = this.way === "hls" ? this.hls.hasPicture : this.player.hasPicture;
    return { view: this.view, pair: this.events.state, muted, volume, mutedByBrowser, needsTap, paused, picture, captions: this.captions };
  }

  /** Numbers for the hooks. */
  get counters(): { opened: number; pending: boolean; eventsConnected: boolean } {
    return { ...this.player.counters, eventsConnected: this.events.health.ok };
  }

  private get events(): EventFeed {
    return this.running.has("webrtc") && this.player.events.state !== undefined ? this.player.events : this.feed;
  }

  /** view is that of the way that plays, or that has something to wait for, or else the first way's. */
  private get view(): View {
    const views = this.order.filter((way) => this.running.has(way)).map((way) => this.viewOf(way));
    return views.find(({ phase }) => phase === "playing") ?? views.find(({ phase }) => phase === "waiting") ?? views[0] ?? idle;
  }

  private viewOf(way: Way): View {
    const { state, health } = this.events;
    return way === "webrtc" ? this.player.view : hlsView(this.parameters, this.hls.facts, health.ok ? state : undefined);
  }

  /** playlist is the page's own place first, then the servers' own. */
  private playlist(attempt: number): string {
    const bases = [...new Set(raceTargets(this.base.href, this.events.state, []).map(({ base }) => base))];
    return hlsAddress(bases[attempt % bases.length] ?? this.base.href, this.parameters);
  }

  private begin(way: Way): void {
    this.running.add(way);
    if (way === "webrtc") {
      this.feed.stop();
      this.player.start();
    } else {
      this.hls.start();
    }
  }

  private end(way: Way): void {
    this.running.delete(way);
    if (way === "webrtc") {
      this.player.stop();
    } else {
      this.hls.stop();
    }
  }

  /** evaluate has the right ways run, and shows what plays. Both ways call it several times a second. */
  private evaluate(): void {
    if (this.evaluating) {
      return;
    }
    this.evaluating = true;
    try {
      this.runWays();
      this.show();
    } finally {
      this.evaluating = false;
    }
    this.sound.keepPlaying();
    this.draw();
  }

  private runWays(): void {
    const [first, second] = this.order;
    if (first === undefined || !this.running.has(first)) {
      return;
    }
    if (!this.running.has("webrtc")) {
      this.feed.follow(0, () => eventsAddress(this.base.href, this.parameters, ""));
    }
    const now = performance.now();
    const reduced = first === "webrtc" && this.events.state?.reduced === true;
    this.condition = observeFirst(this.condition, this.viewOf(first), now, reduced);
    if (second === undefined) {
      return;
    }
    const runs = this.running.has(second);
    this.hlsTooSlow = this.condition.lacking === "motion" && (this.hlsTooSlow || (runs && this.hls.keepsUp === false));
    const wanted = wantsSecond(this.condition, runs, now, this.hlsTooSlow ? false : undefined);
    if (wanted && !runs) {
      this.begin(second);
    } else if (!wanted && runs) {
      this.show(); // the first, before the second goes dark
      this.end(second);
    }
  }

  private show(): void {
    const order = this.condition?.lacking === "motion" ? [...this.order].reverse() : this.order;
    const plays = order.find((way) => this.running.has(way) && this.viewOf(way).phase === "playing");
    this.way = plays ?? this.way;
    const video = this.way === "hls" ? (this.hls.facts.ready ? this.hls.video : undefined) : this.player.video;
    if (video !== undefined && video !== this.sound.shown) {
      this.sound.show(video);
    }
  }

  private draw(): void {
    const { snapshot, video } = this;
    const { view, pair, muted } = snapshot;
    this.active.report(pair);
    this.views.report(view, () => ({
      role: pair?.active ?? "",
      streamId: pair?.activeStreamId || this.parameters.name,
      width: video?.videoWidth ?? 0,
      height: video?.videoHeight ?? 0,
      muted,
    }));
    this.render(snapshot);
  }
}
