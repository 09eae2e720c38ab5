import type Hls from "hls.js";
import type { ErrorData } from "hls.js";
import { parseRetryAfter, refusedWait, retryWait } from "./backoff.ts";
import { type Failure, httpFailure, internalFailure, unreachable } from "./failure.ts";
import { calmLatency, jumpTo, loadsInTime } from "./fallback.ts";
import { captionsConfig, hlsConfig } from "./hlsconfig.ts";
import { type Tell, tellFailure } from "./host.ts";
import type { Figures } from "./statistics.ts";
import type { HlsFacts } from "./view.ts";

/** The assets with hls.js, and with hls.js and captions, relative to the app; build.mjs fills them in. */
declare const HLS_SCRIPT: string;
declare const HLS_CAPTIONS_SCRIPT: string;

const tickMs = 250;
/** A playlist that was refused is asked for again after this time at the earliest. */
const leastWaitMs = 1_000;
/** A picture that has not moved for this long has stopped. */
const stalledMs = 1_500;
/** A tick this long after the one before is late. */
const lateMs = 1_000;
/** A pause shorter than this is none that a viewer sees. */
const leastRebufferingMs = 100;
/** Rates are taken over this time. */
const rateMs = 1_000;
/** hls.js may repair its buffer this often. */
const recoverySpacingMs = 10_000;
/** What hls.js calls the first channel of CEA-608. */
const firstCaptions = "textTrack1";
const keptCuesSeconds = 30;

interface Sample {
  readonly at: number;
  readonly bytes: number;
  readonly frames: number;
}

/** canPlayHls reports whether this browser plays HLS, by hls.js or by itself. */
export function canPlayHls(video: HTMLVideoElement): boolean {
  return hasMediaSource() || video.canPlayType("application/vnd.apple.mpegurl") !== "";
}

function hasMediaSource(): boolean {
  return "MediaSource" in window || "ManagedMediaSource" in window;
}

/**
 * An HlsFallback plays a stream or a pair by HLS in an element of its own, between start
 * and stop. It goes on trying by itself. It decides neither when it runs nor whether its
 * element is seen or heard.
 */
export class HlsFallback {
  /** hls.js by its script. */
  private readonly hlsjs = new Map<string, typeof Hls>();
  private captions = false;
  /** The captions that hls.js has found. A text track cannot be removed, so it is used again. */
  private track: TextTrack | undefined;
  private hls: Hls | undefined;
  private timer: number | undefined;
  /** Counts what was opened, so that what comes late for an earlier one is known. */
  private opened = 0;
  private loading = false;
  private attempts = 0;
  private nextAt = 0;
  private failure: Failure | undefined;
  private dark = false;
  private ready = false;
  private seen = false;
  private moved = false;
  private position = 0;
  private movedAt = 0;
  private stalled = false;
  private tickedAt = 0;
  private jumpedAt = -Infinity;
  private stalledAt = -Infinity;
  private recoveredAt = -Infinity;
  /** What was loaded last came within its own duration; undefined: nothing has come yet. */
  keepsUp: boolean | undefined;
  private bytes = 0;
  private samples: Sample[] = [];
  private codecs = { video: "", audio: "" };
  private rebufferings = 0;
  private rebufferedMs = 0;
  private bufferingSince: number | undefined;

  constructor(
    readonly video: HTMLVideoElement,
    /** Names the stream in messages. */
    private readonly name: string,
    /** The address of the app, ending in "/": hls.js is below it. */
    private readonly base: URL,
    /** The same address with the token of now. */
    private readonly renewed: (url: string) => string,
    /** The playlist's address; another one where the attempts before have failed, if there is one. */
    private readonly address: (attempt: number) => string,
    private readonly tell: Tell,
    /** Called after facts changed, and several times a second while it runs. */
    private readonly changed: () => void,
  ) {
    video.addEventListener("loadeddata", () => this.loaded());
    video.addEventListener("waiting", () => this.buffers());
    video.addEventListener("playing", () => this.buffered());
    video.addEventListener("error", () => this.nativeError());
    video.textTracks.addEventListener("addtrack", () => this.showCaptions());
  }

