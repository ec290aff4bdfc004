import type { AnyHandler } from '../hooks.ts';
import { handlerDefinitions } from './definitions.ts';
import type { Exemplar, MetricFamily, Sample } from './exposition.ts';
import { PlainHistogram } from './plain-histogram.ts';

/** One call in so many is timed while calls are short: reading the clock twice costs as much as a short handler. */
const SAMPLE_EVERY = 64;

/** A call that took this long makes the next one timed as well: then the clock costs nothing beside it. */
const SLOW_SECONDS = 0.001;

const SECONDS_BOUNDS = [0.000_01, 0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];
const RECORDS_BOUNDS = [1, 2, 5, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/** How long handlers take, and how large the batches are that they get. */
export class HandlerMetrics {
  readonly #seconds = new PlainHistogram(SECONDS_BOUNDS);
  readonly #batchRecords = new PlainHistogram(RECORDS_BOUNDS);
  readonly #exemplarLabels: (() => Exemplar['labelSet'] | undefined) | undefined;

  constructor(exemplarLabels: (() => Exemplar['labelSet'] | undefined) | undefined) {
    this.#exemplarLabels = exemplarLabels;
  }

  /** The same handler, a sample of its calls timed: until what it returns has settled. */
  wrap<Handler extends AnyHandler>(handler: Handler): Handler {
    const call = handler as (input: never, context: never) => unknown;
    let untimed = 0;
    const observed = (startedAt: number): void => {
      const seconds = (performance.now() - startedAt) / 1000;
      this.#seconds.observe(seconds, this.#exemplarLabels?.());
      untimed = seconds >= SLOW_SECONDS ? 0 : SAMPLE_EVERY - 1;
    };
    const wrapped = (input: never, context: never): unknown => {
      if (Array.isArray(input)) this.#batchRecords.observe((input as readonly unknown[]).length);
      else if (untimed > 0) {
        untimed--;
        return call(input, context);
      }
      const startedAt = performance.now();
      let result: unknown;
      try {
        result = call(input, context);
      } catch (error) {
        observed(startedAt);
        throw error;
      }
      if (!(result instanceof Promise)) {
        observed(startedAt);
        return result;
      }
      return result.finally(() => observed(startedAt));
    };
    return wrapped as Handler;
  }

  families(labels: Sample['labels']): MetricFamily[] {
    const { seconds, batchRecords } = handlerDefinitions;
    return [
      { ...seconds, values: this.#seconds.samples(seconds.name, labels) },
      { ...batchRecords, values: this.#batchRecords.samples(batchRecords.name, labels) },
    ];
  }
}
