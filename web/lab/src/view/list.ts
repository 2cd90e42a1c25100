// A lane's list: its events and what happened to its connection, newest first.
// Shape: lines are made once and put on top; the distance of an event is looked at again, since another lane's earlier
// stamp may come in later. While a pointer rests on the list, or the focus is in it, nothing moves.
// Bound: as many lines as the lab keeps.

import { ms } from "../i18n/format.ts";
import { bind, words } from "../i18n/index.ts";
import { LINES_MAX, type Lab } from "../lab.ts";
import type { LaneName } from "../protocol.ts";
import type { Line } from "../race.ts";
import { el, text } from "./dom.ts";

interface Row {
  readonly element: HTMLElement;
  update(): void;
}

export function laneList(lab: Lab, name: LaneName): { readonly element: HTMLElement; tick(): void } {
  const list = el("ol", { class: "events", tabindex: "0" });
  const empty = el("li", { class: "empty" });
  const canHover = matchMedia("(hover: hover)");
  let rows = new Map<Line, Row>();
  bind((words) => {
    list.setAttribute("aria-label", words.lane.list(words.lanes[name]));
    text(empty, words.lane.empty);
    rows = new Map();
    list.replaceChildren();
  });

  function tick(): void {
    const held = list.matches(":focus-within") || (canHover.matches && list.matches(":hover"));
    const lines = lab.lines[name];
    if (held && lines.length > 0) {
      for (const row of rows.values()) row.update();
      return;
    }
    const kept = new Map<Line, Row>();
    for (const line of lines.slice(0, LINES_MAX)) kept.set(line, rows.get(line) ?? rowOf(line, name));
    for (const [line, row] of rows) if (!kept.has(line)) row.element.remove();
    // What stays keeps its order, and what is new is newer: it goes on top, the newest last.
    const top = list.firstChild;
    const fresh = [...kept].filter(([line]) => !rows.has(line));
    for (const [, { element }] of fresh) {
      element.classList.toggle("fresh", fresh.length <= FRESH_MAX);
      list.insertBefore(element, top);
    }
    rows = kept;
    for (const row of rows.values()) row.update();
    if (rows.size === 0 && !empty.isConnected) list.append(empty);
    else if (rows.size > 0) empty.remove();
  }
  return { element: list, tick };
}

function rowOf(line: Line, name: LaneName): Row {
  return line.kind === "event" ? eventRow(line, name) : factRow(line);
}

function eventRow(line: Line & { kind: "event" }, name: LaneName): Row {
  const { event } = line.entry;
  const delta = el("span", { class: "delta" });
  const data = el("code", { class: "data" }, event.binary ? `${words().lane.binary} ${event.preview}` : event.preview);
  const element = el("li", { "data-id": event.id }, delta, el("span", { class: "topic" }, event.topic));
  if (event.type !== undefined) element.append(el("span", { class: "type" }, event.type));
  element.append(data);
  return {
    element,
    update: () => {
      const { entry } = line;
      const behind = line.at - entry.firstAt;
      const isFirst = behind === 0 && !line.again;
      const said = words().line;
      element.classList.toggle("first", isFirst);
      element.classList.toggle("replayed", entry.replayed[name] === true);
      element.classList.toggle("again", line.again);
      if (line.again) text(delta, said.again);
      else if (entry.replayed[name] === true) text(delta, said.replayed(ms(behind)));
      else text(delta, isFirst ? said.first : `+${ms(behind)}`);
    },
  };
}

/** What happened to the connection. */
function factRow(line: Exclude<Line, { kind: "event" }>): Row {
  const said = words();
  let sentence: string;
  if (line.kind === "gap") sentence = said.line.gap(said.line.reasons[line.gap.reason] ?? line.gap.reason);
  else if (line.kind === "open") {
    if (line.first) sentence = said.line.opened;
    else sentence = (line.resumed ? said.line.back : said.line.backUnresumed)(ms(line.awayMs));
  } else sentence = line.phase === "cut" || line.ended === undefined ? said.line.cut : said.ended(line.ended);
  return { element: el("li", { class: `fact ${line.kind}` }, sentence), update: () => {} };
}

/** More lines than this at once come without a flash: where everything flashes, nothing does. */
const FRESH_MAX = 3;
