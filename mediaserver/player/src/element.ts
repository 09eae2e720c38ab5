import type * as declared from "../npm/player.d.ts";
import { stateOf, statsOf } from "./hooks.ts";
import type { HostEvents, Tell } from "./host.ts";
import { MountedPlayer } from "./mount.ts";
import { type Parsed, playOrder, problemOf } from "./parameters.ts";
import type { Playback, Snapshot } from "./playback.ts";

/** The style of the shadow root; build.mjs fills it in. */
declare const ELEMENT_STYLE: string;

/** Attributes whose change makes another player. */
const structural: readonly string[] = ["name", "backup", "server", "play-order"];

// A server that renders pages has no HTMLElement, and may import this all the same.
const Base = (globalThis.HTMLElement ?? Object) as typeof HTMLElement;

/**
 * The custom element `<stream-pair>`: the player of play.html in a shadow root. A player is made when
 * the element comes into a document, and removed when it has left. The properties are documented
 * where they are declared, in npm/player.d.ts.
 */
export class StreamPairElement extends Base implements declared.StreamPairElement {
  static readonly observedAttributes = [...structural, "token", "muted", "captions", "controls", "badge", "statistics"];

  /** The app's address at the server that the script came from; undefined: it came from elsewhere. */
  static ownServer: string | undefined;

  private player: MountedPlayer | undefined;
  /** Another player is due. */
  private anew = false;
  /** What the next player does from its beginning. */
  private due: "play" | "pause" | undefined;
  /** What was said last of `paused`. */
  private toldPaused = true;
  private events = new ElementEvents(this);
  private wantedToken = "";
  private wantedMuted = false;
  private wantedVolume = 1;
  private wantedCaptions = false;

  connectedCallback(): void {
    for (const property of ["token", "muted", "volume", "captions", "playOrder", "name", "backup", "server", "autoplay", "controls", "badge", "statistics"] as const) {
      this.takeProperty(property);
    }
    this.refresh();
  }

  disconnectedCallback(): void {
    this.refresh();
  }

  attributeChangedCallback(name: string, before: string | null, value: string | null): void {
    if (before === value) {
      return;
    }
    const on = value !== null;
    switch (name) {
      case "token":
        this.token = value ?? "";
        break;
      case "muted":
        this.muted = on;
        break;
      case "captions":
        this.captions = on;
        break;
      case "controls":
        this.player?.ui.showControls(on);
        break;
      case "badge":
        this.player?.ui.toggleBadge(on);
        break;
      case "statistics":
        this.player?.ui.toggleStatistics(on);
        break;
      default:
        this.refresh(true);
    }
  }

  get name(): string {
    return this.text("name");
  }
  set name(value: string) {
    this.setAttribute("name", value);
  }

  get backup(): string {
    return this.text("backup");
  }
  set backup(value: string) {
    this.setAttribute("backup", value);
  }

  get server(): string {
    return this.text("server");
  }
  set server(value: string) {
    this.setAttribute("server", value);
  }

  get playOrder(): string {
    return this.text("play-order");
  }
  set playOrder(value: string) {
    this.setAttribute("play-order", value);
  }

  get autoplay(): boolean {
    return this.hasAttribute("autoplay");
  }
  set autoplay(on: boolean) {
    this.toggleAttribute("autoplay", on);
  }

  get controls(): boolean {
    return this.hasAttribute("controls");
  }
  set controls(on: boolean) {
    this.toggleAttribute("controls", on);
  }

  get badge(): boolean {
    return this.hasAttribute("badge");
  }
  set badge(on: boolean) {
    this.toggleAttribute("badge", on);
  }

  get statistics(): boolean {
    return this.hasAttribute("statistics");
  }
  set statistics(on: boolean) {
    this.toggleAttribute("statistics", on);
  }

  get token(): string {
    return this.wantedToken;
  }
  set token(value: string) {
    this.wantedToken = value ?? "";
    this.playback?.setToken(this.wantedToken);
  }

