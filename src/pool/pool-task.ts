import type { AnyBatch, Segment } from './lanes.ts';

/** Records that are handled together, and how often that was tried. */
export class PoolTask {
  readonly segments: readonly Segment[];
  readonly length: number;
  /** Workers that died over it. */
  failures: number;

  constructor(segments: readonly Segment[], failures = 0) {
    this.segments = segments;
    this.length = segments.reduce((sum, { indexes }) => sum + indexes.length, 0);
    this.failures = failures;
  }

  /** Its records `from … to - 1` as a task of their own; undefined when there are none. */
  slice(from: number, to: number, failures = 0): PoolTask | undefined {
    const segments: Segment[] = [];
    let passed = 0;
    for (const { batch, indexes } of this.segments) {
      const part = indexes.subarray(Math.max(0, from - passed), Math.max(0, to - passed));
      if (part.length > 0) segments.push({ batch, indexes: part });
      passed += indexes.length;
    }
    return segments.length === 0 ? undefined : new PoolTask(segments, failures);
  }

  /** Where its record number `place` is. */
  at(place: number): { readonly batch: AnyBatch; readonly index: number } {
    let passed = 0;
    for (const { batch, indexes } of this.segments) {
      if (place < passed + indexes.length) return { batch, index: indexes[place - passed]! };
      passed += indexes.length;
    }
    throw new RangeError(`Expected a record of ${this.length}, got ${place}`);
  }
}

/** Records that are handled one after the other. */
export class Lane {
  /** Before all others: what is left of a task that ended early. */
  readonly #first: PoolTask[] = [];
  readonly #segments: Segment[] = [];
  /** Records that no task has been made of yet. */
  #waiting = 0;
  /** The loop that works on it, while there is anything. */
  running: Promise<void> | undefined;

  get empty(): boolean {
    return this.#first.length === 0 && this.#segments.length === 0;
  }

  get waiting(): number {
    return this.#waiting;
  }

  push(segment: Segment): void {
    this.#segments.push(segment);
    this.#waiting += segment.indexes.length;
  }

  /** Puts tasks before all others, in the order given. */
  putBack(...tasks: readonly (PoolTask | undefined)[]): void {
    this.#first.unshift(...tasks.filter((task) => task !== undefined));
  }

  /** Forgets all that waits; gives how many records that was. */
  clear(): number {
    let records = 0;
    for (const { length } of this.#first.splice(0)) records += length;
    this.#segments.length = 0;
    records += this.#waiting;
    this.#waiting = 0;
    return records;
  }

  /** The next task, of `most` records at most. */
  take(most: number): PoolTask | undefined {
    const first = this.#first.shift();
    if (first !== undefined) return first;
    const segments: Segment[] = [];
    for (let room = most; room > 0 && this.#segments.length > 0; ) {
      const { batch, indexes } = this.#segments[0]!;
      if (indexes.length <= room) this.#segments.shift();
      else this.#segments[0] = { batch, indexes: indexes.subarray(room) };
      segments.push({ batch, indexes: indexes.subarray(0, room) });
      room -= segments.at(-1)!.indexes.length;
    }
    if (segments.length === 0) return undefined;
    const task = new PoolTask(segments);
    this.#waiting -= task.length;
    return task;
  }
}
