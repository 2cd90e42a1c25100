// What the three transports share: how a lane asks for a subscription, and what it hears.
// Shape: a transport is one function. It runs one connection from its first byte to its end and then says why it ended.
// Failure: a transport never throws; everything that can go wrong is an `Ended`.

import type { Cursor, Gap, Hello, TopicEvent } from "./protocol.ts";

/** Runs one connection; the promise is fulfilled when it is over. */
export type Transport = (request: Subscribe, sink: Sink, world: World) => Promise<Ended>;

export interface Subscribe {
  /** The gateway, with a slash at the end. */
  readonly base: string;
  readonly topics: readonly string[];
  readonly after: Cursor;
  /** Aborting it drops the connection at once. */
  readonly signal: AbortSignal;
}

/** Where a transport puts what it receives. `at` is taken before anything is parsed. */
export interface Sink {
  opened(hello: Hello, protocol: string, at: number): void;
  event(event: TopicEvent, at: number): void;
  gap(gap: Gap, at: number): void;
  /** A place to resume that came without an event. */
  cursor(cursor: Cursor): void;
}

/** What belongs to the platform, passed in so that tests can run in Node. */
export interface World {
  readonly now: () => number;
  readonly fetch: typeof globalThis.fetch;
  readonly WebSocket: typeof globalThis.WebSocket;
}

/** Why a connection is over. */
export interface Ended {
  readonly why:
    | "aborted"
    | "closed" // with a close code
    | "refused" // with an HTTP status
    | "unreachable"
    | "silent"
    | "garbled"; // the peer does not speak the protocol
  readonly code?: number;
  readonly detail?: string;
  /** The gateway's wish; waits are never shorter. */
  readonly retryMs?: number;
  /** Coming back would fail again. */
  readonly final?: boolean;
}

/** The address of a subscription at `path`, with the parameters that all transports share. */
export function addressOf(path: string, request: Subscribe): URL {
  const url = new URL(path, request.base);
  for (const topic of request.topics) url.searchParams.append("topic", topic);
  url.searchParams.set("after", request.after);
  return url;
}

/** An HTTP refusal as an end: its status, and the sentence of the problem in its body. */
export async function refused(response: Response, retryMs: number, isPassing: boolean): Promise<Ended> {
  const detail = await problemText(response);
  return { why: "refused", code: response.status, detail, retryMs, final: !isPassing };
}

/** The sentence of a problem document (RFC 9457); empty when the body is none. */
export async function problemText(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as { detail?: unknown; title?: unknown };
    const text = problem.detail ?? problem.title;
    return typeof text === "string" ? text : "";
  } catch {
    return "";
  }
}
