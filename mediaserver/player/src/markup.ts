/**
 * The elements of a player, made one by one: a page whose policy demands trusted types takes no
 * HTML as text. Ids are unique in the page of play.html, and in the shadow root of each custom element.
 */
import { mostTargets } from "./bases.ts";

/** A player's elements, by what they are for. */
export type Parts = ReturnType<typeof buildParts>;

type Attributes = Readonly<Record<string, string>>;

/** buildParts fills the root of a player. */
export function buildParts(root: HTMLElement) {
  // One more than there are connections on their way: see Player.
  const videos = Array.from({ length: mostTargets + 1 }, (_, i) => picture({ "aria-hidden": String(i > 0) }));
  const hls = picture({ id: "hls", "aria-hidden": "true" });
  videos[0]?.classList.add("shown");

  const message = create("strong", { id: "message" });
  const detail = create("span", { id: "detail" });
  const retry = button("retry", {}, "Try again");
  const curtain = create("div", { id: "curtain", part: "message" }, [
    create("span", { class: "spinner", "aria-hidden": "true" }),
    create("span", { class: "words" }, [message, detail]),
    retry,
  ]);
  const soundOnly = create("div", { id: "sound-only" }, [icon("M9 18V6l10-2v12", circle(6.5, 18), circle(16.5, 16)), create("span", {}, ["Sound only"])]);
  const bigPlay = button("big-play", { "aria-label": "Play" }, icon(solid("M8 5v14l11-7z")));
  const unmute = button("unmute", {}, icon(solid(speaker), "M17 9l5 6M22 9l-5 6"), "Tap to unmute");
  const badgeText = create("span", { id: "badge-text" });
  const badge = create("div", { id: "badge", part: "badge" }, [dot(), badgeText]);
  const notice = create("div", { id: "notice", part: "notice" });
  /** What a screen reader is told. It is always drawn, because text in an element that comes with it is not read. */
  const announcer = create("div", { id: "announcer", role: "status" });

  const close = button("close-statistics", { "aria-label": "Close statistics" }, icon("M6 6l12 12M18 6L6 18"));
  const rows = statisticsRows.map(([id, term]) => create("div", {}, [create("dt", {}, [term]), create("dd", { id: `stat-${id}` }, ["–"])]));
  const warnings = create("ul", { id: "warnings" });
  const statistics = create("section", { id: "statistics", part: "statistics", "aria-label": "Statistics" }, [
    create("header", {}, [create("strong", {}, ["Statistics"]), close]),
    create("dl", {}, rows),
    warnings,
  ]);

  const pause = control("pause", "Pause", "k Space", withClass("icon-pause", icon(solid("M7 5h3.5v14H7zM13.5 5H17v14h-3.5z"))), withClass("icon-play", icon(solid("M8 5v14l11-7z"))));
  const mute = control("mute", "Mute", "m", withClass("icon-sound", icon(solid(speaker), "M16.5 8.5a5 5 0 0 1 0 7M19 6a8.5 8.5 0 0 1 0 12")), withClass("icon-muted", icon(solid(speaker), "M17 9l5 6M22 9l-5 6")));
  const volume = create("input", { id: "volume", part: "volume", type: "range", min: "0", max: "1", step: "0.05", "aria-label": "Volume" });
  const liveText = create("span", { id: "live-text" });
  const captions = control("captions", "Captions", "c", icon(rectangle(3, 5, 18, 14), "M10.5 10.2a2.2 2.2 0 1 0 0 3.6M17 10.2a2.2 2.2 0 1 0 0 3.6"));
  const toggleBadge = control("toggle-badge", "Which stream is on", "b", icon(rectangle(3, 5, 13, 9), "M8 17v1a2 2 0 0 0 2 2h9a2 2 0 0 0 2-2v-6a2 2 0 0 0-2-2"));
  const toggleStatistics = control("toggle-statistics", "Statistics", "i", icon("M5 20v-7M12 20V4M19 20v-11"));
  const pictureInPicture = control("picture-in-picture", "Picture in picture", "p", icon("M21 11V7a2 2 0 0 0-2-2H5a2 2 0 0 0-2 2v10a2 2 0 0 0 2 2h5", rectangle(13, 14, 8, 6)));
  const fullscreen = control("fullscreen", "Full screen", "f", withClass("icon-enter", icon("M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5")), withClass("icon-leave", icon("M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5")));
  captions.setAttribute("aria-pressed", "false");
  toggleBadge.setAttribute("aria-pressed", "false");
  toggleStatistics.setAttribute("aria-expanded", "false");
  toggleStatistics.setAttribute("aria-controls", "statistics");
  const bar = create("div", { id: "bar", part: "bar", role: "group", "aria-label": "Player controls" }, [
    pause,
    mute,
    volume,
    create("span", { id: "live", part: "live" }, [dot(), liveText]),
    create("span", { class: "space" }),
    captions,
    toggleBadge,
    toggleStatistics,
    pictureInPicture,
    fullscreen,
  ]);

  for (const part of [soundOnly, retry, bigPlay, unmute, badge, notice, statistics]) {
    part.hidden = true;
  }
  root.append(...videos, hls, soundOnly, curtain, bigPlay, unmute, badge, notice, announcer, statistics, bar);
  const figure = (id: (typeof statisticsRows)[number][0]) => rows[statisticsRows.findIndex(([row]) => row === id)]?.querySelector("dd");
  return {
    root, videos, hls, curtain, message, detail, retry, soundOnly, bigPlay, unmute, badge, badgeText, notice, announcer, statistics, close,
    warnings, figure, bar, pause, mute, volume, liveText, captions, toggleBadge, toggleStatistics, pictureInPicture, fullscreen,
  };
}

