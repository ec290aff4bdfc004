import type { RecordContext } from '../serde.ts';
import type { Shard, ShardChange } from './shard.ts';

/** What one record, or one batch of them, has changed so far. */
export class Turn {
  /** Undefined for a batch: its records may be of several partitions. */
  readonly record: (RecordContext & { readonly timestamp: number }) | undefined;
  readonly #changes = new Map<Shard, Map<string, ShardChange>>();
  readonly #undo: (() => void)[] = [];

  constructor(record: (RecordContext & { readonly timestamp: number }) | undefined) {
    this.record = record;
  }

  change(shard: Shard, key: string, value: Buffer | null): void {
    const { change, undo } = shard.change(key, value);
    this.#undo.push(undo);
    let changes = this.#changes.get(shard);
    if (changes === undefined) {
      changes = new Map();
      this.#changes.set(shard, changes);
    }
    changes.set(key, change);
  }

  /** What goes to the changelogs: of a key that was changed several times, its last value. */
  *changes(): IterableIterator<ShardChange> {
    for (const changes of this.#changes.values()) yield* changes.values();
  }

  get changed(): boolean {
    return this.#undo.length > 0;
  }

  /** Takes all of it back: its handler failed. */
  undo(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
    this.#changes.clear();
  }
}
