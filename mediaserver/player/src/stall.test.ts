import assert from "node:assert/strict";
import { test } from "node:test";
import { type Expectation, type Flow, observe, quietMs, rest, stalled, startFlow } from "./stall.ts";

/** flowing has received media and RTCP up to `until`, from 1000 on. */
function flowing(mediaUntil: number, transportUntil = mediaUntil): Flow {
  let flow = startFlow(1_000);
  for (let at = 1_250; at <= Math.max(mediaUntil, transportUntil); at += 250) {
    flow = observe(flow, { at, media: Math.min(at, mediaUntil), transport: Math.min(at, transportUntil) * 2 });
  }
  return flow;
}

const media: Expectation = { kind: "media", since: 0 };
const cases: { what: string; flow: Flow; expected: Expectation; now: number; stalled: boolean }[] = [
  { what: "media flows", flow: flowing(10_000), expected: media, now: 10_100, stalled: false },
  { what: "one frame a second", flow: flowing(10_000), expected: media, now: 11_200, stalled: false },
  { what: "a short gap", flow: flowing(10_000), expected: media, now: 12_900, stalled: false },
  { what: "nothing at all for three seconds", flow: flowing(10_000), expected: media, now: 13_000, stalled: true },
  { what: "no media, but the path is alive", flow: flowing(10_000, 15_000), expected: media, now: 16_000, stalled: false },
  { what: "no media on a live path for ten seconds", flow: flowing(10_000, 19_000), expected: media, now: 20_000, stalled: true },
  { what: "the server has nothing to play", flow: flowing(10_000), expected: { kind: "nothing" }, now: 999_000, stalled: false },
  {
    what: "the server has something to play only since a moment ago",
    flow: flowing(10_000),
    expected: { kind: "media", since: 70_000 },
    now: 72_000,
    stalled: false,
  },
  {
    what: "and it does not come",
    flow: flowing(10_000),
    expected: { kind: "media", since: 70_000 },
    now: 73_000,
    stalled: true,
  },
  { what: "media and events both lost", flow: flowing(10_000), expected: { kind: "unknown", since: 10_000, onAir: true }, now: 11_500, stalled: true },
  { what: "nothing was on air when the events were lost", flow: flowing(10_000), expected: { kind: "unknown", since: 60_000, onAir: false }, now: 61_000, stalled: false },
  { what: "and they do not come back", flow: flowing(10_000), expected: { kind: "unknown", since: 60_000, onAir: false }, now: 61_500, stalled: true },
  { what: "events lost, media flows", flow: flowing(20_000), expected: { kind: "unknown", since: 10_000, onAir: true }, now: 20_500, stalled: false },
  {
    what: "events lost while waiting for the first media",
    flow: startFlow(1_000),
    expected: { kind: "unknown", since: 50_000, onAir: true },
    now: 53_000,
    stalled: true,
  },
  {
    what: "a waiting session opened after the events were lost proves that the server is there",
    flow: startFlow(51_000),
    expected: { kind: "unknown", since: 50_000, onAir: true },
    now: 120_000,
    stalled: false,
  },
];

for (const c of cases) {
  test(`${c.what}: ${c.stalled ? "stalled" : "not stalled"}`, () => {
    assert.equal(stalled(c.flow, c.expected, c.now), c.stalled);
  });
}

test("a rest forgets the quiet before it", () => {
  const flow = flowing(10_000);
  assert.equal(stalled(flow, media, 60_000), true);
  const rested = rest(flow, 60_000);
  assert.equal(stalled(rested, media, 62_000), false);
  assert.equal(quietMs(rested, 62_000), 2_000);
  assert.equal(rested.everMedia, true);
});

test("counters that start again from zero count as arrival", () => {
  const flow = observe(flowing(10_000), { at: 12_000, media: 10, transport: 10 });
  assert.equal(quietMs(flow, 12_000), 0);
});

test("the browser's own time of the last packet is better than that of the sample", () => {
  const flow = observe(flowing(10_000), { at: 10_300, media: 99_999, mediaAt: 10_060, transport: 99_999 });
  assert.equal(quietMs(flow, 10_300), 240);
  assert.equal(flow.sampledAt, 10_300);
});
