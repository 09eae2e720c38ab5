import { setText } from "./dom.ts";
import { columnsFor, step } from "./layout.ts";
import type { Selection, State } from "./state.ts";
import { Tile } from "./tile.ts";
import { tileView } from "./view.ts";

const askEvery = 500; // ms
const answerLimit = 2000;
const redrawEvery = 250;

const wall = byID("wall");
const notice = byID("notice");
const place = byID("place");
const tiles = new Map<string, Tile>();
/** What the server said last, and when the answer came, by performance.now(). */
let heard: { state: State; at: number } | undefined;
let trouble = "";

function byID(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) {
    throw new Error(`the page has no ${id}`);
  }
  return found;
}

/** ask asks for the state, for ever. */
async function ask(): Promise<never> {
  for (;;) {
    const began = performance.now();
    try {
      const answer = await fetch("room/state", { signal: AbortSignal.timeout(answerLimit) });
      if (answer.ok) {
        heard = { state: (await answer.json()) as State, at: performance.now() };
        trouble = "";
      } else {
        trouble = await refusal(answer);
      }
    } catch {
      trouble = "The server of this page does not answer.";
    }
    redraw();
    await new Promise((resolve) => window.setTimeout(resolve, Math.max(askEvery - (performance.now() - began), 50)));
  }
}

/** refusal returns the sentence of an answer that is an error. */
async function refusal(answer: Response): Promise<string> {
  const body = (await answer.json().catch(() => undefined)) as { errors?: string[] } | undefined;
  return body?.errors?.join(" ") ?? `The server answers ${answer.status}.`;
}

/** redraw shows what is known. What cannot be shown must not look like news. */
function redraw(): void {
  try {
    draw();
  } catch (error) {
    setText(notice, `The page cannot show what the server says: ${String(error)}`);
    notice.hidden = false;
    for (const tile of tiles.values()) {
      tile.fail();
    }
  }
}

function chosenName(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // somebody typed it
  }
}

function draw(): void {
  const pairs = heard?.state.pairs ?? [];
  const sinceAnswer = heard ? performance.now() - heard.at : 0;
  const chosen = chosenName();
  const shown = pairs.some((pair) => pair.name === chosen) ? pairs.filter((pair) => pair.name === chosen) : pairs;
  for (const [name, tile] of tiles) {
    if (!shown.some((pair) => pair.name === name)) {
      tile.root.remove();
      tiles.delete(name);
    }
  }
  shown.forEach((pair, index) => {
    let tile = tiles.get(pair.name);
    if (!tile) {
      const made = new Tile((selection) => void take(pair.name, made, selection));
      tile = made;
      tiles.set(pair.name, tile);
    }
    if (wall.children[index] !== tile.root) {
      wall.insertBefore(tile.root, wall.children[index] ?? null);
    }
    try {
      tile.show(tileView(pair, heard?.state.time ?? "", sinceAnswer));
    } catch {
      tile.fail();
    }
  });
  wall.dataset["size"] = shown.length > 4 ? "many" : shown.length > 1 ? "few" : "one";
  wall.style.setProperty("--columns", String(columnsFor(shown.length, window.innerWidth)));
  setText(place, heard?.state.place ?? "");
  setText(notice, trouble || (heard && pairs.length === 0 ? "No pair is declared: give the server a manifest by --pair." : ""));
  notice.hidden = notice.textContent === "";
  document.title = heard ? `${pairs.length === 1 ? (pairs[0]?.name ?? "") : `${pairs.length} pairs`} · control room` : "Control room";
}

async function take(name: string, tile: Tile, selection: Selection): Promise<void> {
  try {
    const answer = await fetch(`room/pairs/${encodeURIComponent(name)}/select`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ select: selection }),
      signal: AbortSignal.timeout(10_000),
    });
    if (answer.ok) {
      tile.say(selection === "Auto" ? "Auto: accepted." : `${selection}: accepted, on air at its next key frame.`, false);
    } else {
      tile.say(await refusal(answer), true);
    }
  } catch {
    tile.say("The server did not answer, and the leg may not be taken.", true);
  }
}

/** keys: arrows go from tile to tile, Enter shows one, Escape all; P, B and A take. */
function key(event: KeyboardEvent): void {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) {
    return;
  }
  const all = [...tiles.values()].sort((a, b) => (a.root.compareDocumentPosition(b.root) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  const at = all.findIndex((tile) => tile.root.contains(document.activeElement));
  const current = all[at] ?? (all.length === 1 ? all[0] : undefined);
  const selection = ({ p: "Primary", b: "Backup", a: "Auto" } as const)[event.key.toLowerCase()];
  if (event.key.startsWith("Arrow") && all.length > 1) {
    all[at < 0 ? 0 : step(event.key, at, all.length, columnsFor(all.length, window.innerWidth))]?.root.focus();
  } else if (event.key === "Escape") {
    location.hash = "";
  } else if (event.key === "Enter" && current && document.activeElement === current.root) {
    location.hash = encodeURIComponent(current.root.dataset["pair"] ?? "");
  } else if (selection && current) {
    current.press(selection);
  } else {
    return;
  }
  event.preventDefault();
}

window.addEventListener("keydown", key);
window.addEventListener("hashchange", redraw);
window.addEventListener("resize", redraw);
window.setInterval(redraw, redrawEvery);
void ask();
