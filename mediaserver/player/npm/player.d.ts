/** What `<stream-pair>` offers to scripts. docs/players.md of Streampair explains it. */

/** Which leg of the pair is on air, and why. */
export interface ActiveLeg {
  /** "Primary" or "Backup". */
  readonly role: string;
  readonly streamId: string;
  /** A word in PascalCase, such as "PrimaryInputLost"; "" if the server gives none. */
  readonly reason: string;
  /** Since when, in the form of RFC 3339; "" if the server does not say. */
  readonly since: string;
  /** Switches so far. */
  readonly switches: number;
}

export interface PlayingDetail {
  readonly role: string;
  readonly streamId: string;
  /** Of the picture, in its own pixels; 0 for sound alone. */
  readonly width: number;
  readonly height: number;
  readonly muted: boolean;
}

export interface WaitingDetail {
  readonly phase: "connecting" | "waiting" | "reconnecting" | "error" | (string & {});
  /** One sentence for a viewer. */
  readonly message: string;
}

export interface ErrorDetail {
  /** "unauthorized", "unreachable", "bad-address", … A newer version may have more. */
  readonly code: string;
  /** One or two sentences for a viewer. */
  readonly message: string;
  /** The element goes on by itself. */
  readonly retrying: boolean;
}

export interface TokenExpiringDetail {
  /** In the form of RFC 3339. */
  readonly expires: string;
  readonly secondsLeft: number;
}

/** The events of the element. They are dispatched at the element and do not bubble. */
export interface StreamPairEventMap {
  /** Something can be seen or heard for the first time. */
  ready: CustomEvent<PlayingDetail>;
  /** The picture moves, or the sound of a programme without one; the first time and after each gap. */
  playing: CustomEvent<PlayingDetail>;
  /** There is no moving picture, and why. */
  waiting: CustomEvent<WaitingDetail>;
  /** A picture that moved has stopped. The last frame stays. */
  stalled: CustomEvent<WaitingDetail>;
  /** Another leg is on air. */
  switched: CustomEvent<ActiveLeg>;
  /** Something failed. */
  error: CustomEvent<ErrorDetail>;
  /** The token is a JSON Web Token and ends within a minute, or has ended: set `token`. Once a token. */
  tokenexpiring: CustomEvent<TokenExpiringDetail>;
  /** `paused` has changed. */
  pausechange: CustomEvent<null>;
  /** `muted` or `volume` has changed. */
  volumechange: CustomEvent<null>;
}

/** What the element is doing. A newer version may tell more. */
export interface StreamPairState {
  readonly name: string;
  readonly backupStreamId: string;
  /** How the picture comes that is shown. */
  readonly protocol: "webrtc" | "hls";
  readonly phase: "idle" | "connecting" | "waiting" | "playing" | "reconnecting" | "error";
  /** One sentence for a viewer; "" while it plays. */
  readonly message: string;
  /** There is a picture on screen. */
  readonly picture: boolean;
  /** The browser refuses sound until somebody taps. */
  readonly mutedByBrowser: boolean;
  /** "Primary" or "Backup"; "" before anything was played. */
  readonly active: string;
  readonly activeStreamId: string;
  /** Media goes out now. */
  readonly onAir: boolean;
  readonly reason: string;
  readonly since: string;
  readonly switches: number;
}

export interface StreamPairElement extends HTMLElement {
  /** The stream to play; the primary of a pair. Reflects the attribute. */
  name: string;
  /** The other stream of the pair; "" plays `name` alone. Reflects the attribute. */
  backup: string;
  /** The app's address at the server, such as "https://live.example.com/live/". Reflects the attribute. Without one: where the script came from. */
  server: string;
  /** "webrtc,hls" (the default), "webrtc", "hls" or "hls,webrtc". Reflects the attribute `play-order`. */
  playOrder: string;
  /** Start without being asked. Reflects the attribute. */
  autoplay: boolean;
  /** Show controls and take keys. Reflects the attribute. */
  controls: boolean;
  /** Show which leg is on. Reflects the attribute, and follows the key `b`. */
  badge: boolean;
  /** Show the statistics panel. Reflects the attribute, and follows the key `i`. */
  statistics: boolean;

  /** The viewer's token; "" for none. The attribute is its first value. A new one counts from the next request on, and what plays goes on. */
  token: string;
  /** Whether sound is off now. The attribute `muted` is its first value. */
  muted: boolean;
  /** 0 to 1; another value is a RangeError. */
  volume: number;
  /** Whether captions are wanted. They come by HLS, which is played first meanwhile. The attribute `captions` is its first value. */
  captions: boolean;

  /** The viewer has paused, or nothing was started. */
  readonly paused: boolean;
  /** What it is doing; null while it is in no document, or has no valid name. */
  readonly state: StreamPairState | null;
  /** The element with the picture; null while there is none. */
  readonly video: HTMLVideoElement | null;

  /** Starts, or goes on at the live edge. Before the element is in a document: starts when it is. Browsers allow sound only during a click or a key. */
  play(): void;
  /** Freezes the picture. */
  pause(): void;
  /** Ends the wait for the next attempt. */
  retry(): void;
  /** What arrives now: resolution, frame rate, bit rate, delay and more. */
  stats(): Promise<Readonly<Record<string, unknown>> | null>;
  /** Opens or closes picture in picture; during a click or a key. */
  togglePictureInPicture(): void;

  addEventListener<K extends keyof StreamPairEventMap>(type: K, listener: (this: StreamPairElement, event: StreamPairEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof StreamPairEventMap>(type: K, listener: (this: StreamPairElement, event: StreamPairEventMap[K]) => unknown, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}

export const StreamPairElement: { new (): StreamPairElement; prototype: StreamPairElement };

declare global {
  interface HTMLElementTagNameMap {
    "stream-pair": StreamPairElement;
  }
}
