// A canvas that is as sharp as the screen and as wide as its place.

import { el } from "./dom.ts";

export interface Picture {
  readonly canvas: HTMLCanvasElement;
  /** Clears the canvas and gives its context, measured in CSS pixels; `undefined` while it has no size. */
  begin(): { readonly context: CanvasRenderingContext2D; readonly width: number; readonly height: number } | undefined;
}

export function picture(name: string): Picture {
  const canvas = el("canvas", { class: name, role: "img" });
  let width = 0;
  let height = 0;
  new ResizeObserver(([entry]) => {
    width = Math.round(entry?.contentRect.width ?? 0);
    height = Math.round(entry?.contentRect.height ?? 0);
  }).observe(canvas);

  function begin(): ReturnType<Picture["begin"]> {
    const context = canvas.getContext("2d");
    if (context === null || width === 0 || height === 0) return undefined;
    const scale = globalThis.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height };
  }
  return { canvas, begin };
}

/** The page's own font, for text on a canvas. */
export function fontOf(px: number, weight = 400): string {
  return `${weight} ${px}px ${getComputedStyle(document.body).fontFamily}`;
}
