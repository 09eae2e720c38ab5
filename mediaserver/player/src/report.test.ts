import assert from "node:assert/strict";
import { test } from "node:test";
import { Observer, type Sample } from "./report.ts";
import type { Figures } from "./statistics.ts";

const figures: Figures = {
  width: 1280, height: 720, fps: 30, bitrateBPS: 2_000_000, delayMs: 180.4, jitterBufferMs: 20, rttMs: 1,
  packetsReceived: 0, packetsLost: 0, framesDropped: 0, freezes: 0, frozenMs: 0, videoCodec: "H264", audioCodec: "opus",
};

function sample(at: number, change: Partial<Figures> = {}, rest: Partial<Sample> = {}): Sample {
  return { at, way: "webrtc", playing: true, figures: { ...figures, ...change }, ...rest };
}

test("a report comes once in ten seconds, with what came since the last one", () => {
  const observer = new Observer(1_000);
  assert.equal(observer.observe(sample(1_200, {}, { playing: false, figures: undefined })), undefined);
  assert.equal(observer.observe(sample(1_650, { packetsReceived: 10 })), undefined);
  assert.equal(observer.observe(sample(10_900, { packetsReceived: 900, packetsLost: 3, freezes: 2, frozenMs: 700 })), undefined);
  assert.equal(
    observer.observe(sample(11_000, { packetsReceived: 1_000, packetsLost: 3, freezes: 2, frozenMs: 700 })),
    ["e=ps,sf=o,sta=r,v=2", "e=ps,sf=o,sta=r,v=2", "bsd=(700),com.streampair-lost=3,com.streampair-received=1000,e=t,ltc=180,msd=650,sf=o,sta=p,v=2"].join("\n"),
  );
  assert.equal(observer.observe(sample(20_900, { packetsReceived: 1_900, packetsLost: 3, freezes: 2, frozenMs: 700 })), undefined);
  assert.equal(
    observer.observe(sample(21_000, { packetsReceived: 2_000, packetsLost: 3, freezes: 2, frozenMs: 700 }, { playing: false })),
    "com.streampair-lost=0,com.streampair-received=1000,e=t,ltc=180,sf=o,sta=w,v=2",
  );
});

test("a new connection counts from zero", () => {
  const observer = new Observer(0);
  observer.observe(sample(1_000, { packetsReceived: 5_000, packetsLost: 40 }));
  observer.observe(sample(2_000, { packetsReceived: 100, packetsLost: 1 }));
  assert.match(observer.observe(sample(10_000, { packetsReceived: 200, packetsLost: 1 })) ?? "", /com\.streampair-lost=41,com\.streampair-received=5200,/);
});

test("HLS has no packets, and nothing is told before the first picture", () => {
  const observer = new Observer(0);
  const waiting = { way: "hls", playing: false } as const;
  assert.equal(observer.observe(sample(10_000, {}, waiting)), undefined);
  assert.equal(observer.observe(sample(20_000, { delayMs: undefined }, { way: "hls" })), "e=t,msd=20000,sf=h,sta=p,v=2");
});
