// The latest events as a table: the strip's twin for those who do not see it, and the place to read exact numbers.

import { ms } from "../i18n/format.ts";
import { bind, words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import { LANES, type LaneName } from "../protocol.ts";
import type { Entry } from "../race.ts";
import { el, text } from "./dom.ts";
import { markOf } from "./mark.ts";

export function eventTable(lab: Lab): { readonly element: HTMLElement; tick(): void } {
  const summary = el("summary");
  const caption = el("caption");
  const head = el("tr");
  const body = el("tbody");
  const scroll = el("div", { class: "scroll", tabindex: "0", role: "region" },
    el("table", {}, caption, el("thead", {}, head), body));
  const element = el("details", { class: "panel table" }, summary, scroll);
  bind((words) => {
    text(summary, words.table.title);
    text(caption, words.table.caption);
    scroll.setAttribute("aria-label", words.table.title);
    head.replaceChildren(
      el("th", { scope: "col" }, words.table.topic),
      ...LANES.map((lane) => el("th", { scope: "col", class: "number" }, markOf(lane), words.lanes[lane])),
      el("th", { scope: "col" }, words.table.event));
  });

  function tick(): void {
    if (!element.open) return;
    const rows = lab.recent.slice(-ROWS).reverse().map(row);
    body.replaceChildren(...(rows.length > 0 ? rows : [el("tr", {}, el("td", { colspan: "5" }, words().table.empty))]));
  }
  return { element, tick };
}

function row(entry: Entry): HTMLElement {
  return el("tr", {},
    el("th", { scope: "row", class: "mono" }, entry.event.topic),
    ...LANES.map((lane) => el("td", { class: "number" }, cell(entry, lane))),
    el("td", { class: "mono" }, entry.event.id));
}

function cell(entry: Entry, lane: LaneName): string {
  const at = entry.arrivals[lane];
  const said = words();
  if (at === undefined) return entry.missed[lane] === true ? said.table.missed : said.table.waiting;
  const behind = at - entry.firstAt;
  return behind === 0 ? said.line.first : `+${ms(behind)}`;
}

const ROWS = 20;
