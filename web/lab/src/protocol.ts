// What the lab reads from the wire, as types, and the parsers that make them out of text.
// Shape: pure functions; text in, a typed value or `undefined` out. No I/O, no clock.
// Bound: an event's data is kept as a preview of at most `PREVIEW_CHARS`; the digest is over all of it.
// Failure: text that is not what the protocol says is `undefined`, never an exception.
// Source: PROTOCOL.md sections 2 and 3.

/** The transports that the lab compares, in the order in which they stand on the page. */
export const LANES = ["websocket", "sse", "poll"] as const;
export type LaneName = (typeof LANES)[number];

/** Opaque text: a place in the log. An event's id is the cursor just after it. */
export type Cursor = string;

export interface TopicEvent {
  readonly id: Cursor;
  readonly topic: string;
  /** Milliseconds since the Unix epoch, stamped by the gateway. */
  readonly time: number;
  readonly type?: string;
  /** The beginning of the data as it was published: JSON text, or base64 when `binary`. */
  readonly preview: string;
  readonly binary: boolean;
  /** Digest of the event's whole JSON text, to check that each transport brought the same bytes. */
  readonly digest: number;
}

export interface Gap {
  readonly topics: readonly string[];
  readonly after: Cursor;
  readonly cursor: Cursor;
  readonly reason: string;
}

export interface Hello {
  readonly cursor: Cursor;
  readonly resumed: boolean;
  readonly heartbeatMs: number;
}

export interface Bye {
  readonly code: number;
  readonly reason: string;
  readonly retryMs: number | undefined;
}

export interface PollAnswer {
  readonly cursor: Cursor;
  readonly events: readonly TopicEvent[];
  readonly more: boolean;
  readonly gap: Gap | undefined;
}

/** Longest part of an event's data that is handed to the page, in UTF-16 units. */
export const PREVIEW_CHARS = 400;

type Members = Readonly<Record<string, unknown>>;

/** The members of a JSON object, or `undefined` for any other text. */
export function membersOf(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Members) : undefined;
  } catch {
    return undefined;
  }
}

/** An event from its JSON text, which is the same on every transport. */
export function eventOf(text: string, members: Members | undefined = membersOf(text)): TopicEvent | undefined {
  if (members === undefined) return undefined;
  const { id, topic, time, type } = members;
  if (typeof id !== "string" || typeof topic !== "string" || typeof time !== "number") return undefined;
  const binary = typeof members["data_base64"] === "string";
  return {
    id,
    topic,
    time,
    ...(typeof type === "string" ? { type } : {}),
    preview: previewOf(text, members, binary),
    binary,
    digest: digestOf(text),
  };
}

export function gapOf(members: Members | undefined): Gap | undefined {
  const { topics, after, cursor, reason } = members ?? {};
  if (typeof cursor !== "string" || typeof reason !== "string") return undefined;
  return {
    topics: Array.isArray(topics) ? topics.filter((topic) => typeof topic === "string") : [],
    after: typeof after === "string" ? after : "",
    cursor,
    reason,
  };
}

export function helloOf(members: Members | undefined): Hello | undefined {
  const { cursor, resumed, heartbeat_ms: heartbeatMs } = members ?? {};
  if (typeof cursor !== "string") return undefined;
  return {
    cursor,
    resumed: resumed === true,
    heartbeatMs: typeof heartbeatMs === "number" && heartbeatMs > 0 ? heartbeatMs : DEFAULT_HEARTBEAT_MS,
  };
}

export function byeOf(members: Members | undefined): Bye | undefined {
  const { code, reason, retry_ms: retryMs } = members ?? {};
  if (typeof code !== "number") return undefined;
  return {
    code,
    reason: typeof reason === "string" ? reason : "",
    retryMs: typeof retryMs === "number" && retryMs >= 0 ? retryMs : undefined,
  };
}

export function pollAnswerOf(text: string): PollAnswer | undefined {
  const members = membersOf(text);
  const { cursor, events, more, gap } = members ?? {};
  if (typeof cursor !== "string" || !Array.isArray(events)) return undefined;
  const parsed = elementsOf(text, "events").map((element) => eventOf(element));
  // One unreadable event means that the answer is not what the protocol says: none of it is taken.
  if (parsed.length !== events.length || parsed.includes(undefined)) return undefined;
  return {
    cursor,
    events: parsed.filter((event) => event !== undefined),
    more: more === true,
    gap: typeof gap === "object" && gap !== null ? gapOf(gap as Members) : undefined,
  };
}

/**
 * Whether `a` comes before `b` in the log. `undefined` when they belong to different epochs.
 *
 * Ids of one epoch sort as text in log order (PROTOCOL.md section 2). The lab is a judge of delivery, so it uses that;
 * a client that only wants its events never has to.
 */
export function isBefore(a: Cursor, b: Cursor): boolean | undefined {
  return epochOf(a) === epochOf(b) ? a < b : undefined;
}

/** Close codes after which coming back would only fail again (PROTOCOL.md section 3.3). */
export function isFinalClose(code: number): boolean {
  return (code >= 4000 && code <= 4099) || code === 1002 || code === 1003 || code === 1007 || code === 1009;
}

/** Statuses that may be different the next time; every other refusal is final. */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/**
 * The texts of the elements of the array that is the member `name` of the object in `json`, which is valid JSON.
 *
 * The texts, and not values made anew: a number such as 1e400 is shown as it was published.
 */
export function elementsOf(json: string, name: string): string[] {
  const elements: string[] = [];
  const opening = `"${name}":[`;
  const found = json.indexOf(opening);
  if (found < 0) return elements;
  let depth = 0;
  let begin = found + opening.length;
  for (let i = begin; i < json.length; i++) {
    const char = json[i];
    if (char === '"') i = endOfString(json, i);
    else if (char === "{" || char === "[") depth++;
    else if (depth === 0 && (char === "," || char === "]")) {
      if (i > begin) elements.push(json.slice(begin, i));
      if (char === "]") return elements;
      begin = i + 1;
    } else if (char === "}" || char === "]") depth--;
  }
  return elements;
}

function endOfString(json: string, quote: number): number {
  for (let i = quote + 1; i < json.length; i++) {
    if (json[i] === "\\") i++;
    else if (json[i] === '"') return i;
  }
  return json.length;
}

function previewOf(text: string, members: Members, binary: boolean): string {
  const member = binary ? "data_base64" : "data";
  // Everything before `data` is a plain member, and a quote inside a string is escaped: the first hit is the member.
  const opening = `,"${member}":`;
  const found = text.indexOf(opening);
  const data = found < 0 ? (JSON.stringify(members[member]) ?? "") : text.slice(found + opening.length, -1);
  const bare = binary ? data.slice(1, -1) : data;
  return bare.length > PREVIEW_CHARS ? `${bare.slice(0, PREVIEW_CHARS)}…` : bare;
}

/** FNV-1a, 32 bits, over UTF-16 units. It compares what one page received; it protects against nobody. */
function digestOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

function epochOf(cursor: Cursor): string {
  return cursor.slice(0, cursor.lastIndexOf("-"));
}

const DEFAULT_HEARTBEAT_MS = 15_000;
