/** The entry point of play.html, which is nothing but a player. */
import { publishHooks } from "./hooks.ts";
import { tellAround } from "./host.ts";
import { MountedPlayer } from "./mount.ts";
import { element } from "./page.ts";
import { parsePlayParameters } from "./parameters.ts";

function main(): void {
  const parsed = parsePlayParameters(window.location.search);
  const root = element("player");
  root.replaceChildren();
  const base = new URL(".", window.location.href);
  const player = new MountedPlayer({ root, keys: document, screen: root, base, tell: tellAround, changed: () => {} }, parsed);
  guard(player);
  if (player.playback !== undefined) {
    document.title = `${player.parameters.name} · live`;
    publishHooks(player.parameters, parsed.notices, player.playback);
  }
}

/** guard turns what nobody caught into words, once: a page that broke says so. */
function guard({ ui }: MountedPlayer): void {
  const report = (error: unknown) => {
    console.error("streampair: internal error", error);
    const message = "The player has a problem.";
    ui.notify([`${message} If the picture stops, reload the page.`]);
    tellAround("error", { code: "internal", message, retrying: false });
  };
  window.addEventListener("error", (event) => {
    event.preventDefault();
    report(event.error ?? event.message);
  });
  window.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    report(event.reason);
  });
}

main();
