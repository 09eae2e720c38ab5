import { refusedWait, retryWait } from "./backoff.ts";
import { preferH264 } from "./codecs.ts";
import { settledMs } from "./decide.ts";
import { type Failure, SessionError, internalFailure, noConnection } from "./failure.ts";
import { withStereoOpus } from "./sdp.ts";
import { Session, type SessionTarget } from "./session.ts";
import { connectLimitMs, disconnectedLimitMs } from "./trouble.ts";

/** Enough for 720p30; more than a home's upstream carries helps nobody. */
const videoBitrateBPS = 2_500_000;

export interface PublisherState {
  readonly phase: "off" | "connecting" | "live" | "waiting";
  readonly failure: Failure | undefined;
  /** performance.now() of the next attempt, while waiting. */
  readonly retryAt: number | undefined;
}

export const noH264: Failure = {
  code: "unsupported",
  message: "This browser cannot encode H.264, which the server needs. Try Chrome, Edge or Safari.",
  lasting: true,
  retryAfterMs: 0,
};

/**
 * A Publisher keeps one WHIP session alive, with back-off between attempts, until it
 * is stopped. Unlike a player it drops the old session first: a stream has one
 * publisher, and the server would see two.
 */
export class Publisher {
  state: PublisherState = { phase: "off", failure: undefined, retryAt: undefined };

  private session: Session | undefined;
  private stream: MediaStream | undefined;
  private target: SessionTarget | undefined;
  private attempts = 0;
  private timers: number[] = [];

  constructor(private readonly changed: () => void) {}

  /** The peer connection in use, for statistics. */
  get pc(): RTCPeerConnection | undefined {
    return this.session?.pc;
  }

  start(target: SessionTarget, stream: MediaStream): void {
    this.stop();
    this.target = target;
    this.stream = stream;
    this.attempts = 0;
    this.connect();
  }

  stop(): void {
    this.target = undefined;
    this.endSession();
    this.setState({ phase: "off", failure: undefined, retryAt: undefined });
  }

  /** use sends other sources on the same session where it has a track of that kind, else on a new one. */
  async use(stream: MediaStream): Promise<void> {
    this.stream = stream;
    const pc = this.pc;
    if (pc === undefined) {
      return;
    }
    const senders = pc.getSenders().filter((sender) => sender.track !== null);
    const sameKinds = kinds(stream.getTracks()) === kinds(senders.flatMap((sender) => sender.track ?? []));
    if (!sameKinds) {
      this.connect();
      return;
    }
    for (const sender of senders) {
      const track = stream.getTracks().find((t) => t.kind === sender.track?.kind);
      if (track !== undefined) {
        await sender.replaceTrack(track);
      }
    }
  }

  /** retryNow ends a wait under way. */
  retryNow(): void {
    if (this.state.phase === "waiting") {
      this.connect();
    }
  }

  private connect(): void {
    const { target, stream } = this;
    this.endSession();
    if (target === undefined || stream === undefined) {
      return;
    }
    this.setState({ phase: "connecting", failure: this.state.failure, retryAt: undefined });
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const session = new Session(pc, target);
    this.session = session;
    const fail = (failure: Failure) => {
      if (this.session === session) {
        this.failed(failure);
      }
    };
    pc.addEventListener("connectionstatechange", () => this.connectionChanged(session, fail));
    this.after(connectLimitMs, () => {
      if (pc.connectionState !== "connected") {
        fail(noConnection);
      }
    });
    if (!addTracks(pc, stream)) {
      fail(noH264);
      return;
    }
    session
      .open(withStereoOpus)
      .then(() => limitBitrate(pc))
      .catch((error: unknown) => fail(error instanceof SessionError ? error.failure : internalFailure(error)));
  }

  private connectionChanged(session: Session, fail: (failure: Failure) => void): void {
    if (this.session !== session) {
      return;
    }
    switch (session.pc.connectionState) {
      case "connected":
        this.setState({ phase: "live", failure: undefined, retryAt: undefined });
        this.after(settledMs, () => (this.attempts = 0));
        break;
      case "disconnected":
        this.after(disconnectedLimitMs, () => {
          if (session.pc.connectionState === "disconnected") {
            fail(noConnection);
          }
        });
        break;
      case "failed":
      case "closed":
        fail(noConnection);
        break;
    }
  }

  private failed(failure: Failure): void {
    this.endSession();
    this.attempts++;
    const random = Math.random();
    const wait = failure.lasting ? refusedWait(random, failure.retryAfterMs) : retryWait(this.attempts, random, failure.retryAfterMs);
    this.setState({ phase: "waiting", failure, retryAt: performance.now() + wait });
    this.after(wait, () => this.connect());
  }

  private endSession(): void {
    this.timers.forEach((timer) => window.clearTimeout(timer));
    this.timers = [];
    const session = this.session;
    this.session = undefined; // its events are no longer ours
    session?.close();
  }

  /** after runs act unless the session has ended by then. */
  private after(ms: number, act: () => void): void {
    this.timers.push(window.setTimeout(act, ms));
  }

  private setState(state: PublisherState): void {
    this.state = state;
    this.changed();
  }
}

function kinds(tracks: readonly MediaStreamTrack[]): string {
  return tracks
    .map((track) => track.kind)
    .sort()
    .join();
}

/** addTracks adds send-only transceivers; false if the browser cannot send H.264. */
function addTracks(pc: RTCPeerConnection, stream: MediaStream): boolean {
  for (const track of stream.getTracks()) {
    const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    if (track.kind === "video") {
      const codecs = preferH264(RTCRtpSender.getCapabilities("video")?.codecs ?? []);
      if (codecs.length === 0) {
        return false;
      }
      // Firefox before 128 has no such call, and offers H.264 among others.
      transceiver.setCodecPreferences?.(codecs);
    }
  }
  return true;
}

async function limitBitrate(pc: RTCPeerConnection): Promise<void> {
  for (const sender of pc.getSenders()) {
    if (sender.track?.kind !== "video") {
      continue;
    }
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings ?? []) {
      encoding.maxBitrate = videoBitrateBPS;
    }
    // A refusal leaves the browser's own limit, which works as well.
    await sender.setParameters(parameters).catch(() => {});
  }
}
