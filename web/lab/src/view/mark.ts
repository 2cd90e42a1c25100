// The mark of each lane: a shape and a color, so that no lane is known by its color alone.
// Circle: WebSocket. Square: SSE. Triangle: long-poll. The same shapes stand on the page and in the canvas.

import { LANES, type LaneName } from "../protocol.ts";
import { svg } from "./dom.ts";

/** The mark as an image beside text. */
export function markOf(lane: LaneName): SVGElement {
  const root = svg("svg", { class: `mark ${lane}`, viewBox: "0 0 16 16", "aria-hidden": "true" });
  if (lane === "websocket") root.append(svg("circle", { cx: "8", cy: "8", r: "6" }));
  else if (lane === "sse") root.append(svg("rect", { x: "2.5", y: "2.5", width: "11", height: "11", rx: "1.5" }));
  else root.append(svg("path", { d: "M8 1.8 14.6 13.6H1.4Z" }));
  return root;
}

/** The same mark as a path on a canvas. */
export function markPath(context: CanvasRenderingContext2D, lane: LaneName, x: number, y: number, r: number): void {
  context.beginPath();
  if (lane === "websocket") context.arc(x, y, r, 0, 2 * Math.PI);
  else if (lane === "sse") context.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
  else {
    context.moveTo(x, y - r * 1.1);
    context.lineTo(x + r * 1.1, y + r * 0.85);
    context.lineTo(x - r * 1.1, y + r * 0.85);
    context.closePath();
  }
}

/** The lane's number on the keyboard. */
export function keyOf(lane: LaneName): string {
  return String(LANES.indexOf(lane) + 1);
}
