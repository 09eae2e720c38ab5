import { type Parts, setLabel } from "./markup.ts";
import { canPictureInPicture, togglePictureInPicture } from "./pictureinpicture.ts";
import type { Snapshot } from "./playback.ts";
import type { PairState } from "./pairstate.ts";
import type { Figures } from "./statistics.ts";
import { bitrateWords, legWords, reasonWords, reducedWords } from "./words.ts";

/** What the person can ask for. */
export interface Wishes {
  play(): void;
  retry(): void;
  toggleMute(): void;
  togglePause(): void;
  toggleCaptions(): void;
  /** setVolume takes 0 to 1. */
  setVolume(volume: number): void;
}

/** Where a player stands. */
export interface Place {
  /** Keys and movements there are meant for the player. */
  readonly keys: EventTarget;
  /** What fills the screen. */
  readonly screen: HTMLElement;
  /** Ends the player: listeners of what is not the player's own end with it. */
  readonly signal: AbortSignal;
}

/** Controls hide after this long without a movement. */
const quietMs = 3_000;
const noticeMs = 10_000;
/** A key changes the volume by this. */
const volumeStep = 0.1;
/** A player smaller than this, in CSS pixels, has no room for all. */
const narrowWidth = 520;
const small = { width: 340, height: 260 };

/** The user interface of a player: it shows Snapshots and turns clicks and keys into wishes. */
export class Ui {
  private wishes: Wishes | undefined;
  private quietTimer: number | undefined;
  private noticeTimer: number | undefined;
  private notices: readonly string[] = [];
  private pair: PairState | undefined;
  private volume = 1;
  private reduced = false;
  private soundOnly = false;
  private controls = true;
  private said = "";
  /** Called when the badge or the panel comes or goes. */
  toggled: (what: "badge" | "statistics", on: boolean) => void = () => {};

  constructor(
    private readonly parts: Parts,
    private readonly place: Place,
    private readonly figures: () => { figures: Figures | undefined; connection: string },
  ) {
    for (const name of ["quiet", "full", "paused", "muted", "statistics", "picture"]) {
      this.set(name, false);
    }
    parts.root.dataset["phase"] = "connecting";
    parts.fullscreen.hidden = !document.fullscreenEnabled && !("webkitEnterFullscreen" in HTMLVideoElement.prototype); // an iframe without the permission
    parts.pictureInPicture.hidden = !canPictureInPicture();
    parts.volume.hidden = !volumeCanBeSet();
    parts.captions.hidden = true;
    const { signal } = place;
    document.addEventListener("fullscreenchange", () => this.fullscreenChanged(), { signal });
    for (const type of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      place.keys.addEventListener(type, () => this.stir(), { passive: true, signal });
    }
    this.followSize();
    signal.addEventListener("abort", () => {
      window.clearTimeout(this.quietTimer);
      window.clearTimeout(this.noticeTimer);
    });
  }

  connect(wishes: Wishes): void {
    const { parts } = this;
    this.wishes = wishes;
    const onClick = (button: HTMLElement, act: () => void) => button.addEventListener("click", act);
    onClick(parts.bigPlay, () => wishes.play());
    onClick(parts.unmute, () => wishes.play());
    onClick(parts.retry, () => wishes.retry());
    onClick(parts.pause, () => wishes.togglePause());
    onClick(parts.mute, () => wishes.toggleMute());
    onClick(parts.captions, () => wishes.toggleCaptions());
    onClick(parts.pictureInPicture, () => this.togglePictureInPicture());
    onClick(parts.fullscreen, () => this.toggleFullscreen());
    onClick(parts.toggleBadge, () => this.toggleBadge());
    onClick(parts.toggleStatistics, () => this.toggleStatistics());
    onClick(parts.close, () => {
      this.toggleStatistics(false);
      parts.toggleStatistics.focus(); // what had the focus has gone
    });
    parts.volume.addEventListener("input", () => wishes.setVolume(parts.volume.valueAsNumber));
    for (const video of [...parts.videos, parts.hls]) {
      video.addEventListener("click", () => {
        if (!parts.unmute.hidden) {
          wishes.play(); // any tap will do
        }
      });
      video.addEventListener("dblclick", () => {
        if (this.controls) {
          this.toggleFullscreen();
        }
      });
    }
    this.place.keys.addEventListener("keydown", (event) => this.key(event as KeyboardEvent), { signal: this.place.signal });
    this.stir();
  }

  /** showControls has the bar and the keys work, or not. */
  showControls(on: boolean): void {
    this.controls = on;
    this.parts.bar.hidden = !on;
  }

