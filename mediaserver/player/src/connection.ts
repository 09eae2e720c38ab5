import { eventsSessionOf } from "./bases.ts";
import { type Failure, SessionError, internalFailure, noConnection, serverLost } from "./failure.ts";
import { withStereoOpus } from "./sdp.ts";
import { Session, type SessionTarget } from "./session.ts";
import { type Flow, observe, rest, startFlow } from "./stall.ts";
import { type Reading, mediaAt, readStats } from "./statistics.ts";
import type { ConnectionFacts } from "./trouble.ts";

/** A programme whose sound has come for this long without a picture has no picture. */
const soundOnlyMs = 1_500;
/** Rates over less than this jump about. */
const rateMs = 1_000;

/**
 * A Connection is one WHEP session and the video element that it fills. It knows when
 * it has something to show and how much has arrived; it decides nothing.
 */
export class Connection {
  readonly pc: RTCPeerConnection;
  reading: Reading | undefined;
  /** The page has ended it. */
  closed = false;

  private readonly history: Reading[] = [];
  private readonly session: Session;
  private phase: ConnectionFacts["phase"] = "opening";
  private readonly openedAt = performance.now();
  private connectedAt: number | undefined;
  private disconnectedAt: number | undefined;
  private failure: Failure | undefined;
  private lostAt: number | undefined;
  private flow: Flow;
  private firstFrameAt: number | undefined;
  private picture = false;
  private soundSince: number | undefined;
  private frameCallback: number | undefined;
  private tracks: MediaStreamTrack[] = [];
  private sampling: Promise<void> | undefined;

  /** number counts the page's connections from 1. changed is called after facts changed. */
  constructor(
    readonly number: number,
    readonly base: string,
    readonly video: HTMLVideoElement,
    target: SessionTarget,
    private readonly changed: () => void,
  ) {
    this.flow = startFlow(this.openedAt);
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.session = new Session(this.pc, target);
    this.pc.addEventListener("connectionstatechange", () => this.connectionChanged());
    this.pc.addEventListener("track", (event) => this.addTrack(event));
  }

  /** previous is a reading at least a second before the last one, to compute rates from. */
  get previous(): Reading | undefined {
    return this.history[0] === this.reading ? undefined : this.history[0];
  }

  get resource(): string | undefined {
    return this.session.resource;
  }

  /** eventsSession is the session's name in the URLs of its events. */
  get eventsSession(): string {
    const { eventsSession, resource } = this.session;
    return eventsSession ?? eventsSessionOf(resource);
  }

  get facts(): ConnectionFacts {
    const { number, base, phase, openedAt, connectedAt, disconnectedAt, failure, flow, firstFrameAt, lostAt } = this;
    return { number, base, phase, openedAt, answered: this.session.answered, connectedAt, disconnectedAt, failure, flow, firstFrameAt, lostAt };
  }

  /** hasPicture is false for a programme that has only been heard. */
  get hasPicture(): boolean {
    return this.picture;
  }

  async open(): Promise<void> {
    this.pc.addTransceiver("video", { direction: "recvonly" });
    this.pc.addTransceiver("audio", { direction: "recvonly" });
    try {
      await this.session.open(withStereoOpus, () => this.changed());
    } catch (error) {
      this.fail(error instanceof SessionError ? error.failure : internalFailure(error));
    }
  }

  /** renew gives the session another token. */
  renew(token: string): void {
    void this.session.renew(token);
  }

  /** close ends the session. The element keeps its last frame until it is given another stream. */
  close(): void {
    this.closed = true;
    this.phase = "failed";
    this.forgetFrameCallback();
    this.session.close();
  }

  /** release empties the element as well. */
  release(): void {
    this.close();
    this.video.srcObject = null;
  }

  /** markLost notes that the server was found dead. */
  markLost(): void {
    this.lostAt = performance.now();
  }

  /** restFlow forgets a quiet time in which the page was not looking; not one that has been judged. */
  restFlow(): void {
    if (this.lostAt === undefined || this.flow.mediaAt > this.lostAt) {
      this.flow = rest(this.flow, performance.now());
    }
  }

  /** sample reads the statistics; calls that overlap wait for the same reading. */
  sample(): Promise<void> {
    this.sampling ??= this.read().finally(() => (this.sampling = undefined));
    return this.sampling;
  }

  private async read(): Promise<void> {
    if (this.closed) {
      return;
    }
    try {
      const report = await this.pc.getStats();
      if (!this.closed) {
        this.take(readStats(report.values(), performance.now()));
      }
    } catch {
      // A connection closed meanwhile has no statistics.
    }
  }

