// What the page keeps in its address and in the browser.
// Shape: reads and writes of `location` and `localStorage`, nothing else.
// Failure: a browser that forbids storage only forgets the choices.

import { topicsOf } from "./topics.ts";

/** The patterns of the address; the machine example's when there are none. */
export function topicsHere(): string[] {
  const topics = new URLSearchParams(location.search).getAll("topic").flatMap(topicsOf);
  return topics.length > 0 ? topics : [DEFAULT_TOPIC];
}

export function parameter(name: string): string | undefined {
  return new URLSearchParams(location.search).get(name) ?? undefined;
}

/** Puts a parameter (or several of one name) into the address without a new entry in the history. */
export function setParameter(name: string, values: readonly string[]): void {
  const url = new URL(location.href);
  url.searchParams.delete(name);
  for (const value of values) url.searchParams.append(name, value);
  history.replaceState(null, "", url);
}

export function stored(key: string): string | undefined {
  try {
    return localStorage.getItem(PREFIX + key) ?? undefined;
  } catch {
    return undefined;
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // The choice holds for this page only.
  }
}

/** The gateway's address: the folder that this page lies in, so that a path prefix in front of it works too. */
export function gatewayBase(): string {
  return new URL("./", document.baseURI).href.replace(/[?#].*$/, "");
}

const DEFAULT_TOPIC = "machine.>";
const PREFIX = "tidewire-lab-";
