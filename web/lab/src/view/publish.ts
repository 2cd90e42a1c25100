// The form that publishes over REST, and when each lane had the event that it made.

import { now } from "../clock.ts";
import { count, ms } from "../i18n/format.ts";
import { bind, words } from "../i18n/index.ts";
import type { Lab } from "../lab.ts";
import { LANES, type LaneName } from "../protocol.ts";
import { dataText, publish, type Draft, type Published } from "../publish.ts";
import { matches, sampleOf } from "../topics.ts";
import { command } from "./copy.ts";
import { curlLine } from "./curl.ts";
import { el, text } from "./dom.ts";
import { markOf } from "./mark.ts";
import type { TestStream } from "./stream.ts";

export interface PublishForm {
  readonly element: HTMLElement;
  readonly data: HTMLTextAreaElement;
  /** Suggests a topic that the lanes watch, unless somebody wrote another. */
  suggest(): void;
  tick(): void;
}

export function publishForm(lab: Lab, stream: TestStream): PublishForm {
  const title = el("h2");
  const topic = field("publish-topic", "topic");
  const type = field("publish-type", "type");
  const dataLabel = el("label", { for: "publish-data" });
  const data = el("textarea", { id: "publish-data", name: "data", rows: "3", spellcheck: "false", "aria-describedby": "publish-kind" });
  const kind = el("p", { class: "help", id: "publish-kind" });
  const button = el("button", { type: "submit", class: "primary" });
  const streamButton = el("button", { type: "button", "aria-pressed": "false" });
  const result = el("p", { class: "result", role: "status" });
  const trip = el("div", { class: "trip", hidden: true });
  const tripLabel = el("p", { class: "help" });
  const trips = new Map(LANES.map((lane) => [lane, { name: el("dt"), value: el("dd") }]));
  const curl = command();
  const curlSummary = el("summary");
  let written = false;
  let sentAt = 0;
  let answeredMs = 0;
  let answer: Published | "sending" | undefined;

  data.value = '{"text":"hello, three lanes"}';
  topic.input.required = true;
  topic.input.oninput = () => { written = true; };
  bind((words) => {
    text(title, words.publish.title);
    text(topic.label, words.publish.topic);
    text(type.label, words.publish.type);
    text(dataLabel, words.publish.data);
    text(button, words.publish.button);
    text(tripLabel, words.publish.trip);
    text(curlSummary, words.publish.curl);
    for (const [lane, { name }] of trips) name.replaceChildren(markOf(lane), words.lanes[lane]);
  });

  const draft = (): Draft => ({ topic: topic.input.value.trim(), type: type.input.value, data: data.value });
  const form = el("form", {}, topic.element, type.element,
    el("div", { class: "field" }, dataLabel, data, kind), el("div", { class: "actions" }, button, streamButton));
  form.onsubmit = (event) => {
    event.preventDefault();
    answer = "sending";
    sentAt = now();
    void publish(lab.base, draft()).then((got) => {
      answeredMs = now() - sentAt;
      answer = got;
    });
  };
  data.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  };
  streamButton.onclick = () => {
    answer = undefined;
    if (stream.isOn) stream.stop();
    else stream.start(topic.input.value.trim());
  };

  function suggest(): void {
    if (!written) topic.input.value = sampleOf(lab.topics[0] ?? "");
  }

  function tick(): void {
    const said = words().publish;
    text(streamButton, stream.isOn ? said.stop : said.stream);
    streamButton.setAttribute("aria-pressed", String(stream.isOn));
    const watched = lab.topics.some((pattern) => matches(pattern, topic.input.value.trim()));
    text(kind, [dataText(data.value).isJson ? said.json : said.text, ...(watched ? [] : [said.unmatched])].join(" "));
    curl.show(curlLine(lab.base, draft()));

    const shown = answer ?? stream.refusal;
    result.classList.toggle("bad", shown !== undefined && shown !== "sending" && !shown.ok);
    text(result, resultText(shown));
    trip.hidden = shown === undefined || shown === "sending" || !shown.ok;
    for (const [lane, { value }] of trips) text(value, tripText(lane));
  }

  function resultText(shown: Published | "sending" | undefined): string {
    const said = words().publish;
    if (shown === "sending") return said.sending;
    if (shown === undefined) return stream.published > 0 ? said.streaming(count(stream.published)) : "";
    if (shown.ok) return said.answered(String(shown.status), ms(answeredMs));
    return shown.status === undefined ? said.unknown : said.refused(String(shown.status), shown.detail);
  }

  function tripText(lane: LaneName): string {
    if (answer === undefined || answer === "sending" || !answer.ok) return "";
    const at = lab.race.book.get(answer.id)?.arrivals[lane];
    return at === undefined ? "–" : ms(at - sentAt);
  }

  trip.append(tripLabel, el("dl", {}, ...[...trips.values()].map(({ name, value }) => el("div", {}, name, value))));
  const element = el("section", { class: "panel publish" }, title, form, result, trip, el("details", {}, curlSummary, curl.element));
  return { element, data, suggest, tick };
}

function field(id: string, name: string): { readonly element: HTMLElement; readonly label: HTMLLabelElement; readonly input: HTMLInputElement } {
  const label = el("label", { for: id });
  const input = el("input", { id, name, type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  return { element: el("div", { class: "field" }, label, input), label, input };
}
