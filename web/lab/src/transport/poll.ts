// Long-poll.
// Shape: one GET after the other, each with the cursor of the one before. The first asks with `wait=0`, so that the lane
// knows at once that the way is open.
// Bound: `WAIT_SECONDS` for an answer, `LIMIT` events in it, `FIRST_SIGN_MS` on top for the way.
// Failure: a failed request ends the run; the server keeps nothing, so nothing is lost.
// Source: PROTOCOL.md section 3.2.

import { retryAfterMs } from "../backoff.ts";
import { isPassingStatus, pollAnswerOf } from "../protocol.ts";
import { addressOf, refused, type Ended, type Sink, type Subscribe, type World } from "../transport.ts";
import { FIRST_SIGN_MS } from "../watchdog.ts";

export async function poll(request: Subscribe, sink: Sink, world: World): Promise<Ended> {
  let { after } = request;
  for (let first = true; ; first = false) {
    const url = addressOf("poll", { ...request, after });
    url.searchParams.set("limit", String(LIMIT));
    url.searchParams.set("wait", first ? "0" : String(WAIT_SECONDS));
    const late = AbortSignal.timeout(FIRST_SIGN_MS + (first ? 0 : WAIT_SECONDS * 1000));
    try {
      const response = await world.fetch(url, { signal: AbortSignal.any([request.signal, late]), cache: "no-store" });
      if (!response.ok) return await refused(response, retryAfterMs(response.headers), isPassingStatus(response.status));
      const text = await response.text();
      const at = world.now();
      if (request.signal.aborted) return { why: "aborted" };

      const answer = pollAnswerOf(text);
      if (answer === undefined) return { why: "garbled", detail: text.slice(0, 80) };
      if (first) {
        const hello = { cursor: after, resumed: answer.gap === undefined, heartbeatMs: WAIT_SECONDS * 1000 };
        sink.opened(hello, hopOf(url), at);
      }
      if (answer.gap !== undefined) sink.gap(answer.gap, at);
      for (const event of answer.events) sink.event(event, at);
      sink.cursor(answer.cursor);
      after = answer.cursor;
    } catch {
      if (request.signal.aborted) return { why: "aborted" };
      return { why: late.aborted ? "silent" : "unreachable" };
    }
  }
}

/** The HTTP version that carried the last request, as the browser tells it; empty where it does not. */
function hopOf(url: URL): string {
  const entry = performance.getEntriesByName(url.href).at(-1) as { nextHopProtocol?: string } | undefined;
  performance.clearResourceTimings();
  return entry?.nextHopProtocol ?? "";
}

const WAIT_SECONDS = 25;
const LIMIT = 1000;
