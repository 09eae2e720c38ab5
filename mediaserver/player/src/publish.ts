/** The entry point of publish.html: a form around a Publisher. */
import { type Choice, type Option, cameraOptions, capture, captureWords, microphoneOptions, stopAll } from "./devices.ts";
import { nameRule, shorten, validStreamId } from "./parameters.ts";
import { Publisher } from "./publisher.ts";
import { element } from "./page.ts";
import { bitrateWords } from "./words.ts";

const base = new URL(".", window.location.href);
const field = (id: string) => element<HTMLInputElement>(id);
const select = (id: string) => element<HTMLSelectElement>(id);

class Page {
  private readonly publisher = new Publisher(() => this.draw());
  private stream: MediaStream | undefined;
  private captureProblem: string | undefined;
  private inputProblem: string | undefined;
  private captures = 0;
  private sent: { at: number; bytes: number; frames: number } | undefined;

  async run(): Promise<void> {
    this.fillFromAddress();
    element("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    element("stop").addEventListener("click", () => this.publisher.stop());
    for (const id of ["camera", "microphone"]) {
      select(id).addEventListener("change", () => void this.recapture());
    }
    for (const id of ["name", "token"]) {
      field(id).addEventListener("input", () => this.edited());
    }
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.listDevices());
    window.addEventListener("pagehide", () => this.publisher.stop());
    window.addEventListener("online", () => this.publisher.retryNow());
    window.setInterval(() => void this.drawFigures(), 1_000);
    Object.defineProperty(window, "streampair", {
      value: Object.freeze({
        state: () => ({ ...this.publisher.state, captureProblem: this.captureProblem ?? "" }),
        connection: () => this.publisher.pc,
        start: () => this.start(),
        stop: () => this.publisher.stop(),
      }),
    });
    await this.listDevices();
    await this.recapture();
  }

  private fillFromAddress(): void {
    const query = new URLSearchParams(window.location.search);
    field("name").value = (query.get("name") ?? query.get("id") ?? "").trim();
    field("token").value = (query.get("token") ?? "").trim();
  }

  private edited(): void {
    this.inputProblem = undefined;
    this.draw();
  }

  private start(): void {
    const name = field("name").value.trim();
    if (!validStreamId(name)) {
      this.inputProblem = name === "" ? "Enter the name of the stream." : `“${shorten(name)}” cannot be a stream's name. ${nameRule}`;
      field("name").focus();
      this.draw();
      return;
    }
    if (this.stream === undefined) {
      void this.recapture();
      return;
    }
    const url = new URL(`whip/${encodeURIComponent(name)}`, base).href;
    this.publisher.start({ purpose: "publish", stream: name, url, token: field("token").value.trim() }, this.stream);
  }

  private get choice(): Choice {
    return { camera: select("camera").value, microphone: select("microphone").value };
  }

  /** recapture opens the chosen sources and closes those before them. */
  private async recapture(): Promise<void> {
    const number = ++this.captures;
    const choice = this.choice;
    try {
      const stream = await capture(choice);
      if (number !== this.captures) {
        stopAll(stream); // another choice was made meanwhile
        return;
      }
      const old = this.stream;
      this.stream = stream;
      this.captureProblem = stream.getTracks().length === 0 ? "Choose a picture or a sound to send." : undefined;
      for (const track of stream.getTracks()) {
        track.addEventListener("ended", () => this.sourceEnded(stream, track));
      }
      element<HTMLVideoElement>("preview").srcObject = stream;
      if (stream.getTracks().length === 0) {
        this.publisher.stop();
      } else {
        await this.publisher.use(stream);
      }
      stopAll(old);
      await this.listDevices(); // names are known once permission was given
    } catch (error) {
      if (number !== this.captures) {
        return;
      }
      this.captureProblem = captureWords(error, choice);
    }
    this.draw();
  }

  private sourceEnded(stream: MediaStream, track: MediaStreamTrack): void {
    if (stream === this.stream) {
      this.captureProblem = track.kind === "video" ? "The picture's source has ended. Choose another." : "The sound's source has ended. Choose another.";
      this.draw();
    }
  }