  render(s: Snapshot): void {
    const { parts } = this;
    this.pair = s.pair;
    this.volume = s.volume;
    const idle = s.view.phase === "idle";
    parts.root.dataset["phase"] = s.view.phase;
    this.soundOnly = s.view.phase === "playing" && !s.picture;
    this.set("picture", s.picture);
    this.set("paused", s.paused || idle);
    this.set("muted", s.muted);
    setText(parts.message, s.view.message);
    setText(parts.detail, s.view.detail);
    setText(parts.liveText, s.paused ? "Paused" : liveWords[s.view.phase]);
    parts.retry.hidden = s.view.phase !== "error";
    parts.bigPlay.hidden = !((idle && this.controls) || s.needsTap);
    parts.unmute.hidden = !s.mutedByBrowser || s.needsTap;
    parts.soundOnly.hidden = !this.soundOnly;
    setLabel(parts.pause, s.paused || idle ? "Play" : "Pause");
    setLabel(parts.mute, s.muted ? "Unmute" : "Mute");
    parts.captions.setAttribute("aria-pressed", String(s.captions));
    parts.volume.valueAsNumber = s.muted ? 0 : s.volume;
    parts.volume.setAttribute("aria-valuetext", `${Math.round((s.muted ? 0 : s.volume) * 100)} %`);
    this.renderBadge(s);
    this.tellReduced(s.pair?.reduced === true);
    this.say(spoken(s));
  }

