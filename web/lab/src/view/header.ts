// The head of the page: name, language, theme.

import { bind, chooseLanguage, otherLanguage, type Language } from "../i18n/index.ts";
import { store, stored } from "../place.ts";
import { el, svg, text } from "./dom.ts";

export function header(): HTMLElement {
  const lead = el("h1");
  const sublead = el("p", { class: "sublead" });
  bind((words) => {
    text(lead, words.lead);
    text(sublead, words.sublead);
  });
  return el(
    "header",
    { class: "top" },
    sea(),
    el("div", { class: "bar" }, brand(), el("div", { class: "choices" }, languageButton(), themeChoice())),
    el("div", { class: "intro" }, lead, sublead),
  );
}

function brand(): HTMLElement {
  const wave = svg("svg", { class: "wave", viewBox: "0 0 32 32", "aria-hidden": "true" });
  wave.append(
    svg("path", { class: "websocket", d: "M3 9c4.3-4.5 8.7-4.5 13 0s8.7 4.5 13 0" }),
    svg("path", { class: "sse", d: "M3 16c4.3-4.5 8.7-4.5 13 0s8.7 4.5 13 0" }),
    svg("path", { class: "poll", d: "M3 23c4.3-4.5 8.7-4.5 13 0s8.7 4.5 13 0" }),
  );
  return el("p", { class: "brand" }, wave, el("span", {}, "Tidewire"), el("small", {}, "lab"));
}

/** Three lines of the same water. */
function sea(): SVGElement {
  const root = svg("svg", { class: "sea", viewBox: "0 0 1440 100", preserveAspectRatio: "xMaxYMin slice", "aria-hidden": "true" });
  const wave = (y: number, height: number): string =>
    `M0 ${y}${`q60 ${-height} 120 0t120 0`.repeat(6)}`;
  root.append(
    svg("path", { class: "websocket", d: wave(34, 34) }),
    svg("path", { class: "sse", d: wave(50, 26) }),
    svg("path", { class: "poll", d: wave(66, 32) }),
  );
  return root;
}

/** Shows the other language in its own words. */
function languageButton(): HTMLElement {
  const button = el("button", { type: "button", class: "quiet" });
  button.onclick = () => void chooseLanguage(otherLanguage());
  bind(() => {
    text(button, OWN_NAMES[otherLanguage()]);
    button.lang = otherLanguage();
  });
  return button;
}

function themeChoice(): HTMLElement {
  const root = document.documentElement;
  const select = el("select", { class: "quiet" });
  const options = THEMES.map((value) => el("option", { value }));
  select.append(...options);
  select.value = root.dataset["theme"] ?? stored("theme") ?? "system";
  select.onchange = () => {
    store("theme", select.value);
    if (select.value === "system") delete root.dataset["theme"];
    else root.dataset["theme"] = select.value;
  };
  bind((words) => {
    select.setAttribute("aria-label", words.theme.label);
    for (const [i, theme] of THEMES.entries()) {
      const option = options[i];
      if (option !== undefined) text(option, words.theme[theme]);
    }
  });
  return select;
}

const THEMES = ["system", "light", "dark"] as const;
const OWN_NAMES: Record<Language, string> = { en: "English", "zh-CN": "中文" };
