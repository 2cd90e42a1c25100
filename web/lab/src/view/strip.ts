// The race strip: the arrivals of the last ten seconds, a row for each lane.
// Shape: drawn on a canvas at most `FRAMES` times a second; the only thing on the page that moves by itself.
// With reduced motion it is a still picture, drawn anew every `STILL_MS`. Its table twin is "Latest events".

import { now } from "../clock.ts";
import { bind, words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import { LANES, type LaneName } from "../protocol.ts";
import { fontOf, picture } from "./canvas.ts";
import { colorOf, el, text } from "./dom.ts";
import { markPath } from "./mark.ts";
import type { Pause } from "./watch.ts";

export function strip(lab: Lab, pause: Pause): HTMLElement {
  const title = el("h2");
  const caption = el("figcaption");
  const { canvas, begin } = picture("strip");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let drawnAt = 0;
  bind((words) => {
    text(title, words.strip.title);
    text(caption, words.strip.caption);
    canvas.setAttribute("aria-label", words.strip.label(String(WINDOW_MS / 1000)));
    drawnAt = 0;
  });

  const frame = (time: number): void => {
    requestAnimationFrame(frame);
    if (pause.on || time - drawnAt < (still.matches ? STILL_MS : 1000 / FRAMES)) return;
    drawnAt = time;
    const target = begin();
    if (target !== undefined) draw(lab, target.context, target.width, target.height);
  };
  requestAnimationFrame(frame);
  return el("section", { class: "panel race" }, el("figure", {}, el("div", { class: "heading" }, title, caption), canvas));
}

function draw(lab: Lab, context: CanvasRenderingContext2D, width: number, height: number): void {
  const wide = width > 560;
  const left = wide ? 118 : 34;
  const right = width - 18;
  const rowHeight = (height - AXIS_HEIGHT) / LANES.length;
  const end = now() - SETTLE_MS;
  const x = (at: number): number => right - ((end - at) / WINDOW_MS) * (right - left);
  const y = (lane: LaneName): number => rowHeight * (LANES.indexOf(lane) + 0.5);
  const colors = { websocket: colorOf("websocket"), sse: colorOf("sse"), poll: colorOf("poll") };
  const ink = { text: colorOf("text"), soft: colorOf("text-soft"), line: colorOf("line"), bad: colorOf("bad"), ground: colorOf("panel") };

  axis(context, left, right, height, ink);
  for (const lane of LANES) {
    context.strokeStyle = ink.line;
    context.lineWidth = 1;
    stroke(context, left, y(lane), right, y(lane));
    for (const away of lab.away[lane])
      hatch(context, Math.max(left, x(away.from)), Math.min(right, x(away.to ?? end)), y(lane), colors[lane]);
    markPath(context, lane, 12, y(lane), 6);
    context.fillStyle = colors[lane];
    context.fill();
    if (!wide) continue;
    context.fillStyle = ink.text;
    context.font = fontOf(13, 600);
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(words().lanes[lane], 26, y(lane) + 0.5);
  }

  context.save();
  context.beginPath();
  context.rect(left - 1, 0, width - left + 1, height - AXIS_HEIGHT);
  context.clip();
  const shown = lab.recent.filter((entry) => latest(Object.values(entry.arrivals)) > end - WINDOW_MS - 500);
  context.strokeStyle = ink.soft;
  context.globalAlpha = 0.4;
  let lastLine: readonly number[] = [];
  for (const { arrivals } of shown) {
    const had = LANES.filter((lane) => arrivals[lane] !== undefined);
    const line = had.map((lane) => x(arrivals[lane] ?? 0));
    // Events that travelled together are one line: a heap of lines would say more than there is.
    if (line.length === lastLine.length && line.every((px, i) => Math.abs(px - (lastLine[i] ?? 0)) < 1)) continue;
    lastLine = line;
    context.beginPath();
    for (const [i, lane] of had.entries()) context.lineTo(line[i] ?? 0, y(lane));
    context.stroke();
  }
  context.globalAlpha = 1;
  for (const lane of LANES) {
    let lastX = Number.NEGATIVE_INFINITY;
    for (const entry of shown) {
      const at = entry.arrivals[lane];
      if (entry.missed[lane] === true) cross(context, x(entry.firstAt), y(lane), ink.bad);
      if (at === undefined) continue;
      const px = x(at);
      if (Math.abs(px - lastX) < 1) continue; // the same pixels: a burst costs no more than a few
      lastX = px;
      markPath(context, lane, px, y(lane), (at === entry.firstAt ? 5.5 : 4.5) * (wide ? 1 : 0.75));
      context.fillStyle = at === entry.firstAt ? colors[lane] : ink.ground;
      context.fill();
      context.strokeStyle = colors[lane];
      context.lineWidth = 1.75;
      context.stroke();
    }
  }
  context.restore();
}

interface Ink {
  readonly soft: string;
  readonly line: string;
}

function axis(context: CanvasRenderingContext2D, left: number, right: number, height: number, ink: Ink): void {
  context.font = fontOf(11);
  context.textBaseline = "alphabetic";
  context.lineWidth = 1;
  const step = right - left > 440 ? 1 : 2;
  for (let second = 0; second <= WINDOW_MS / 1000; second += step) {
    const x = right - (second / (WINDOW_MS / 1000)) * (right - left);
    context.strokeStyle = ink.line;
    context.setLineDash([2, 4]);
    stroke(context, x, 0, x, height - AXIS_HEIGHT);
    context.setLineDash([]);
    context.fillStyle = ink.soft;
    context.textAlign = "center";
    context.fillText(second === 0 ? words().strip.now : `−${second} s`, x, height - 4);
  }
}

/** A stretch without a connection. */
function hatch(context: CanvasRenderingContext2D, from: number, to: number, y: number, color: string): void {
  if (to <= from) return;
  context.save();
  context.beginPath();
  context.roundRect(from, y - 9, to - from, 18, 4);
  context.globalAlpha = 0.16;
  context.fillStyle = color;
  context.fill();
  context.clip();
  context.globalAlpha = 0.6;
  context.strokeStyle = color;
  context.lineWidth = 1;
  for (let x = from - 18 - (from % 7); x < to; x += 7) stroke(context, x, y + 9, x + 18, y - 9);
  context.restore();
}

function cross(context: CanvasRenderingContext2D, x: number, y: number, color: string): void {
  context.strokeStyle = color;
  context.lineWidth = 2;
  stroke(context, x - 4, y - 4, x + 4, y + 4);
  stroke(context, x - 4, y + 4, x + 4, y - 4);
}

function stroke(context: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function latest(values: readonly number[]): number {
  return values.reduce((max, value) => Math.max(max, value), 0);
}

const WINDOW_MS = 10_000;
/** The strip lies this far behind, so that batches are in before their place is drawn. */
const SETTLE_MS = 250;
const FRAMES = 30;
const STILL_MS = 5_000;
const AXIS_HEIGHT = 22;
