/** A change of one key: its value's bytes, null to delete it. */
export type StoreChange = readonly [key: string, value: Buffer | null];

/**
 * Where the values of one table's partition are kept. A cache of the table's changelog: it says which of the changelog's offsets it reflects,
 * and what is written becomes visible with that offset, or not at all.
 *
 * Keys are their bytes as binary text (`latin1`), so that every key has one.
 */
export interface ShardStore {
  /** The changelog offset that comes next; undefined for a store that reflects nothing yet. */
  readonly position: number | undefined;
  /** Longest key it takes, in bytes. @default no limit */
  readonly maxKeyBytes?: number | undefined;
  /** Keys it holds. */
  readonly size: number;
  get(key: string): Buffer | undefined;
  /** All of it, in no order. */
  entries(): Iterable<readonly [key: string, value: Buffer]>;
  /** @param position The changelog offset after the last of these changes. */
  write(changes: Iterable<StoreChange>, position: number): void;
  /** Forgets everything: the changelog is not the one it was made from. */
  clear(): void;
  close(): void;
}

/** Opens the stores of an app's tables. */
export interface StateStore {
  /** Called once for each partition that the app holds, until that store is closed. */
  open(table: string, partition: number): ShardStore;
  /** Called when the app has ended. */
  close(): void;
}

class MemoryShard implements ShardStore {
  readonly #values = new Map<string, Buffer>();
  position: number | undefined;

  get size(): number {
    return this.#values.size;
  }

  get(key: string): Buffer | undefined {
    return this.#values.get(key);
  }

  entries(): Iterable<readonly [string, Buffer]> {
    return this.#values.entries();
  }

  write(changes: Iterable<StoreChange>, position: number): void {
    for (const [key, value] of changes) {
      if (value === null) this.#values.delete(key);
      else this.#values.set(key, value);
    }
    this.position = position;
  }

  clear(): void {
    this.#values.clear();
    this.position = undefined;
  }

  close(): void {
    this.#values.clear();
  }
}

/** Tables in this process's memory: read anew from their changelogs whenever a partition comes. */
export function memoryStore(): StateStore {
  return { open: () => new MemoryShard(), close: () => undefined };
}
