// A small stream of test events, published by this page over REST.
// Bound: one publish at a time, at most one every `PERIOD_MS`. It ends at the first refusal.

import { publish, type Published } from "../publish.ts";

export class TestStream {
  published = 0;
  refusal: Published | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private isBusy = false;

  constructor(private readonly base: string) {}

  get isOn(): boolean {
    return this.timer !== undefined;
  }

  start(topic: string): void {
    this.stop();
    this.published = 0;
    this.refusal = undefined;
    this.timer = setInterval(() => void this.next(topic), PERIOD_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async next(topic: string): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    const n = this.published + 1;
    const answer = await publish(this.base, { topic, type: "", data: JSON.stringify({ n, sent: new Date().toISOString() }) });
    this.isBusy = false;
    if (!this.isOn) return;
    if (answer.ok) this.published = n;
    else {
      this.refusal = answer;
      this.stop();
    }
  }
}

const PERIOD_MS = 200;
