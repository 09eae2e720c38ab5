import assert from "node:assert/strict";
import { test } from "node:test";
import { preferH264 } from "./codecs.ts";
import { httpFailure } from "./failure.ts";
import { parsePlayParameters } from "./parameters.ts";
import { parsePairState, parseServerTime, stretchedAspect } from "./pairstate.ts";
import { iceCredentials, sdpFragment, withStereoOpus } from "./sdp.ts";
import { figures, readStats } from "./statistics.ts";
import { bitrateWords, legWords, reasonWords, waitingWords } from "./words.ts";

const offer = [
  "v=0",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:secret",
  "a=mid:0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 9",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:secret",
  "a=mid:1",
  "a=rtpmap:111 opus/48000/2",
  "a=fmtp:111 minptime=10;useinbandfec=1",
  "",
].join("\r\n");

test("the offer asks for stereo Opus, once", () => {
  const stereo = withStereoOpus(offer);
  assert.ok(stereo.includes("\r\na=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n"), stereo);
  assert.equal(withStereoOpus(stereo), stereo);
  assert.equal(withStereoOpus("v=0\r\n"), "v=0\r\n");
});

test("a trickled candidate goes with the first media section's credentials (RFC 8840)", () => {
  const credentials = iceCredentials(offer);
  assert.ok(credentials);
  assert.equal(
    sdpFragment(credentials, ["candidate:1 1 udp 1 192.0.2.1 5000 typ host"], true),
    [
      "a=ice-ufrag:abcd",
      "a=ice-pwd:secret",
      "m=video 9 UDP/TLS/RTP/SAVPF 96",
      "a=mid:0",
      "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host",
      "a=end-of-candidates",
      "",
    ].join("\r\n"),
  );
  assert.equal(iceCredentials("v=0\r\n"), undefined);
});

test("H.264 is offered first, with packetization-mode 1 before 0, and nothing else but repair", () => {
  const codec = (mimeType: string, sdpFmtpLine = "") => ({ mimeType, sdpFmtpLine });
  const offered = preferH264([
    codec("video/VP8"),
    codec("video/rtx"),
    codec("video/H264", "packetization-mode=0;profile-level-id=42001f"),
    codec("video/H264", "packetization-mode=1;profile-level-id=42e01f"),
    codec("video/H264", "packetization-mode=1;profile-level-id=4d001f"),
    codec("video/AV1"),
    codec("video/ulpfec"),
  ]).map((c) => `${c.mimeType} ${c.sdpFmtpLine}`.trim());
  assert.deepEqual(offered, [
    "video/H264 packetization-mode=1;profile-level-id=42e01f",
    "video/H264 packetization-mode=1;profile-level-id=4d001f",
    "video/H264 packetization-mode=0;profile-level-id=42001f",
    "video/rtx",
    "video/ulpfec",
  ]);
  assert.deepEqual(preferH264([codec("video/VP8"), codec("video/rtx")]), []);
});

test("the pair's state is read, and a strange one breaks nothing", () => {
  const state = parsePairState(
    '{"streamId":"primary","backupStreamId":"backup","active":"Backup","activeStreamId":"backup","onAir":true,' +
      '"reason":"PrimaryInputLost","since":"2026-11-22T12:00:00Z","switches":2,' +
      '"legs":[{"role":"Primary","streamId":"primary","live":false,"rank":"None"},{"role":"Backup","sampleAspect":1.25}],' +
      '"warnings":[{"role":"Primary","code":"BFrames","message":"Turn B-frames off."}],"baseURLs":[7,"http://b.test"],"servedBy":"Backup","reduced":true,"reportShare":0.5,"new":{}}',
  );
  assert.equal(state?.activeStreamId, "backup");
  assert.equal(state?.switches, 2);
  assert.equal(state?.legs[0]?.live, false);
  assert.equal(state?.legs[0]?.sampleAspect, 1);
  assert.equal(state?.legs[1]?.sampleAspect, 1.25);
  assert.equal(state?.warnings[0]?.code, "BFrames");
  assert.deepEqual(state?.baseURLs, ["", "http://b.test"]);
  assert.equal(state?.servedBy, "Backup");
  assert.equal(state?.reduced, true);
  assert.equal(state?.reportShare, 0.5);
  for (const bad of ["", "null", "[]", "7", "{", '{"onAir":"yes"}']) {
    assert.equal(parsePairState(bad), undefined, bad);
  }
  assert.deepEqual(parsePairState('{"onAir":false,"legs":[1,null],"warnings":{},"switches":"x","active":7}'), {
    streamId: "",
    backupStreamId: "",
    active: "",
    activeStreamId: "",
    onAir: false,
    draining: false,
    reason: "",
    since: "",
    switches: 0,
    legs: [],
    warnings: [],
    baseURLs: [],
    servedBy: "",
    reduced: false,
    reportShare: 0,
  });
});

test("a picture whose pixels are not square is stretched, that of the leg on air alone", () => {
  const state = (active: string, aspect: unknown) =>
    parsePairState(JSON.stringify({ onAir: true, active, legs: [{ role: "Primary", sampleAspect: aspect }, { role: "Backup" }] }));
  assert.equal(stretchedAspect(state("Primary", 64 / 45), 720, 576), 16 / 9);
  for (const none of [1, 0, -1, 1000, "2", null]) {
    assert.equal(stretchedAspect(state("Primary", none), 720, 576), undefined, String(none));
  }
  assert.equal(stretchedAspect(state("Backup", 2), 720, 576), undefined);
  assert.equal(stretchedAspect(state("", 2), 720, 576), undefined);
  assert.equal(stretchedAspect(state("Primary", 2), 0, 0), undefined);
  assert.equal(stretchedAspect(undefined, 720, 576), undefined);
});

