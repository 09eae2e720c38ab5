import { eventsAddress, whepAddress } from "./bases.ts";
import { Connection } from "./connection.ts";
import { type Act, type Facts, type MoveFacts, decide, followed, settledMs, swapAt } from "./decide.ts";
import { EventFeed } from "./events.ts";
import type { Failure } from "./failure.ts";
import { type Tell, tellFailure } from "./host.ts";
import { Lane } from "./lane.ts";
import type { PlayParameters } from "./parameters.ts";
import { stretchedAspect } from "./pairstate.ts";
import type { Sound } from "./sound.ts";
import { type Figures, figures } from "./statistics.ts";
import { lookAgainMs } from "./trouble.ts";
import type { View } from "./view.ts";

/** A server that is about to end says so to all its players at once: they leave it within this time. */
const moveWithinMs = 1_000;
/** A tick this late means that the page was frozen or throttled: quiet proves nothing. */
const lateMs = 1_000;
/** No two ticks are closer together. */
const leastTickMs = 10;
/** Decisions at a time: some for each lane. */
const mostActs = 16;
/** Addresses that refusals have named are remembered, the newest of them. */
const mostAlternates = 2;

/**
 * A Player plays by WebRTC. It owns the connections and the elements they are shown in,
 * asks decide what to do, and does it. It calls `changed` whenever it has looked.
 *
 * Each connection has an element of its own from the start, drawn below the one shown, so
 * that the frame by which it wins is on screen the moment it is put in front. There is one
 * more element than lanes. They are in the page from the beginning, because some browsers
 * allow sound to each element by itself, and only to those there were at the tap.
 */
export class Player {
  private shown: Connection | undefined;
  private lanes: Lane[] = [];
  private readonly feed: EventFeed;
  private started = false;
  private needs = 0;
  private lastFailure: Failure | undefined;
  private alternates: string[] = [];
  private onAirSince = 0;
  private onAir: boolean | undefined;
  private feedAnswered = false;
  private move: MoveFacts | undefined;
  private opened = 0;
  private tickTimer: number | undefined;
  private tickedAt = 0;
  private tickDue = 0;
  /** What to say of WebRTC. */
  view: View = { phase: "idle", message: "", detail: "", failure: undefined };

  constructor(
    private readonly parameters: PlayParameters,
    private readonly videos: readonly HTMLVideoElement[],
    /** The address of the app, ending in "/": WHEP and events are below it. */
    private readonly base: URL,
    private readonly sound: Sound,
    private readonly tell: Tell,
    private readonly changed: () => void,
  ) {
    this.feed = new EventFeed(() => this.feedChanged());
    videos.forEach((video) => video.addEventListener("resize", () => this.draw()));
  }

  start(): void {
    if (this.started) {
      return;
    }
    this.started = true;
    this.tickedAt = this.tickDue = performance.now();
    this.evaluate();
  }

  /** stop ends the sessions; the last frame stays. start begins again. */
  stop(): void {
    this.started = false;
    window.clearTimeout(this.tickTimer);
    this.feed.stop();
    this.closeLanes();
    this.shown?.close();
    this.lastFailure = undefined;
    this.needs = 0;
  }

  /** release ends the sessions and empties the elements, for good. */
  release(): void {
    this.stop();
    this.shown?.release();
  }

  /** retryNow ends the waits under way. */
  retryNow(): void {
    const now = performance.now();
    this.lanes.forEach((lane) => lane.retryAt(now));
    this.evaluate();
  }

  /** retrySoon is retryNow for signs that a thousand players see at once. */
  retrySoon(): void {
    const now = performance.now();
    this.lanes.forEach((lane) => lane.retrySoon(now));
    this.feed.retrySoon();
    this.schedule();
  }

  /** becameVisible begins to look again. */
  becameVisible(): void {
    this.rest();
    this.evaluate();
  }

  get figures(): Figures | undefined {
    const c = this.shown;
    return c?.reading && figures(c.previous, c.reading, this.feed.clockOffsetMs, Date.now() - (performance.now() - c.reading.at));
  }

