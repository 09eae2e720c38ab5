import assert from "node:assert/strict";
import { test } from "node:test";
import { alarms } from "./alarms.ts";
import { columnsFor, step } from "./layout.ts";
import { secondsWords } from "./phrases.ts";
import type { LegMeasures, Pair } from "./state.ts";
import { tileView } from "./view.ts";

const noon = "2026-11-30T12:00:00Z";
const before = (seconds: number): string => new Date(Date.parse(noon) - seconds * 1000).toISOString();

function measuresOf(role: string, change: Partial<LegMeasures> = {}): LegMeasures {
  return {
    role,
    ageMilliseconds: 300,
    sound: { rmsDBFS: -30, peakDBFS: -15, momentaryLUFS: -22, shortTermLUFS: -23.4 },
    rates: { bitrateBPS: 4_500_000, frameRate: 25, usualFrameRate: 25, keyFrameIntervalMilliseconds: 2000, jumps: 0 },
    soundMeasured: true,
    pictureMeasured: true,
    faultsKnown: true,
    thumbnailTime: before(1),
    thumbnailAgeMilliseconds: 1000,
    ...change,
  };
}

function pair(change: Partial<Pair> = {}): Pair {
  return {
    name: "sunday",
    ageMilliseconds: 0,
    status: {
      active: "Primary",
      onAir: true,
      reason: "Started",
      since: before(600),
      switches: 0,
      select: "Auto",
      viewers: 12,
      legs: ["Primary", "Backup"].map((role) => ({ role, streamID: role.toLowerCase(), live: true, rank: "Full", publishing: true })),
    },
    measures: { legs: [measuresOf("Primary"), measuresOf("Backup")], offset: { milliseconds: 40.4, driftPPM: 12 } },
    ...change,
  };
}

const view = (change: Partial<Pair> = {}, sinceAnswer = 0) => tileView(pair(change), noon, sinceAnswer);
const status = pair().status!;

test("a pair in order", () => {
  const v = view();
  assert.equal(v.stale, "");
  assert.equal(v.headline, "Primary on air");
  assert.equal(v.why, "it was the first to start, for 10 min");
  assert.deepEqual(v.figures, ["12 viewers", "backup 40 ms later", "drift 12 ppm"]);
  assert.deepEqual(v.alarms, []);
  assert.deepEqual(v.legs[0], {
    role: "Primary",
    streamID: "primary",
    onAir: true,
    health: "good",
    words: "live",
    picture: `room/pairs/sunday/Primary/picture?at=${Date.parse(noon) - 1000}`,
    pictureWords: "",
    meter: { peak: 0.75, rms: 0.5, words: "-23 LUFS" },
    figures: ["4.50 Mbit/s", "25 fps", "key frame 2.0 s"],
    faults: [],
  });
  assert.deepEqual(v.takes, [
    { selection: "Primary", label: "Take primary", disabled: false, pressed: false },
    { selection: "Backup", label: "Take backup", disabled: false, pressed: false },
    { selection: "Auto", label: "Auto", disabled: false, pressed: true },
  ]);
});

test("a tile is stale after 2 s without news, and its Take is off", () => {
  for (const [age, sinceAnswer, stale] of [
    [0, 0, ""],
    [0, 1999, ""],
    [1500, 499, ""],
    [0, 2000, "no news for 2 s"],
    [1500, 500, "no news for 2 s"],
    [300_000, 0, "no news for 5 min"],
  ] as const) {
    const v = view({ ageMilliseconds: age }, sinceAnswer);
    assert.equal(v.stale, stale, `${age} ms and ${sinceAnswer} ms`);
    assert.ok(v.takes.every((take) => take.disabled === (stale !== "")));
  }
});

test("a pair of which no media server has told", () => {
  const v = tileView({ name: "sunday", ageMilliseconds: 0 }, noon, 0);
  assert.equal(v.stale, "no media server has answered");
  assert.equal(v.headline, "Nothing on air");
  assert.deepEqual([v.legs[0]?.health, v.legs[0]?.words, v.legs[0]?.pictureWords], ["lost", "unknown", "no picture"]);
  assert.ok(v.takes.every((take) => take.disabled));
});

test("why a leg is on air, and what is coming", () => {
  assert.equal(view({ status: { ...status, reason: "PrimaryBlack", switchingTo: "Backup" } }).why,
    "the primary's picture was black, for 10 min, switching to the backup at its next key frame");
  assert.equal(view({ status: { ...status, reason: "NoLiveStream", onAir: false } }).why, "no stream is live");
  assert.equal(view({ status: { ...status, reason: "SomethingNew" } }).why, "something new, for 10 min");
});

test("the state of a leg", () => {
  const leg = { role: "Backup", streamID: "backup", live: false, rank: "None", publishing: false };
  for (const [change, health, words] of [
    [{ live: true, rank: "Full" }, "good", "live"],
    [{ live: true, rank: "SoundOnly" }, "poor", "live, rank SoundOnly"],
    [{ lossReason: "NotPublished" }, "lost", "no encoder"],
    [{ lossReason: "Disconnected" }, "lost", "encoder gone"],
    [{ lossReason: "Silent" }, "lost", "encoder sends nothing"],
    [{ lossReason: "Unheard" }, "lost", "unknown"],
  ] as const) {
    const got = view({ status: { ...status, legs: [{ ...leg, ...change }] } }).legs[1];
    assert.deepEqual([got?.health, got?.words], [health, words]);
  }
});

