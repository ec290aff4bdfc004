import type { Exemplar, Sample } from './exposition.ts';

/** Counts in fixed buckets: an observation is a search over a few numbers, where prom-client's hashes the labels as well. */
export class PlainHistogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  readonly #exemplars: (Exemplar | undefined)[] = [];
  #sum = 0;

  /** @param bounds upper bounds, ascending, without infinity */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number, exemplarLabels?: Exemplar['labelSet'] | undefined): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#sum += value;
    if (exemplarLabels !== undefined) this.#exemplars[bucket] = { labelSet: exemplarLabels, value, timestamp: Date.now() / 1000 };
  }

  /** The lines of a histogram called `name`; none before the first observation. */
  samples(name: string, labels: Sample['labels']): Sample[] {
    let count = 0;
    const buckets = Array.from(this.#counts, (each, bucket): Sample => {
      count += each;
      const bound = this.#bounds[bucket];
      return {
        metricName: `${name}_bucket`,
        labels: { ...labels, le: bound === undefined ? '+Inf' : String(bound) },
        value: count,
        exemplar: this.#exemplars[bucket],
      };
    });
    if (count === 0) return [];
    return [...buckets, { metricName: `${name}_sum`, labels, value: this.#sum }, { metricName: `${name}_count`, labels, value: count }];
  }
}
