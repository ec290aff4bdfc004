/** Beyond so many values on both sides together the normal distribution serves, below all orders are counted. */
const EXACT_MAX = 40;

/**
 * Two-sided p of the Mann-Whitney test: how often two lists from the same distribution would differ in order as much as these do. Exact for
 * small lists without ties; ties count half. 1 for an empty list.
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  if (a.length === 0 || b.length === 0) return 1;
  let wins = 0;
  for (const x of a) for (const y of b) wins += x > y ? 1 : x === y ? 0.5 : 0;
  const pairs = a.length * b.length;
  const least = Math.min(wins, pairs - wins);
  return a.length + b.length <= EXACT_MAX ? exact(least, a.length, b.length) : normal(least, a.length, b.length);
}

/** Share of all orders with at most `least` wins on either side. */
function exact(least: number, sizeA: number, sizeB: number): number {
  // ways[n][u]: orders of n values of one list among those of the other with u wins, list by list.
  let ways: number[][] = Array.from({ length: sizeA + 1 }, (_, n) => (n === 0 ? [1] : []));
  for (let n = 1; n <= sizeA; n++) ways[n] = [1];
  for (let m = 1; m <= sizeB; m++) {
    const next: number[][] = [[1]];
    for (let n = 1; n <= sizeA; n++) {
      // The largest value is of one list, and beats all m of the other, or is of the other.
      next[n] = Array.from({ length: n * m + 1 }, (_, u) => (next[n - 1]![u - m] ?? 0) + (ways[n]![u] ?? 0));
    }
    ways = next;
  }
  const counts = ways[sizeA]!;
  const all = counts.reduce((sum, count) => sum + count, 0);
  const tail = counts.slice(0, Math.floor(least) + 1).reduce((sum, count) => sum + count, 0);
  return Math.min(1, (2 * tail) / all);
}

/** By the normal distribution, with the correction for continuity. */
function normal(least: number, sizeA: number, sizeB: number): number {
  const mean = (sizeA * sizeB) / 2;
  const deviation = Math.sqrt((sizeA * sizeB * (sizeA + sizeB + 1)) / 12);
  const z = Math.max(0, mean - least - 0.5) / deviation;
  // Abramowitz and Stegun 26.2.17, good to 7.5e-8.
  const t = 1 / (1 + 0.2316419 * z);
  const tail =
    (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) *
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return Math.min(1, 2 * tail);
}
