import assert from "node:assert/strict";
import { test } from "node:test";
import { longestWaitMs, parseRetryAfter, raceStart, raceWait, refusedWait, retryWait, shortestWaitMs } from "./backoff.ts";

test("waits double from half a second to eight seconds, and are drawn from the whole range", () => {
  const range = (attempt: number) => [retryWait(attempt, 0), retryWait(attempt, 0.999999)];
  assert.deepEqual(
    [1, 2, 3, 4, 5, 1000].map(range),
    [
      [500, 1000],
      [500, 2000],
      [500, 4000],
      [500, 8000],
      [500, 8000],
      [500, 8000],
    ],
  );
});

test("no wait is shorter or longer than the limits, whatever goes in", () => {
  for (let i = 0; i < 10_000; i++) {
    const wait = retryWait(Math.floor(Math.random() * 100) - 10, Math.random());
    assert.ok(wait >= shortestWaitMs && wait <= longestWaitMs, String(wait));
  }
});

test("Retry-After is a lower bound, spread upwards, and bounded", () => {
  assert.equal(retryWait(1, 0, 20_000), 20_000);
  assert.equal(retryWait(1, 1, 20_000), 25_000);
  assert.equal(retryWait(1, 1, 100), 1_000);
  assert.equal(retryWait(1, 0, 1e12), 300_000);
});

test("refusals that only a person can mend are retried every half minute", () => {
  assert.equal(refusedWait(0), 30_000);
  assert.equal(refusedWait(1), 37_500);
  assert.equal(refusedWait(0, 60_000), 60_000);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-11-22T12:00:00Z");
  assert.equal(parseRetryAfter(null, now), 0);
  assert.equal(parseRetryAfter("7", now), 7_000);
  assert.equal(parseRetryAfter("Sun, 22 Nov 2026 12:00:09 GMT", now), 9_000);
  assert.equal(parseRetryAfter("Sun, 22 Nov 2026 11:00:00 GMT", now), 0);
  assert.equal(parseRetryAfter("soon", now), 0);
});

test("a thousand players spread their first attempts over 150 ms, and ask again at most four times a second", () => {
  assert.deepEqual([raceStart(0), raceStart(0.5), raceStart(0.999)], [0, 75, 150]);
  assert.deepEqual([raceWait(0, 0), raceWait(0.999, 0)], [250, 500]);
  assert.equal(raceWait(0, 10), 240);
  assert.equal(raceWait(0.999, 1_000), 0, "it has waited for an answer already");
});
