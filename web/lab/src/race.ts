// The judge: which lane had which event when, and what each lane missed or got twice.
// Shape: a reducer over the lanes' notes. No clock, no I/O, no page.
// All lanes start after the same cursor, so each is owed the same events: an event that one lane brought is waited for
// on the others, and is missed when such a lane goes on to a later one without it.
// Bound: the newest `BOOK_MAX` events; `SAMPLES_MAX` samples a lane. What falls out of the book is judged no more.
// Source: PROTOCOL.md sections 2, 3 and 8.

import type { Note, Phase } from "./connection.ts";
import { isBefore, LANES, type Cursor, type Gap, type LaneName, type TopicEvent } from "./protocol.ts";
import { Samples } from "./samples.ts";
import type { Ended } from "./transport.ts";

/** One event and its arrivals. */
export interface Entry {
  readonly event: TopicEvent;
  readonly arrivals: Partial<Record<LaneName, number>>;
  /** Lanes that had it again after they had been away, so that its lateness says nothing about their speed. */
  readonly replayed: Partial<Record<LaneName, true>>;
  readonly missed: Partial<Record<LaneName, true>>;
  /** The earliest arrival. */
  firstAt: number;
}

/** Where one lane stands. */
export interface LaneState {
  phase: Phase;
  until: number | undefined;
  ended: Ended | undefined;
  protocol: string;
  cursor: Cursor;
  opens: number;
  received: number;
  replayed: number;
  missed: number;
  doubled: number;
  /** Arrived after a later event had: never, if the gateway keeps its word. */
  disordered: number;
  /** Brought other bytes than the first lane did: never, likewise. */
  altered: number;
  gaps: number;
  /** Races in which no lane was earlier. */
  firsts: number;
  openedAt: number;
  wentAt: number | undefined;
  /** Events that other lanes had and this one does not have yet. */
  readonly behind: Map<Cursor, Entry>;
  /** The latest place in the log that this lane is known to have passed. */
  last: Cursor;
  /** Distances to the first lane, in milliseconds, one for each race. */
  readonly samples: Samples;
}

/** A line in a lane's list. */
export type Line =
  | { readonly kind: "event"; readonly at: number; readonly entry: Entry; readonly again: boolean }
  | { readonly kind: "open"; readonly at: number; readonly first: boolean; readonly resumed: boolean; readonly awayMs: number }
  | { readonly kind: "end"; readonly at: number; readonly phase: Phase; readonly ended: Ended | undefined }
  | { readonly kind: "gap"; readonly at: number; readonly gap: Gap };

export class Race {
  readonly lanes: Readonly<Record<LaneName, LaneState>>;
  /** Newest last. */
  readonly book = new Map<Cursor, Entry>();
  /** Races run: events that all lanes had while all were open. */
  races = 0;
  /** The gateway's stamp of the latest race. */
  private raceTime = Number.NEGATIVE_INFINITY;
  /** The newest event that has left the book. */
  private floor: Cursor | undefined;

  constructor(
    start: Cursor,
    private readonly onLine: (lane: LaneName, line: Line) => void = () => {},
    private readonly bookMax: number = BOOK_MAX,
  ) {
    this.lanes = { websocket: stateAt(start), sse: stateAt(start), poll: stateAt(start) };
  }

  take(name: LaneName, note: Note): void {
    const lane = this.lanes[name];
    switch (note.kind) {
      case "phase":
        this.phase(name, lane, note);
        break;
      case "open":
        this.opened(name, lane, note);
        break;
      case "event":
        lane.cursor = note.event.id;
        this.arrived(name, lane, note.event, note.at);
        break;
      case "gap":
        lane.cursor = note.gap.cursor;
        lane.gaps++;
        this.skip(name, lane, note.gap.cursor);
        this.onLine(name, { kind: "gap", at: note.at, gap: note.gap });
        break;
      case "cursor":
        // Told only when everything before it was delivered: what is still owed from before it will not come.
        lane.cursor = note.cursor;
        this.pass(name, lane, note.cursor, true);
        break;
    }
  }

  private phase(name: LaneName, lane: LaneState, note: Note & { kind: "phase" }): void {
    lane.phase = note.phase;
    lane.until = note.until;
    lane.ended = note.ended;
    if (note.phase === "connecting" || note.phase === "online") return;
    lane.wentAt ??= note.at;
    this.onLine(name, { kind: "end", at: note.at, phase: note.phase, ended: note.ended });
  }

  private opened(name: LaneName, lane: LaneState, note: Note & { kind: "open" }): void {
    const awayMs = lane.wentAt === undefined ? 0 : note.at - lane.wentAt;
    lane.opens++;
    lane.openedAt = note.at;
    lane.wentAt = undefined;
    lane.cursor = note.cursor;
    if (note.protocol !== "") lane.protocol = note.protocol;
    this.onLine(name, { kind: "open", at: note.at, first: lane.opens === 1, resumed: note.resumed, awayMs });
  }

