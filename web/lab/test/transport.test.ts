// Goal: every transport brings every event once and in order, through cuts, refusals and silence, and says why it ended.
// Method: each behaviour once over the three siblings, against a gateway that misbehaves on order.

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";

import { Connection, type Note, type Phase } from "../src/connection.ts";
import { LANES, type LaneName } from "../src/protocol.ts";
import type { Sink, Transport, World } from "../src/transport.ts";
import { poll } from "../src/transport/poll.ts";
import { sse } from "../src/transport/sse.ts";
import { websocket } from "../src/transport/websocket.ts";
import { TestGateway } from "./gateway.ts";

const TRANSPORTS: Record<LaneName, Transport> = { websocket, sse, poll };
const world: World & { random: () => number } = {
  now: () => performance.now(),
  random: () => 0, // no waiting between attempts
  fetch: globalThis.fetch,
  WebSocket: WebSocket as unknown as typeof globalThis.WebSocket,
};

let gateway: TestGateway;
const running: Connection[] = [];

beforeEach(async () => { gateway = await TestGateway.start(); });
afterEach(async () => {
  for (const connection of running.splice(0)) connection.stop();
  await gateway.stop();
});

interface Run {
  readonly connection: Connection;
  readonly notes: Note[];
  events(): string[];
  phases(): Phase[];
  readonly over: Promise<void>;
}

/** A connection that runs until the test ends. */
function run(name: LaneName, topic = "a.>"): Run {
  const notes: Note[] = [];
  const plan = { base: gateway.base, topics: [topic], after: gateway.head };
  const connection = new Connection(TRANSPORTS[name], plan, (note) => notes.push(note), world);
  running.push(connection);
  return {
    connection,
    notes,
    over: connection.run(),
    events: () => notes.flatMap((note) => (note.kind === "event" ? [note.event.id] : [])),
    phases: () => notes.flatMap((note) => (note.kind === "phase" ? [note.phase] : [])),
  };
}

const until = (assertion: () => void): Promise<void> => vi.waitFor(assertion, { timeout: 15_000, interval: 5 });

