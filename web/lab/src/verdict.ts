// The live sentence: who is ahead, if anybody.
// Shape: pure; the race in, a verdict out. Nobody wins while intervals overlap or samples are few.

import { LANES, type LaneName } from "./protocol.ts";
import type { Race } from "./race.ts";
import type { Summary } from "./samples.ts";

export type Verdict =
  | { readonly kind: "none" }
  | { readonly kind: "few"; readonly n: number; readonly needed: number }
  | { readonly kind: "level"; readonly n: number; readonly lanes: readonly LaneName[] }
  | { readonly kind: "ahead"; readonly n: number; readonly winner: LaneName; readonly share: number;
      readonly others: readonly { readonly lane: LaneName; readonly byMs: number }[] };

export function verdictOf(race: Race): Verdict {
  if (race.races === 0) return { kind: "none" };
  const ranked: { lane: LaneName; summary: Summary }[] = [];
  for (const lane of LANES) {
    const summary = race.lanes[lane].samples.summary();
    if (summary !== undefined) ranked.push({ lane, summary });
  }
  ranked.sort((a, b) => a.summary.p50 - b.summary.p50 || a.summary.high - b.summary.high);
  const best = ranked[0];
  if (best === undefined) return { kind: "none" };
  if (race.races < NEEDED) return { kind: "few", n: race.races, needed: NEEDED };

  const level = ranked.filter(({ summary }) => summary.low <= best.summary.high);
  if (level.length > 1) return { kind: "level", n: race.races, lanes: level.map(({ lane }) => lane) };
  return {
    kind: "ahead",
    n: race.races,
    winner: best.lane,
    share: race.lanes[best.lane].firsts / race.races,
    others: ranked.slice(1).map(({ lane, summary }) => ({ lane, byMs: summary.p50 - best.summary.p50 })),
  };
}

/** Fewer races than this say nothing. */
export const NEEDED = 30;
