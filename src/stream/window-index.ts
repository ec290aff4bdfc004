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
  #nextEnd = Number.POSITIVE_INFINITY;
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
    this.#nextEnd = Math.min(this.#nextEnd, step);
  }

  /** The keys whose windows ended at `time` or before, each once. */
  takeEnded(time: number): string[] {
    this.#refresh();
    const ended: string[] = [];
    if (this.#nextEnd > time) return ended;
    for (const [step, keys] of this.#keys) {
      if (step > time) continue;
      this.#keys.delete(step);
      for (const key of keys) {
        const bytes = this.#shard.get(key);
        if (bytes === undefined) continue;
        const end = this.#endOf(key, bytes);
        if (end <= time) ended.push(key);
        else this.add(key, end);
      }
    }
    this.#nextEnd = Math.min(Number.POSITIVE_INFINITY, ...this.#keys.keys());
    return ended;
  }

  /** Reads the whole shard at first, and after changes were taken back. */
  #refresh(): void {
    if (this.#rewinds === this.#shard.rewinds) return;
    this.#rewinds = this.#shard.rewinds;
    this.#keys = new Map();
    this.#nextEnd = Number.POSITIVE_INFINITY;
    for (const [key, bytes] of this.#shard.entries()) this.add(key, this.#endOf(key, bytes));
  }
}
