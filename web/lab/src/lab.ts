// The lab's state: what is watched, the race, and the latest lines of each lane.
// Shape: one owner of the lanes; views read it on every tick and call its verbs. It draws nothing.
// Bound: `LINES_MAX` lines a lane, `RECENT_MAX` events, `AWAY_MAX` absences; the race has its own bounds.
// Failure: a refusal of the topics stands in `refusal`; a gateway that does not answer is asked again.

import { backoffMs } from "./backoff.ts";
import { now } from "./clock.ts";
import { Lane } from "./lane.ts";
import { LANES, type LaneName } from "./protocol.ts";
import { headOf } from "./publish.ts";
import { Race, type Entry, type Line } from "./race.ts";

export interface Refusal {
  /** `undefined` when there was no answer at all. */
  readonly status: number | undefined;
  readonly detail: string;
}

/** A stretch in which a lane was not connected; `to` is missing while it lasts. */
export interface Away {
  readonly from: number;
  to: number | undefined;
}

export class Lab {
  topics: readonly string[] = [];
  race = new Race("");
  refusal: Refusal | undefined;
  /** Newest first. */
  lines: Record<LaneName, Line[]> = { websocket: [], sse: [], poll: [] };
  away: Record<LaneName, Away[]> = { websocket: [], sse: [], poll: [] };
  /** The latest events in the order in which they first arrived, newest last. */
  recent: Entry[] = [];
  /** When the lanes were started. */
  startedAt = now();
  /** Arrivals so far, of all lanes together. */
  arrivals = 0;

  private lanes: Lane[] = [];
  private starting = new AbortController();

  constructor(readonly base: string) {}

  /** Ends what runs and starts all lanes on `topics`, after one and the same cursor. */
  async watch(topics: readonly string[]): Promise<void> {
    this.stop();
    this.topics = topics;
    this.clear("");
    const { signal } = (this.starting = new AbortController());
    for (let attempt = 0; !signal.aborted; attempt++) {
      const head = await headOf(this.base, topics, signal);
      if (signal.aborted) return;
      if (head.ok) {
        this.start(head.cursor);
        return;
      }
      this.refusal = head;
      if (head.status !== undefined && head.status < 500 && head.status !== 429) return;
      await new Promise((resolve) => setTimeout(resolve, backoffMs(attempt, 0, Math.random())));
    }
  }

  cut(name: LaneName): void {
    this.lane(name)?.cut(CUT_MS);
  }

  resume(name: LaneName): void {
    this.lane(name)?.resume();
  }

  stop(): void {
    this.starting.abort();
    for (const lane of this.lanes) lane.stop();
    this.lanes = [];
  }

  private start(cursor: string): void {
    this.clear(cursor);
    const plan = { base: this.base, topics: this.topics, after: cursor };
    const { race } = this;
    this.lanes = LANES.map((name) => new Lane(name, plan, (notes) => {
      for (const note of notes) race.take(name, note);
    }));
  }

  private clear(cursor: string): void {
    this.race = new Race(cursor, (name, line) => this.add(name, line));
    this.refusal = undefined;
    this.lines = { websocket: [], sse: [], poll: [] };
    this.away = { websocket: [], sse: [], poll: [] };
    this.recent = [];
    this.arrivals = 0;
    this.startedAt = now();
  }

  private add(name: LaneName, line: Line): void {
    const lines = this.lines[name];
    lines.unshift(line);
    if (lines.length > LINES_MAX) lines.pop();
    if (line.kind === "event") {
      this.arrivals++;
      if (!line.again && Object.keys(line.entry.arrivals).length === 1) this.recent.push(line.entry);
      if (this.recent.length > RECENT_MAX) this.recent.shift();
    }

    const stretches = this.away[name];
    const latest = stretches.at(-1);
    if (line.kind === "end" && (latest === undefined || latest.to !== undefined)) {
      stretches.push({ from: line.at, to: undefined });
      if (stretches.length > AWAY_MAX) stretches.shift();
    } else if (line.kind === "open" && latest !== undefined) {
      latest.to ??= line.at;
    }
  }

  private lane(name: LaneName): Lane | undefined {
    return this.lanes.find((lane) => lane.name === name);
  }
}

/** How long a lane that was cut by hand stays away. */
export const CUT_MS = 3_000;
/** Lines that a lane's list holds. */
export const LINES_MAX = 60;
/** Events that the race strip can show. */
const RECENT_MAX = 600;
const AWAY_MAX = 20;
