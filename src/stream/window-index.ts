import type { Shard } from './shard.ts';

/** Ends are kept in steps of so many milliseconds, rounded up: ends of sliding windows are as many as records. */
const STEP_MS = 1_000;

/**
 * Keys of a shard by when their windows end, so that closed ones are found without a look at the others. It may say too early an end of a window
 * that was extended, and keys that are gone.
 */
export class WindowIndex {
  readonly #shard: Shard;
  readonly #endOf: (key: string, bytes: Buffer) => number;
  #keys = new Map<number, Set<string>>();
  /** No key is in a step before this one. */
  #from = Number.POSITIVE_INFINITY;
  #rewinds = -1;

  constructor(shard: Shard, endOf: (key: string, bytes: Buffer) => number) {
    this.#shard = shard;
    this.#endOf = endOf;
  }

  /** A key is new. */
  add(key: string, end: number): void {
    const step = Math.ceil(end / STEP_MS) * STEP_MS;
    const keys = this.#keys.get(step);
    if (keys === undefined) this.#keys.set(step, new Set([key]));
    else keys.add(key);
    this.#from = Math.min(this.#from, step);
  }

  /** The keys whose windows ended at `time` or before, each once. */
  takeEnded(time: number): string[] {
    this.#refresh();
    const ended: string[] = [];
    for (const step of this.#takeSteps(time)) {
      const keys = this.#keys.get(step) ?? [];
      this.#keys.delete(step);
      for (const key of keys) {
        const bytes = this.#shard.get(key);
        if (bytes === undefined) continue;
        const end = this.#endOf(key, bytes);
        if (end <= time) ended.push(key);
        else this.add(key, end);
      }
    }
    return ended;
  }

  /** Steps up to `time` that may hold keys: by counting, or where time leaps by looking at those that are there, whichever is less. */
  #takeSteps(time: number): number[] {
    const from = this.#from;
    if (from > time) return [];
    this.#from = (Math.floor(time / STEP_MS) + 1) * STEP_MS;
    const count = (this.#from - from) / STEP_MS;
    if (count > this.#keys.size) return [...this.#keys.keys()].filter((step) => step <= time);
    return Array.from({ length: count }, (_, number) => from + number * STEP_MS);
  }

  /** Reads the whole shard at first, and after changes were taken back. */
  #refresh(): void {
    if (this.#rewinds === this.#shard.rewinds) return;
    this.#rewinds = this.#shard.rewinds;
    this.#keys = new Map();
    this.#from = Number.POSITIVE_INFINITY;
    for (const [key, bytes] of this.#shard.entries()) this.add(key, this.#endOf(key, bytes));
  }
}
