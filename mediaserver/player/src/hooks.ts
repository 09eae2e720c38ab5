import type { PlayParameters } from "./parameters.ts";
import type { Playback } from "./playback.ts";

/**
 * publishHooks sets window.streampair, for scripts of the page's own origin: embedders
 * that want more than the events, and our browser tests. docs/players.md documents it.
 */
export function publishHooks(parameters: PlayParameters, notices: readonly string[], player: Playback): void {
  const hooks = {
    /** What the player is doing. */
    state: () => {
      const { view, pair, muted, mutedByBrowser, paused, picture } = player.snapshot;
      const { opened, pending, eventsConnected } = player.counters;
      return {
        name: parameters.name,
        backupStreamId: parameters.backupStreamId,
        /** "webrtc" or "hls": what is shown. */
        protocol: player.way,
        phase: view.phase,
        message: view.message,
        picture,
        muted,
        mutedByBrowser,
        paused,
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
        /** Sessions opened since the page was loaded. */
        connectionsOpened: opened,
        /** Sessions are being opened beside the one shown. */
        pending,
        notices,
      };
    },
    /** What arrives, now. */
    stats: async () => {
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
    },
    /** The RTCPeerConnection whose picture is shown; while HLS plays undefined. */
    connection: () => player.connection?.pc,
    /** The element whose picture is shown. */
    video: () => player.video,
    play: () => player.tapped(),
    toggleMute: () => player.toggleMute(),
    togglePause: () => player.togglePause(),
  };
  Object.defineProperty(window, "streampair", { value: Object.freeze(hooks) });
}
