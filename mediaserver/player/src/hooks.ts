import type { PlayParameters } from "./parameters.ts";
import type { Playback } from "./playback.ts";

/**
 * publishHooks sets window.streampair, for scripts of the page's own origin: embedders
 * that want more than the events, and our browser tests. docs/players.md documents it.
 */
export function publishHooks(parameters: PlayParameters, notices: readonly string[], player: Playback): void {
  const hooks = {
    state: () => stateOf(parameters, notices, player),
    stats: () => statsOf(player),
    /** The RTCPeerConnection whose picture is shown; while HLS plays undefined. */
    connection: () => player.connection?.pc,
    /** The element whose picture is shown. */
    video: () => player.video,
    play: () => player.tapped(),
    toggleMute: () => player.setMuted(!player.snapshot.muted),
    togglePause: () => player.setPaused(!player.snapshot.paused),
  };
  Object.defineProperty(window, "streampair", { value: Object.freeze(hooks) });
}

/** stateOf is what the player is doing. */
export function stateOf({ name, backupStreamId }: PlayParameters, notices: readonly string[], player: Playback) {
  const { view, pair, muted, volume, mutedByBrowser, paused, picture, captions } = player.snapshot;
  const { opened, pending, eventsConnected } = player.counters;
  return {
    name,
    backupStreamId,
    /** "webrtc" or "hls": what is shown. */
    protocol: player.way,
    phase: view.phase,
    message: view.message,
    picture,
    muted,
    volume,
    mutedByBrowser,
    paused,
    captions,
    active: pair?.active ?? "",
    activeStreamId: pair?.activeStreamId ?? "",
    onAir: pair?.onAir ?? false,
    reason: pair?.reason ?? "",
    since: pair?.since ?? "",
    switches: pair?.switches ?? 0,
    legs: pair?.legs ?? [],
    warnings: pair?.warnings ?? [],
    servedBy: pair?.servedBy ?? "",
    reduced: pair?.reduced ?? false,
    eventsConnected,
    /** Sessions opened since the player was made. */
    connectionsOpened: opened,
    /** Sessions are being opened beside the one shown. */
    pending,
    notices,
  };
}

/** statsOf is what arrives, now. */
export async function statsOf(player: Playback) {
  const c = player.connection;
  await c?.sample();
  const { video, audio } = c?.reading ?? {};
  return {
    protocol: player.way,
    connection: c?.number ?? 0,
    session: c?.resource ?? "",
    connectionState: c?.pc.connectionState ?? "closed",
    ...player.figures,
    video: video ?? null,
    audio: audio ?? null,
  };
}
