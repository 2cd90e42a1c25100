// One lane's card: state, numbers, the cut, and its list.

import { now } from "../clock.ts";
import { count, ms, percent, seconds } from "../i18n/format.ts";
import { bind, words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import type { LaneName } from "../protocol.ts";
import type { LaneState } from "../race.ts";
import { attribute, el, text } from "./dom.ts";
import { laneList } from "./list.ts";
import { keyOf, markOf } from "./mark.ts";

export interface LaneCard {
  readonly element: HTMLElement;
  /** The state and the button, also while the page is paused. */
  tickState(): void;
  tick(): void;
  /** What the button would do now. */
  toggle(): void;
}

type Figure = "received" | "replayed" | "reconnects" | "missed" | "doubled" | "gaps";
const FIGURES: readonly Figure[] = ["received", "replayed", "reconnects", "missed", "doubled", "gaps"];

export function laneCard(lab: Lab, name: LaneName): LaneCard {
  const title = el("h3", { id: `lane-${name}` });
  const pill = el("p", { class: "pill" });
  const median = el("strong", { class: "median" });
  const medianLabel = el("span");
  const aside = el("p", { class: "note" });
  const button = el("button", { type: "button", class: "cut" });
  const cursor = el("dd", { class: "mono" });
  const protocol = el("dd");
  const cursorLabel = el("dt");
  const protocolLabel = el("dt");
  const alarm = el("p", { class: "alarm", hidden: true });
  const figures = new Map(FIGURES.map((figure) => [figure, { label: el("dt"), value: el("dd", { "data-figure": figure }) }]));
  const list = laneList(lab, name);

  bind((words) => {
    text(title, words.lanes[name]);
    text(medianLabel, words.lane.median);
    text(cursorLabel, words.lane.cursor);
    text(protocolLabel, words.lane.protocol);
    for (const [figure, { label }] of figures) text(label, words.lane[figure]);
  });

  const state = (): LaneState => lab.race.lanes[name];
  const isAway = (): boolean => state().phase === "cut" || state().phase === "waiting";
  const toggle = (): void => (isAway() ? lab.resume(name) : lab.cut(name));
  button.onclick = toggle;

  /** How often it was first, and how late it is at worst but one in twenty. */
  function shares(): string {
    const lane = state();
    const known = lane.samples.summary();
    if (known === undefined) return "";
    return words().lane.shares(percent(lane.firsts / lab.race.races), `+${ms(known.p95)}`);
  }

  function tickState(): void {
    const lane = state();
    const said = words();
    text(pill, said.phase[lane.phase]);
    attribute(pill, "data-phase", lane.phase);
    const notes = lane.phase === "online" ? [shares()] : [];
    if (lane.until !== undefined && isAway()) notes.push(said.phase.backIn(seconds(Math.max(0, lane.until - now()))));
    if (lane.ended !== undefined && lane.phase !== "online") notes.push(said.ended(lane.ended));
    if (lane.behind.size > 0 && lane.phase !== "online") notes.push(said.lane.behind(count(lane.behind.size)));
    text(aside, notes.join(" · "));
    aside.classList.toggle("bad", isAway() || lane.phase === "closed");
    text(button, isAway() ? said.lane.resume : said.lane.cut);
    const label = isAway() ? said.lane.resumeLabel : said.lane.cutLabel;
    attribute(button, "aria-label", `${button.textContent ?? ""}: ${label(said.lanes[name])}`);
    attribute(button, "aria-keyshortcuts", keyOf(name));
    button.disabled = lane.phase === "closed" || lane.phase === "connecting";
  }

  function tick(): void {
    const lane = state();
    const known = lane.samples.summary();
    text(median, known === undefined ? "–" : `${known.p50 === 0 ? "" : "+"}${ms(known.p50)}`);
    const values = { ...lane, reconnects: Math.max(0, lane.opens - 1) };
    for (const [figure, { value }] of figures) {
      text(value, count(values[figure]));
      value.classList.toggle("bad", (figure === "missed" || figure === "doubled") && values[figure] > 0);
      value.classList.toggle("good", (figure === "missed" || figure === "doubled") && values[figure] === 0 && lane.received > 0);
    }
    text(cursor, lane.cursor === "" ? "–" : lane.cursor);
    text(protocol, lane.protocol || fallbackProtocol(name) || words().lane.unknown);
    const alarms: string[] = [];
    if (lane.disordered > 0) alarms.push(words().lane.disordered(count(lane.disordered)));
    if (lane.altered > 0) alarms.push(words().lane.altered(count(lane.altered)));
    alarm.hidden = alarms.length === 0;
    text(alarm, alarms.join(" · "));
    list.tick();
  }

  const element = el("article", { class: `panel lane ${name}`, "aria-labelledby": `lane-${name}` },
    el("header", {}, markOf(name), title, el("code", { class: "path" }, PATHS[name]), pill),
    el("div", { class: "head" }, el("p", { class: "figure" }, median, medianLabel), button),
    aside,
    el("dl", { class: "figures" }, ...[...figures.values()].map(({ label, value }) => el("div", {}, label, value))),
    el("dl", { class: "facts" }, el("div", {}, cursorLabel, cursor), el("div", {}, protocolLabel, protocol)),
    alarm, list.element);
  return { element, tickState, tick, toggle };
}

/** The stream tells its HTTP version only when it is over; until then the page's own is the likely one. */
function fallbackProtocol(name: LaneName): string {
  if (name !== "sse") return "";
  const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return entry?.nextHopProtocol ?? "";
}

const PATHS: Record<LaneName, string> = { websocket: "/ws", sse: "/sse", poll: "/poll" };
