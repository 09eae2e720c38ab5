import { element, setList, setText } from "./dom.ts";
import { type Role, roles, type Selection } from "./state.ts";
import type { LegView, TileView } from "./view.ts";

/** A LegPanel is the part of a tile that shows one leg. */
class LegPanel {
  readonly root: HTMLElement;
  private readonly image = element("img", "picture");
  private readonly state = element("span", "state");
  private readonly note = element("span", "note");
  private readonly faults = element("span", "faults");
  private readonly rms = element("span", "rms");
  private readonly peak = element("span", "peak");
  private readonly meter = element("span", "meter", this.rms, this.peak);
  private readonly loudness = element("span", "loudness");
  private readonly figures = element("p", "figures");
  private readonly id = element("span", "id");
  private shown = "";

  constructor(role: Role) {
    this.image.alt = "";
    this.image.hidden = true;
    this.image.addEventListener("load", () => (this.image.hidden = false));
    this.image.addEventListener("error", () => (this.image.hidden = true));
    this.meter.setAttribute("aria-hidden", "true");
    this.root = element(
      "section",
      "leg",
      element("div", "screen", this.image, this.note, this.faults),
      element("p", "caption", element("strong", "", role), this.id, this.state),
      element("p", "sound", this.meter, this.loudness),
      this.figures,
    );
    this.root.dataset["role"] = role;
  }

  show(leg: LegView): void {
    this.root.dataset["health"] = leg.health;
    this.root.dataset["onair"] = String(leg.onAir);
    setText(this.id, leg.streamID);
    setText(this.state, leg.words);
    setText(this.note, leg.pictureWords);
    setList(this.faults, "span", leg.faults);
    setList(this.figures, "span", leg.figures);
    this.meter.hidden = leg.meter === null;
    setText(this.loudness, leg.meter?.words ?? "no sound");
    this.rms.style.setProperty("--level", String(leg.meter?.rms ?? 0));
    this.peak.style.setProperty("--level", String(leg.meter?.peak ?? 0));
    if (leg.picture !== this.shown) {
      this.shown = leg.picture;
      if (leg.picture === "") {
        this.image.removeAttribute("src");
        this.image.hidden = true;
      } else {
        this.image.src = leg.picture; // the browser shows the last one until this one is here
      }
    }
  }
}

/** A Tile shows one pair. */
export class Tile {
  readonly root: HTMLElement;
  private readonly name = element("h2", "");
  private readonly headline = element("p", "headline");
  private readonly why = element("p", "why");
  private readonly stale = element("p", "stale");
  private readonly figures = element("p", "figures");
  private readonly legs = roles.map((role) => new LegPanel(role));
  private readonly alarms = element("ul", "alarms");
  private readonly answer = element("p", "answer");
  private readonly switches = element("ol", "switches");
  private readonly buttons: HTMLButtonElement[] = [];
  private silenced = 0; // the timer that removes the answer

  constructor(take: (selection: Selection) => void) {
    const takes = element("div", "takes");
    for (const selection of ["Primary", "Backup", "Auto"] as const) {
      const button = element("button", "take");
      button.type = "button";
      button.dataset["take"] = selection;
      button.addEventListener("click", () => take(selection));
      this.buttons.push(button);
      takes.append(button);
    }
    this.stale.setAttribute("role", "status");
    this.answer.setAttribute("role", "status");
    this.root = element(
      "article",
      "tile",
      element("header", "", this.name, this.headline, this.why, this.stale),
      element("div", "legs", ...this.legs.map((leg) => leg.root)),
      this.figures,
      this.alarms,
      takes,
      this.answer,
      this.switches,
    );
    this.root.tabIndex = 0;
  }

  show(view: TileView): void {
    const { root } = this;
    root.dataset["pair"] = view.name;
    root.dataset["onair"] = view.onAir || "none";
    root.dataset["stale"] = String(view.stale !== "");
    root.dataset["alarm"] = view.alarms[0]?.level ?? "none";
    root.setAttribute("aria-label", `${view.name}: ${view.headline}`);
    setText(this.name, view.name);
    setText(this.headline, view.headline);
    setText(this.why, view.why);
    this.stale.hidden = view.stale === "";
    setText(this.stale, view.stale);
    setList(this.figures, "span", view.figures);
    view.legs.forEach((leg, index) => this.legs[index]?.show(leg));
    setList(this.alarms, "li", view.alarms.map((alarm) => alarm.text), (index) => view.alarms[index]?.level ?? "");
    setList(this.switches, "li", view.switches);
    view.takes.forEach((take, index) => {
      const button = this.buttons[index];
      if (button) {
        setText(button, take.label);
        button.disabled = take.disabled;
        button.setAttribute("aria-pressed", String(take.pressed));
      }
    });
  }

  /** fail marks a tile whose news cannot be shown: what it shows may be old. */
  fail(): void {
    this.root.dataset["stale"] = "true";
    this.stale.hidden = false;
    setText(this.stale, "what the server says cannot be shown");
    for (const button of this.buttons) {
      button.disabled = true;
    }
  }

  /** press does what a click on a button of the tile does. */
  press(selection: Selection): void {
    this.buttons.find((button) => button.dataset["take"] === selection)?.click();
  }

  /** say shows for a while what became of a Take. */
  say(text: string, isBad: boolean): void {
    setText(this.answer, text);
    this.answer.dataset["bad"] = String(isBad);
    window.clearTimeout(this.silenced);
    this.silenced = window.setTimeout(() => setText(this.answer, ""), isBad ? 15_000 : 4000);
  }
}
