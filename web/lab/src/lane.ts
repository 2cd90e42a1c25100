// The words between the page and a lane's worker.
// Shape: each lane runs its connection in a worker of its own, so that what the page draws never delays a time stamp.
// Notes travel in batches: at once when the lane was quiet, else every `BATCH_MS`.

import type { Note, Plan } from "./connection.ts";
import type { LaneName } from "./protocol.ts";

export type Order =
  | { readonly op: "start"; readonly lane: LaneName; readonly plan: Plan }
  | { readonly op: "cut"; readonly holdMs: number }
  | { readonly op: "resume" };

export const BATCH_MS = 100;

/** A lane as the page sees it. */
export class Lane {
  private readonly worker: Worker;

  constructor(
    readonly name: LaneName,
    plan: Plan,
    onNotes: (notes: readonly Note[]) => void,
  ) {
    this.worker = new Worker(new URL("./lane.worker.ts", import.meta.url), { type: "module", name });
    this.worker.onmessage = (message: MessageEvent<readonly Note[]>) => onNotes(message.data);
    this.order({ op: "start", lane: name, plan });
  }

  /** Drops the lane's connection; it comes back with its cursor after `holdMs`. */
  cut(holdMs: number): void {
    this.order({ op: "cut", holdMs });
  }

  /** Comes back now. */
  resume(): void {
    this.order({ op: "resume" });
  }

  stop(): void {
    this.worker.terminate();
  }

  private order(order: Order): void {
    this.worker.postMessage(order);
  }
}
