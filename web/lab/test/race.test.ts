// Goal: the judge counts what really happened. Method: notes of made-up lanes; random runs with faults put in on purpose.

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Note } from "../src/connection.ts";
import { eventOf, LANES, type LaneName } from "../src/protocol.ts";
import { Race, WARM_UP_MS, type Line } from "../src/race.ts";

const id = (n: number, epoch = "k"): string => `${epoch}-${String(n).length}${n}`;

function arrival(n: number, at: number, data = "1", epoch = "k"): Note {
  const event = eventOf(`{"id":"${id(n, epoch)}","topic":"a","time":${n * 100},"data":${data}}`);
  if (event === undefined) throw new Error("not an event");
  return { kind: "event", at, event };
}

const open = (at: number, cursor = id(0)): Note => ({ kind: "open", at, cursor, resumed: true, protocol: "" });
const cut = (at: number): Note => ({ kind: "phase", at, phase: "cut", until: at + 100 });

function openRace(lines?: (lane: LaneName, line: Line) => void, bookMax?: number): Race {
  const race = new Race(id(0), lines, bookMax);
  for (const lane of LANES) race.take(lane, open(0));
  return race;
}

const WARM = WARM_UP_MS + 1;

describe("the race", () => {
  it("measures each lane against the first, whichever note came in first", () => {
    const race = openRace();
    race.take("sse", arrival(1, WARM + 5));
    race.take("poll", arrival(1, WARM + 9));
    race.take("websocket", arrival(1, WARM + 2));
    expect(race.races).toBe(1);
    expect(LANES.map((lane) => race.lanes[lane].samples.summary()?.p50)).toEqual([0, 3, 7]);
    expect(LANES.map((lane) => race.lanes[lane].firsts)).toEqual([1, 0, 0]);
  });

  it("does not count events of the warm-up", () => {
    const race = openRace();
    for (const lane of LANES) race.take(lane, arrival(1, WARM_UP_MS - 1));
    expect(race.races).toBe(0);
    expect(race.lanes.poll.received).toBe(1);
  });

  it("takes events that were published together as one race", () => {
    const race = openRace();
    for (const lane of LANES) {
      race.take(lane, arrival(1, WARM));
      const { event } = arrival(1, WARM) as Note & { kind: "event" };
      for (const n of [2, 3]) race.take(lane, { kind: "event", at: WARM, event: { ...event, id: id(n) } });
      race.take(lane, arrival(4, WARM));
    }
    expect(race.races).toBe(2);
    expect(race.lanes.sse.received).toBe(4);
  });

  it("counts what came after a cut as replayed, and not as a race", () => {
    const race = openRace();
    race.take("poll", cut(WARM));
    race.take("websocket", arrival(1, WARM + 10));
    race.take("sse", arrival(1, WARM + 11));
    expect(race.lanes.poll.behind.size).toBe(1);
    race.take("poll", open(WARM + 3000));
    race.take("poll", arrival(1, WARM + 3001));
    expect(race.lanes.poll).toMatchObject({ replayed: 1, missed: 0, opens: 2 });
    expect(race.lanes.poll.behind.size).toBe(0);
    expect(race.races).toBe(0);
  });

  it("knows a replay also when the note of the first arrival comes in last", () => {
    const race = openRace();
    race.take("poll", cut(WARM));
    race.take("poll", open(WARM + 50));
    race.take("poll", arrival(1, WARM + 51));
    race.take("websocket", arrival(1, WARM + 10));
    expect(race.lanes.poll.replayed).toBe(1);
    expect(race.lanes.websocket.replayed).toBe(0);
  });

  it("calls an event missed when a lane goes past it", () => {
    const race = openRace();
    race.take("websocket", arrival(1, 1));
    race.take("websocket", arrival(2, 2));
    race.take("sse", arrival(2, 3));
    expect(race.lanes.sse.missed).toBe(1);
    expect(race.lanes.poll.missed).toBe(0);
    expect(race.lanes.poll.behind.size).toBe(2);
  });

  it("calls it missed also when the other lane's note comes in later", () => {
    const race = openRace();
    race.take("sse", arrival(2, 3));
    race.take("websocket", arrival(1, 1));
    expect(race.lanes.sse.missed).toBe(1);
  });

  it("takes an event back that comes late, and counts the disorder", () => {
    const race = openRace();
    race.take("websocket", arrival(1, 1));
    race.take("sse", arrival(2, 2));
    race.take("sse", arrival(1, 3));
    expect(race.lanes.sse).toMatchObject({ missed: 0, disordered: 1, received: 2 });
  });

  it("counts what came twice, and leaves the measurement as it was", () => {
    const lines: Line[] = [];
    const race = openRace((_lane, line) => lines.push(line));
    race.take("sse", arrival(1, 1));
    race.take("sse", arrival(1, 9));
    expect(race.lanes.sse).toMatchObject({ doubled: 1, received: 1 });
    expect(lines.at(-1)).toMatchObject({ kind: "event", again: true });
  });

  it("notices other bytes under the same id", () => {
    const race = openRace();
    race.take("sse", arrival(1, 1, "1.0"));
    race.take("poll", arrival(1, 1, "1"));
    expect(race.lanes.poll.altered).toBe(1);
  });

  it("holds a cursor against a lane that skipped what lies before it", () => {
    const race = openRace();
    race.take("websocket", arrival(1, 1));
    race.take("sse", { kind: "cursor", cursor: id(1) });
    expect(race.lanes.sse.missed).toBe(1);
  });

  it("counts what a gap took as missed, and goes on from its cursor", () => {
    const race = openRace();
    for (let n = 1; n <= 5; n++) race.take("websocket", arrival(n, n));
    race.take("sse", { kind: "gap", at: 9, gap: { topics: ["a"], after: id(0), cursor: id(3), reason: "evicted" } });
    race.take("sse", arrival(4, 10));
    race.take("sse", arrival(5, 10));
    expect(race.lanes.sse).toMatchObject({ gaps: 1, missed: 3, received: 2 });
    expect(race.lanes.sse.behind.size).toBe(0);
  });

  it("starts again in a new epoch", () => {
    const race = openRace();
    race.take("websocket", arrival(7, 1));
    for (const lane of LANES) {
      race.take(lane, { kind: "gap", at: 2, gap: { topics: ["a"], after: id(7), cursor: id(0, "m"), reason: "epoch" } });
      race.take(lane, arrival(1, 3, "1", "m"));
    }
    expect(LANES.map((lane) => race.lanes[lane].missed)).toEqual([0, 1, 1]);
    expect(LANES.map((lane) => race.lanes[lane].disordered)).toEqual([0, 0, 0]);
    expect(LANES.map((lane) => race.lanes[lane].received)).toEqual([2, 1, 1]);
  });

  it("judges nothing that has left the book", () => {
    const race = openRace(undefined, 10);
    for (let n = 1; n <= 50; n++) race.take("websocket", arrival(n, n));
    for (let n = 1; n <= 50; n++) race.take("sse", arrival(n, n + 100));
    expect(race.book.size).toBe(10);
    expect(race.lanes.sse).toMatchObject({ received: 50, missed: 0, doubled: 0, disordered: 0 });
  });

  it("finds exactly the faults that were put in, whatever the interleaving", () => {
    const faults = fc.record({ lost: fc.uniqueArray(fc.integer({ min: 1, max: 39 })), twice: fc.uniqueArray(fc.integer({ min: 1, max: 39 })) });
    fc.assert(fc.property(faults, faults, fc.array(fc.nat(2), { minLength: 300, maxLength: 300 }), (first, second, turns) => {
      const plans = [{ lost: [], twice: [] }, first, second].map(({ lost, twice }) => ({
        lost: new Set<number>(lost),
        twice: new Set<number>(twice.filter((n) => !(lost as number[]).includes(n))),
      }));
      const queues = plans.map(({ lost, twice }) =>
        Array.from({ length: 40 }, (_, i) => i + 1).filter((n) => !lost.has(n)).flatMap((n) => (twice.has(n) ? [n, n] : [n])));
      const race = openRace();
      let at = 0;
      for (const turn of [...turns, ...[0, 1, 2].flatMap((lane) => Array<number>(80).fill(lane))]) {
        const n = queues[turn]?.shift();
        const lane = LANES[turn];
        if (n !== undefined && lane !== undefined) race.take(lane, arrival(n, at++));
      }
      for (const [i, lane] of LANES.entries()) {
        expect(race.lanes[lane].missed).toBe(plans[i]?.lost.size);
        expect(race.lanes[lane].doubled).toBe(plans[i]?.twice.size);
        expect(race.lanes[lane].disordered).toBe(0);
        expect(race.lanes[lane].behind.size).toBe(0);
      }
    }));
  });
});
