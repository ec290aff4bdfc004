const BUCKET_MS = 100;
const BUCKETS_A_SECOND = 1_000 / BUCKET_MS;

/** The highest rate that events came at, over a second. */
export class PeakRate {
  readonly #buckets = new Map<number, number>();

  /** @param timestampMs Need not ascend. */
  add(timestampMs: number): void {
    const bucket = Math.floor(timestampMs / BUCKET_MS);
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1);
  }

  get perSecond(): number {
    let peak = 0;
    for (const first of this.#buckets.keys()) {
      let sum = 0;
      for (let bucket = first; bucket < first + BUCKETS_A_SECOND; bucket++) sum += this.#buckets.get(bucket) ?? 0;
      peak = Math.max(peak, sum);
    }
    return peak;
  }
}

/** A quantity at a time. */
export interface Sample {
  readonly atMs: number;
  readonly value: number;
}

/** Slope of the least-squares line, per hour; 0 for fewer than two samples. */
export function slopePerHour(samples: readonly Sample[]): number {
  const count = samples.length;
  const meanAt = samples.reduce((sum, { atMs }) => sum + atMs, 0) / count;
  const meanValue = samples.reduce((sum, { value }) => sum + value, 0) / count;
  let covariance = 0;
  let variance = 0;
  for (const { atMs, value } of samples) {
    covariance += (atMs - meanAt) * (value - meanValue);
    variance += (atMs - meanAt) ** 2;
  }
  return variance === 0 || count < 2 ? 0 : (covariance / variance) * 3_600_000;
}