  get runs(): boolean {
    return this.timer !== undefined;
  }

  /** facts is what it shows, and why not more. */
  get facts(): HlsFacts {
    const { ready, stalled, seen, dark, failure } = this;
    return { plays: ready && !stalled, ready, seen, dark, failure };
  }

  get hasPicture(): boolean {
    return this.ready && this.video.videoWidth > 0;
  }

  /** clockOffsetMs is the server's clock minus this machine's. */
  figures(clockOffsetMs: number): Figures {
    const { video, samples, bufferingMs } = this;
    const rebufferings = this.rebufferings + (bufferingMs > 0 ? 1 : 0);
    const [before, after] = [samples[0], samples[samples.length - 1]];
    const seconds = before === undefined || after === undefined ? 0 : (after.at - before.at) / 1000;
    const rate = (count: (s: Sample) => number) => (seconds > 0 && before && after ? (count(after) - count(before)) / seconds : undefined);
    const bytes = this.hls === undefined ? undefined : rate((s) => s.bytes);
    const shownAt = this.programTime();
    const end = video.buffered.length > 0 ? video.buffered.end(video.buffered.length - 1) : undefined;
    return {
      width: video.videoWidth || undefined,
      height: video.videoHeight || undefined,
      fps: rate((s) => s.frames),
      bitrateBPS: bytes === undefined ? undefined : bytes * 8,
      delayMs: shownAt === undefined ? undefined : Math.max(0, Date.now() + clockOffsetMs - shownAt),
      jitterBufferMs: end === undefined ? undefined : Math.max(0, end - video.currentTime) * 1000,
      rttMs: undefined,
      packetsReceived: 0,
      packetsLost: 0,
      framesDropped: video.getVideoPlaybackQuality().droppedVideoFrames,
      freezes: rebufferings,
      frozenMs: this.rebufferedMs + bufferingMs,
      videoCodec: this.codecs.video,
      audioCodec: this.codecs.audio,
      rebufferings,
      rebufferedMs: this.rebufferedMs + bufferingMs,
    };
  }

  start(): void {
    if (!this.runs) {
      this.attempts = this.nextAt = 0;
      this.failure = this.keepsUp = undefined;
      this.dark = this.seen = false;
      this.timer = window.setInterval(() => this.tick(), tickMs);
      this.tick();
    }
  }

  stop(): void {
    window.clearInterval(this.timer);
    this.timer = undefined;
    this.unload();
  }

  /** setCaptions shows captions or not. What plays begins anew if captions need the other hls.js. */
  setCaptions(on: boolean): void {
    this.captions = on;
    if (on && this.hls !== undefined && !this.hls.config.enableCEA708Captions) {
      this.unload();
      this.nextAt = 0;
    }
    this.showCaptions();
  }

  /** showCaptions shows the first track of captions: the one made here, or the browser's own. */
  private showCaptions(): void {
    for (const [i, track] of [...this.video.textTracks].entries()) {
      track.mode = this.captions && i === 0 ? "showing" : "hidden";
    }
  }

  /** addCues shows captions from now on, and forgets those that are long over. */
  private addCues(cues: readonly VTTCue[]): void {
    const track = (this.track ??= this.video.addTextTrack("captions", "Captions"));
    [...(track.cues ?? [])].filter((cue) => cue.endTime < this.video.currentTime - keptCuesSeconds).forEach((cue) => track.removeCue(cue));
    cues.forEach((cue) => track.addCue(cue));
  }

  /** retryNow ends the wait under way. */
  retryNow(): void {
    this.nextAt = 0;
  }

