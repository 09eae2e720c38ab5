import assert from "node:assert/strict";
import { test } from "node:test";
import { type Failure, httpFailure, noConnection, unreachable } from "./failure.ts";
import { Lane } from "./lane.ts";

const place = { base: "http://page.test/live/", copy: 0 };
const refused = httpFailure("play", "primary", 503, "5", "", 0);

function within(ms: number, least: number, most: number): void {
  assert.ok(ms >= least && ms <= most, `waits ${ms} ms, want ${least} to ${most}`);
}

/** waits fails a lane again and again and gives the wait after each. */
function waits(lane: Lane, failures: Failure[]): number[] {
  let now = 1_000;
  return failures.map((failure) => {
    lane.failed(failure, now);
    const wait = lane.facts.nextAt - now;
    now += wait;
    return wait;
  });
}

test("a race asks each place three times in a hurry, then waits longer and longer", () => {
  const lane = new Lane(place, "race", 1, 0);
  within(lane.facts.nextAt, 0, 150);
  assert.equal(lane.answerMs, 1_000);
  const [first = 0, second = 0, third = 0, fourth = 0] = waits(lane, Array<Failure>(4).fill(unreachable));
  [first, second].forEach((ms) => within(ms, 250, 500));
  within(third, 500, 2_000);
  within(fourth, 500, 4_000);
  assert.equal(lane.answerMs, undefined, "and is patient then");
});

test("a server that answers is not hurried", () => {
  const lane = new Lane(place, "race", 1, 0);
  const [asked = 0, other = 0] = waits(lane, [refused, unreachable]);
  within(asked, 5_000, 6_250);
  within(other, 500, 4_000);
  within(waits(new Lane(place, "race", 1, 0), [noConnection])[0] ?? 0, 500, 2_000);
});

test("waits end sooner when the server seems to be back, unless it has asked for them", () => {
  const lane = new Lane(place, "backoff", 5, 0);
  lane.retrySoon(0);
  within(lane.facts.nextAt, 0, 500);
  lane.failed(refused, 1_000);
  lane.retrySoon(1_000);
  within(lane.facts.nextAt, 6_000, 9_000); // as long as it has asked for, or as the sixth attempt waits
  lane.retryAt(1_000);
  assert.equal(lane.facts.nextAt, 1_000, "a person may ask at any time");
});
