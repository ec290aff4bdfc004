import type { RecordContext } from '../serde.ts';
import type { Shard, ShardChange } from './shard.ts';

/** What one record, or one batch of them, has changed so far. */
export class Turn {
  /** Undefined for a batch: its records may be of several partitions. */
  readonly record: (RecordContext & { readonly timestamp: number }) | undefined;
  /** Most turns change nothing: then neither is made. */
  #changes: Map<Shard, Map<string, ShardChange>> | undefined;
  #undo: (() => void)[] | undefined;

  constructor(record: (RecordContext & { readonly timestamp: number }) | undefined) {
    this.record = record;
  }

  change(shard: Shard, key: string, value: Buffer | null): void {
    const { change, undo } = shard.change(key, value);
    this.#undo ??= [];
    this.#undo.push(undo);
    this.#changes ??= new Map();
    let changes = this.#changes.get(shard);
    if (changes === undefined) {
      changes = new Map();
      this.#changes.set(shard, changes);
    }
    changes.set(key, change);
  }

  /** The shard's time goes on to that of a record; taken back with the turn. */
  advance(shard: Shard, timestamp: number): void {
    const before = shard.streamTime;
    if (timestamp <= before) return;
    shard.streamTime = timestamp;
    this.#undo ??= [];
    this.#undo.push(() => {
      shard.streamTime = before;
    });
  }

  /** What goes to the changelogs: of a key that was changed several times, its last value. */
  *changes(): IterableIterator<ShardChange> {
    if (this.#changes !== undefined) for (const changes of this.#changes.values()) yield* changes.values();
  }

  get changed(): boolean {
    return this.#undo !== undefined;
  }

  /** Takes all of it back: its handler failed. */
  undo(): void {
    for (const undo of (this.#undo ?? []).reverse()) undo();
    this.#undo = undefined;
    this.#changes = undefined;
  }
}
