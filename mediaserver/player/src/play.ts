/** The entry point of play.html. */
import { mostTargets } from "./bases.ts";
import { canPlayHls } from "./hlsfallback.ts";
import { publishHooks } from "./hooks.ts";
import { tellHost } from "./host.ts";
import { type Way, parsePlayParameters } from "./parameters.ts";
import { Playback } from "./playback.ts";
import { Ui, element } from "./ui.ts";

function main(): void {
  const { parameters: asked, notices, problem } = parsePlayParameters(window.location.search);
  const hls = element<HTMLVideoElement>("hls");
  const parameters = { ...asked, order: asked.order.filter((way) => canPlay(way, hls)) };
  let player: Playback | undefined;
  const ui = new Ui(() => {
    const c = player?.counters;
    const protocol = player?.way === "hls" ? "HLS" : `WebRTC, number ${c?.opened}`;
    const connection = c === undefined ? "–" : `${protocol}${c.eventsConnected ? "" : ", events missing"}`;
    return { figures: player?.figures, connection };
  });
  guard(ui);

  if (problem !== undefined) {
    ui.fail(problem, notices.join(" "));
    tellHost("streampair:error", { code: "bad-address", message: problem, retrying: false });
    return;
  }
  if (parameters.order.length === 0) {
    const message = `This browser cannot play live video over ${asked.order.map((way) => wayNames[way]).join(" or ")}.`;
    ui.fail(message, "Try a current Chrome, Edge, Firefox or Safari.");
    tellHost("streampair:error", { code: "unsupported", message, retrying: false });
    return;
  }

  document.title = `${parameters.name} · live`;
  ui.notify(notices);
  ui.toggleBadge(parameters.badge);
  const playing = new Playback(parameters, videos(hls), hls, new URL(".", window.location.href), (snapshot) => ui.render(snapshot));
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

const wayNames: Readonly<Record<Way, string>> = { webrtc: "WebRTC", hls: "HLS" };

function canPlay(way: Way, hls: HTMLVideoElement): boolean {
  return "ReadableStream" in window && (way === "webrtc" ? "RTCPeerConnection" in window : canPlayHls(hls));
}

/** followPage ends the session with the page, and comes back with it. */
function followPage(player: Playback, autoplay: boolean): void {
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

/** videos are the elements for WebRTC. */
function videos(hls: HTMLVideoElement): HTMLVideoElement[] {
  const found = [...document.querySelectorAll("video")].filter((video) => video !== hls);
  if (found.length <= mostTargets) {
    throw new Error("the page has too few video elements");
  }
  return found;
}

main();