  get muted(): boolean {
    return this.playback?.snapshot.muted ?? this.wantedMuted;
  }
  set muted(on: boolean) {
    this.wantedMuted = on;
    this.playback?.setMuted(on);
  }

  get volume(): number {
    return this.playback?.snapshot.volume ?? this.wantedVolume;
  }
  set volume(value: number) {
    if (!(value >= 0 && value <= 1)) {
      throw new RangeError("volume is a number from 0 to 1");
    }
    this.wantedVolume = value;
    this.playback?.setVolume(value);
  }

  get captions(): boolean {
    return this.playback?.snapshot.captions ?? this.wantedCaptions;
  }
  set captions(on: boolean) {
    this.wantedCaptions = on;
    this.playback?.setCaptions(on);
  }

  get paused(): boolean {
    const { snapshot } = this.playback ?? {};
    return snapshot === undefined || snapshot.paused || snapshot.view.phase === "idle";
  }

  get state(): declared.StreamPairState | null {
    const { player, playback } = this;
    return player === undefined || playback === undefined ? null : stateOf(player.parameters, [], playback);
  }

  get video(): HTMLVideoElement | null {
    return this.playback?.video ?? null;
  }

  play(): void {
    this.due = this.playback === undefined ? "play" : undefined;
    this.playback?.setPaused(false);
    this.playback?.tapped();
  }

  pause(): void {
    this.due = undefined;
    this.playback?.setPaused(true);
  }

  retry(): void {
    this.playback?.retryNow();
  }

  async stats(): Promise<Readonly<Record<string, unknown>> | null> {
    return this.playback === undefined ? null : statsOf(this.playback);
  }

  togglePictureInPicture(): void {
    this.player?.ui.togglePictureInPicture();
  }

  private get playback(): Playback | undefined {
    return this.player?.playback;
  }

  private text(attribute: string): string {
    return this.getAttribute(attribute)?.trim() ?? "";
  }

  /** takeProperty takes what a script has set before the element was defined. */
  private takeProperty(property: keyof declared.StreamPairElement): void {
    const self = this as unknown as Record<string, unknown>;
    if (Object.getOwnPropertyNames(this).includes(property)) {
      const value = self[property];
      delete self[property];
      self[property] = value;
    }
  }

  /**
   * refresh makes or removes the player soon: an element that is only moved keeps it, and several
   * attributes that change at a time make one player.
   */
  private refresh(anew = false): void {
    this.anew ||= anew;
    queueMicrotask(() => {
      if (this.player !== undefined && (!this.isConnected || this.anew)) {
        this.unmount();
      }
      this.anew = false;
      if (this.player === undefined && this.isConnected) {
        this.mount();
      }
      this.tellPaused();
    });
  }

  /** tellPaused says that `paused` has changed, once the player that changes it has settled. */
  private tellPaused(): void {
    queueMicrotask(() => {
      if (this.paused !== this.toldPaused) {
        this.toldPaused = this.paused;
        this.dispatchEvent(new CustomEvent("pausechange", { detail: null }));
      }
    });
  }

  private mount(): void {
    const shadow = this.shadowRoot ?? this.attachShadow({ mode: "open", delegatesFocus: true });
    const style = new CSSStyleSheet();
    style.replaceSync(ELEMENT_STYLE);
    shadow.adoptedStyleSheets = [style];
    const root = document.createElement("div");
    root.id = "player";
    root.tabIndex = -1; // who gives the element the focus gives it the keys
    root.setAttribute("part", "player");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", `Live player: ${this.name}`);
    shadow.replaceChildren(root);
    const parsed = this.parsed();
    const [base, problem] = serverBase(this.text("server"));
    const tell: Tell = (type, detail) => this.events.tell(type, detail);
    const changed = (snapshot: Snapshot) => {
      this.events.changed(snapshot);
      this.tellPaused();
    };
    this.events = new ElementEvents(this);
    this.player = new MountedPlayer({ root, keys: root, screen: this, base, tell, changed }, problem === undefined ? parsed : { ...parsed, problem });
    this.player.ui.showControls(this.controls && this.playback !== undefined);
    this.player.ui.toggled = (what, on) => this.toggleAttribute(what, on);
    if (this.playback === undefined) {
      return;
    }
    if (this.due === "play") {
      this.play();
    } else if (this.due === "pause") {
      this.pause();
      this.playback.start();
    }
  }

