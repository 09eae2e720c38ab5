import type { Figures } from "./statistics.ts";
import type { Snapshot } from "./playback.ts";
import type { PairState } from "./pairstate.ts";
import { bitrateWords, legWords, reasonWords, reducedWords } from "./words.ts";

/** What the person can ask for. */
export interface Wishes {
  play(): void;
  retry(): void;
  toggleMute(): void;
  togglePause(): void;
}

/** Controls hide after this long without a movement. */
const quietMs = 3_000;
const noticeMs = 10_000;

/** element finds a part of the page; a missing one is a mistake of ours, found by the first test. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no #${id}`);
  }
  return found as T;
}

/** The user interface of play.html: it shows Snapshots and turns clicks and keys into wishes. */
export class Ui {
  private readonly root = element("player");
  private wishes: Wishes | undefined;
  private quietTimer: number | undefined;
  private noticeTimer: number | undefined;
  private notices: readonly string[] = [];
  private pair: PairState | undefined;
  private reduced = false;
  private soundOnly = false;

  constructor(private readonly figures: () => { figures: Figures | undefined; connection: string }) {
    this.set("quiet", false);
    this.set("full", false);
    this.set("paused", false);
    this.set("muted", false);
    this.set("statistics", false);
    if (!document.fullscreenEnabled && !("webkitEnterFullscreen" in HTMLVideoElement.prototype)) {
      element("fullscreen").hidden = true; // an iframe without the permission
    }
    document.addEventListener("fullscreenchange", () => this.fullscreenChanged());
    for (const type of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      document.addEventListener(type, () => this.stir(), { passive: true });
    }
  }

  connect(wishes: Wishes): void {
    this.wishes = wishes;
    const onClick = (id: string, act: () => void) => element(id).addEventListener("click", act);
    onClick("big-play", () => wishes.play());
    onClick("unmute", () => wishes.play());
    onClick("retry", () => wishes.retry());
    onClick("pause", () => wishes.togglePause());
    onClick("mute", () => wishes.toggleMute());
    onClick("fullscreen", () => this.toggleFullscreen());
    onClick("toggle-badge", () => this.toggleBadge());
    onClick("toggle-statistics", () => this.toggleStatistics());
    onClick("close-statistics", () => this.toggleStatistics(false));
    for (const video of this.root.querySelectorAll("video")) {
      video.addEventListener("click", () => {
        if (!element("unmute").hidden) {
          wishes.play(); // any tap will do
        }
      });
      video.addEventListener("dblclick", () => this.toggleFullscreen());
    }
    document.addEventListener("keydown", (event) => this.key(event));
    this.stir();
  }

  render(s: Snapshot): void {
    this.pair = s.pair;
    const idle = s.view.phase === "idle";
    this.root.dataset["phase"] = s.view.phase;
    this.soundOnly = s.view.phase === "playing" && !s.picture;
    this.set("picture", s.picture);
    this.set("paused", s.paused || idle);
    this.set("muted", s.muted);
    setText("message", s.view.message);
    setText("detail", s.view.detail);
    setText("live-text", s.paused ? "Paused" : liveWords[s.view.phase]);
    element("retry").hidden = s.view.phase !== "error";
    element("big-play").hidden = !(idle || s.needsTap);
    element("unmute").hidden = !s.mutedByBrowser || s.needsTap;
    element("sound-only").hidden = !this.soundOnly;
    label("pause", s.paused || idle ? "Play" : "Pause", "k");
    label("mute", s.muted ? "Unmute" : "Mute", "m");
    this.renderBadge(s);
    this.tellReduced(s.pair?.reduced === true);
  }

  /** tellReduced says once that the picture moves in steps; the statistics panel says so until that ends. */
  private tellReduced(reduced: boolean): void {
    if (reduced === this.reduced) {
      return;
    }
    this.reduced = reduced;
    if (reduced) {
      this.notify([...this.notices, reducedWords]);
    } else {
      this.notices = this.notices.filter((notice) => notice !== reducedWords);
      element("notice").hidden = true;
    }
  }

  /** fail shows a message that nothing will replace: a wrong address, a page that broke. */
  fail(message: string, detail: string): void {
    this.root.dataset["phase"] = "error";
    this.set("unusable", true);
    for (const id of ["retry", "big-play", "unmute", "sound-only", "badge"]) {
      element(id).hidden = true;
    }
    setText("message", message);
    setText("detail", detail);
  }

  /** notify shows notices for some seconds; the statistics panel keeps them. */
  notify(notices: readonly string[]): void {
    this.notices = notices;
    const box = element("notice");
    box.textContent = notices.join(" ");
    box.hidden = notices.length === 0;
    window.clearTimeout(this.noticeTimer);
    this.noticeTimer = window.setTimeout(() => (box.hidden = true), noticeMs);
  }

  toggleBadge(on = element("badge").hidden === true): void {
    element("badge").hidden = !on;
    element("toggle-badge").setAttribute("aria-pressed", String(on));
  }

  toggleStatistics(on = element("statistics").hidden === true): void {
    element("statistics").hidden = !on;
    element("toggle-statistics").setAttribute("aria-expanded", String(on));
    this.set("statistics", on);
    this.renderStatistics();
  }

