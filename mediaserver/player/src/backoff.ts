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
