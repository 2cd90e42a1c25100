// The live sentence above the lanes.

import { count, ms, percent } from "../i18n/format.ts";
import { bind, words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import { LANES } from "../protocol.ts";
import { verdictOf } from "../verdict.ts";
import { el, text } from "./dom.ts";
import { markOf } from "./mark.ts";

export function verdictPanel(lab: Lab): { readonly element: HTMLElement; tick(): void; sentence(): string } {
  const title = el("h2");
  const winner = el("span", { class: "winner", hidden: true });
  const main = el("p", { class: "main" });
  const loss = el("p", { class: "loss" });
  bind((words) => text(title, words.verdict.title));
  let shown = "";

  function sentence(): string {
    const said = words().verdict;
    const names = words().lanes;
    const verdict = verdictOf(lab.race);
    switch (verdict.kind) {
      case "none": return said.none;
      case "few": return said.few(count(verdict.n), verdict.needed);
      case "level": return said.level(said.join(verdict.lanes.map((lane) => names[lane])), count(verdict.n));
      case "ahead": {
        const others = verdict.others.map(({ lane, byMs }) => ({ lane: names[lane], by: ms(byMs) }));
        return said.ahead(names[verdict.winner], percent(verdict.share), others, count(verdict.n));
      }
    }
  }

  function tick(): void {
    text(main, sentence());
    const verdict = verdictOf(lab.race);
    const lane = verdict.kind === "ahead" ? verdict.winner : "";
    if (lane !== shown) {
      winner.replaceChildren(...(verdict.kind === "ahead" ? [markOf(verdict.winner)] : []));
      winner.hidden = lane === "";
      shown = lane;
    }
    const missed = LANES.reduce((sum, name) => sum + lab.race.lanes[name].missed, 0);
    const doubled = LANES.reduce((sum, name) => sum + lab.race.lanes[name].doubled, 0);
    const said = words().verdict;
    loss.hidden = lab.arrivals === 0;
    loss.classList.toggle("bad", missed + doubled > 0);
    text(loss, missed + doubled === 0 ? said.clean : said.missed(count(missed), count(doubled)));
  }

  return { element: el("section", { class: "verdict" }, winner, el("div", {}, title, main), loss), tick, sentence };
}
