// Publishing over REST, and the first cursor, which all lanes start from.
// Shape: one fetch each; answers are values, also the refusals.
// Failure: "no answer" is told as such: the event may have been stored. A repeat with the same key makes no second one.
// Source: PROTOCOL.md sections 3.2 and 4.

import type { Cursor } from "./protocol.ts";
import { membersOf } from "./protocol.ts";
import { problemText } from "./transport.ts";

export interface Draft {
  readonly topic: string;
  readonly type: string;
  /** What the person wrote: JSON, or any other text. */
  readonly data: string;
}

export type Published =
  | { readonly ok: true; readonly id: Cursor; readonly status: number }
  | { readonly ok: false; readonly status: number | undefined; readonly detail: string };

/** What `data` goes out as: JSON when it is JSON, else a JSON string. Spliced in as text, so that 1e400 stays 1e400. */
export function dataText(data: string): { readonly json: string; readonly isJson: boolean } {
  try {
    JSON.parse(data);
    return { json: data.trim(), isJson: true };
  } catch {
    return { json: JSON.stringify(data), isJson: false };
  }
}

/** The body of a publish. */
export function bodyOf(draft: Draft): string {
  const members = [`"topic":${JSON.stringify(draft.topic)}`];
  if (draft.type !== "") members.push(`"type":${JSON.stringify(draft.type)}`);
  members.push(`"data":${dataText(draft.data).json}`);
  return `{${members.join(",")}}`;
}

export async function publish(base: string, draft: Draft): Promise<Published> {
  try {
    const response = await fetch(new URL("publish", base), {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": newKey() },
      body: bodyOf(draft),
    });
    if (!response.ok) return { ok: false, status: response.status, detail: await problemText(response) };
    const id = membersOf(await response.text())?.["id"];
    if (typeof id !== "string") return { ok: false, status: response.status, detail: "no id" };
    return { ok: true, id, status: response.status };
  } catch {
    return { ok: false, status: undefined, detail: "" };
  }
}

/** The head of the log, as a cursor: a poll without one answers at once (PROTOCOL.md section 3.2). */
export async function headOf(base: string, topics: readonly string[], signal: AbortSignal): Promise<Head> {
  const url = new URL("poll", base);
  for (const topic of topics) url.searchParams.append("topic", topic);
  url.searchParams.set("after", "now");
  try {
    const response = await fetch(url, { signal, cache: "no-store" });
    if (!response.ok) return { ok: false, status: response.status, detail: await problemText(response) };
    const cursor = membersOf(await response.text())?.["cursor"];
    return typeof cursor === "string" ? { ok: true, cursor } : { ok: false, status: response.status, detail: "no cursor" };
  } catch {
    return { ok: false, status: undefined, detail: "" };
  }
}

export type Head =
  | { readonly ok: true; readonly cursor: Cursor }
  | { readonly ok: false; readonly status: number | undefined; readonly detail: string };

/** A fresh idempotency key. Not `randomUUID`, which pages on plain HTTP do not have. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