  private tick(): void {
    const { video } = this;
    const now = performance.now();
    if (!this.loading && now >= this.nextAt) {
      void this.open();
    }
    const moved = video.currentTime !== this.position;
    this.moved ||= moved && this.ready && !video.paused;
    this.position = video.currentTime;
    // A late tick means that the page was frozen or throttled: a picture that stands proves nothing.
    if (moved || video.paused || document.hidden || now - this.tickedAt > lateMs) {
      this.movedAt = now;
    }
    this.tickedAt = now;
    this.stalled = now - this.movedAt >= stalledMs;
    this.samples.push({ at: now, bytes: this.bytes, frames: video.getVideoPlaybackQuality().totalVideoFrames });
    while ((this.samples[1]?.at ?? now) <= now - rateMs) {
      this.samples.shift();
    }
    this.followLive(now);
    this.changed();
  }

  private async open(): Promise<void> {
    const number = ++this.opened;
    this.loading = true;
    const url = this.address(this.attempts);
    this.video.muted = true;
    if (!hasMediaSource()) {
      this.video.src = url;
      this.play();
      return;
    }
    try {
      const { captions } = this;
      const library = await this.load(captions ? HLS_CAPTIONS_SCRIPT : HLS_SCRIPT, number);
      if (number === this.opened && this.runs) {
        const xhrSetup = (xhr: XMLHttpRequest, url: string) => this.renew(xhr, url);
        this.attach(new library({ ...hlsConfig, ...(captions ? captionsConfig : {}), xhrSetup }), library, url);
      }
    } catch {
      if (number === this.opened && this.runs) {
        this.fail(unreachable);
      }
    }
  }

  /** load loads hls.js once. The number makes a browser try again that remembers a failure. */
  private async load(script: string, number: number): Promise<typeof Hls> {
    const loaded = this.hlsjs.get(script);
    if (loaded !== undefined) {
      return loaded;
    }
    const url = new URL(`${script}#${number}`, this.base).href;
    const { default: library } = (await import(/* webpackIgnore: true */ /* @vite-ignore */ url)) as { default: typeof Hls };
    this.hlsjs.set(script, library);
    return library;
  }

  /** renew sends a request with the token of now, not with that of the playlist that names it. */
  private renew(xhr: XMLHttpRequest, url: string): void {
    const renewed = this.renewed(url);
    if (renewed !== url) {
      xhr.open("GET", renewed, true);
    }
  }

  private attach(hls: Hls, { Events }: typeof Hls, url: string): void {
    this.hls = hls;
    hls.on(Events.MANIFEST_PARSED, () => this.play());
    hls.on(Events.FRAG_LOADED, (_, { payload, frag, part }) => {
      this.bytes += payload.byteLength;
      const { stats, duration } = part ?? frag;
      this.keepsUp = loadsInTime(stats.loading, duration);
    });
    hls.on(Events.BUFFER_CODECS, (_, { video, audio, audiovideo }) => {
      const codecs = [video, audio, audiovideo].flatMap((track) => track?.codec?.split(",") ?? []);
      const isAudio = (codec: string) => /^(mp4a|opus)/i.test(codec);
      this.codecs = { video: codecs.find((codec) => !isAudio(codec)) ?? "", audio: codecs.find(isAudio) ?? "" };
    });
    hls.on(Events.CUES_PARSED, (_, { track, cues }) => {
      if (track === firstCaptions) {
        this.addCues(cues);
      }
    });
    hls.on(Events.ERROR, (_, data) => this.erred(data));
    hls.loadSource(url);
    hls.attachMedia(this.video);
  }

  private play(): void {
    void this.video.play().catch(() => {
      // Not allowed before a tap, or interrupted: whoever shows the element asks again.
    });
  }

