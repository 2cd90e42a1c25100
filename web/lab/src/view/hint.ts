// What to do when nothing arrives: the commands that feed the lanes.
// It shows when the lanes are open and have been quiet since they started, and goes with the first event.

import { now } from "../clock.ts";
import { bind, words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import { LANES } from "../protocol.ts";
import { matches, sampleOf } from "../topics.ts";
import { command } from "./copy.ts";
import { curlLine, machineLine } from "./curl.ts";
import { el, text } from "./dom.ts";
import type { TestStream } from "./stream.ts";

export function hint(lab: Lab, stream: TestStream): { readonly element: HTMLElement; tick(): void } {
  const title = el("h2");
  const intro = el("p");
  const machineLabel = el("p");
  const machine = command();
  const curlLabel = el("p");
  const curl = command();
  const hereLabel = el("p");
  const start = el("button", { type: "button", class: "primary" });
  bind((words) => {
    text(intro, words.hint.intro);
    text(machineLabel, words.hint.machine);
    text(curlLabel, words.hint.curl);
    text(hereLabel, words.hint.here);
    text(start, words.hint.start);
  });
  const topic = (): string => sampleOf(lab.topics[0] ?? "");
  start.onclick = () => stream.start(topic());

  const machinePart = el("div", {}, machineLabel, machine.element);
  const feeds = el("div", { class: "feeds" },
    machinePart,
    el("div", {}, curlLabel, curl.element),
    el("div", {}, hereLabel, start));
  const element = el("section", { class: "hint", hidden: true }, title, intro, feeds);

  function tick(): void {
    const isOpen = LANES.some((lane) => lab.race.lanes[lane].phase === "online");
    element.hidden = lab.arrivals > 0 || !isOpen || now() - lab.startedAt < QUIET_MS;
    if (element.hidden) return;
    text(title, words().hint.title(lab.topics.join(" ")));
    machine.show(machineLine(lab.base));
    curl.show(curlLine(lab.base, { topic: topic(), type: "", data: '{"text":"hello"}' }));
    machinePart.hidden = !lab.topics.some((pattern) => matches(pattern, MACHINE_TOPIC));
  }
  return { element, tick };
}

/** Silence after which the page offers help. */
const QUIET_MS = 3_000;
/** One of the topics that the machine example feeds. */
const MACHINE_TOPIC = "machine.cpu.0";
