// How far each lane is behind the first: the latest races on a logarithmic axis, and the same as a table.
// Shape: canvas and table, both drawn once a second, and only after a new race.

import { count, ms, percent } from "../i18n/format.ts";
import { bind, words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import { LANES, type LaneName } from "../protocol.ts";
import { fontOf, picture } from "./canvas.ts";
import { colorOf, el, text } from "./dom.ts";
import { markOf, markPath } from "./mark.ts";

export function spread(lab: Lab): { readonly element: HTMLElement; tick(): void } {
  const title = el("h2");
  const caption = el("figcaption");
  const summary = el("summary");
  const head = el("tr");
  const body = el("tbody");
  const { canvas, begin } = picture("spread");
  bind((words) => {
    const { spread } = words;
    text(title, spread.title);
    text(caption, spread.caption);
    text(summary, spread.table);
    canvas.setAttribute("aria-label", spread.label);
    const names = [spread.lane, spread.share, spread.p50, spread.p95, spread.interval, spread.n];
    head.replaceChildren(...names.map((name) => el("th", { scope: "col" }, name)));
  });

  function tick(): void {
    const target = begin();
    if (target !== undefined) draw(lab, target.context, target.width, target.height);
    body.replaceChildren(...LANES.map((lane) => row(lab, lane)));
  }

  const table = el("div", { class: "scroll", tabindex: "0", role: "region" }, el("table", {}, el("thead", {}, head), body));
  bind((words) => table.setAttribute("aria-label", words.spread.title));
  return {
    element: el("section", { class: "panel distances" },
      el("figure", {}, el("div", { class: "heading" }, title, caption), canvas), el("details", {}, summary, table)),
    tick,
  };
}

function row(lab: Lab, lane: LaneName): HTMLElement {
  const { samples, firsts } = lab.race.lanes[lane];
  const known = samples.summary();
  const name = el("th", { scope: "row" }, markOf(lane), words().lanes[lane]);
  if (known === undefined) return el("tr", {}, name, el("td", { colspan: "5" }, words().spread.none));
  const cells = [percent(firsts / Math.max(1, lab.race.races)), ms(known.p50), ms(known.p95), `${ms(known.low)} – ${ms(known.high)}`, count(known.n)];
  return el("tr", {}, name, ...cells.map((cell) => el("td", {}, cell)));
}

function draw(lab: Lab, context: CanvasRenderingContext2D, width: number, height: number): void {
  const left = 34;
  const zero = left + 22; // the column of the first
  const from = zero + 30; // where the logarithmic axis begins
  const right = width - 16;
  const rowHeight = (height - AXIS_HEIGHT) / LANES.length;
  const ink = { soft: colorOf("text-soft"), line: colorOf("line"), text: colorOf("text") };
  const x = (value: number): number => {
    if (value <= 0) return zero;
    const share = Math.log10(Math.min(MAX_MS, Math.max(MIN_MS, value)) / MIN_MS) / Math.log10(MAX_MS / MIN_MS);
    return from + share * (right - from);
  };

  context.font = fontOf(11);
  context.textAlign = "center";
  context.lineWidth = 1;
  const ticks: [number, string][] = [[0, words().spread.first], [0.1, "0.1"], [1, "1 ms"], [10, "10"], [100, "100"]];
  for (const [value, name] of ticks) {
    context.strokeStyle = ink.line;
    context.setLineDash(value === 0 ? [] : [2, 4]);
    context.beginPath();
    context.moveTo(x(value), 0);
    context.lineTo(x(value), height - AXIS_HEIGHT);
    context.stroke();
    context.fillStyle = ink.soft;
    context.fillText(name, x(value), height - 5);
  }
  context.setLineDash([]);

  for (const [i, lane] of LANES.entries()) {
    const y = rowHeight * (i + 0.5);
    const { samples } = lab.race.lanes[lane];
    const color = colorOf(lane);
    context.fillStyle = color;
    markPath(context, lane, 12, y, 6);
    context.fill();
    const values = samples.values().slice(-SHOWN);
    context.globalAlpha = 0.32;
    for (const [k, value] of values.entries()) {
      const jitter = (((k * 0.618034) % 1) - 0.5) * rowHeight * 0.62; // golden ratio: even, and the same each time
      const sideways = value === 0 ? (((k * 0.754878) % 1) - 0.5) * 20 : 0;
      markPath(context, lane, x(value) + sideways, y + jitter, 2.6);
      context.fill();
    }
    context.globalAlpha = 1;
    const known = samples.summary();
    if (known === undefined) continue;
    context.fillStyle = ink.text;
    context.fillRect(x(known.p50) - 1.5, y - rowHeight * 0.4, 3, rowHeight * 0.8);
  }
}

const MIN_MS = 0.01;
const MAX_MS = 300;
const SHOWN = 200;
const AXIS_HEIGHT = 20;
