/** The entry point of play.html. */
import { mostTargets } from "./bases.ts";
import { publishHooks } from "./hooks.ts";
import { tellHost } from "./host.ts";
import { parsePlayParameters } from "./parameters.ts";
import { Player } from "./player.ts";
import { Ui } from "./ui.ts";

function main(): void {
  const { parameters, notices, problem } = parsePlayParameters(window.location.search);
  let player: Player | undefined;
  const ui = new Ui(() => {
    const c = player?.counters;
    const connection = c === undefined ? "–" : `number ${c.opened}${c.eventsConnected ? "" : ", events missing"}`;
    return { figures: player?.figures, connection };
  });
  guard(ui);

  if (problem !== undefined) {
    ui.fail(problem, notices.join(" "));
    tellHost("streampair:error", { code: "bad-address", message: problem, retrying: false });
    return;
  }
  if (!("RTCPeerConnection" in window) || !("ReadableStream" in window)) {
    const message = "This browser cannot play live video over WebRTC.";
    ui.fail(message, "Try a current Chrome, Edge, Firefox or Safari.");
    tellHost("streampair:error", { code: "unsupported", message, retrying: false });
    return;
  }

  document.title = `${parameters.name} · live`;
  ui.notify(notices);
  ui.toggleBadge(parameters.badge);
  const playing = new Player(parameters, videos(), new URL(".", window.location.href), (snapshot) => ui.render(snapshot));
  player = playing;
  publishHooks(parameters, notices, playing);
  ui.connect({
    play: () => playing.tapped(),
    retry: () => playing.retryNow(),
    toggleMute: () => playing.toggleMute(),
    togglePause: () => (playing.snapshot.view.phase === "idle" ? playing.tapped() : playing.togglePause()),
  });
  ui.render(playing.snapshot);
  ui.toggleStatistics(parameters.statistics);
  window.setInterval(() => ui.renderStatistics(), 1_000);
  followPage(playing, parameters.autoplay);
  if (parameters.autoplay) {
    playing.start();
  }
}

/** followPage ends the session with the page, and comes back with it. */
function followPage(player: Player, autoplay: boolean): void {
  let leftWhileStarted = false;
  window.addEventListener("pagehide", () => {
    leftWhileStarted = player.snapshot.view.phase !== "idle";
    player.stop();
  });
  window.addEventListener("pageshow", (event) => {
    // From the back-forward cache: the page is as it was, without its session.
    if (event.persisted && (leftWhileStarted || autoplay)) {
      player.start();
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      player.becameVisible();
    }
  });
  window.addEventListener("online", () => player.retrySoon());
}

/** guard turns what nobody caught into words, once: a page that broke says so. */
function guard(ui: Ui): void {
  const report = (error: unknown) => {
    console.error("streampair: internal error", error);
    const message = "The player has a problem.";
    ui.notify([`${message} If the picture stops, reload the page.`]);
    tellHost("streampair:error", { code: "internal", message, retrying: false });
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

function videos(): HTMLVideoElement[] {
  const found = [...document.querySelectorAll("video")];
  if (found.length <= mostTargets) {
    throw new Error("the page has too few video elements");
  }
  return found;
}

main();
