// One clock for the page and its workers.
// Shape: milliseconds since the Unix epoch with fractions; monotonic, as `performance.now()` is.
// Failure: browsers coarsen it. `clockStepMs` measures by how much, so that the page can say it.

/** Now, in milliseconds. Comparable between the page and its workers: each adds its own time origin. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The smallest step that this clock was seen to make, in milliseconds. */
export function clockStepMs(): number {
  let smallest = Number.POSITIVE_INFINITY;
  let last = performance.now();
  const end = last + MEASURE_MS;
  while (last < end) {
    const next = performance.now();
    if (next > last) smallest = Math.min(smallest, next - last);
    last = next;
  }
  return smallest;
}

const MEASURE_MS = 2;
