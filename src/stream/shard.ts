import { StateError } from '../errors.ts';
import type { ShardStore, StoreChange } from './store.ts';

/** A change that is not in the store yet. */
interface Pending {
  readonly value: Buffer | null;
  readonly version: number;
}

/** A change to be produced to the changelog. */
export interface ShardChange {
  readonly shard: Shard;
  readonly key: string;
  readonly value: Buffer | null;
  readonly version: number;
}

let versions = 0;

/**
 * One partition of a table: its store, and over it the changes that are not known to be in the changelog. What is in the store is in the
 * changelog as well, so that a crash can never leave more than the changelog has.
 */
export class Shard {
  readonly table: string;
  readonly partition: number;
  readonly store: ShardStore;
  /** True for changes that become the store's when their transaction is committed, not when each is acknowledged. */
  readonly #transactional: boolean;
  readonly #pending = new Map<string, Pending>();
  #staged = new Map<string, Pending>();
  #position = 0;
  #flushing: NodeJS.Immediate | undefined;
  #closed = false;
  /** The stream time that the last committed transaction left. */
  #committedTime = Number.NEGATIVE_INFINITY;
  /** Latest timestamp it was changed by, in milliseconds since the epoch: what windows expire by. */
  streamTime: number = Number.NEGATIVE_INFINITY;
  recovered = false;
  /** Grows whenever changes are taken back or the store may be another one: what was derived from its keys must be made anew. */
  rewinds = 0;

  constructor(table: string, partition: number, store: ShardStore, transactional: boolean) {
    this.table = table;
    this.partition = partition;
    this.store = store;
    this.#transactional = transactional;
  }

  /** Keys, those that are about to be added or deleted counted as if they were. */
  get size(): number {
    let { size } = this.store;
    for (const [key, { value }] of this.#pending) {
      const stored = this.store.get(key) !== undefined;
      if (value === null ? stored : !stored) size += value === null ? -1 : 1;
    }
    return size;
  }

  get(key: string): Buffer | undefined {
    const pending = this.#pending.get(key);
    return pending === undefined ? this.store.get(key) : (pending.value ?? undefined);
  }

  *entries(): IterableIterator<readonly [key: string, value: Buffer]> {
    for (const entry of this.store.entries()) if (!this.#pending.has(entry[0])) yield entry;
    for (const [key, { value }] of this.#pending) if (value !== null) yield [key, value];
  }

  /** Changes a key. `undo` takes it back. */
  change(key: string, value: Buffer | null): { readonly change: ShardChange; undo(): void } {
    const { maxKeyBytes = Number.POSITIVE_INFINITY } = this.store;
    if (key.length > maxKeyBytes)
      throw new StateError(`A key of table ${this.table} has ${key.length} bytes, and its store takes ${maxKeyBytes}`);
    const before = this.#pending.get(key);
    const version = ++versions;
    this.#pending.set(key, { value, version });
    const undo = (): void => {
      if (this.#pending.get(key)?.version !== version) return;
      this.rewinds++;
      if (before === undefined) this.#pending.delete(key);
      else this.#pending.set(key, before);
    };
    return { change: { shard: this, key, value, version }, undo };
  }

  /** A change is in the changelog, at `offset`. */
  acknowledged({ key, value, version }: ShardChange, offset: number): void {
    this.#position = Math.max(this.#position, offset + 1);
    if (this.#transactional || this.#closed) return;
    this.#staged.set(key, { value, version });
    // Acknowledgements come many at a time.
    this.#flushing ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = undefined;
    if (this.#closed) return;
    const staged = this.#staged;
    this.#staged = new Map();
    this.store.write(changesOf(staged), this.#position);
    for (const [key, { version }] of staged) if (this.#pending.get(key)?.version === version) this.#pending.delete(key);
  }

  /** The transaction that made the changes was committed. */
  commit(): void {
    this.#committedTime = this.streamTime;
    if (this.#pending.size === 0 || this.#closed) return;
    this.store.write(changesOf(this.#pending), this.#position);
    this.#pending.clear();
  }

  /** The transaction that made the changes came to nothing. */
  abort(): void {
    this.rewinds++;
    this.#pending.clear();
    this.streamTime = this.#committedTime;
  }

  /** Somebody else has the partition: what is not known to be in the changelog is forgotten, the store stays. */
  rest(): void {
    this.rewinds++;
    if (this.#flushing !== undefined) {
      clearImmediate(this.#flushing);
      this.#flush();
    }
    this.#pending.clear();
    this.streamTime = Number.NEGATIVE_INFINITY;
    this.#committedTime = Number.NEGATIVE_INFINITY;
    this.recovered = false;
  }

  close(): void {
    if (this.#closed) return;
    this.rest();
    this.#closed = true;
    this.store.close();
  }
}

function* changesOf(pending: ReadonlyMap<string, Pending>): IterableIterator<StoreChange> {
  for (const [key, { value }] of pending) yield [key, value];
}
