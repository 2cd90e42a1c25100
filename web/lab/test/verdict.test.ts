// Goal: a winner only where the numbers say so.

import { describe, expect, it } from "vitest";

import { LANES, type LaneName } from "../src/protocol.ts";
import { Race } from "../src/race.ts";
import { Samples } from "../src/samples.ts";
import { NEEDED, verdictOf } from "../src/verdict.ts";

/** A race of `n` events in which each lane's distance is what `distance` says. */
function raceOf(n: number, distance: (lane: LaneName, i: number) => number): Race {
  const race = new Race("k-10");
  for (let i = 0; i < n; i++) {
    race.races++;
    for (const lane of LANES) {
      race.lanes[lane].samples.add(distance(lane, i));
      if (distance(lane, i) === 0) race.lanes[lane].firsts++;
    }
  }
  return race;
}

const apart: Record<LaneName, number> = { websocket: 0, sse: 1, poll: 3 };

describe("the verdict", () => {
  it("says nothing without races", () => {
    expect(verdictOf(new Race("k-10")).kind).toBe("none");
  });

  it("waits until there are enough", () => {
    expect(verdictOf(raceOf(NEEDED - 1, (lane) => apart[lane]))).toMatchObject({ kind: "few", n: NEEDED - 1 });
  });

  it("names the lane that is ahead, and by how much", () => {
    expect(verdictOf(raceOf(NEEDED, (lane) => apart[lane]))).toEqual({
      kind: "ahead", n: NEEDED, winner: "websocket", share: 1, others: [{ lane: "sse", byMs: 1 }, { lane: "poll", byMs: 3 }],
    });
  });

  it("names no winner while two lanes win in turn", () => {
    const verdict = verdictOf(raceOf(400, (lane, i) => (lane === "poll" ? 3 : (i % 2 === 0) === (lane === "sse") ? 0 : 0.2)));
    expect(verdict).toMatchObject({ kind: "level" });
    expect(verdict.kind === "level" ? [...verdict.lanes].sort() : []).toEqual(["sse", "websocket"]);
  });
});

describe("samples", () => {
  it("look back on the newest ones only, oldest first", () => {
    const samples = new Samples(3);
    for (const value of [1, 2, 3, 4]) samples.add(value);
    expect([...samples.values()]).toEqual([2, 3, 4]);
    expect(samples.n).toBe(3);
  });

  it("give percentiles that are samples, and an interval around the median", () => {
    const samples = new Samples(1000);
    for (let i = 1; i <= 100; i++) samples.add(i);
    expect(samples.summary()).toEqual({ n: 100, p50: 50, p95: 95, low: 41, high: 61 });
    expect(new Samples(1).summary()).toBeUndefined();
  });
});
