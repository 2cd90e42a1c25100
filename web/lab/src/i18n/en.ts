// English, and with it the shape that every other language must have: a missing key fails the type check.
// Plain strings, and functions for sentences with numbers in them. `ms` and `p95` stay as they are in every language.

import type { Ended } from "../transport.ts";

export const en = {
  name: "English",
  title: "Tidewire lab: WebSocket, SSE and long-poll side by side",
  lead: "One log, three ways to the browser",
  sublead: "The same events of the same bus over WebSocket, server-sent events and long-poll, side by side. Cut a lane and see whether anything is lost.",
  skip: "Skip to the lanes",

  theme: { label: "Theme", system: "Auto", light: "Light", dark: "Dark" },

  lanes: { websocket: "WebSocket", sse: "SSE", poll: "Long-poll" },
  lanesTitle: "Lanes",

  watch: {
    title: "What to watch",
    label: "Topics or patterns",
    help: "Levels are separated by dots; * is any one level, > at the end is all further ones.",
    button: "Watch",
    pause: "Pause",
    go: "Continue",
    reset: "Reset",
    empty: "Write at least one topic.",
    refused: (status: number, detail: string) => `The gateway refused (${status})${detail === "" ? "." : `: ${detail}`}`,
    unreachable: "The gateway does not answer. Trying again.",
    paused: (waiting: string, n: number) => `Paused. The lanes go on receiving: ${waiting} ${n === 1 ? "arrival" : "arrivals"} not shown yet.`,
  },

  verdict: {
    title: "So far (medians)",
    none: "No race yet: one counts when all three lanes are open and all of them had the event.",
    few: (n: string, needed: number) => `${n} of ${needed} races: too few to say anything.`,
    level: (lanes: string, n: string) => `No clear winner: ${lanes} are level within the uncertainty (n = ${n}).`,
    ahead: (winner: string, share: string, others: readonly { lane: string; by: string }[], n: string) =>
      `${winner} is first in ${share} of ${n} races; ${others.map(({ lane, by }, i) => (i === 0 ? `${lane} is ${by} behind` : `${lane} ${by}`)).join(", ")}.`,
    join: (parts: readonly string[]) => parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1) ?? ""}`,
    clean: "Nothing missed, nothing doubled.",
    missed: (missed: string, doubled: string) => `Missed: ${missed}, doubled: ${doubled}.`,
  },

  hint: {
    title: (topics: string) => `Nothing has arrived on ${topics} yet`,
    intro: "The lanes are open and waiting. Feed them:",
    machine: "Live numbers of the machine:",
    curl: "One event by hand:",
    here: "From this page:",
    start: "Publish 5 events a second",
    copy: "Copy",
    copied: "Copied",
  },

  strip: {
    title: "Race",
    caption: "Each mark is an arrival, filled where it was the first; a line joins the arrivals of one event. Hatched: the lane was away.",
    now: "now",
    label: (seconds: string) => `Arrivals of the last ${seconds} seconds in three lanes. The same numbers stand in the table “Latest events”.`,
  },

  spread: {
    title: "Behind the first",
    caption: "Distance to the lane that had the event first, the latest 200 races. Bar: median. Logarithmic.",
    first: "first",
    label: "Distribution of the distances to the first lane. The same numbers stand in the table below it.",
    table: "As a table",
    lane: "Lane",
    share: "First in",
    p50: "Median",
    p95: "p95",
    interval: "95 % interval of the median",
    n: "n",
    none: "No race yet.",
  },

  lane: {
    median: "behind the first, median",
    shares: (share: string, p95: string) => `first in ${share} · p95 ${p95}`,
    received: "Events",
    replayed: "Replayed",
    reconnects: "Reconnects",
    missed: "Missed",
    doubled: "Doubled",
    gaps: "Gaps",
    cursor: "Last cursor",
    protocol: "Protocol",
    unknown: "not told",
    cut: "Cut",
    cutLabel: (lane: string) => `Cut ${lane} for 3 seconds`,
    resume: "Resume",
    resumeLabel: (lane: string) => `Connect ${lane} now`,
    list: (lane: string) => `Events of ${lane}, newest first`,
    empty: "No events yet.",
    behind: (n: string) => `${n} behind`,
    disordered: (n: string) => `Out of order: ${n}`,
    altered: (n: string) => `Other bytes than on the first lane: ${n}`,
    binary: "bytes, base64:",
  },

  phase: {
    connecting: "Connecting",
    online: "Live",
    waiting: "Waiting",
    cut: "Cut",
    closed: "Closed",
    backIn: (seconds: string) => `back in ${seconds} s`,
  },

  line: {
    first: "first",
    replayed: (ms: string) => `replayed ${ms} after the first`,
    again: "a second time",
    opened: "Open",
    back: (away: string) => `Back after ${away}, resumed by cursor`,
    backUnresumed: (away: string) => `Back after ${away}, not resumed`,
    cut: "Cut here",
    gap: (reason: string) => `Gap: ${reason}`,
    reasons: {
      evicted: "events were no longer kept",
      epoch: "the log began anew",
      slow: "the lane was too slow",
      unknown: "the cursor was not known",
    } as Record<string, string>,
  },

  ended: (ended: Ended): string => {
    const more = ended.detail === undefined || ended.detail === "" ? "" : `: ${ended.detail}`;
    switch (ended.why) {
      case "aborted": return "dropped here";
      case "closed": return ended.code === undefined ? "the gateway ended the stream" : `closed with ${ended.code}${more}`;
      case "refused": return `refused with ${ended.code ?? 0}${more}`;
      case "unreachable": return "the gateway could not be reached";
      case "silent": return "no sign of life";
      case "garbled": return `not Tidewire’s protocol${more}`;
    }
  },

  publish: {
    title: "Publish",
    topic: "Topic",
    type: "Type (optional)",
    data: "Data",
    json: "Goes out as JSON.",
    text: "Not JSON: goes out as text.",
    button: "Publish",
    stream: "5 a second",
    stop: "Stop",
    unmatched: "No lane watches this topic.",
    sending: "Sending",
    answered: (status: string, ms: string) => `${status}, answered after ${ms}`,
    refused: (status: string, detail: string) => `Refused with ${status}${detail === "" ? "." : `: ${detail}`}`,
    unknown: "No answer. The event may have been stored.",
    trip: "From the click to the arrival, one clock:",
    streaming: (n: string) => `${n} published`,
    curl: "The same with curl",
  },

  table: {
    title: "Latest events",
    caption: "When each lane had an event, counted from the first.",
    event: "Event",
    topic: "Topic",
    missed: "missed",
    waiting: "not yet",
    empty: "No events yet.",
  },

  method: {
    title: "How is this measured?",
    points: [
      "Each lane runs in a worker of its own and takes its time stamp before anything is parsed or drawn. All stamps are on one clock, so no clocks have to agree.",
      "The three lanes start after the same cursor and are owed the same events. “Missed” is an event that another lane had and that this one went past; “doubled” is one that came twice; both by the event’s id. Order and bytes are compared as well.",
      "A race counts when all three lanes were open for a second before the event came; events that were published together are one race. What was replayed after a cut is counted, but not as a race. Percentiles look back on the latest 1,000 races.",
      "There is a winner only where the 95 % intervals of the medians do not overlap.",
      "“Cut” aborts the connection in this page. The lane comes back with its last cursor; the gateway keeps nothing for it in between.",
      "On HTTP/2 the lanes may share one connection, and with it its delays. Figures from one machine say nothing about a network.",
    ],
    environment: "Here and now",
    page: "Page loaded over",
    step: "Smallest clock step",
    isolated: "Isolated page (finer clock)",
    browser: "Browser",
    yes: "yes",
    no: "no",
  },

  keys: {
    title: "Keyboard",
    on: "Single keys work",
    list: [["1 2 3", "cut the first, second, third lane, or bring it back"], ["p", "pause and continue"], ["/", "to the topics"], ["n", "to the data to publish"]] as [string, string][],
  },

  announce: {
    lane: (lane: string, phase: string) => `${lane}: ${phase}.`,
  },
};

/** What a language must say. */
export type Dictionary = typeof en;