  /** renderStatistics fills the panel, if it is open. Called once a second. */
  renderStatistics(): void {
    if (element("statistics").hidden) {
      return;
    }
    const { figures: f, connection } = this.figures();
    const pair = this.pair;
    setText("stat-leg", pair === undefined ? "–" : pair.onAir ? legWords(pair) : `nothing (last: ${legWords(pair)})`);
    setText("stat-switches", pair === undefined ? "–" : switchWords(pair));
    setText("stat-picture", f?.width && f.height ? `${f.width} × ${f.height}` : this.soundOnly ? "none, sound only" : "–");
    setText("stat-fps", f?.fps === undefined ? "–" : `${f.fps.toFixed(1)} frames/s${f.framesDropped > 0 ? `, ${f.framesDropped} dropped` : ""}`);
    setText("stat-bitrate", f?.bitrateBPS === undefined ? "–" : bitrateWords(f.bitrateBPS));
    setText("stat-delay", delayWords(f));
    setText("stat-rebuffering", f?.rebufferings === undefined ? "–" : `${f.rebufferings} times, ${((f.rebufferedMs ?? 0) / 1000).toFixed(1)} s`);
    setText("stat-rtt", f?.rttMs === undefined ? "–" : `${Math.round(f.rttMs)} ms`);
    setText("stat-lost", f === undefined || f.rebufferings !== undefined ? "–" : `${f.packetsLost} packets`);
    setText("stat-codecs", [f?.videoCodec, f?.audioCodec].filter(Boolean).join(", ") || "–");
    setText("stat-connection", connection);
    this.renderWarnings();
  }

  private renderWarnings(): void {
    const items = [
      ...(this.pair?.warnings ?? []).map((w) => ({ text: `${w.role}: ${w.message}`, notice: false })),
      ...this.notices.map((text) => ({ text, notice: true })),
    ];
    const list = element("warnings");
    const key = JSON.stringify(items);
    if (list.dataset["key"] === key) {
      return; // a list that is rebuilt every second cannot be selected or read aloud
    }
    list.dataset["key"] = key;
    list.replaceChildren(
      ...items.map(({ text, notice }) => {
        const item = document.createElement("li");
        item.textContent = text;
        item.classList.toggle("notice", notice);
        return item;
      }),
    );
  }

  private renderBadge(s: Snapshot): void {
    const badge = element("badge");
    badge.dataset["role"] = s.pair?.active ?? "";
    badge.dataset["air"] = s.pair?.onAir === false ? "no" : "yes";
    setText("badge-text", legWords(s.pair));
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) {
      return;
    }
    const onButton = event.target instanceof HTMLButtonElement;
    switch (event.key) {
      case " ":
        if (onButton) {
          return; // it presses the button
        }
        this.wishes?.togglePause();
        break;
      case "k":
        this.wishes?.togglePause();
        break;
      case "m":
        this.wishes?.toggleMute();
        break;
      case "f":
        this.toggleFullscreen();
        break;
      case "i":
        this.toggleStatistics();
        break;
      case "b":
        this.toggleBadge();
        break;
      case "Escape":
        this.toggleStatistics(false);
        return;
      default:
        return;
    }
    event.preventDefault();
  }

  private toggleFullscreen(): void {
    if (document.fullscreenElement !== null) {
      void document.exitFullscreen().catch(() => {});
    } else if (document.fullscreenEnabled) {
      void this.root.requestFullscreen().catch(() => this.notify(["The browser does not allow full screen here."]));
    } else {
      // An iPhone gives full screen to the video element only.
      const video = this.root.querySelector<HTMLVideoElement & { webkitEnterFullscreen?: () => void }>("video.shown");
      video?.webkitEnterFullscreen?.();
    }
  }

  private fullscreenChanged(): void {
    const full = document.fullscreenElement !== null;
    this.set("full", full);
    label("fullscreen", full ? "Leave full screen" : "Full screen", "f");
  }

  private stir(): void {
    this.set("quiet", false);
    window.clearTimeout(this.quietTimer);
    this.quietTimer = window.setTimeout(() => this.set("quiet", true), quietMs);
  }

  private set(name: string, on: boolean): void {
    this.root.dataset[name] = on ? "yes" : "no";
  }
}

const liveWords: Readonly<Record<Snapshot["view"]["phase"], string>> = {
  idle: "Not playing",
  connecting: "Connecting",
  waiting: "Waiting",
  playing: "Live",
  reconnecting: "Reconnecting",
  error: "Problem",
};

function switchWords(pair: PairState): string {
  return pair.switches === 0 || pair.reason === "" ? String(pair.switches) : `${pair.switches}, last: ${reasonWords(pair.reason)}`;
}

function delayWords(f: Figures | undefined): string {
  const buffer = f?.jitterBufferMs === undefined ? undefined : `${Math.round(f.jitterBufferMs)} ms buffer`;
  if (f?.delayMs === undefined) {
    return buffer ?? "–";
  }
  return `about ${Math.round(f.delayMs)} ms${buffer === undefined ? "" : ` (${buffer})`}`;
}

function setText(id: string, text: string): void {
  const e = element(id);
  // Setting the same text again would make a screen reader say it again.
  if (e.textContent !== text) {
    e.textContent = text;
  }
}

function label(id: string, text: string, key: string): void {
  const e = element(id);
  e.setAttribute("aria-label", text);
  e.title = `${text} (${key})`;
}
