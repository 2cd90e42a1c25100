// The newest distances of one lane, and what can honestly be said about them.
// Shape: a ring of numbers; percentiles by sorting a copy when asked.
// Bound: the size that is given; the oldest leave.

export interface Summary {
  readonly n: number;
  readonly p50: number;
  readonly p95: number;
  /** 95 % confidence interval of the median, from order statistics: no assumption about the distribution. */
  readonly low: number;
  readonly high: number;
}

export class Samples {
  private readonly ring: Float64Array;
  private count = 0;

  constructor(size: number) {
    this.ring = new Float64Array(size);
  }

  get n(): number {
    return Math.min(this.count, this.ring.length);
  }

  add(value: number): void {
    this.ring[this.count++ % this.ring.length] = value;
  }

  /** Oldest first. */
  values(): Float64Array {
    if (this.count <= this.ring.length) return this.ring.slice(0, this.count);
    const start = this.count % this.ring.length;
    const values = new Float64Array(this.ring.length);
    values.set(this.ring.subarray(start));
    values.set(this.ring.subarray(0, start), this.ring.length - start);
    return values;
  }

  summary(): Summary | undefined {
    const { n } = this;
    if (n === 0) return undefined;
    const sorted = this.ring.slice(0, n).sort();
    const at = (index: number): number => sorted[Math.min(n - 1, Math.max(0, index))] ?? 0;
    const spread = 0.98 * Math.sqrt(n); // 1.96 · √(n · ½ · ½)
    return {
      n,
      p50: at(Math.ceil(n * 0.5) - 1),
      p95: at(Math.ceil(n * 0.95) - 1),
      low: at(Math.floor(n / 2 - spread)),
      high: at(Math.ceil(n / 2 + spread)),
    };
  }
}