const statisticsRows = [
  ["leg", "On air"],
  ["switches", "Switches"],
  ["picture", "Picture"],
  ["fps", "Frame rate"],
  ["bitrate", "Bit rate"],
  ["delay", "Delay"],
  ["rebuffering", "Rebuffering"],
  ["rtt", "Round trip"],
  ["lost", "Lost"],
  ["codecs", "Codecs"],
  ["connection", "Connection"],
] as const;

const speaker = "M4 9v6h4l5 4V5L8 9z";

/** create makes an element of HTML. Strings become text. */
function create<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes, children: readonly (Node | string)[] = []): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

function picture(attributes: Attributes): HTMLVideoElement {
  return create("video", { part: "video", playsinline: "", disableremoteplayback: "", tabindex: "-1", "aria-label": "Live picture", ...attributes });
}

function button(id: string, attributes: Attributes, ...children: (Node | string)[]): HTMLButtonElement {
  return create("button", { id, part: `button ${id}`, type: "button", ...attributes }, children);
}

/** control makes a button of the bar. */
function control(id: string, label: string, keys: string, ...icons: Node[]): HTMLButtonElement {
  const made = button(id, { "aria-keyshortcuts": keys }, ...icons);
  setLabel(made, label);
  return made;
}

/** setLabel names a button of the bar for everybody. */
export function setLabel(control: HTMLElement, label: string): void {
  const [key = ""] = (control.getAttribute("aria-keyshortcuts") ?? "").split(" ");
  control.setAttribute("aria-label", label);
  control.title = `${label} (${key})`;
}

function dot(): HTMLElement {
  return create("span", { class: "dot", "aria-hidden": "true" });
}

/** icon draws shapes; a string is the path of a line. */
function icon(...shapes: (SVGElement | string)[]): SVGElement {
  const drawn = shape("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  drawn.append(...shapes.map((d) => (typeof d === "string" ? shape("path", { d }) : d)));
  return drawn;
}

function solid(d: string): SVGElement {
  return shape("path", { class: "solid", d });
}

function circle(cx: number, cy: number): SVGElement {
  return shape("circle", { cx: String(cx), cy: String(cy), r: "2.5" });
}

function rectangle(x: number, y: number, width: number, height: number): SVGElement {
  return shape("rect", { x: String(x), y: String(y), width: String(width), height: String(height), rx: "2" });
}

function shape(tag: "svg" | "path" | "circle" | "rect", attributes: Attributes): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  return element;
}

function withClass(name: string, element: SVGElement): SVGElement {
  element.classList.add(name);
  return element;
}

function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
}