describe.each(LANES)("%s", (name) => {
  it("opens with the cursor it was given, and brings what matches", async () => {
    const lane = run(name);
    await until(() => expect(lane.phases()).toContain("online"));
    const ids = [gateway.publish("a.b", "1e400", "t"), gateway.publish("b.c", "0"), gateway.publish("a.b.c", '"潮🌊"')];
    await until(() => expect(lane.events()).toEqual([ids[0], ids[2]]));
    expect(lane.notes.find((note) => note.kind === "open")).toMatchObject({ resumed: true, cursor: "e0-10" });
    expect(lane.notes.find((note) => note.kind === "event")).toMatchObject({ event: { preview: "1e400", type: "t", topic: "a.b" } });
  });

  it("comes back after a cut with everything that it missed meanwhile", async () => {
    const lane = run(name);
    const first = gateway.publish("a.b", "1");
    await until(() => expect(lane.events()).toEqual([first]));
    lane.connection.cut(60_000);
    await until(() => expect(lane.phases()).toContain("cut"));
    const rest = Array.from({ length: 20 }, (_, i) => gateway.publish("a.b", String(i)));
    expect(lane.events()).toEqual([first]);
    lane.connection.resume();
    await until(() => expect(lane.events()).toEqual([first, ...rest]));
    expect(lane.notes.filter((note) => note.kind === "open")).toMatchObject([{ resumed: true }, { resumed: true }]);
  });

  it("loses nothing when the network ends it anywhere, even inside a character", async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 3, maxLength: 6 }), async (places) => {
      const lane = run(name);
      const ids: string[] = [];
      for (const place of places) {
        gateway.dropAfter = place;
        gateway.dropAll();
        for (let i = 0; i < 3; i++) ids.push(gateway.publish("a.b", `"潮🌊${"x".repeat(i * 40)}"`));
      }
      gateway.dropAfter = Number.POSITIVE_INFINITY;
      gateway.dropAll();
      await until(() => expect(lane.events()).toEqual(ids));
      lane.connection.stop();
    }), { numRuns: 8 });
  });

  it("tries again after 503, and tells the status where it can", async () => {
    gateway.refuseNext.push(503, 503);
    const lane = run(name);
    await until(() => expect(lane.phases()).toContain("online"));
    expect(lane.phases()).toEqual(["connecting", "waiting", "connecting", "waiting", "connecting", "online"]);
    const waiting = lane.notes.find((note) => note.kind === "phase" && note.phase === "waiting");
    // A browser never tells script why an upgrade was refused.
    expect(waiting).toMatchObject({ ended: name === "websocket" ? { why: "unreachable" } : { why: "refused", code: 503, detail: "told to answer 503" } });
  });

  it("tells a gap before the events that follow it", async () => {
    for (let i = 0; i < 5; i++) gateway.publish("a.b", "0");
    const lane = run(name);
    await until(() => expect(lane.phases()).toContain("online"));
    lane.connection.cut(60_000);
    await until(() => expect(lane.phases()).toContain("cut"));
    const ids = Array.from({ length: 5 }, (_, i) => gateway.publish("a.b", String(i)));
    gateway.oldest = 8;
    lane.connection.resume();
    await until(() => expect(lane.events()).toEqual(ids.slice(3)));
    const after = lane.notes.slice(lane.notes.findLastIndex((note) => note.kind === "open"));
    const kinds = after.flatMap(({ kind }) => (kind === "gap" || kind === "event" ? [kind] : []));
    expect(kinds).toEqual(["gap", "event", "event"]);
    expect(lane.notes.findLast((note) => note.kind === "open")).toMatchObject({ resumed: false });
  });

  it("does nothing more after stop", async () => {
    const lane = run(name);
    await until(() => expect(lane.phases()).toContain("online"));
    lane.connection.stop();
    await lane.over;
    const before = lane.notes.length;
    gateway.publish("a.b", "1");
    const other = run(name);
    gateway.publish("a.b", "2");
    await until(() => expect(other.events().length).toBeGreaterThan(0));
    expect(lane.notes).toHaveLength(before);
  });

  it("that is not reached waits and says so", async () => {
    await gateway.stop();
    const lane = run(name);
    await until(() => expect(lane.phases().filter((phase) => phase === "waiting").length).toBeGreaterThan(2));
    expect(lane.notes.find((note) => note.kind === "phase" && note.phase === "waiting")).toMatchObject({ ended: { why: "unreachable" } });
    lane.connection.stop();
    gateway = await TestGateway.start();
  });
});

describe.each(["sse", "poll"] as const)("%s", (name) => {
  it.each([400, 401, 403])("stays away after %i", async (status) => {
    gateway.refuseNext.push(status);
    const lane = run(name);
    await lane.over;
    expect(lane.notes.at(-1)).toMatchObject({ phase: "closed", ended: { why: "refused", code: status, final: true } });
  });

  it("does not take a page of a proxy for the protocol", async () => {
    const fetch = (): Promise<Response> => Promise.resolve(new Response("<html>", { headers: { "content-type": "text/html" } }));
    const request = { base: gateway.base, topics: ["a"], after: "e0-10", signal: new AbortController().signal };
    expect(await TRANSPORTS[name](request, quiet, { ...world, fetch })).toMatchObject({ why: "garbled" });
  });
});

describe("silence", () => {
  afterEach(() => { vi.useRealTimers(); });

  it.each(["sse", "websocket"] as const)("of %s before the first sign ends it", async (name) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    gateway.mute = true;
    const request = { base: gateway.base, topics: ["a"], after: "e0-10", signal: new AbortController().signal };
    const ended = TRANSPORTS[name](request, quiet, world);
    await vi.waitFor(() => expect(gateway.requests).toBe(1), { timeout: 5_000 });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await ended).toMatchObject({ why: "silent" });
  });

  it.each(["sse", "websocket"] as const)("of %s for two heartbeats ends it", async (name) => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    gateway.heartbeatMs = 1_000;
    const request = { base: gateway.base, topics: ["a"], after: "e0-10", signal: new AbortController().signal };
    let isOpen = false;
    const ended = TRANSPORTS[name](request, { ...quiet, opened: () => { isOpen = true; } }, world);
    await vi.waitFor(() => expect(isOpen).toBe(true), { timeout: 5_000 });
    await vi.advanceTimersByTimeAsync(3_001);
    expect(await ended).toMatchObject({ why: "silent" });
  });
});

const quiet: Sink = { opened: () => {}, event: () => {}, gap: () => {}, cursor: () => {} };
