/** What a list of measurements comes to. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Half the range over the median: 0.05 reads as ± 5 %. 0 for a single measurement. */
  readonly spread: number;
}

/** Middle value; the mean of the two middle ones of an even number. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >>> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median, range and spread of at least one value. */
export function summarize(values: readonly number[]): Summary {
  const middle = median(values);
  const min = Math.min(...values);
  const max = Math.max(...values);
  return { median: middle, min, max, spread: (max - min) / 2 / middle };
}

/**
 * Median of the ratios of runs that were neighbours in time, so that a machine that slows down in between does not shift it.
 *
 * @throws RangeError unless both lists have the same length
 */
export function pairedRatio(values: readonly number[], reference: readonly number[]): number {
  if (values.length !== reference.length) throw new RangeError(`Expected ${values.length} reference values, got ${reference.length}`);
  return median(values.map((value, index) => value / reference[index]!));
}

/** The value below which a share of `values` lies (nearest rank); NaN for none. `share` is 0 … 1. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
