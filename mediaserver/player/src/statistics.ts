/** What WebRTC's statistics say, made small. Pure. */

export interface TrackReading {
  readonly ssrc: number;
  readonly bytes: number;
  readonly packets: number;
  readonly lost: number;
  readonly codec: string;
  readonly jitterBufferSeconds: number;
  readonly jitterBufferEmitted: number;
  /** How long before the reading the last packet came, milliseconds; undefined where the browser does not say. */
  readonly packetAgeMs: number | undefined;
  /** When what is heard or seen now was sent, milliseconds since 1970 on the server's clock; 0 if unknown. */
  readonly playoutAt: number;
}

export interface VideoReading extends TrackReading {
  readonly width: number;
  readonly height: number;
  readonly framesDecoded: number;
  readonly framesDropped: number;
  readonly freezes: number;
  readonly frozenSeconds: number;
}

export interface AudioReading extends TrackReading {
  readonly samples: number;
  readonly concealed: number;
}

export interface Reading {
  /** performance.now() when it was taken. */
  readonly at: number;
  readonly video: VideoReading | undefined;
  readonly audio: AudioReading | undefined;
  readonly mediaBytes: number;
  readonly transportBytes: number;
  readonly rttMs: number | undefined;
}

/** mediaAt is when the last packet of media came, on the clock of the reading; undefined where the browser does not say. */
export function mediaAt(r: Reading): number | undefined {
  const ages = [r.video?.packetAgeMs, r.audio?.packetAgeMs].filter((age): age is number => age !== undefined);
  return ages.length === 0 ? undefined : r.at - Math.min(...ages);
}

/** Figures are what the panel shows; undefined is "not known (yet)". */
export interface Figures {
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly fps: number | undefined;
  readonly bitrateBPS: number | undefined;
  /** From the server sending to the screen: needs both clocks, so an estimate. */
  readonly delayMs: number | undefined;
  /** The part of it that the browser holds frames back to even out the network. */
  readonly jitterBufferMs: number | undefined;
  readonly rttMs: number | undefined;
  readonly packetsReceived: number;
  readonly packetsLost: number;
  readonly framesDropped: number;
  readonly freezes: number;
  /** For how long the picture stood still in all, milliseconds. */
  readonly frozenMs: number;
  readonly videoCodec: string;
  readonly audioCodec: string;
  /** How often, and for how many milliseconds in all, the picture stood because no media had come; HLS only. */
  readonly rebufferings?: number;
  readonly rebufferedMs?: number;
}

type Stat = Record<string, unknown> & { type?: unknown };

/** NTP counts from 1900, Unix from 1970. */
const ntpToUnixMs = 2_208_988_800_000;

/** readStats reduces an RTCStatsReport (its values) to a Reading. */
export function readStats(stats: Iterable<unknown>, at: number): Reading {
  const byId = new Map<string, Stat>();
  for (const stat of stats) {
    const s = stat as Stat;
    byId.set(text(s["id"]), s);
  }
  let video: VideoReading | undefined;
  let audio: AudioReading | undefined;
  let transport: number | undefined;
  let pair: Stat | undefined;
  for (const s of byId.values()) {
    switch (s.type) {
      case "inbound-rtp":
        if (s["kind"] === "video") {
          video = readVideo(s, byId);
        } else if (s["kind"] === "audio") {
          audio = readAudio(s, byId);
        }
        break;
      case "transport":
        transport = count(s["bytesReceived"]);
        pair = byId.get(text(s["selectedCandidatePairId"])) ?? pair;
        break;
      case "candidate-pair":
        // Firefox has no transport entry and marks the pair itself.
        if (pair === undefined && (s["selected"] === true || s["nominated"] === true)) {
          pair = s;
        }
        break;
    }
  }
  const mediaBytes = (video?.bytes ?? 0) + (audio?.bytes ?? 0);
  const rtt = pair?.["currentRoundTripTime"];
  return {
    at,
    video,
    audio,
    mediaBytes,
    transportBytes: transport ?? count(pair?.["bytesReceived"]),
    rttMs: typeof rtt === "number" ? rtt * 1000 : undefined,
  };
}