  private unmount(): void {
    // Who watches one stream and is given another goes on watching, and who has paused stays so.
    const { snapshot } = this.playback ?? {};
    if (this.isConnected && snapshot !== undefined && snapshot.view.phase !== "idle") {
      this.due = snapshot.paused ? "pause" : "play";
    }
    const { muted, volume, captions } = this;
    [this.wantedMuted, this.wantedVolume, this.wantedCaptions] = [muted, volume, captions];
    this.player?.remove();
    this.player = undefined;
    this.shadowRoot?.replaceChildren();
  }

  private parsed(): Parsed {
    const notices: string[] = [];
    const { name, backup, autoplay, badge, statistics } = this;
    const parameters = {
      name,
      backupStreamId: backup,
      order: playOrder(this.playOrder, notices),
      token: this.wantedToken,
      autoplay,
      mute: this.wantedMuted,
      volume: this.wantedVolume,
      captions: this.wantedCaptions,
      badge,
      statistics,
    };
    const problem = name === "" ? "The element names no stream: <stream-pair name=…>." : problemOf(name, backup, "backup");
    return problem === undefined ? { parameters, notices } : { parameters, notices, problem };
  }
}

/** serverBase is the app's address at the server, or what is wrong with it. */
function serverBase(attribute: string): [base: URL, problem?: string] {
  const asked = attribute === "" ? StreamPairElement.ownServer : attribute;
  if (asked === undefined) {
    return [new URL(document.baseURI), "The element does not know its server: <stream-pair server=https://HOST/live/ …>."];
  }
  try {
    const base = new URL(asked.endsWith("/") ? asked : `${asked}/`, document.baseURI);
    if (/^https?:$/.test(base.protocol)) {
      return [base];
    }
  } catch {
    // It is no address at all.
  }
  return [new URL(document.baseURI), "The element's server is no address of https or http: <stream-pair server=https://HOST/live/ …>."];
}

/** ElementEvents dispatches the events of one player at its element. */
class ElementEvents {
  private played = false;
  private playing = false;
  private active = false;
  private sound = "";

  constructor(private readonly element: HTMLElement) {}

  tell<K extends keyof HostEvents>(type: K, detail: HostEvents[K]): void {
    switch (type) {
      case "playing":
        this.playing = true;
        if (!this.played) {
          this.played = true;
          this.dispatch("ready", detail);
        }
        break;
      case "waiting":
        if (this.playing) {
          this.playing = false;
          this.dispatch("stalled", detail);
        }
        break;
      case "active":
        // The first is where it begins, not a switch.
        if (this.active) {
          this.dispatch("switched", detail);
        }
        this.active = true;
        return;
    }
    this.dispatch(type, detail);
  }

  changed({ muted, volume }: Snapshot): void {
    const sound = `${muted} ${volume}`;
    if (this.sound !== "" && sound !== this.sound) {
      this.dispatch("volumechange", null);
    }
    this.sound = sound;
  }

  private dispatch(type: string, detail: unknown): void {
    this.element.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** define makes the browser know the element, once in a page. */
export function define(ownServer: string | undefined): void {
  StreamPairElement.ownServer = ownServer;
  if (globalThis.customElements?.get("stream-pair") === undefined) {
    globalThis.customElements?.define("stream-pair", StreamPairElement);
  }
}
