/**
 * How long to wait before the next attempt. Pure.
 *
 * A thousand players lose one server at the same moment, so every wait is drawn at
 * random from a range that doubles, and no wait is shorter than half a second.
 */

export const shortestWaitMs = 500;
export const longestWaitMs = 8_000;
/** Refusals that will not change by themselves soon (a wrong token) are retried this slowly. */
export const refusedWaitMs = 30_000;
/** A server may not park a viewer for longer than this. */
const longestRetryAfterMs = 300_000;

/**
 * retryWait returns the milliseconds to wait before attempt number `attempt` (1 is the
 * first retry). `random` is in [0, 1). A server's Retry-After is a lower bound, spread
 * by a quarter upwards so that its viewers do not come back together.
 */
export function retryWait(attempt: number, random: number, retryAfterMs = 0): number {
  const ceiling = Math.min(longestWaitMs, shortestWaitMs * 2 ** Math.max(1, Math.min(attempt, 16)));
  const drawn = shortestWaitMs + random * (ceiling - shortestWaitMs);
  const asked = Math.min(Math.max(0, retryAfterMs), longestRetryAfterMs);
  return Math.round(Math.max(drawn, asked * (1 + random / 4)));
}

/** refusedWait is retryWait for refusals that only a person can mend. */
export function refusedWait(random: number, retryAfterMs = 0): number {
  return retryWait(16, random, Math.max(refusedWaitMs, retryAfterMs));
}

/** Players that lose their server begin to look for another within this time. */
export const raceSpreadMs = 150;
/** So often each place is asked one attempt after the other; then the waits above begin. */
export const raceTries = 3;
/** In a race a place that has not answered for this long is asked again. */
export const raceAnswerMs = 1_000;
/** A place that refuses at once is not asked more often than this in a race, and up to twice as seldom. */
export const raceSpacingMs = 250;

/** raceStart returns the milliseconds to wait before the first attempts of a race. */
export function raceStart(random: number): number {
  return Math.round(random * raceSpreadMs);
}

/** raceWait is the time between two attempts of a race at one place, of which `spentMs` have passed. */
export function raceWait(random: number, spentMs: number): number {
  return Math.max(0, Math.round(raceSpacingMs * (1 + random) - spentMs));
}

/** parseRetryAfter reads a Retry-After header: seconds, or an HTTP date (RFC 9110, 10.2.3). 0 if there is none. */
export function parseRetryAfter(header: string | null, nowMs: number): number {
  if (header === null) {
    return 0;
  }
  if (/^\s*\d+\s*$/.test(header)) {
    return Number(header) * 1000;
  }
  const at = Date.parse(header);
  return Number.isNaN(at) ? 0 : Math.max(0, at - nowMs);
}