function readTrack(s: Stat, byId: Map<string, Stat>): TrackReading {
  const playout = count(s["estimatedPlayoutTimestamp"]);
  const packetAge = count(s["timestamp"]) - count(s["lastPacketReceivedTimestamp"]);
  return {
    ssrc: count(s["ssrc"]),
    bytes: count(s["bytesReceived"]),
    packets: count(s["packetsReceived"]),
    lost: Math.max(0, count(s["packetsLost"])),
    codec: text(byId.get(text(s["codecId"]))?.["mimeType"]).replace(/^(audio|video)\//, ""),
    jitterBufferSeconds: count(s["jitterBufferDelay"]),
    jitterBufferEmitted: count(s["jitterBufferEmittedCount"]),
    // Browsers count both from 1970; one that counted differently would be off by decades.
    packetAgeMs: packetAge >= 0 && packetAge < 60_000 ? packetAge : undefined,
    playoutAt: playout > ntpToUnixMs ? playout - ntpToUnixMs : playout,
  };
}

function readVideo(s: Stat, byId: Map<string, Stat>): VideoReading {
  return {
    ...readTrack(s, byId),
    width: count(s["frameWidth"]),
    height: count(s["frameHeight"]),
    framesDecoded: count(s["framesDecoded"]),
    framesDropped: count(s["framesDropped"]),
    freezes: count(s["freezeCount"]),
    frozenSeconds: count(s["totalFreezesDuration"]),
  };
}

function readAudio(s: Stat, byId: Map<string, Stat>): AudioReading {
  return {
    ...readTrack(s, byId),
    samples: count(s["totalSamplesReceived"]),
    concealed: count(s["concealedSamples"]),
  };
}

/**
 * figures compares two readings of one connection. `clockOffsetMs` is the server's
 * clock minus this machine's, `wallMs` this machine's time of the later reading.
 */
export function figures(
  before: Reading | undefined,
  after: Reading,
  clockOffsetMs: number | undefined,
  wallMs: number,
): Figures {
  const seconds = before === undefined ? 0 : (after.at - before.at) / 1000;
  const rate = (now: number, then: number | undefined): number | undefined =>
    seconds > 0 && then !== undefined && now >= then ? (now - then) / seconds : undefined;
  const video = after.video;
  const bytes = rate(after.mediaBytes, before?.mediaBytes);
  return {
    width: video?.width || undefined,
    height: video?.height || undefined,
    fps: video && rate(video.framesDecoded, before?.video?.framesDecoded),
    bitrateBPS: bytes === undefined ? undefined : bytes * 8,
    delayMs: delayMs(video ?? after.audio, clockOffsetMs, wallMs),
    jitterBufferMs: jitterBufferMs(before?.video ?? before?.audio, video ?? after.audio),
    rttMs: after.rttMs,
    packetsReceived: (video?.packets ?? 0) + (after.audio?.packets ?? 0),
    packetsLost: (video?.lost ?? 0) + (after.audio?.lost ?? 0),
    framesDropped: video?.framesDropped ?? 0,
    freezes: video?.freezes ?? 0,
    frozenMs: (video?.frozenSeconds ?? 0) * 1000,
    videoCodec: video?.codec ?? "",
    audioCodec: after.audio?.codec ?? "",
  };
}

function delayMs(track: TrackReading | undefined, clockOffsetMs: number | undefined, wallMs: number): number | undefined {
  if (track === undefined || track.playoutAt === 0 || clockOffsetMs === undefined) {
    return undefined;
  }
  const delay = wallMs + clockOffsetMs - track.playoutAt;
  // Beyond a minute it is a clock that is wrong, or nothing is playing.
  return delay >= 0 && delay < 60_000 ? delay : undefined;
}

function jitterBufferMs(before: TrackReading | undefined, after: TrackReading | undefined): number | undefined {
  if (before === undefined || after === undefined || before.ssrc !== after.ssrc) {
    return undefined;
  }
  const emitted = after.jitterBufferEmitted - before.jitterBufferEmitted;
  return emitted > 0 ? ((after.jitterBufferSeconds - before.jitterBufferSeconds) / emitted) * 1000 : undefined;
}

function count(v: unknown): number {
  return typeof v === "number" && Number.isFinite(v) ? v : 0;
}

function text(v: unknown): string {
  return typeof v === "string" ? v : "";
}