  get connection(): Connection | undefined {
    return this.shown ?? this.pending[0];
  }

  /** video is the element whose picture is shown. */
  get video(): HTMLVideoElement | undefined {
    return this.shown?.video;
  }

  get hasPicture(): boolean {
    return this.shown?.hasPicture ?? false;
  }

  /** events are those of the session followed. */
  get events(): EventFeed {
    return this.feed;
  }

  /** Numbers for the hooks. */
  get counters(): { opened: number; pending: boolean; eventsConnected: boolean } {
    return {
      opened: this.opened,
      pending: this.pending.length > 0,
      eventsConnected: this.feed.health.ok,
    };
  }

  /** renew gives all connections another token. */
  renew(token: string): void {
    [this.shown, ...this.pending].forEach((connection) => connection?.renew(token));
  }

  /** pending are the connections that wait to be shown. */
  private get pending(): Connection[] {
    return this.lanes.flatMap((lane) => lane.connection ?? []);
  }

  private tick(): void {
    const now = performance.now();
    if (now - this.tickDue > lateMs) {
      this.rest();
    }
    this.tickedAt = now;
    this.evaluate();
    void Promise.all([this.shown, ...this.pending].map((c) => c?.sample())).then(() => this.evaluate());
  }

  /** schedule sets the timer for the next look, or for the end of a wait if that is sooner. */
  private schedule(): void {
    window.clearTimeout(this.tickTimer);
    if (!this.started) {
      return;
    }
    const facts = this.facts();
    const watched = [facts.shown, ...facts.lanes.map((lane) => lane.connection)].find((c) => c !== undefined && c.number === facts.feed.follows);
    const waits = facts.lanes.map(({ connection, nextAt }) => (connection === undefined ? nextAt : swapAt(connection, true)));
    const move = this.move !== undefined && this.move.at > facts.now ? [this.move.at] : [];
    this.tickDue = Math.max(facts.now, Math.min(this.tickedAt + lookAgainMs(facts, watched), ...waits, ...move));
    // A wait that is over and leads to nothing must not make it spin.
    this.tickDue = Math.max(this.tickDue, this.tickedAt + leastTickMs);
    this.tickTimer = window.setTimeout(() => this.tick(), this.tickDue - facts.now);
  }

  /** evaluate decides and acts until there is nothing more to do now. */
  private evaluate(): void {
    for (let i = 0; i < mostActs && this.started; i++) {
      this.follow();
      const decision = decide(this.facts());
      this.view = decision.view;
      if (decision.act.kind === "none") {
        break;
      }
      this.perform(decision.act);
    }
    this.settle();
    this.schedule();
    this.draw();
  }

  private facts(): Facts {
    const { follows, health, heard, heardAt, gone, state } = this.feed;
    return {
      now: performance.now(),
      hidden: document.hidden,
      started: this.started,
      parameters: this.parameters,
      page: this.base.href,
      alternates: this.alternates,
      // One that stop has closed only keeps its frame on screen: nothing is wrong with it.
      shown: this.shown?.closed ? undefined : this.shown?.facts,
      lanes: this.lanes.map((lane) => lane.facts),
      feed: { follows, ...health, heard, heardAt, gone, state, onAirSince: this.onAirSince },
      move: this.move,
      needs: this.needs,
      lastFailure: this.lastFailure,
    };
  }

  /** follow has the events of the right session followed. */
  private follow(): void {
    const number = followed(this.facts());
    const c = [this.shown, ...this.pending].find((c) => c?.number === number);
    if (c !== undefined) {
      this.feed.follow(c.number, () => eventsAddress(c.base, this.parameters, c.eventsSession));
    }
  }

  private perform(act: Act): void {
    switch (act.kind) {
      case "none":
        break;
      case "add":
        this.add(act);
        break;
      case "open":
        this.open(act.lane);
        break;
      case "abandon":
        this.abandon(act.lane, act.failure);
        break;
      case "keep":
        this.closeLanes(this.lanes[act.lane]);
        break;
      case "swap":
        this.swap(this.lanes[act.lane]);
        break;
      case "calm":
        this.closeLanes();
        this.lastFailure = undefined;
        break;
    }
  }

