import { StateError } from '../errors.ts';
import {
  type Deserializer,
  jsonDeserializer,
  jsonSerializer,
  type RecordContext,
  rawSerializer,
  type Serializer,
  stringDeserializer,
} from '../serde.ts';
import type { Shard } from './shard.ts';
import type { Turn } from './turn.ts';

/** Options of every table. */
export interface TableOptions<K> {
  /** @default text */
  readonly keySerializer?: Serializer<K> | undefined;
  /** @default text */
  readonly keyDeserializer?: Deserializer<K> | undefined;
  /**
   * The topics whose agents write it: partition for partition it goes with them, so that they must have as many partitions each.
   * @default the topics of all agents
   */
  readonly topics?: readonly (string | { readonly name: string })[] | undefined;
}

/** What a table asks of its app. */
export interface TableHost {
  /** What is being handled; undefined outside of agents. */
  readonly turn: Turn | undefined;
  /** The shard of a partition, if the app holds it. */
  shard(table: string, partition: number): Shard | undefined;
  shards(table: string): Iterable<Shard>;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Throws for a table of which another partition is meant than the one that is written to. */
  checkTopic(table: string, topic: string): void;
}

/** What is common to tables: keys, shards, and where they are written. */
export abstract class KeyedTable<K> {
  readonly name: string;
  readonly #host: TableHost;
  readonly #keySerializer: Serializer<K>;
  readonly #keyDeserializer: Deserializer<K>;

  constructor(name: string, host: TableHost, options: TableOptions<K>) {
    this.name = name;
    this.#host = host;
    this.#keySerializer = options.keySerializer ?? (rawSerializer as Serializer<never> as Serializer<K>);
    this.#keyDeserializer = options.keyDeserializer ?? (stringDeserializer as Deserializer<unknown> as Deserializer<K>);
  }

  protected get host(): TableHost {
    return this.#host;
  }

  /** A key as its bytes in a text. */
  protected keyText(key: K): string {
    const bytes = this.#keySerializer.serialize(key, { topic: this.name, isKey: true });
    if (bytes === null) throw new StateError(`Expected a key for table ${this.name}, got null`);
    return bytes.toString('latin1');
  }

  protected keyOf(text: string): K {
    return this.#keyDeserializer.deserialize(Buffer.from(text, 'latin1'), this.placeOf(undefined));
  }

  protected placeOf(shard: Shard | undefined): RecordContext {
    return { topic: this.name, partition: shard?.partition ?? -1, offset: -1 };
  }

  /**
   * The shard that the record under way writes to.
   *
   * @throws StateError outside of an agent
   */
  protected writable(of: RecordContext | undefined): { readonly shard: Shard; readonly turn: Turn; readonly timestamp: number } {
    const { turn } = this.#host;
    if (turn === undefined) {
      throw new StateError(`Table ${this.name} is written by agents only, while they handle a record: its changes go with that record`);
    }
    const record = of ?? turn.record;
    if (record === undefined) {
      throw new StateError(`Table ${this.name}: say which record of the batch a change belongs to, by the last argument`);
    }
    this.#host.checkTopic(this.name, record.topic);
    const shard = this.#host.shard(this.name, record.partition);
    // One that came back is read first, and was not what this record was handed over for.
    if (shard?.recovered !== true) throw new StateError(`Partition ${record.partition} of table ${this.name} was given up meanwhile`);
    const timestamp = (record as { timestamp?: number }).timestamp ?? -1;
    return { shard, turn, timestamp: timestamp < 0 ? this.#host.now() : timestamp };
  }

  /** The bytes of a key: in an agent those of its record's partition, elsewhere of any partition the app holds. */
  protected bytesOf(text: string): { readonly bytes: Buffer; readonly shard: Shard } | undefined {
    const record = this.#host.turn?.record;
    if (record !== undefined) {
      const shard = this.#host.shard(this.name, record.partition);
      const bytes = shard?.get(text);
      return shard === undefined || bytes === undefined ? undefined : { bytes, shard };
    }
    for (const shard of this.#host.shards(this.name)) {
      const bytes = shard.get(text);
      if (bytes !== undefined) return { bytes, shard };
    }
    return undefined;
  }

  /** Keys that this process holds; of a windowed table, one for each window. */
  get size(): number {
    let size = 0;
    for (const shard of this.#host.shards(this.name)) size += shard.size;
    return size;
  }
}

/** Options of {@link Table}. */
export interface ValueTableOptions<K, V> extends TableOptions<K> {
  /** What a key has that was never set. @default undefined */
  readonly initial?: (() => V) | undefined;
  /** @default JSON */
  readonly valueSerializer?: Serializer<V> | undefined;
  /** @default JSON */
  readonly valueDeserializer?: Deserializer<V> | undefined;
}

/**
 * A table of an app: each process has the partitions whose records it handles, every change is a record in the table's changelog. Made by
 * `app.table`.
 */
export class Table<K, V> extends KeyedTable<K> {
  readonly #initial: (() => V) | undefined;
  readonly #serializer: Serializer<V>;
  readonly #deserializer: Deserializer<V>;

  constructor(name: string, host: TableHost, options: ValueTableOptions<K, V> = {}) {
    super(name, host, options);
    this.#initial = options.initial;
    this.#serializer = options.valueSerializer ?? (jsonSerializer() as Serializer<never> as Serializer<V>);
    this.#deserializer = options.valueDeserializer ?? (jsonDeserializer() as Deserializer<unknown> as Deserializer<V>);
  }

  /** The value of a key, `initial` where there is none. A copy: changing it changes nothing. */
  get(key: K): V | undefined {
    const found = this.bytesOf(this.keyText(key));
    return found === undefined ? this.#initial?.() : this.#deserializer.deserialize(found.bytes, this.placeOf(found.shard));
  }

  has(key: K): boolean {
    return this.bytesOf(this.keyText(key)) !== undefined;
  }

  /**
   * Sets a key. Part of the record under way: when its handler fails, it was never set.
   *
   * @param of The record it belongs to, in a batch of `take`.
   * @throws StateError outside of an agent
   */
  set(key: K, value: V, of?: RecordContext): void {
    const { shard, turn } = this.writable(of);
    const bytes = this.#serializer.serialize(value, { topic: this.name, isKey: false });
    turn.change(shard, this.keyText(key), bytes);
  }

  /** @throws StateError outside of an agent */
  delete(key: K, of?: RecordContext): void {
    const { shard, turn } = this.writable(of);
    turn.change(shard, this.keyText(key), null);
  }

  /** Sets a key to what `change` makes of its value; gives that. @throws StateError outside of an agent */
  update(key: K, change: (value: V | undefined) => V, of?: RecordContext): V {
    const { shard, turn } = this.writable(of);
    const text = this.keyText(key);
    const bytes = shard.get(text);
    const value = change(bytes === undefined ? this.#initial?.() : this.#deserializer.deserialize(bytes, this.placeOf(shard)));
    turn.change(shard, text, this.#serializer.serialize(value, { topic: this.name, isKey: false }));
    return value;
  }

  /** What this process holds, in no order. */
  *entries(): IterableIterator<readonly [key: K, value: V]> {
    for (const shard of this.host.shards(this.name)) {
      for (const [key, bytes] of shard.entries()) yield [this.keyOf(key), this.#deserializer.deserialize(bytes, this.placeOf(shard))];
    }
  }
}
