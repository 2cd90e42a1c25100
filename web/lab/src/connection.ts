// One lane's connection: connect, be cut, wait, come back with the cursor.
// Shape: a loop around a transport. It knows no transport, no page and no worker; the world is passed in.
// Bound: one connection and one timer at a time; waits as `backoff.ts` says.
// Failure: told in a note, each with its reason. Only a final refusal or `stop` ends the loop.

import { backoffMs, PROVEN_AFTER_MS } from "./backoff.ts";
import type { Cursor, Gap, TopicEvent } from "./protocol.ts";
import type { Ended, Sink, Transport, World } from "./transport.ts";

export type Phase = "connecting" | "online" | "waiting" | "cut" | "closed";

/** What a lane tells the page, in the order in which it happened. `at` is on the clock of `clock.ts`. */
export type Note =
  | { readonly kind: "phase"; readonly at: number; readonly phase: Phase; readonly until?: number; readonly ended?: Ended }
  | { readonly kind: "open"; readonly at: number; readonly cursor: Cursor; readonly resumed: boolean; readonly protocol: string }
  | { readonly kind: "event"; readonly at: number; readonly event: TopicEvent }
  | { readonly kind: "gap"; readonly at: number; readonly gap: Gap }
  | { readonly kind: "cursor"; readonly cursor: Cursor };

export interface Plan {
  readonly base: string;
  readonly topics: readonly string[];
  readonly after: Cursor;
}

export class Connection {
  private cursor: Cursor;
  private current = new AbortController();
  private cutForMs: number | undefined;
  private stopped = false;
  private wake: () => void = () => {};

  constructor(
    private readonly transport: Transport,
    private readonly plan: Plan,
    private readonly tell: (note: Note) => void,
    private readonly world: World & { readonly random: () => number },
  ) {
    this.cursor = plan.after;
  }

  /** Drops the connection now and stays away for `holdMs`, or until `resume`. */
  cut(holdMs: number): void {
    this.cutForMs = holdMs;
    this.current.abort();
    this.wake();
  }

  /** Ends any wait. */
  resume(): void {
    this.wake();
  }

  stop(): void {
    this.stopped = true;
    this.current.abort();
    this.wake();
  }

  async run(): Promise<void> {
    let attempt = 0;
    while (!this.stopped) {
      this.phase("connecting");
      const begun = this.world.now();
      this.current = new AbortController();
      const request = { ...this.plan, after: this.cursor, signal: this.current.signal };
      const ended = await this.transport(request, this.sink(this.current.signal), this.world);
      if (this.stopped) return;

      if (this.cutForMs !== undefined) {
        await this.stayAway();
        attempt = 0;
        continue;
      }
      if (ended.final === true) {
        this.phase("closed", { ended });
        return;
      }
      if (this.world.now() - begun >= PROVEN_AFTER_MS) attempt = 0;
      const waitMs = backoffMs(attempt++, ended.retryMs ?? 0, this.world.random());
      this.phase("waiting", { until: this.world.now() + waitMs, ended });
      await this.wait(waitMs);
    }
  }

  /** A cut that comes while another one holds starts the time again. */
  private async stayAway(): Promise<void> {
    while (this.cutForMs !== undefined && !this.stopped) {
      const holdMs = this.cutForMs;
      this.cutForMs = undefined;
      this.phase("cut", { until: this.world.now() + holdMs });
      await this.wait(holdMs);
    }
  }

  private wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  /** Notes of a connection that was dropped are not passed on: what it still had in hand comes again by cursor. */
  private sink(signal: AbortSignal): Sink {
    const pass = (note: Note, cursor: Cursor): void => {
      if (signal.aborted) return;
      this.cursor = cursor;
      this.tell(note);
    };
    return {
      opened: ({ cursor, resumed }, protocol, at) => {
        pass({ kind: "open", at, cursor, resumed, protocol }, cursor);
        if (!signal.aborted) this.phase("online");
      },
      event: (event, at) => pass({ kind: "event", at, event }, event.id),
      gap: (gap, at) => pass({ kind: "gap", at, gap }, gap.cursor),
      cursor: (cursor) => pass({ kind: "cursor", cursor }, cursor),
    };
  }

  private phase(phase: Phase, more: { until?: number; ended?: Ended } = {}): void {
    this.tell({ kind: "phase", at: this.world.now(), phase, ...more });
  }
}