test("a viewer is told the truth about what is waited for", () => {
  const { parameters } = parsePlayParameters("?name=a&backupStreamId=b");
  const state = (live: boolean, active = "Primary") =>
    parsePairState(JSON.stringify({ onAir: false, active, legs: [{ role: "Primary", streamId: "a" }, { role: "Backup", streamId: "b", live }] }));
  assert.equal(waitingWords(parameters, state(false), true).message, "Both streams are away.");
  const arrives = "The stream “b” arrives, but nothing of it can be shown yet.";
  assert.equal(waitingWords(parameters, state(true), true).message, arrives);
  // Nothing has been played yet, and nothing ever may be: to start is not what is missing.
  assert.deepEqual(waitingWords(parameters, state(true, ""), false), { message: arrives, detail: "" });
  assert.equal(waitingWords(parameters, state(false, ""), false).message, "Waiting for the stream “a” or “b” to start…");
});

test("a heartbeat carries the server's time", () => {
  assert.equal(parseServerTime('{"now":"2026-11-22T12:00:00.250123456Z"}'), Date.parse("2026-11-22T12:00:00.250Z"));
  assert.equal(parseServerTime("{}"), undefined);
  assert.equal(parseServerTime("nonsense"), undefined);
});

test("every refusal becomes a sentence; those that only a person can mend are lasting", () => {
  const codes: [number, string, boolean][] = [
    [400, "refused", true],
    [401, "unauthorized", true],
    [403, "unauthorized", true],
    [404, "not-found", false],
    [406, "not-acceptable", true],
    [422, "not-acceptable", true],
    [409, "in-use", false],
    [429, "unavailable", false],
    [500, "unavailable", false],
    [503, "unavailable", false],
    [204, "refused", true],
  ];
  for (const [status, code, lasting] of codes) {
    const failure = httpFailure("play", "primary", status, "3", "because", 0);
    assert.deepEqual([failure.code, failure.lasting, failure.retryAfterMs], [code, lasting, 3_000], String(status));
    assert.match(failure.message, /^[A-Z].*[.e]$/, String(status));
  }
});

function stats(seconds: number, over: Record<string, unknown> = {}): Map<string, unknown> {
  return new Map(
    [
      { id: "V", type: "inbound-rtp", kind: "video", ssrc: 7, bytesReceived: 300_000 * seconds, packetsReceived: 300 * seconds,
        packetsLost: 2, codecId: "C", frameWidth: 1280, frameHeight: 720, framesDecoded: 30 * seconds, framesDropped: 1,
        freezeCount: 0, jitterBufferDelay: 1.5 * seconds, jitterBufferEmittedCount: 30 * seconds,
        estimatedPlayoutTimestamp: 2_208_988_800_000 + 1_000_000 + seconds * 1000, ...over },
      { id: "A", type: "inbound-rtp", kind: "audio", ssrc: 8, bytesReceived: 12_000 * seconds, packetsLost: -3 },
      { id: "C", type: "codec", mimeType: "video/H264" },
      { id: "T", type: "transport", bytesReceived: 320_000 * seconds, selectedCandidatePairId: "P" },
      { id: "O", type: "candidate-pair", nominated: true, currentRoundTripTime: 9 },
      { id: "P", type: "candidate-pair", nominated: true, currentRoundTripTime: 0.012 },
    ].map((s) => [s.id, s]),
  );
}

test("figures come from two readings", () => {
  const before = readStats(stats(10).values(), 10_000);
  const after = readStats(stats(12).values(), 12_000);
  assert.equal(after.mediaBytes, 312_000 * 12);
  assert.equal(after.transportBytes, 320_000 * 12);
  assert.deepEqual(figures(before, after, 50, 1_000_000 + 12_000 + 40), {
    width: 1280,
    height: 720,
    fps: 30,
    bitrateBPS: 312_000 * 8,
    delayMs: 90,
    jitterBufferMs: 50,
    rttMs: 12,
    packetsReceived: 3_600,
    packetsLost: 2,
    framesDropped: 1,
    freezes: 0,
    frozenMs: 0,
    videoCodec: "H264",
    audioCodec: "",
  });
});

test("figures of a connection that has just begun are unknown, not zero", () => {
  const empty = figures(undefined, readStats([], 5), undefined, 0);
  assert.deepEqual([empty.fps, empty.bitrateBPS, empty.delayMs, empty.width, empty.rttMs], [undefined, undefined, undefined, undefined, undefined]);
  const first = figures(undefined, readStats(stats(1).values(), 1_000), 0, 0);
  assert.equal(first.fps, undefined);
  assert.equal(first.delayMs, undefined, "an impossible delay is not shown");
});

test("without a transport entry the selected pair counts (Firefox)", () => {
  const reading = readStats([{ id: "P", type: "candidate-pair", selected: true, bytesReceived: 77 }], 0);
  assert.equal(reading.transportBytes, 77);
});

test("words", () => {
  assert.equal(bitrateWords(2_451_000), "2.45 Mbit/s");
  assert.equal(bitrateWords(64_400), "64 kbit/s");
  assert.equal(reasonWords("PrimaryInputLost"), "the primary fell silent");
  assert.equal(reasonWords("PrimaryDraining"), "the primary's server was shut down");
  assert.equal(reasonWords("BackupDraining"), "the backup's server was shut down");
  assert.equal(reasonWords("SomethingNew"), "something new");
  assert.equal(legWords(undefined), "Unknown");
});
