// The bar that says what is watched: topics, pause, reset.

import { bind, words } from "../i18n/index.ts";
import { count } from "../i18n/format.ts";
import type { Lab } from "../lab.ts";
import { setParameter } from "../place.ts";
import { topicsOf } from "../topics.ts";
import { el, text } from "./dom.ts";

/** Whether the page stands still. The lanes go on. */
export class Pause {
  on = false;
  /** Arrivals when it began. */
  private since = 0;

  constructor(private readonly lab: Lab) {}

  toggle(): void {
    this.on = !this.on;
    this.since = this.lab.arrivals;
  }

  get waiting(): number {
    return Math.max(0, this.lab.arrivals - this.since);
  }
}

export interface WatchBar {
  readonly element: HTMLElement;
  readonly input: HTMLInputElement;
  readonly pauseButton: HTMLButtonElement;
  tick(): void;
}

export function watchBar(lab: Lab, pause: Pause, onReset: () => void): WatchBar {
  const input = el("input", {
    id: "topics", name: "topic", type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    "aria-describedby": "topics-help topics-message",
  });
  const label = el("label", { for: "topics" });
  const help = el("p", { id: "topics-help", class: "help" });
  const message = el("p", { id: "topics-message", class: "message", role: "status" });
  const button = el("button", { type: "submit", class: "primary" });
  const pauseButton = el("button", { type: "button", "aria-pressed": "false" });
  const reset = el("button", { type: "button" });
  const form = el("form", { class: "watch" },
    el("div", { class: "legend" }, label, help),
    el("div", { class: "row" }, input, button),
    el("div", { class: "actions" }, pauseButton, reset), message);
  let complaint = "";

  form.onsubmit = (event) => {
    event.preventDefault();
    const topics = topicsOf(input.value);
    complaint = topics.length === 0 ? "empty" : "";
    if (topics.length === 0) return;
    setParameter("topic", topics);
    if (pause.on) pause.toggle();
    void lab.watch(topics);
    onReset();
  };
  reset.onclick = () => {
    if (pause.on) pause.toggle();
    void lab.watch(lab.topics);
    onReset();
  };
  pauseButton.onclick = () => pause.toggle();
  bind((words) => {
    text(label, words.watch.label);
    text(help, words.watch.help);
    text(button, words.watch.button);
    text(reset, words.watch.reset);
    form.setAttribute("aria-label", words.watch.title);
  });

  function tick(): void {
    const said = words().watch;
    text(pauseButton, pause.on ? said.go : said.pause);
    pauseButton.setAttribute("aria-pressed", String(pause.on));
    const refusal = lab.refusal;
    const bad = complaint !== "" || refusal !== undefined;
    input.setAttribute("aria-invalid", String(bad && refusal?.status !== undefined));
    message.classList.toggle("bad", bad);
    if (complaint !== "") text(message, said.empty);
    else if (refusal !== undefined)
      text(message, refusal.status === undefined ? said.unreachable : said.refused(refusal.status, refusal.detail));
    else text(message, pause.on ? said.paused(count(pause.waiting), pause.waiting) : "");
  }

  return { element: form, input, pauseButton, tick };
}
