// The one place that speaks to screen readers by itself: changes of state, and a new winner.
// Bound: one sentence at a time, at most one every `PERIOD_MS`. Running numbers are never announced.

import { words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import { LANES } from "../protocol.ts";
import { verdictOf } from "../verdict.ts";
import { el, text } from "./dom.ts";

export function announcer(lab: Lab, sentence: () => string): { readonly element: HTMLElement; tick(): void } {
  const element = el("p", { class: "unseen", role: "status" });
  const said = new Map<string, string>();
  let spokenAt = 0;

  function tick(): void {
    const time = performance.now();
    if (time - spokenAt < PERIOD_MS) return;
    const news: string[] = [];
    for (const lane of LANES) {
      const { phase } = lab.race.lanes[lane];
      if (phase === "connecting" || said.get(lane) === phase) continue;
      said.set(lane, phase);
      news.push(words().announce.lane(words().lanes[lane], words().phase[phase]));
    }
    const verdict = verdictOf(lab.race);
    const winner = verdict.kind === "ahead" ? verdict.winner : verdict.kind;
    if ((verdict.kind === "ahead" || verdict.kind === "level") && said.get("verdict") !== winner) {
      said.set("verdict", winner);
      news.push(sentence());
    }
    if (news.length === 0) return;
    spokenAt = time;
    text(element, news.join(" "));
  }
  return { element, tick };
}

const PERIOD_MS = 5_000;