  private async listDevices(): Promise<void> {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const canShareScreen = "mediaDevices" in navigator && "getDisplayMedia" in navigator.mediaDevices;
    fill(select("camera"), cameraOptions(devices, canShareScreen));
    fill(select("microphone"), microphoneOptions(devices));
  }

  private draw(): void {
    const { phase, failure } = this.publisher.state;
    const on = phase !== "off";
    const name = field("name").value.trim();
    const problem = this.inputProblem ?? this.captureProblem ?? failure?.message;
    const shownPhase = phase === "live" && this.captureProblem === undefined ? "live" : problem !== undefined ? "problem" : phase;
    element("publisher").dataset["phase"] = shownPhase;
    element("empty").hidden = (this.stream?.getVideoTracks().length ?? 0) > 0;
    element<HTMLButtonElement>("start").disabled = this.stream === undefined || this.stream.getTracks().length === 0;
    element("start").hidden = on;
    element("stop").hidden = !on;
    field("name").disabled = on;
    field("token").disabled = on;
    element("state-text").textContent = stateWords[phase];
    element("message").textContent = this.message(problem);
    element("watch").hidden = phase !== "live";
    const link = element<HTMLAnchorElement>("watch-link");
    link.href = new URL(`play.html?name=${encodeURIComponent(name)}`, base).href;
    link.textContent = link.href;
  }

  private message(problem: string | undefined): string {
    const { phase } = this.publisher.state;
    if (problem !== undefined) {
      return phase === "waiting" ? `${problem} Trying again by itself…` : problem;
    }
    switch (phase) {
      case "off":
        return this.stream === undefined ? "Asking for the camera and the microphone…" : "Ready. Nothing is sent yet.";
      case "connecting":
        return "Connecting…";
      case "live":
        return `Publishing as “${field("name").value.trim()}”.`;
      case "waiting":
        return "Trying again by itself…";
    }
  }

  private async drawFigures(): Promise<void> {
    const box = element("figures");
    const pc = this.publisher.pc;
    if (pc === undefined || this.publisher.state.phase !== "live") {
      box.textContent = "";
      this.sent = undefined;
      return;
    }
    let bytes = 0;
    let frames = 0;
    let size = "";
    const report = await pc.getStats().catch(() => new Map<string, Record<string, unknown>>());
    report.forEach((stat: Record<string, unknown>) => {
      if (stat["type"] === "outbound-rtp") {
        bytes += Number(stat["bytesSent"] ?? 0);
        frames += Number(stat["framesEncoded"] ?? 0);
        if (stat["frameWidth"]) {
          size = `${stat["frameWidth"]} × ${stat["frameHeight"]}, `;
        }
      }
    });
    const now = { at: performance.now(), bytes, frames };
    const before = this.sent;
    this.sent = now;
    if (before !== undefined && now.bytes >= before.bytes) {
      const seconds = (now.at - before.at) / 1000;
      const fps = ((now.frames - before.frames) / seconds).toFixed(0);
      box.textContent = `${size}${fps} frames/s, ${bitrateWords(((now.bytes - before.bytes) * 8) / seconds)}`;
    }
  }
}

const stateWords = { off: "Not publishing", connecting: "Connecting", live: "On air", waiting: "Interrupted" } as const;

/** fill replaces the options and keeps the choice, if it is still there. */
function fill(list: HTMLSelectElement, options: readonly Option[]): void {
  const chosen = list.value;
  list.replaceChildren(...options.map(({ value, label }) => new Option(label, value)));
  if (options.some(({ value }) => value === chosen)) {
    list.value = chosen;
  }
}

function guard(error: unknown): void {
  console.error("streampair: internal error", error);
  element("message").textContent = "This page has a problem. Reload it to go on.";
  element("publisher").dataset["phase"] = "problem";
}

window.addEventListener("error", (event) => {
  event.preventDefault();
  guard(event.error ?? event.message);
});
window.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  guard(event.reason);
});
void new Page().run();
