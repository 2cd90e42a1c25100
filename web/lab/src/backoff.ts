// How long a lane waits before it connects again.
// Shape: a pure function; the random number is passed in.
// Bound: `BACKOFF_MAX_MS` on top of what the gateway asked for.

/** The wait before attempt number `attempt` (from 0): full jitter over a doubling range, never less than `floorMs`. */
export function backoffMs(attempt: number, floorMs: number, random: number): number {
  const range = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 16));
  return floorMs + random * range;
}

/** `Retry-After` in milliseconds; 0 when it is missing or a date, which the gateway never sends. */
export function retryAfterMs(headers: Headers): number {
  const seconds = Number(headers.get("retry-after") ?? "0");
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
}

/** A connection that lasted this long was a success: the next failure starts from the shortest wait again. */
export const PROVEN_AFTER_MS = 10_000;

const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 30_000;
