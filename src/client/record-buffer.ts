import type { RecordBatch } from '../binding/record-batch.ts';

/**
 * Batches fetched and not yet handed over, and which of their records still count. Every assignment, seek and pause raises the epoch; a
 * batch carries the epoch it arrived in, and what is older than its partition's epoch is dropped.
 */
export class RecordBuffer<K, V, H> {
  /** The current one first. */
  readonly #batches: RecordBatch<K, V, H>[] = [];
  #index = 0;
  #epoch = 0;
  /** Partition key → epoch from which its records count. A partition that is not assigned has no entry. */
  readonly #validFrom = new Map<number, number>();
  readonly #parked: ReadonlyMap<number, unknown>;
  readonly #moving: ReadonlyMap<number, unknown>;

  /** Of the partitions that are parked or moving, by their keys, nothing is handed over meanwhile. */
  constructor(parked: ReadonlyMap<number, unknown>, moving: ReadonlyMap<number, unknown>) {
    this.#parked = parked;
    this.#moving = moving;
  }

  /** Place of the next record in the current batch. */
  get index(): number {
    return this.#index;
  }

  get batches(): number {
    return this.#batches.length;
  }

  /** Records not handed over, those that no longer count among them. */
  get records(): number {
    return this.#batches.reduce((sum, batch) => sum + batch.length, -this.#index);
  }

  /** Keys of the partitions that are assigned. */
  get assigned(): IterableIterator<number> {
    return this.#validFrom.keys();
  }

  isAssigned(key: number): boolean {
    return this.#validFrom.has(key);
  }

  /** Records of these partitions count from now on: they are assigned, or go on from another place. Gives the epoch. */
  restart(keys: Iterable<number>): number {
    const epoch = ++this.#epoch;
    for (const key of keys) this.#validFrom.set(key, epoch);
    return epoch;
  }

  /** Records of these partitions no longer count. */
  drop(keys: Iterable<number>): void {
    this.#epoch++;
    for (const key of keys) this.#validFrom.delete(key);
  }

  push(batch: RecordBatch<K, V, H>): void {
    batch.epoch = this.#epoch;
    this.#batches.push(batch);
  }

  clear(): void {
    this.#batches.length = 0;
  }

  /** The batch that holds the next valid record at {@link index}; drops records of partitions that are gone. */
  current(): RecordBatch<K, V, H> | undefined {
    for (;;) {
      const batch = this.#batches[0];
      if (batch === undefined) return undefined;
      while (this.#index < batch.length) {
        if (this.areAllValid(batch) || this.isValid(batch, this.#index)) return batch;
        this.#index++;
      }
      this.#batches.shift();
      this.#index = 0;
    }
  }

  /** True for the batch that {@link current} gave. */
  isCurrent(batch: RecordBatch<K, V, H>): boolean {
    return batch === this.#batches[0];
  }

  /** Counts the records of the current batch up to `to` (exclusive) as handed over. */
  advance(to: number): void {
    this.#index = to;
  }

  /** True when no record of the batch needs a look of its own. */
  areAllValid(batch: RecordBatch<K, V, H>): boolean {
    return batch.epoch === this.#epoch && this.#parked.size === 0 && this.#moving.size === 0;
  }

  isValid(batch: RecordBatch<K, V, H>, index: number): boolean {
    const key = partitionKey(batch.topicIndexes[index]!, batch.partitions[index]!);
    const from = this.#validFrom.get(key);
    return from !== undefined && batch.epoch >= from && !this.#parked.has(key) && !this.#moving.has(key);
  }

  /** Offset of the partition's first record; undefined when there is none. */
  firstOffset(key: number): number | undefined {
    const from = this.#validFrom.get(key);
    if (from === undefined) return undefined;
    for (const [number, batch] of this.#batches.entries()) {
      if (batch.epoch < from) continue;
      for (let index = number === 0 ? this.#index : 0; index < batch.length; index++) {
        if (partitionKey(batch.topicIndexes[index]!, batch.partitions[index]!) === key) return batch.offsets[index]!;
      }
    }
    return undefined;
  }
}

/** Topic index and partition in one number, so that maps are keyed without a string per record. */
export function partitionKey(topicIndex: number, partition: number): number {
  return topicIndex * 0x100000 + partition;
}

export function topicIndexOf(key: number): number {
  return Math.floor(key / 0x100000);
}

export function partitionOf(key: number): number {
  return key % 0x100000;
}
