import type { RawMessage } from '../binding/node-rdkafka.ts';
import { packMessages, TopicTable } from '../binding/pack.ts';
import { decodeNow } from '../binding/record-batch.ts';
import type { ProducerRecord } from '../client/producer.ts';
import { StateError } from '../errors.ts';
import type { AnyRecord } from './agent.ts';
import type { StreamAppWrapper } from './app.ts';
import { Shard } from './shard.ts';
import { memoryStore } from './store.ts';

/** Options of {@link StreamHarness}. */
export interface StreamHarnessOptions {
  /** Of every topic. @default 1 */
  readonly partitions?: number | undefined;
  /** Where the clock begins, in milliseconds since the epoch. @default 0 */
  readonly startAt?: number | undefined;
}

/** A record to be handled. */
export interface HarnessSend {
  readonly key?: unknown;
  readonly value: unknown;
  /** @default the key's hash, 0 without a key */
  readonly partition?: number | undefined;
  /** Milliseconds since the epoch. @default the clock's time */
  readonly timestamp?: number | undefined;
}

/** A record that was produced, decoded again. */
export interface HarnessRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: unknown;
  readonly value: unknown;
}

interface Alarm {
  readonly at: number;
  readonly work: () => unknown;
}

const BASE_PARTITION = 0;

/**
 * Drives a stream app in a test, without a broker: records are handed over one by one, what comes of them is at hand at once, and time passes
 * only when it is told to. Records go through the topics' serializers, so what does not survive them shows here. The app itself must not run.
 *
 * @example
 * const harness = new StreamHarness(app);
 * await harness.send('words', { value: 'kafka' });
 * await harness.advance(60);
 * assert.equal(counts.get('kafka'), 1);
 */
export class StreamHarness {
  readonly #app: StreamAppWrapper;
  readonly #partitions: number;
  readonly #topics = new TopicTable();
  readonly #ends = new Map<string, number>();
  readonly #outputs: HarnessRecord[] = [];
  readonly #alarms = new Set<Alarm>();
  #now: number;
  #failure: unknown;

  constructor(app: StreamAppWrapper, { partitions = 1, startAt = 0 }: StreamHarnessOptions = {}) {
    const { core } = app;
    if (core.driver !== undefined) throw new StateError(`The stream app ${app.name} runs, or has a harness already`);
    this.#app = app;
    this.#partitions = partitions;
    this.#now = startAt;
    core.driver = {
      now: () => this.#now,
      later: (milliseconds, work) => this.#at(this.#now + milliseconds, work),
      change: (changes) => {
        for (const change of changes)
          change.shard.acknowledged(change, this.#offset(`${change.shard.table} changelog`, change.shard.partition));
      },
      produce: async (outputs) => {
        for (const output of outputs) await this.#produced(output);
      },
      finish: () => undefined,
      failed: (error) => {
        this.#failure ??= error;
      },
      ready: () => undefined,
      holds: () => true,
    };
    const store = memoryStore();
    for (const { name } of core.tables.values()) {
      for (let partition = 0; partition < partitions; partition++) {
        const shard = new Shard(name, partition, store.open(name, partition), false);
        shard.recovered = true;
        core.addShard(shard);
      }
    }
    for (const { everyMs, work } of app.timers) this.#repeat(this.#now + everyMs, everyMs, work);
  }

  /** The clock, in milliseconds since the epoch. */
  get now(): number {
    return this.#now;
  }

  #at(at: number, work: () => unknown): () => void {
    const alarm = { at, work };
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  }

  #repeat(at: number, everyMs: number, work: () => unknown): void {
    this.#at(at, () => {
      this.#repeat(at + everyMs, everyMs, work);
      return work();
    });
  }

  /** Lets time pass, in seconds: timers and batches of `take` that are due meanwhile have their turn, in order. @throws what they throw */
  async advance(seconds: number): Promise<void> {
    const until = this.#now + seconds * 1000;
    for (;;) {
      const [next] = [...this.#alarms].filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#alarms.delete(next);
      this.#now = next.at;
      await next.work();
      await this.#settle();
    }
    this.#now = until;
  }

  /**
   * Hands a record of a topic to its agents, and what they produce to theirs. Resolves when all of it is done.
   *
   * @throws what an agent throws; EncodeError for what does not fit the topic
   */
  async send(topic: string, { key, partition, timestamp, value }: HarnessSend): Promise<void> {
    await this.#deliver({ topic, key, value, partition, timestamp });
    await this.#settle();
  }

  async #settle(): Promise<void> {
    // Generators have their turn between two macrotasks.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#failure === undefined) return;
    const failure = this.#failure;
    this.#failure = undefined;
    throw failure;
  }

  /** What was produced so far, to a topic or to all of them. Changelogs are left out. */
  outputs(topic?: string): readonly HarnessRecord[] {
    return topic === undefined ? this.#outputs : this.#outputs.filter((record) => record.topic === topic);
  }

  async #deliver(output: ProducerRecord<unknown, unknown>): Promise<AnyRecord> {
    const record = await this.#recordOf(output);
    decodeNow(record);
    const outputs = await this.#app.core.dispatch(record);
    this.#app.core.takeHeld();
    for (const each of outputs ?? []) await this.#produced(each);
    return record;
  }

  async #produced(output: ProducerRecord<unknown, unknown>): Promise<void> {
    const isOurs = this.#app.core.topics.includes(output.topic);
    const { topic, partition, key, value } = isOurs ? await this.#deliver(output) : await this.#recordOf(output);
    this.#outputs.push({ topic, partition, key, value });
  }

  /** As a consumer would give it. */
  async #recordOf({ key, partition, timestamp = this.#now, topic, value }: ProducerRecord<unknown, unknown>): Promise<AnyRecord> {
    const { codecs } = this.#app.core;
    await Promise.all([codecs.keySerializer.prepare?.({ topic, isKey: true }), codecs.valueSerializer.prepare?.({ topic, isKey: false })]);
    const keyBytes = key === undefined || key === null ? null : codecs.keySerializer.serialize(key, { topic, isKey: true });
    const valueBytes = codecs.valueSerializer.serialize(value, { topic, isKey: false });
    const to = partition ?? this.#partitionOf(keyBytes);
    const offset = this.#offset(topic, to);
    const size = valueBytes?.length ?? 0;
    const message = { topic, partition: to, offset, timestamp, key: keyBytes, value: valueBytes, size } as RawMessage;
    const decoders = { key: codecs.keyDeserializer, value: codecs.valueDeserializer, headers: undefined };
    const batch = packMessages<unknown, unknown, readonly never[]>([message], this.#topics, decoders);
    await batch.prepare(0);
    return batch.at(0) as unknown as AnyRecord;
  }

  #partitionOf(key: Buffer | null): number {
    if (key === null) return BASE_PARTITION;
    return key.reduce((hash, byte) => (Math.imul(hash, 31) + byte) >>> 0, 7) % this.#partitions;
  }

  #offset(topic: string, partition: number): number {
    const place = `${topic}/${partition}`;
    const offset = this.#ends.get(place) ?? 0;
    this.#ends.set(place, offset + 1);
    return offset;
  }
}
