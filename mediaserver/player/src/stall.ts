/**
 * Whether a connection has stopped delivering. Pure: samples and now go in.
 *
 * Two counters are watched. Media bytes say that the programme arrives; transport
 * bytes also count RTCP and so say that the path to the server is alive. A quiet
 * programme on a live path is most often the publisher's doing, and a new connection
 * would not help; a quiet path is worth a new connection soon.
 */

/** What the event stream lets us expect of the connection. */
export type Expectation =
  /** The server says that media goes out. */
  | { readonly kind: "media"; readonly since: number }
  /** The server says that there is nothing to play. */
  | { readonly kind: "nothing" }
  /** The event stream is gone too; onAir is what it said last. */
  | { readonly kind: "unknown"; readonly since: number; readonly onAir: boolean };

export interface Sample {
  /** Milliseconds on any steady clock. */
  readonly at: number;
  /** Bytes of RTP received, both tracks. */
  readonly media: number;
  /** When the last of them came; undefined where the browser does not say. */
  readonly mediaAt?: number | undefined;
  /** Bytes received by the transport, RTCP included. */
  readonly transport: number;
}

/** A Flow remembers when the counters last grew. */
export interface Flow {
  readonly began: number;
  readonly media: number;
  readonly mediaAt: number;
  readonly transport: number;
  readonly transportAt: number;
  readonly everMedia: boolean;
  /** When the counters were read last. */
  readonly sampledAt: number;
}

/** Nothing at all arrives although the server says that it sends. */
export const deadPathMs = 3_000;
/** RTCP arrives and media does not, although the server says that it sends. */
export const silentMs = 10_000;
/** Media stopped and the event stream is gone as well: two witnesses, so sooner. */
export const lostBothMs = 1_500;

export function startFlow(now: number): Flow {
  return { began: now, media: 0, mediaAt: now, transport: 0, transportAt: now, everMedia: false, sampledAt: now };
}

/** observe takes a sample into account. Counters that shrink (a new transport) count as growth. */
export function observe(flow: Flow, s: Sample): Flow {
  const media = s.media !== flow.media;
  const transport = s.transport !== flow.transport;
  return {
    began: flow.began,
    media: s.media,
    // A rest may have been later than the packet.
    mediaAt: media ? Math.max(flow.mediaAt, s.mediaAt ?? s.at) : flow.mediaAt,
    transport: s.transport,
    transportAt: media || transport ? s.at : flow.transportAt,
    everMedia: flow.everMedia || s.media > 0,
    sampledAt: s.at,
  };
}

/** rest forgets the quiet so far: after a time in which nobody looked, such as a hidden page. */
export function rest(flow: Flow, now: number): Flow {
  return { ...flow, mediaAt: now, transportAt: now, sampledAt: now };
}

/** quietMs is for how long no media arrived. */
export function quietMs(flow: Flow, now: number): number {
  return now - flow.mediaAt;
}

/** stalled says whether a new connection is worth trying. */
export function stalled(flow: Flow, expected: Expectation, now: number): boolean {
  switch (expected.kind) {
    case "nothing":
      return false;
    case "media": {
      // What was quiet before the server had anything to send does not count.
      const noMedia = now - Math.max(flow.mediaAt, expected.since);
      const noBytes = now - Math.max(flow.transportAt, expected.since);
      return (noMedia >= deadPathMs && noBytes >= deadPathMs) || noMedia >= silentMs;
    }
    case "unknown": {
      // What was quiet while there was nothing to send does not count.
      const quiet = now - (expected.onAir ? flow.mediaAt : Math.max(flow.mediaAt, expected.since));
      if (flow.everMedia && quiet >= lostBothMs) {
        return true;
      }
      // A session that was open and waiting when the events were lost: the server may
      // have gone. One that was opened since then has proved that the server is there.
      return flow.began < expected.since && quiet >= deadPathMs && now - expected.since >= deadPathMs;
    }
  }
}
