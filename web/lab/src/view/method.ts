// How the numbers come about, and under which circumstances: no figure without its method.

import { clockStepMs } from "../clock.ts";
import { bind } from "../i18n/index.ts";
import { store, stored } from "../place.ts";
import { el, text } from "./dom.ts";

export function method(): HTMLElement {
  const summary = el("summary");
  const points = el("ul");
  const title = el("h3");
  const facts = el("dl", { class: "facts" });
  const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  const step = clockStepMs();
  bind(({ method }) => {
    text(summary, method.title);
    points.replaceChildren(...method.points.map((point) => el("li", {}, point)));
    text(title, method.environment);
    const rows: [string, string][] = [
      [method.page, navigation?.nextHopProtocol ?? "–"],
      [method.step, Number.isFinite(step) ? `${step.toFixed(3)} ms` : "–"],
      [method.isolated, globalThis.crossOriginIsolated ? method.yes : method.no],
      [method.browser, browserName()],
    ];
    facts.replaceChildren(...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  });
  return el("details", { class: "panel method" }, summary, points, title, facts);
}

/** The list of keys, with a switch: a single key must be possible to turn off (WCAG 2.1.4). */
export function keyList(): { readonly element: HTMLElement; isOn(): boolean } {
  const summary = el("summary");
  const list = el("dl", { class: "keys" });
  const box = el("input", { type: "checkbox", id: "keys-on" });
  const label = el("label", { for: "keys-on" });
  box.checked = stored("keys") !== "off";
  box.onchange = () => store("keys", box.checked ? "on" : "off");
  bind(({ keys }) => {
    text(summary, keys.title);
    text(label, keys.on);
    list.replaceChildren(...keys.list.map(([names, meaning]) =>
      el("div", {}, el("dt", {}, ...names.split(" ").map((name) => el("kbd", {}, name))), el("dd", {}, meaning))));
  });
  const element = el("details", { class: "panel method" }, summary, list, el("p", { class: "check" }, box, label));
  return { element, isOn: () => box.checked };
}

function browserName(): string {
  const found = /(Firefox|Edg|Chrome|Version)\/([\d.]+)/.exec(navigator.userAgent.replace(/Chrome(?=.*Edg\/)/, ""));
  if (found === null) return navigator.userAgent;
  return `${found[1] === "Version" ? "Safari" : found[1] === "Edg" ? "Edge" : found[1]} ${found[2]}`;
}
