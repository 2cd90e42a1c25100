// Lines for a terminal that do what the page does.

import { dataText, type Draft } from "../publish.ts";

/**
 * The line that publishes `draft`.
 *
 * curl's own content type makes the gateway take JSON as JSON and the rest as text, as this page does.
 */
export function curlLine(base: string, draft: Draft): string {
  const url = new URL(`topics/${encodeURIComponent(draft.topic)}`, base);
  if (draft.type !== "") url.searchParams.set("type", draft.type);
  const data = dataText(draft.data).isJson ? draft.data.trim() : draft.data;
  const option = data.startsWith("@") ? "--data-raw" : "-d"; // -d would read a file of that name
  return `curl${isOwnCertificate(base) ? " -k" : ""} ${option} ${quoted(data)} ${quoted(url.href)}`;
}

/** The line that feeds the gateway with live numbers of its machine. */
export function machineLine(base: string): string {
  const url = base.replace(/\/$/, "");
  if (DEFAULT_URLS.includes(url)) return MACHINE;
  return `${MACHINE} -- --url ${url}${isOwnCertificate(base) ? " --insecure" : ""}`;
}

/** On loopback the gateway's own certificate is usual; only there it is right not to check it. */
function isOwnCertificate(base: string): boolean {
  const { protocol, hostname } = new URL(base);
  return protocol === "https:" && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}

/** As one word of a shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Where the example looks by itself: the gateway as it starts without any setting. */
const DEFAULT_URLS = ["https://localhost:8443", "https://127.0.0.1:8443"];
const MACHINE = "cargo run --release --example machine";