  private unload(): void {
    this.opened++;
    this.loading = this.ready = this.moved = false;
    this.buffered();
    this.hls?.destroy();
    this.hls = undefined;
    this.samples = [];
    [...(this.track?.cues ?? [])].forEach((cue) => this.track?.removeCue(cue));
    if (this.video.hasAttribute("src")) {
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  private loaded(): void {
    if (this.loading) {
      this.ready = this.seen = true;
      this.stalled = false;
      this.movedAt = performance.now();
      this.attempts = 0;
      this.failure = undefined;
      this.dark = false;
      this.changed();
    }
  }

  private buffers(): void {
    // What an element waits for before its first picture moves is no rebuffering.
    if (this.moved) {
      this.bufferingSince ??= performance.now();
    }
  }

  private buffered(): void {
    const ms = this.bufferingMs;
    this.bufferingSince = undefined;
    if (ms > 0) {
      this.rebufferings++;
      this.rebufferedMs += ms;
    }
  }

  /** bufferingMs is how long the rebuffering under way has lasted; 0: there is none. */
  private get bufferingMs(): number {
    const ms = this.bufferingSince === undefined ? 0 : performance.now() - this.bufferingSince;
    return ms >= leastRebufferingMs ? ms : 0;
  }

  private erred(data: ErrorData): void {
    if (!data.fatal) {
      return;
    }
    const now = performance.now();
    if (data.type === "mediaError" && now - this.recoveredAt >= recoverySpacingMs) {
      this.recoveredAt = now;
      this.hls?.recoverMediaError();
      this.play();
      return;
    }
    if (data.type !== "networkError") {
      this.fail(internalFailure(`hls.js: ${data.details}`));
      return;
    }
    const status = data.response?.code ?? 0;
    const retryAfter = data.networkDetails instanceof XMLHttpRequest ? data.networkDetails.getResponseHeader("Retry-After") : null;
    if (status < 400) {
      this.fail(unreachable);
    } else {
      // The server says when to ask again for a stream that nobody publishes, not for one that it does not know.
      this.fail(httpFailure("play", this.name, status, retryAfter, "", Date.now()), status === 404 && parseRetryAfter(retryAfter, Date.now()) > 0);
    }
  }

  private nativeError(): void {
    if (this.loading && this.hls === undefined) {
      this.fail(unreachable);
    }
  }

  private fail(failure: Failure, dark = false): void {
    this.unload();
    this.failure = failure;
    this.dark = dark;
    this.attempts += dark ? 0 : 1;
    const random = Math.random();
    const wait = failure.lasting ? refusedWait(random, failure.retryAfterMs) : retryWait(this.attempts, random, failure.retryAfterMs);
    this.nextAt = performance.now() + Math.max(leastWaitMs, wait);
    if (!dark) {
      tellFailure(this.tell, failure);
    }
    this.changed();
  }

  private followLive(now: number): void {
    const { hls, video } = this;
    const { targetLatency, liveSyncPosition, latestLevelDetails } = hls ?? {};
    if (hls === undefined || !targetLatency || !liveSyncPosition || !latestLevelDetails || video.paused || !this.ready) {
      return;
    }
    const place = {
      currentTime: video.currentTime,
      stalled: this.stalled,
      latency: hls.latency,
      targetLatency,
      targetDuration: latestLevelDetails.targetduration,
      syncPosition: liveSyncPosition,
    };
    if (this.stalled || this.bufferingSince !== undefined) {
      this.stalledAt = now;
    }
    const { partHoldBack, holdBack } = latestLevelDetails;
    const leastLatency = (hls.config.lowLatencyMode && partHoldBack) || holdBack || targetLatency;
    const calm = calmLatency(targetLatency, leastLatency, this.stalledAt, now);
    if (calm !== undefined) {
      hls.targetLatency = calm;
    }
    const position = jumpTo(place, this.jumpedAt, now);
    if (position !== undefined) {
      this.jumpedAt = now;
      video.currentTime = position;
    }
  }

  /** programTime is EXT-X-PROGRAM-DATE-TIME of what is shown, milliseconds since 1970. */
  private programTime(): number | undefined {
    if (this.hls !== undefined) {
      return this.hls.playingDate?.getTime();
    }
    const start = (this.video as { getStartDate?: () => Date }).getStartDate?.().getTime();
    return start === undefined || Number.isNaN(start) ? undefined : start + this.video.currentTime * 1000;
  }
}
