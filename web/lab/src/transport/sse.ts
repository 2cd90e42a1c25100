// Server-sent events over fetch.
// Shape: one GET that never ends, read in pieces. Fetch and not EventSource, because EventSource hides status, silence
// and the reason of an end; the stream is the same.
// Bound: the parser's block; `FIRST_SIGN_MS` until the first byte; two heartbeats of silence.
// Failure: every end of the stream is told with its reason.
// Source: PROTOCOL.md section 3.1.

import { retryAfterMs } from "../backoff.ts";
import { byeOf, eventOf, gapOf, helloOf, isFinalClose, isPassingStatus, membersOf } from "../protocol.ts";
import { addressOf, refused, type Ended, type Sink, type Subscribe, type World } from "../transport.ts";
import { FIRST_SIGN_MS, silenceLimitMs, Watchdog } from "../watchdog.ts";
import { EventStreamParser, type Block } from "./event-stream.ts";

export async function sse(request: Subscribe, sink: Sink, world: World): Promise<Ended> {
  const url = addressOf("sse", request);
  const stop = new AbortController();
  let silent = false;
  const watchdog = new Watchdog(FIRST_SIGN_MS, () => { silent = true; stop.abort(); }, world.now);
  const signal = AbortSignal.any([request.signal, stop.signal]);
  try {
    const response = await world.fetch(url, { signal, headers: { accept: "text/event-stream" }, cache: "no-store" });
    if (!response.ok) return await refused(response, retryAfterMs(response.headers), isPassingStatus(response.status));
    if (!isEventStream(response)) return { why: "garbled", detail: response.headers.get("content-type") ?? "" };
    return await read(response, sink, world, watchdog);
  } catch (error) {
    if (request.signal.aborted) return { why: "aborted" };
    if (silent) return { why: "silent" };
    return error instanceof RangeError ? { why: "garbled", detail: error.message } : { why: "unreachable" };
  } finally {
    watchdog.stop();
    stop.abort(); // a stream that was left early must not go on
  }
}

async function read(response: Response, sink: Sink, world: World, watchdog: Watchdog): Promise<Ended> {
  let at = 0;
  let retryMs = 0;
  let ended: Ended | undefined;
  const parser = new EventStreamParser(
    (block) => { ended ??= take(block, sink, at, watchdog); },
    (ms) => { retryMs = ms; },
  );
  for (const reader = response.body?.getReader(); reader !== undefined; ) {
    const { done, value } = await reader.read();
    at = world.now();
    if (done) break;
    watchdog.feed();
    parser.push(value);
    if (ended !== undefined) return { retryMs, ...ended };
  }
  return { why: "closed", retryMs };
}

/** Hands a block on; an end when it was one that ends the stream. */
function take(block: Block, sink: Sink, at: number, watchdog: Watchdog): Ended | undefined {
  const members = membersOf(block.data);
  if (block.event === "message") {
    const event = eventOf(block.data, members);
    if (event === undefined) return { why: "garbled", detail: block.data.slice(0, 80) };
    sink.event(event, at);
  } else if (block.event === "hello") {
    const hello = helloOf(members);
    if (hello === undefined) return { why: "garbled", detail: "hello" };
    watchdog.feed(silenceLimitMs(hello.heartbeatMs));
    sink.opened(hello, "", at);
  } else if (block.event === "gap") {
    const gap = gapOf(members);
    if (gap !== undefined) sink.gap(gap, at);
  } else if (block.event === "hb") {
    const cursor = members?.["cursor"];
    if (typeof cursor === "string") sink.cursor(cursor);
  } else if (block.event === "bye") {
    const bye = byeOf(members);
    if (bye === undefined) return { why: "closed" };
    return {
      why: "closed",
      code: bye.code,
      detail: bye.reason,
      final: isFinalClose(bye.code),
      ...(bye.retryMs === undefined ? {} : { retryMs: bye.retryMs }),
    };
  }
  return undefined; // other names may come in later versions
}

function isEventStream(response: Response): boolean {
  return /^text\/event-stream\s*(;|$)/i.test(response.headers.get("content-type") ?? "");
}