  private take(reading: Reading): void {
    this.reading = reading;
    this.history.push(reading);
    while (this.history.length > 2 && reading.at - (this.history[1]?.at ?? 0) >= rateMs) {
      this.history.shift();
    }
    this.flow = observe(this.flow, { at: reading.at, media: reading.mediaBytes, mediaAt: mediaAt(reading), transport: reading.transportBytes });
    this.chooseTracks(reading);
    this.lookWithoutFrameCallback(reading);
  }

  /** On a hidden page no frame is composed, so none is reported, and a programme may have no picture. */
  private lookWithoutFrameCallback(reading: Reading): void {
    const decoded = (reading.video?.framesDecoded ?? 0) > 0;
    const noCallback = document.hidden || !("requestVideoFrameCallback" in this.video);
    if (!this.picture && decoded && noCallback) {
      this.saw(true);
    } else if (this.firstFrameAt === undefined && this.soundOnly(reading)) {
      this.saw(false);
    }
  }

  private soundOnly(reading: Reading): boolean {
    if ((reading.audio?.bytes ?? 0) === 0 || (reading.video?.bytes ?? 0) > 0) {
      this.soundSince = undefined;
      return false;
    }
    this.soundSince ??= reading.at;
    return reading.at - this.soundSince >= soundOnlyMs;
  }

  /**
   * chooseTracks leaves a video track without pictures out of the element's stream:
   * an element waits for the first picture of every video track before it plays sound.
   * Nothing on screen is lost by a new stream, because there was no picture yet.
   */
  private chooseTracks(reading: Reading): void {
    const stream = this.video.srcObject;
    if (!(stream instanceof MediaStream)) {
      return;
    }
    const has = stream.getVideoTracks().length > 0;
    if (has && this.soundOnly(reading)) {
      this.fill(this.tracks.filter((track) => track.kind === "audio"));
    } else if (!has && (reading.video?.bytes ?? 0) > 0) {
      this.fill(this.tracks);
    }
  }

  private fill(tracks: MediaStreamTrack[]): void {
    this.forgetFrameCallback();
    // A new stream object: the element must not show the previous connection's.
    this.video.srcObject = new MediaStream(tracks);
    this.watchForFrame();
    void this.video.play().catch(() => {
      // Interrupted by a newer stream, or not allowed before a tap: the player asks again when it shows the element.
    });
  }

  private addTrack({ track, receiver }: RTCTrackEvent): void {
    this.tracks.push(track);
    // A server that ends a session says so in DTLS; ICE alone would notice much later.
    receiver.transport?.addEventListener("statechange", () => {
      if (receiver.transport?.state === "closed") {
        this.fail(serverLost);
      }
    });
    if (this.tracks.length < 2 || this.closed) {
      return; // both come with the answer; the element is given them together
    }
    this.fill(this.tracks);
  }

  private watchForFrame(): void {
    if ("requestVideoFrameCallback" in this.video) {
      this.frameCallback = this.video.requestVideoFrameCallback(() => this.saw(true));
    }
  }

  private forgetFrameCallback(): void {
    if (this.frameCallback !== undefined) {
      this.video.cancelVideoFrameCallback(this.frameCallback);
      this.frameCallback = undefined;
    }
  }

  /** saw: there is something to show, with a picture or without. */
  private saw(picture: boolean): void {
    if (!this.closed) {
      this.firstFrameAt ??= performance.now();
      this.picture ||= picture;
      this.changed();
    }
  }

  private connectionChanged(): void {
    if (this.closed) {
      return;
    }
    const now = performance.now();
    switch (this.pc.connectionState) {
      case "connected":
        this.phase = "connected";
        if (this.connectedAt === undefined) {
          this.connectedAt = now;
          // On a slow machine or network connecting itself takes seconds: no stall.
          this.flow = rest(this.flow, now);
        }
        this.disconnectedAt = undefined;
        break;
      case "disconnected":
        this.disconnectedAt ??= now;
        break;
      case "failed":
      case "closed":
        this.fail(this.endedByServer() ? serverLost : noConnection);
        return;
    }
    this.changed();
  }

  private endedByServer(): boolean {
    return this.pc.getReceivers().some((receiver) => receiver.transport?.state === "closed");
  }

  private fail(failure: Failure): void {
    if (!this.closed && this.phase !== "failed") {
      this.phase = "failed";
      this.failure = failure;
      this.changed();
    }
  }
}