test("faults, low rates, and what is not measured", () => {
  const of = (change: Partial<LegMeasures>, sinceAnswer = 0) =>
    view({ measures: { legs: [measuresOf("Primary", change), measuresOf("Backup")] } }, sinceAnswer).legs[0]!;
  assert.deepEqual([of({ faults: ["Black", "LowBitrate"] }).faults, of({ faults: ["Black"] }).health], [["Black", "Low bit rate"], "poor"]);
  const slow = { bitrateBPS: 640_000, frameRate: 12, usualFrameRate: 25, keyFrameIntervalMilliseconds: 0, jumps: 0 };
  assert.deepEqual(of({ rates: slow }).figures, ["640 kbit/s", "12 of 25 fps"]);
  assert.deepEqual(of({ undecoded: true, soundMeasured: false }).figures.at(-1), "sound not measured");
  assert.equal(of({ soundMeasured: false }).meter, null);
  assert.equal(of({ sound: { rmsDBFS: -100, peakDBFS: -100, momentaryLUFS: -120, shortTermLUFS: -120 } }).meter?.words, "silence");
  assert.deepEqual([of({}, 1900).meter !== null, of({}, 2800).meter, of({}, 2800).figures], [true, null, []], "old measures are not shown");
  const none = measuresOf("Primary");
  delete none.thumbnailTime;
  for (const [unwatched, words] of [
    ["", "no picture"],
    ["NoFFmpeg", "no picture: the server has no ffmpeg"],
    ["Full", "no picture: --max-analysers is reached"],
    ["Failed", "no picture: ffmpeg fails on it"],
  ] as const) {
    assert.deepEqual(view({ measures: { legs: [{ ...none, unwatched }] } }).legs[0]?.pictureWords, words);
  }
  assert.equal(of({ thumbnailAgeMilliseconds: 4600 }).pictureWords, "5 s old");
});

test("the offset of the legs", () => {
  const figures = (measures: Pair["measures"]) => view(measures ? { measures } : {}).figures.slice(1);
  assert.deepEqual(figures({ legs: [], offset: { milliseconds: 0.3 } }), ["legs in step"]);
  assert.deepEqual(figures({ legs: [], offset: { milliseconds: -120, driftPPM: 0.2 } }), ["backup 120 ms earlier"]);
  assert.deepEqual(figures({ legs: [], offsetDoubt: "TooLittle" }), ["offset unknown"]);
});

test("the last switches, with cause and cost", () => {
  const lastSwitch = { from: "Primary", to: "Backup", reason: "PrimaryInputLost", time: before(90) };
  assert.deepEqual(view({ status: { ...status, lastSwitch } }).switches, ["90 s ago to backup: the primary fell silent"]);
  const history = [
    { kind: "Switched", time: before(5), leg: "Primary", reason: "Selected", gapMilliseconds: 0 },
    { kind: "Redundant", time: before(60), leg: "Primary" },
    { kind: "Switched", time: before(90), leg: "Backup", reason: "PrimaryInputLost", gapMilliseconds: 67 },
    { kind: "Dark", time: before(3600), leg: "Primary" },
  ];
  assert.deepEqual(view({ status: { ...status, lastSwitch, history } }).switches, [
    "5 s ago to primary: it was selected, 0 ms without a picture",
    "90 s ago to backup: the primary fell silent, 67 ms without a picture",
    "60 min ago both legs lost",
  ]);
  assert.deepEqual(view().switches, []);
});

test("alarms, the worst first", () => {
  const in_ = (days: number): string => before(-days * 86_400);
  const legs = status.legs!.map((leg, i) => (i === 1 ? { ...leg, conflict: true, warnings: [{ code: "BFrames", message: "B-frames." }] } : leg));
  const got = alarms(
    pair({
      status: { ...status, onAir: false, legs },
      credentials: [
        { name: "certificate of HTTPS", notAfter: in_(3) },
        { name: "token of the primary", notAfter: in_(0.5) },
        { name: "certificate of the pair", notAfter: in_(-1) },
        { name: "certificate of next year", notAfter: in_(300) },
      ],
      warnings: ["argocd owns select."],
    }),
    Date.parse(noon),
  );
  assert.deepEqual(got, [
    { level: "bad", text: "Viewers get no picture." },
    { level: "bad", text: "The token of the primary expires in 12 h." },
    { level: "bad", text: "The certificate of the pair has expired." },
    { level: "warn", text: "Backup: a second encoder was refused." },
    { level: "warn", text: "Backup: B-frames." },
    { level: "warn", text: "The certificate of HTTPS expires in 3 days." },
    { level: "warn", text: "argocd owns select." },
  ]);
});

test("times in words", () => {
  assert.deepEqual([0, 1400, 119_000, 120_000, 7_200_000, 172_800_000, -5].map(secondsWords), ["0 s", "1 s", "119 s", "2 min", "2 h", "2 days", "0 s"]);
});

test("a wall of 12, and arrow keys that stay on it", () => {
  assert.deepEqual([1, 2, 4, 5, 12].map((n) => columnsFor(n, 1920)), [1, 2, 2, 3, 4]);
  assert.deepEqual([500, 1000, 1300].map((width) => columnsFor(12, width)), [1, 2, 3]);
  assert.deepEqual(["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "x"].map((key) => step(key, 5, 12, 4)), [6, 4, 9, 1, 5]);
  assert.deepEqual([step("ArrowLeft", 0, 12, 4), step("ArrowDown", 9, 12, 4), step("ArrowRight", 11, 12, 4)], [0, 9, 11]);
});
