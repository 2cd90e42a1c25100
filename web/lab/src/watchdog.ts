// Notices a connection that is open and mute.
// Shape: one timer, armed by what arrives; the clock is passed in.
// Bound: it barks once, between `limitMs` and `limitMs` plus the grace after the last byte.
// Failure: a timer that comes late means that the machine slept. Then nothing is known yet, so one grace is given first.

export class Watchdog {
  private fedAt: number;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private inGrace = false;

  constructor(
    private limitMs: number,
    private readonly bark: () => void,
    private readonly now: () => number,
  ) {
    this.fedAt = now();
    this.arm(limitMs);
  }

  /** Something arrived. From now on the limit is `limitMs`, if one is given. */
  feed(limitMs: number = this.limitMs): void {
    this.fedAt = this.now();
    this.inGrace = false;
    if (limitMs === this.limitMs) return;
    this.limitMs = limitMs;
    this.arm(limitMs);
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private arm(delayMs: number): void {
    clearTimeout(this.timer);
    const due = this.now() + delayMs;
    this.timer = setTimeout(() => this.check(due), delayMs);
  }

  private check(due: number): void {
    const silentMs = this.now() - this.fedAt;
    if (silentMs < this.limitMs) {
      this.arm(this.limitMs - silentMs);
      return;
    }
    const slept = this.now() - due > GRACE_MS;
    if (slept && !this.inGrace) {
      this.inGrace = true;
      this.arm(GRACE_MS);
      return;
    }
    this.bark();
  }
}

/** How long a connection may take until its first sign of life. */
export const FIRST_SIGN_MS = 10_000;
/** Silence that is still normal: two heartbeats, and a second for the way. */
export const silenceLimitMs = (heartbeatMs: number): number => 2 * heartbeatMs + 1_000;

const GRACE_MS = 2_000;
