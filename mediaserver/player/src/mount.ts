import { canPlayHls } from "./hlsfallback.ts";
import type { Tell } from "./host.ts";
import { type Parts, buildParts } from "./markup.ts";
import type { Parsed, PlayParameters, Way } from "./parameters.ts";
import { type Snapshot, Playback } from "./playback.ts";
import { Reporter } from "./reporter.ts";
import { expiringMs, tokenExpiry } from "./token.ts";
import { Ui } from "./ui.ts";

export interface Mounting {
  /** An empty element, which the player fills. */
  readonly root: HTMLElement;
  /** Keys and movements there are meant for the player. */
  readonly keys: EventTarget;
  /** What fills the screen. */
  readonly screen: HTMLElement;
  /** The address of the app at the server, ending in "/". */
  readonly base: URL;
  readonly tell: Tell;
  /** Called when anything that is shown has changed. */
  readonly changed: (snapshot: Snapshot) => void;
}

const tickMs = 1_000;

/** A MountedPlayer is a player with its user interface, in a page, from its making to remove. */
export class MountedPlayer {
  readonly ui: Ui;
  readonly parts: Parts;
  readonly parameters: PlayParameters;
  /** Undefined: it cannot play, and says why. */
  readonly playback: Playback | undefined;

  private readonly tell: Tell;
  private readonly reporter: Reporter;
  private readonly end = new AbortController();
  /** The token whose end the page has been told; "" for none. */
  private toldToken = "";

  constructor({ root, keys, screen, base, tell, changed }: Mounting, { parameters: asked, notices, problem }: Parsed) {
    this.tell = tell;
    this.parts = buildParts(root);
    this.parameters = { ...asked, order: asked.order.filter((way) => canPlay(way, this.parts.hls)) };
    this.reporter = new Reporter(base.href, this.parameters); // which have the token of now
    this.ui = new Ui(this.parts, { keys, screen, signal: this.end.signal }, () => this.figures());
    if (problem !== undefined) {
      this.fail("bad-address", problem, notices.join(" "));
      return;
    }
    if (this.parameters.order.length === 0) {
      const message = `This browser cannot play live video over ${asked.order.map((way) => wayNames[way]).join(" or ")}.`;
      this.fail("unsupported", message, "Try a current Chrome, Edge, Firefox or Safari.");
      return;
    }
    this.ui.notify(notices);
    this.ui.toggleBadge(asked.badge);
    this.playback = new Playback(this.parameters, this.parts.videos, this.parts.hls, base, tell, (snapshot) => {
      this.ui.render(snapshot);
      changed(snapshot);
    });
    this.begin(this.playback);
  }

  /** remove ends the sessions and takes the player out of its root. */
  remove(): void {
    this.end.abort();
    this.playback?.release();
    this.parts.root.replaceChildren();
  }

  private begin(playback: Playback): void {
    const { ui } = this;
    const toggle = () => playback.setPaused(!playback.snapshot.paused);
    ui.connect({
      play: () => playback.tapped(),
      retry: () => playback.retryNow(),
      toggleMute: () => playback.setMuted(!playback.snapshot.muted),
      togglePause: () => (playback.snapshot.view.phase === "idle" ? playback.tapped() : toggle()),
      toggleCaptions: () => playback.setCaptions(!playback.snapshot.captions),
      setVolume: (volume) => {
        playback.setVolume(volume);
        playback.setMuted(volume <= 0); // who turns it up wants to hear
      },
    });
    ui.offerCaptions(playback.canCaption);
    ui.render(playback.snapshot);
    ui.toggleStatistics(this.parameters.statistics);
    const timer = window.setInterval(() => this.tick(playback), tickMs);
    this.end.signal.addEventListener("abort", () => window.clearInterval(timer));
    this.followPage(playback);
    if (this.parameters.autoplay) {
      playback.start();
    }
  }

  /** followPage ends the session with the page, and comes back with it. */
  private followPage(player: Playback): void {
    const { signal } = this.end;
    let leftWhileStarted = false;
    const leave = () => {
      leftWhileStarted = player.snapshot.view.phase !== "idle";
      player.stop();
    };
    const comeBack = (event: PageTransitionEvent) => {
      // From the back-forward cache: the page is as it was, without its session.
      if (event.persisted && (leftWhileStarted || this.parameters.autoplay)) {
        player.start();
      }
    };
    const look = () => {
      if (!document.hidden) {
        player.becameVisible();
      }
    };
    window.addEventListener("pagehide", leave, { signal });
    window.addEventListener("pageshow", comeBack, { signal });
    window.addEventListener("online", () => player.retrySoon(), { signal });
    document.addEventListener("visibilitychange", look, { signal });
  }

  private tick(playback: Playback): void {
    this.ui.renderStatistics();
    this.report(playback);
    const { token } = this.parameters;
    const expiry = tokenExpiry(token);
    const left = expiry === undefined ? Infinity : expiry - Date.now() - playback.clockOffsetMs;
    if (expiry !== undefined && left <= expiringMs && token !== this.toldToken) {
      this.toldToken = token;
      this.tell("tokenexpiring", { expires: new Date(expiry).toISOString(), secondsLeft: Math.max(0, Math.round(left / 1000)) });
    }
  }

  private report(playback: Playback): void {
    const { phase } = playback.snapshot.view;
    if (phase === "idle") {
      this.reporter.stop();
      return;
    }
    const sample = { at: performance.now(), way: playback.way, playing: phase === "playing", figures: playback.figures };
    this.reporter.observe(sample, playback.reportShare);
  }

  private fail(code: string, message: string, detail: string): void {
    this.ui.fail(message, detail);
    this.tell("error", { code, message, retrying: false });
  }

  private figures() {
    const { playback } = this;
    const c = playback?.counters;
    const protocol = playback?.way === "hls" ? "HLS" : `WebRTC, number ${c?.opened}`;
    const connection = c === undefined ? "–" : `${protocol}${c.eventsConnected ? "" : ", events missing"}`;
    return { figures: playback?.figures, connection };
  }
}

const wayNames: Readonly<Record<Way, string>> = { webrtc: "WebRTC", hls: "HLS" };

function canPlay(way: Way, hls: HTMLVideoElement): boolean {
  return "ReadableStream" in window && (way === "webrtc" ? "RTCPeerConnection" in window : canPlayHls(hls));
}