  private add({ targets, pace, failure }: Extract<Act, { kind: "add" }>): void {
    if (failure !== undefined) {
      this.needs++;
      this.lastFailure = failure;
      if (failure.code === "server-lost") {
        this.shown?.markLost();
      }
      tellFailure(this.tell, failure);
    }
    const now = performance.now();
    this.lanes.push(...targets.map((target) => new Lane(target, pace, this.needs, now)));
  }

  private open(number: number): void {
    const lane = this.lanes[number];
    const used = [this.shown, ...this.pending].map((c) => c?.video);
    const video = this.videos.find((video) => !used.includes(video));
    if (lane === undefined || video === undefined) {
      throw new Error("there is no element for another connection");
    }
    video.muted = true;
    const { base } = lane.target;
    const { name, token } = this.parameters;
    const target = { purpose: "play" as const, stream: name, url: whepAddress(base, this.parameters), token, answerMs: lane.answerMs };
    this.opened++;
    const connection = new Connection(this.opened, base, video, target, () => this.evaluate());
    lane.connection = connection;
    void connection.open();
  }

  private abandon(number: number, failure: Failure): void {
    const lane = this.lanes[number];
    if (lane === undefined) {
      return;
    }
    if (failure.alternate !== undefined && !this.alternates.includes(failure.alternate)) {
      this.alternates = [failure.alternate, ...this.alternates].slice(0, mostAlternates);
    }
    this.lastFailure = failure;
    if (lane.failed(failure, performance.now())) {
      tellFailure(this.tell, failure);
    }
  }

  private swap(lane: Lane | undefined): void {
    const old = this.shown;
    this.shown = lane?.connection;
    if (lane !== undefined) {
      lane.connection = undefined; // it is no lane's any more
    }
    this.closeLanes();
    this.lastFailure = undefined;
    if (this.shown !== undefined) {
      this.sound.show(this.shown.video);
    }
    old?.release();
  }

  private closeLanes(but?: Lane): void {
    for (const lane of this.lanes) {
      if (lane !== but) {
        lane.release();
      }
    }
    this.lanes = this.lanes.filter((lane) => lane === but);
  }

  /** settle ends the back-off once a connection has proved itself. */
  private settle(): void {
    const c = this.pending.find((c) => c.facts.phase === "connected") ?? (this.lanes.length === 0 ? this.shown : undefined);
    const connectedAt = c?.facts.connectedAt;
    if (c?.facts.phase !== "connected" || connectedAt === undefined) {
      return;
    }
    this.lastFailure = undefined;
    if (performance.now() - connectedAt > settledMs) {
      this.needs = 0;
    }
  }

  private feedChanged(): void {
    const state = this.feed.state;
    if (state !== undefined && state.onAir !== this.onAir) {
      this.onAir = state.onAir;
      this.onAirSince = performance.now();
    }
    const { health, follows, gone } = this.feed;
    if (state?.draining === true && health.ok && follows !== undefined && follows === this.shown?.number && this.move?.from !== follows) {
      this.move = { from: follows, at: performance.now() + Math.random() * moveWithinMs };
    }
    if ((health.ok || gone) && !this.feedAnswered) {
      this.retrySoon(); // the server is there again
    }
    this.feedAnswered = health.ok || gone;
    this.evaluate();
  }

  private rest(): void {
    this.feed.rest();
    [this.shown, ...this.pending].forEach((c) => c?.restFlow());
  }

  /** stretch shows the picture in its shape, where its pixels are not square. */
  private stretch(): void {
    const video = this.connection?.video;
    if (video === undefined) {
      return;
    }
    const aspect = stretchedAspect(this.feed.state, video.videoWidth, video.videoHeight);
    video.classList.toggle("stretched", aspect !== undefined);
    video.style.setProperty("--aspect", String(aspect ?? ""));
  }

  private draw(): void {
    this.stretch();
    this.changed();
  }
}
