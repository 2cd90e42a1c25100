// The lab as a person uses it: what can be read from it and done with it.

import type { APIRequestContext, Page } from "playwright-core";
import { expect, vi } from "vitest";

import { DEADLINE_MS } from "./browser.ts";

export const LANES = ["websocket", "sse", "poll"] as const;
export type LaneName = (typeof LANES)[number];

/** Waits until the assertion holds. */
export function until(assertion: () => Promise<void>): Promise<void> {
  return vi.waitFor(assertion, { timeout: DEADLINE_MS, interval: 50 });
}

/** Waits until all lanes are open. */
export async function online(page: Page): Promise<void> {
  for (const lane of LANES) await page.locator(`.lane.${lane} .pill[data-phase="online"]`).waitFor();
}

/** One of a lane's numbers. */
export async function figure(page: Page, lane: LaneName, name: string): Promise<number> {
  const text = await page.locator(`.lane.${lane} [data-figure="${name}"]`).textContent();
  return Number((text ?? "").replaceAll(",", ""));
}

/** A number of all lanes, in their order. */
export function figures(page: Page, name: string): Promise<number[]> {
  return Promise.all(LANES.map((lane) => figure(page, lane, name)));
}

/** Waits until every lane has `n` events, and none was missed or doubled. */
export async function complete(page: Page, n: number): Promise<void> {
  await until(async () => expect(await figures(page, "received")).toEqual([n, n, n]));
  expect(await figures(page, "missed")).toEqual([0, 0, 0]);
  expect(await figures(page, "doubled")).toEqual([0, 0, 0]);
}

/** Publishes over REST, from outside the page, and gives the event's id. */
export async function publish(request: APIRequestContext, base: string, event: object): Promise<string> {
  const answer = await request.post(`${base}publish`, { data: event });
  expect(answer.status()).toBe(201);
  const { id } = (await answer.json()) as { id: string };
  return id;
}

/** Publishes `n` events in one request. */
export async function publishMany(request: APIRequestContext, base: string, topic: string, n: number): Promise<void> {
  const events = Array.from({ length: n }, (_, i) => ({ topic, data: i }));
  const answer = await request.post(`${base}publish`, { data: events });
  expect(answer.status()).toBe(200);
  expect(((await answer.json()) as { id?: string }[]).every(({ id }) => id !== undefined)).toBe(true);
}