  /** offerCaptions shows the button for captions. */
  offerCaptions(on: boolean): void {
    this.parts.captions.hidden = !on;
    this.set("captions", on);
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
      this.parts.notice.hidden = true;
    }
  }

  /** fail shows a message that nothing will replace: a wrong address, a page that broke. */
  fail(message: string, detail: string): void {
    const { parts } = this;
    parts.root.dataset["phase"] = "error";
    this.set("unusable", true);
    for (const part of [parts.retry, parts.bigPlay, parts.unmute, parts.soundOnly, parts.badge, parts.bar]) {
      part.hidden = true;
    }
    setText(parts.message, message);
    setText(parts.detail, detail);
    this.say(message);
  }

  /** notify shows notices for some seconds; the statistics panel keeps them. */
  notify(notices: readonly string[]): void {
    this.notices = notices;
    const box = this.parts.notice;
    box.textContent = notices.join(" ");
    box.hidden = notices.length === 0;
    if (!box.hidden) {
      this.say(box.textContent);
    }
    window.clearTimeout(this.noticeTimer);
    this.noticeTimer = window.setTimeout(() => (box.hidden = true), noticeMs);
  }

  toggleBadge(on = this.parts.badge.hidden === true): void {
    this.parts.badge.hidden = !on;
    this.parts.toggleBadge.setAttribute("aria-pressed", String(on));
    this.toggled("badge", on);
  }

  toggleStatistics(on = this.parts.statistics.hidden === true): void {
    this.parts.statistics.hidden = !on;
    this.parts.toggleStatistics.setAttribute("aria-expanded", String(on));
    this.set("statistics", on);
    this.renderStatistics();
    this.toggled("statistics", on);
  }

  /** renderStatistics fills the panel, if it is open. Called once a second. */
  renderStatistics(): void {
    if (this.parts.statistics.hidden) {
      return;
    }
    const { figures: f, connection } = this.figures();
    const pair = this.pair;
    const show = (id: Parameters<Parts["figure"]>[0], text: string) => setText(this.parts.figure(id), text);
    show("leg", pair === undefined ? "–" : pair.onAir ? legWords(pair) : `nothing (last: ${legWords(pair)})`);
    show("switches", pair === undefined ? "–" : switchWords(pair));
    show("picture", f?.width && f.height ? `${f.width} × ${f.height}` : this.soundOnly ? "none, sound only" : "–");
    show("fps", f?.fps === undefined ? "–" : `${f.fps.toFixed(1)} frames/s${f.framesDropped > 0 ? `, ${f.framesDropped} dropped` : ""}`);
    show("bitrate", f?.bitrateBPS === undefined ? "–" : bitrateWords(f.bitrateBPS));
    show("delay", delayWords(f));
    show("rebuffering", f?.rebufferings === undefined ? "–" : `${f.rebufferings} times, ${((f.rebufferedMs ?? 0) / 1000).toFixed(1)} s`);
    show("rtt", f?.rttMs === undefined ? "–" : `${Math.round(f.rttMs)} ms`);
    show("lost", f === undefined || f.rebufferings !== undefined ? "–" : `${f.packetsLost} packets`);
    show("codecs", [f?.videoCodec, f?.audioCodec].filter(Boolean).join(", ") || "–");
    show("connection", connection);
    this.renderWarnings();
  }

  private renderWarnings(): void {
    const items = [
      ...(this.pair?.warnings ?? []).map((w) => ({ text: `${w.role}: ${w.message}`, notice: false })),
      ...this.notices.map((text) => ({ text, notice: true })),
    ];
    const list = this.parts.warnings;
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
    const { badge, badgeText } = this.parts;
    badge.dataset["role"] = s.pair?.active ?? "";
    badge.dataset["air"] = s.pair?.onAir === false ? "no" : "yes";
    setText(badgeText, legWords(s.pair));
  }

  /** say has a screen reader say something once. */
  private say(text: string): void {
    if (text !== this.said && text !== "") {
      this.said = text;
      setText(this.parts.announcer, text);
    }
  }

  private key(event: KeyboardEvent): void {
    if (!this.controls || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) {
      return;
    }
    // Inside of a shadow root the event says where it really is.
    const at = event.composedPath()[0];
    const step = event.key === "ArrowUp" ? volumeStep : event.key === "ArrowDown" ? -volumeStep : undefined;
    if (step !== undefined && at !== this.parts.volume) {
      this.wishes?.setVolume(this.volume + step);
      event.preventDefault();
      return;
    }
    const act = this.keyAct(event.key, at instanceof HTMLButtonElement);
    if (act !== undefined && !event.repeat) {
      act();
      event.preventDefault();
    } else if (event.key === "Escape") {
      this.toggleStatistics(false);
    }
  }

  private keyAct(key: string, onButton: boolean): (() => void) | undefined {
    switch (key) {
      case " ":
        return onButton ? undefined : () => this.wishes?.togglePause(); // it presses the button
      case "k":
        return () => this.wishes?.togglePause();
      case "m":
        return () => this.wishes?.toggleMute();
      case "c":
        return this.parts.captions.hidden ? undefined : () => this.wishes?.toggleCaptions();
      case "p":
        return this.parts.pictureInPicture.hidden ? undefined : () => this.togglePictureInPicture();
      case "f":
        return () => this.toggleFullscreen();
      case "i":
        return () => this.toggleStatistics();
      case "b":
        return () => this.toggleBadge();
    }
    return undefined;
  }

  private get shown(): HTMLVideoElement | undefined {
    return this.parts.root.querySelector<HTMLVideoElement>("video.shown") ?? undefined;
  }

  togglePictureInPicture(): void {
    const { videos, hls } = this.parts;
    void togglePictureInPicture([...videos, hls], this.shown).catch(() => this.notify(["The browser does not allow picture in picture now."]));
  }

  private toggleFullscreen(): void {
    const { screen } = this.place;
    if (fills(screen)) {
      void document.exitFullscreen().catch(() => {});
    } else if (document.fullscreenEnabled) {
      void screen.requestFullscreen().catch(() => this.notify(["The browser does not allow full screen here."]));
    } else {
      // An iPhone gives full screen to the video element only.
      (this.shown as { webkitEnterFullscreen?: () => void } | undefined)?.webkitEnterFullscreen?.();
    }
  }

  private fullscreenChanged(): void {
    const full = fills(this.place.screen);
    this.set("full", full);
    setLabel(this.parts.fullscreen, full ? "Leave full screen" : "Full screen");
  }

  private stir(): void {
    this.set("quiet", false);
    window.clearTimeout(this.quietTimer);
    this.quietTimer = window.setTimeout(() => this.set("quiet", true), quietMs);
  }

  /** followSize lays a player out for the room that it has, which may be a corner of a large page. */
  private followSize(): void {
    const { root } = this.parts;
    const observer = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = root;
      this.set("narrow", width <= narrowWidth);
      this.set("small", width <= small.width || height <= small.height);
      root.style.setProperty("--width", `${width}px`);
      root.style.setProperty("--height", `${height}px`);
    });
    observer.observe(root);
    this.place.signal.addEventListener("abort", () => observer.disconnect());
  }

  private set(name: string, on: boolean): void {
    this.parts.root.dataset[name] = on ? "yes" : "no";
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

/** spoken is what a screen reader says of a snapshot. */
function spoken(s: Snapshot): string {
  if (s.view.phase !== "playing") {
    return s.view.message;
  }
  return s.paused ? "Paused" : s.pair === undefined || s.pair.active === "" ? "Playing live" : `Playing live: ${legWords(s.pair)}`;
}

function fills(element: HTMLElement): boolean {
  return document.fullscreenElement !== null && element.matches(":fullscreen");
}

/** volumeCanBeSet: an iPhone has its keys for that, and leaves the element at 1. */
function volumeCanBeSet(): boolean {
  const probe = document.createElement("video");
  probe.volume = 0.5;
  return probe.volume === 0.5;
}

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

function setText(element: HTMLElement | null | undefined, text: string): void {
  // Setting the same text again would make a screen reader say it again.
  if (element && element.textContent !== text) {
    element.textContent = text;
  }
}
