import assert from "node:assert/strict";
import { test } from "node:test";
import { type Failure, httpFailure, noConnection } from "./failure.ts";
import { calmLatency, type Condition, jumpTo, loadsInTime, observeFirst, patienceMs, steadyMs, wantsSecond } from "./fallback.ts";
import type { Phase, View } from "./view.ts";

function view(phase: Phase, failure?: Failure): View {
  return { phase, message: "", detail: "", failure };
}

/** run feeds views at their times, and gives at each time whether the second way runs. */
function run(views: [number, View][]): boolean[] {
  let condition: Condition | undefined;
  let runs = false;
  return views.map(([now, seen]) => {
    condition = observeFirst(condition, seen, now);
    runs = wantsSecond(condition, runs, now);
    return runs;
  });
}

const connecting = view("connecting");
const blocked = view("reconnecting", noConnection);
const lost = view("reconnecting");
const playing = view("playing");
const waiting = view("waiting");

test("the second way begins when the first has had no picture for five seconds since the opening", () => {
  assert.deepEqual(run([[100, connecting], [3_000, blocked], [100 + patienceMs - 1, connecting], [100 + patienceMs, connecting]]), [false, false, false, true]);
});

test("the second way begins five seconds after the picture was lost, not after the opening", () => {
  assert.deepEqual(run([[0, connecting], [1_000, playing], [60_000, lost], [60_000 + patienceMs - 1, lost], [60_000 + patienceMs, lost]]), [false, false, false, false, true]);
});

test("a picture that comes back in time leaves the second way alone", () => {
  assert.deepEqual(run([[0, connecting], [4_000, playing], [4_500, lost], [9_000, lost], [9_400, playing]]), [false, false, false, false, false]);
});

test("the second way begins at once when the server refuses the first for good", () => {
  const codec = view("error", httpFailure("play", "a", 406, null, "", 0));
  assert.deepEqual(run([[0, connecting], [200, codec]]), [false, true]);
});

test("a refused token is not tried in another way", () => {
  const token = view("error", httpFailure("play", "a", 401, null, "", 0));
  assert.deepEqual(run([[0, connecting], [200, token], [60_000, token]]), [false, false, false]);
});

test("nothing to play is no reason for the second way", () => {
  assert.deepEqual(run([[0, connecting], [4_000, waiting], [90_000, waiting]]), [false, false, false]);
});

test("the second way ends once the first has played for a second", () => {
  const views: [number, View][] = [[0, connecting], [5_000, connecting], [20_000, blocked], [30_000, playing], [30_000 + steadyMs - 1, playing], [30_000 + steadyMs, playing]];
  assert.deepEqual(run(views), [false, true, true, true, true, false]);
});

test("the second way goes on if the first loses its picture again within a second", () => {
  assert.deepEqual(run([[0, connecting], [5_000, connecting], [9_000, playing], [9_900, lost], [11_000, lost]]), [false, true, true, true, true]);
});

test("key pictures only are a reason for the second way, as long as that comes in time", () => {
  const reduced = observeFirst(observeFirst(undefined, playing, 0), playing, 1_000, true);
  assert.equal(reduced.lacking, "motion");
  assert.equal(wantsSecond(reduced, false, 1_000), true);
  assert.equal(wantsSecond(reduced, true, 20_000, false), false);
  const whole = observeFirst(reduced, playing, 30_000, false);
  assert.deepEqual([wantsSecond(whole, true, 30_000), wantsSecond(whole, true, 30_000 + steadyMs)], [true, false]);
  assert.equal(observeFirst(reduced, lost, 30_000, true).lacking, "picture");
  assert.deepEqual([loadsInTime({ first: 100, end: 2_100 }, 2), loadsInTime({ first: 100, end: 2_101 }, 2)], [true, false]);
});

test("HLS aims at the live edge again half a minute after its last stall", () => {
  assert.equal(calmLatency(1.3, 0.8, 1_000, 31_000), 0.8);
  assert.equal(calmLatency(1.3, 0.8, 1_001, 31_000), undefined, "a stall is too near");
  assert.equal(calmLatency(0.8, 0.8, -Infinity, 31_000), undefined, "it aims there already");
});

test("HLS jumps to the live edge only from far behind, forward, and seldom", () => {
  const late = { currentTime: 100, stalled: false, latency: 12, targetLatency: 1, targetDuration: 2, syncPosition: 111 };
  assert.equal(jumpTo(late, -Infinity, 50_000), 111);
  assert.equal(jumpTo({ ...late, latency: 3.9, syncPosition: 102.9 }, -Infinity, 50_000), undefined, "the rate catches up");
  assert.equal(jumpTo({ ...late, syncPosition: 100.5 }, -Infinity, 50_000), undefined, "the playlist ends here");
  assert.equal(jumpTo({ ...late, latency: 3, stalled: true, syncPosition: 102 }, -Infinity, 50_000), 102, "the picture stands");
  assert.equal(jumpTo({ ...late, stalled: true, syncPosition: 100 }, -Infinity, 50_000), undefined, "nothing has come");
  assert.equal(jumpTo(late, 46_000, 50_000), undefined, "it has just jumped");
});