  private arrived(name: LaneName, lane: LaneState, event: TopicEvent, at: number): void {
    let entry = this.book.get(event.id);
    if (entry === undefined) {
      lane.received++;
      if (this.floor !== undefined && isBefore(event.id, this.floor) === true) return; // too old to be judged
      entry = this.enter(name, event, at);
    } else if (entry.arrivals[name] !== undefined) {
      lane.doubled++;
      this.onLine(name, { kind: "event", at, entry, again: true });
      return;
    } else {
      lane.received++;
      if (entry.event.digest !== event.digest) lane.altered++;
    }
    entry.arrivals[name] = at;
    entry.firstAt = Math.min(entry.firstAt, at);
    this.markReplayed(entry);
    lane.behind.delete(event.id);
    if (entry.missed[name] === true) {
      delete entry.missed[name];
      lane.missed--;
    }
    if (isBefore(event.id, lane.last) === true) lane.disordered++;
    else this.pass(name, lane, event.id, false);
    this.onLine(name, { kind: "event", at, entry, again: false });
    this.finish(entry);
  }

  /** A new event: the other lanes owe it now, or have missed it already. */
  private enter(name: LaneName, event: TopicEvent, at: number): Entry {
    const entry: Entry = { event, arrivals: {}, replayed: {}, missed: {}, firstAt: at };
    this.book.set(event.id, entry);
    for (const other of LANES) {
      if (other === name) continue;
      const lane = this.lanes[other];
      if (event.id === lane.last || isBefore(event.id, lane.last) === true) miss(other, lane, entry);
      else lane.behind.set(event.id, entry);
    }
    if (this.book.size > this.bookMax) this.forgetOldest();
    return entry;
  }

  /**
   * An arrival on a later connection, opened after another lane already had the event, is a replay.
   * Looked at again with each arrival: notes of different lanes come in batches, the earliest not always first.
   */
  private markReplayed(entry: Entry): void {
    for (const name of LANES) {
      const lane = this.lanes[name];
      const at = entry.arrivals[name];
      if (at === undefined || entry.replayed[name] === true) continue;
      if (lane.opens < 2 || at < lane.openedAt || entry.firstAt >= lane.openedAt) continue;
      entry.replayed[name] = true;
      lane.replayed++;
    }
  }

  /** The lane is past `place`: what it owes from before is missed. With `inclusive`, also the event at `place`. */
  private pass(name: LaneName, lane: LaneState, place: Cursor, inclusive: boolean): void {
    if (isBefore(place, lane.last) !== true) lane.last = place;
    for (const [id, entry] of lane.behind) {
      if (isBefore(id, place) !== true && !(inclusive && id === place)) break;
      lane.behind.delete(id);
      miss(name, lane, entry);
    }
  }

  /** A gap: delivery goes on from `place`, which may lie in another epoch or before what was asked for. */
  private skip(name: LaneName, lane: LaneState, place: Cursor): void {
    lane.last = place;
    for (const [id, entry] of lane.behind) {
      const before = isBefore(id, place);
      if (before === false && id !== place) continue;
      lane.behind.delete(id);
      miss(name, lane, entry);
    }
  }

  /**
   * Counts the race when every lane had the event on a connection that was open before the event came.
   *
   * Events that were published together travel together: they are one race, else `n` would promise too much.
   */
  private finish(entry: Entry): void {
    for (const name of LANES) {
      if (entry.arrivals[name] === undefined) return;
      if (entry.firstAt < this.lanes[name].openedAt + WARM_UP_MS) return;
    }
    if (Math.abs(entry.event.time - this.raceTime) < SPACING_MS) return;
    this.raceTime = entry.event.time;
    this.races++;
    for (const name of LANES) {
      const distance = (entry.arrivals[name] ?? 0) - entry.firstAt;
      this.lanes[name].samples.add(distance);
      if (distance === 0) this.lanes[name].firsts++;
    }
  }

  private forgetOldest(): void {
    const oldest = this.book.keys().next();
    if (oldest.done === true) return;
    this.book.delete(oldest.value);
    for (const name of LANES) this.lanes[name].behind.delete(oldest.value);
    this.floor = oldest.value;
  }
}

function miss(name: LaneName, lane: LaneState, entry: Entry): void {
  if (entry.missed[name] === true) return;
  entry.missed[name] = true;
  lane.missed++;
}

function stateAt(start: Cursor): LaneState {
  return {
    phase: "connecting",
    until: undefined,
    ended: undefined,
    protocol: "",
    cursor: start,
    opens: 0,
    received: 0,
    replayed: 0,
    missed: 0,
    doubled: 0,
    disordered: 0,
    altered: 0,
    gaps: 0,
    firsts: 0,
    openedAt: Number.POSITIVE_INFINITY,
    wentAt: undefined,
    behind: new Map(),
    last: start,
    samples: new Samples(SAMPLES_MAX),
  };
}

/** Events that the judge remembers. */
export const BOOK_MAX = 20_000;
/** Races that the percentiles look back on. */
export const SAMPLES_MAX = 1_000;
/** Events that the gateway stamped closer together than this are one race. */
export const SPACING_MS = 5;
/** Time after a lane has opened in which its events do not count as races. */
export const WARM_UP_MS = 1_000;
