// The page: puts the parts together and lets them draw.
// Shape: three clocks for what is shown (state and numbers, lists, charts); the race strip has its own.

import "./style/tokens.css";
import "./style/page.css";
import "./style/controls.css";
import "./style/lane.css";
import "./style/panels.css";

import { bind, preferredLanguage, setLanguage } from "./i18n/index.ts";
import { Lab } from "./lab.ts";
import { gatewayBase, topicsHere } from "./place.ts";
import { LANES } from "./protocol.ts";
import { announcer } from "./view/announce.ts";
import { el, text } from "./view/dom.ts";
import { header } from "./view/header.ts";
import { hint } from "./view/hint.ts";
import { laneCard } from "./view/lane.ts";
import { keyList, method } from "./view/method.ts";
import { publishForm } from "./view/publish.ts";
import { spread } from "./view/spread.ts";
import { TestStream } from "./view/stream.ts";
import { strip } from "./view/strip.ts";
import { eventTable } from "./view/table.ts";
import { verdictPanel } from "./view/verdict.ts";
import { Pause, watchBar } from "./view/watch.ts";

const lab = new Lab(gatewayBase());
const pause = new Pause(lab);
const stream = new TestStream(lab.base);

await setLanguage(preferredLanguage());

const form = publishForm(lab, stream);
const bar = watchBar(lab, pause, () => form.suggest());
const verdict = verdictPanel(lab);
const help = hint(lab, stream);
const cards = LANES.map((name) => laneCard(lab, name));
const distances = spread(lab);
const table = eventTable(lab);
const announce = announcer(lab, verdict.sentence);
const keys = keyList();

const skip = el("a", { class: "skip", href: "#lanes" });
const lanesTitle = el("h2", { class: "unseen" });
bind((words) => {
  text(skip, words.skip);
  text(lanesTitle, words.lanesTitle);
});
const lanes = el("section", { class: "lanes", id: "lanes", tabindex: "-1" }, lanesTitle, ...cards.map((card) => card.element));
document.body.append(
  skip,
  header(),
  el("main", {},
    bar.element, verdict.element, help.element,
    el("div", { class: "stage" }, strip(lab, pause), lanes, table.element, method(), keys.element),
    el("div", { class: "aside" }, form.element, distances.element)),
  announce.element,
);

/** Runs `draw` every `periodMs`, unless the page is hidden; while it is paused only if `always`. */
function every(periodMs: number, draw: () => void, always = false): void {
  const run = (): void => {
    if (!document.hidden && (always || !pause.on)) draw();
  };
  run();
  setInterval(run, periodMs);
}

bar.input.value = topicsHere().join(" ");
void lab.watch(topicsHere());
form.suggest();
every(200, () => { bar.tick(); form.tick(); help.tick(); announce.tick(); for (const card of cards) card.tickState(); }, true);
every(400, () => { verdict.tick(); for (const card of cards) card.tick(); });
every(1000, () => { distances.tick(); table.tick(); });

document.addEventListener("keydown", (event) => {
  const target = event.target;
  const isWriting = target instanceof HTMLElement && target.closest("input, textarea, select") !== null;
  if (isWriting || event.ctrlKey || event.metaKey || event.altKey || !keys.isOn()) return;
  const card = cards[Number(event.key) - 1];
  if (card !== undefined) card.toggle();
  else if (event.key === "p") pause.toggle();
  else if (event.key === "/") bar.input.focus();
  else if (event.key === "n") form.data.focus();
  else return;
  event.preventDefault();
});
