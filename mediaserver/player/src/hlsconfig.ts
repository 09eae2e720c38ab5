/** How hls.js is set up. */
import type { HlsConfig, LoaderConfig } from "hls.js";

/** The server holds a request while a stream starts, and a blocking reload for three target durations of at most 10 s. */
const heldMs = 45_000;
/** Requests that did not reach the server are sent again so often before another address is tried. */
const unansweredTries = 3;

const once: LoaderConfig = { maxTimeToFirstByteMs: heldMs, maxLoadTimeMs: heldMs, timeoutRetry: null, errorRetry: null };
const patient: LoaderConfig = {
  ...once,
  errorRetry: {
    maxNumRetry: 1_000,
    retryDelayMs: 1_000,
    maxRetryDelayMs: 2_000,
    shouldRetry: (_, count, __, response, retry) => ((response?.code ?? 0) === 0 ? count < unansweredTries : retry),
  },
};

export const hlsConfig: Partial<HlsConfig> = {
  enableCEA708Captions: false,
  // The page's policy forbids workers whose script is no file of the server.
  enableWorker: false,
  lowLatencyMode: true,
  maxLiveSyncPlaybackRate: 1.1,
  // hls.js stays further behind after each stall; its default is a second.
  liveSyncOnStallIncrease: 0.25,
  liveDurationInfinity: true,
  backBufferLength: 10,
  // HlsFallback waits and tries the first playlist again. hls.js does so with all after it.
  manifestLoadPolicy: { default: once },
  playlistLoadPolicy: { default: patient },
};

/** What is different while captions are shown, which takes the larger build of hls.js. */
export const captionsConfig: Partial<HlsConfig> = {
  enableCEA708Captions: true,
  // hls.js 1.7.4 forgets at each part what it has read of captions (its timeline-controller.ts).
  lowLatencyMode: false,
  // Its own tracks load "data:,WEBVTT", which the policy of a page may forbid.
  renderTextTracksNatively: false,
};
