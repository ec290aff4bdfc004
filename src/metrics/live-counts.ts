import { type CounterNames, countDefinitions, exposedName, type MetricDefinition } from './definitions.ts';
import type { MetricFamily, Sample } from './exposition.ts';

/** Places in the shared memory; behind them one for each class of errors. */
const CONSUMED = 0;
const PRODUCED = 1;
const RETRIED = 2;
const DEAD_LETTERED = 3;
const DECODE_ERRORS = 4;
const FIRST_EXCEPTION = 5;

/** What errors of further classes are counted under, once there are too many. */
export const OTHER_EXCEPTION = 'other';

/** Longest name of a class of errors in a label. */
const NAME_MAX = 64;

/** All that another thread needs to show the counts. */
export interface SharedCounts {
  readonly memory: SharedArrayBuffer;
  /** Classes of errors by their place, as far as they were known. */
  readonly exceptions: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly counterNames: CounterNames;
}

/**
 * The counts that must be right at every moment, in memory that the pushing thread reads while this one is blocked.
 *
 * One thread writes. A reader may see a count before or after an addition; that it sees half of one is ruled out by aligned 8-byte
 * stores being whole on the 64-bit machines Node runs on. So an addition needs no atomic operation, and takes a nanosecond.
 */
export class LiveCounts {
  readonly #memory: SharedArrayBuffer;
  readonly #counts: Float64Array;
  readonly #exceptions: string[];
  readonly #indexes = new Map<string, number>();
  readonly #onException: (name: string, index: number) => void;

  constructor(exceptionsMax: number, onException: (name: string, index: number) => void) {
    this.#memory = new SharedArrayBuffer(8 * (FIRST_EXCEPTION + exceptionsMax + 1));
    this.#counts = new Float64Array(this.#memory);
    this.#exceptions = [OTHER_EXCEPTION];
    this.#onException = onException;
  }

  consumed(count: number): void {
    this.#counts[CONSUMED]! += count;
  }

  produced(count: number): void {
    this.#counts[PRODUCED]! += count;
  }

  retried(): void {
    this.#counts[RETRIED]!++;
  }

  deadLettered(): void {
    this.#counts[DEAD_LETTERED]!++;
  }

  error(error: unknown, decodeErrors: number): void {
    this.#counts[DECODE_ERRORS]! += decodeErrors;
    this.#counts[FIRST_EXCEPTION + this.#indexOf(exceptionName(error))]!++;
  }

  #indexOf(name: string): number {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    const index = this.#exceptions.length;
    if (FIRST_EXCEPTION + index >= this.#counts.length || name === OTHER_EXCEPTION) return 0;
    this.#exceptions.push(name);
    this.#indexes.set(name, index);
    this.#onException(name, index);
    return index;
  }

  /** For another thread; classes of errors that come later are told by `onException`. */
  share(labels: Readonly<Record<string, string>>, counterNames: CounterNames): SharedCounts {
    return { memory: this.#memory, exceptions: [...this.#exceptions], labels, counterNames };
  }
}

/** The counts as metrics, as they are now. */
export function countFamilies({ memory, exceptions, labels, counterNames }: SharedCounts): MetricFamily[] {
  const counts = new Float64Array(memory);
  const family = ({ help, type, ...definition }: MetricDefinition, values: readonly Sample[]): MetricFamily => {
    const name = exposedName({ type, name: definition.name }, counterNames);
    return { name, help, type, values };
  };
  const single = (definition: MetricDefinition, index: number): MetricFamily => family(definition, [{ labels, value: counts[index]! }]);
  const errors = exceptions.flatMap((exception, index) => {
    const value = counts[FIRST_EXCEPTION + index]!;
    return value === 0 ? [] : [{ labels: { ...labels, exception }, value }];
  });
  return [
    single(countDefinitions.consumed, CONSUMED),
    single(countDefinitions.produced, PRODUCED),
    family(countDefinitions.errors, errors),
    single(countDefinitions.retried, RETRIED),
    single(countDefinitions.deadLettered, DEAD_LETTERED),
    single(countDefinitions.decodeErrors, DECODE_ERRORS),
  ];
}

/** The class of an error; the name it gives itself where its class says nothing. */
function exceptionName(error: unknown): string {
  if (!(error instanceof Error)) return 'NonError';
  const className = error.constructor.name;
  const name = className === 'Error' || className === 'DOMException' || className === '' ? error.name : className;
  return String(name).slice(0, NAME_MAX) || 'Error';
}
