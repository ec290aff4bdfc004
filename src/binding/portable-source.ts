import { consumeError } from './consume-error.ts';
import type { RawConsumer, RawMessage, TopicPartitionOffset } from './node-rdkafka.ts';
import { packMessages, type TopicTable } from './pack.ts';
import type { RecordBatch, RecordDecoders } from './record-batch.ts';
import type { RecordSource } from './record-source.ts';
import { Slots } from './slots.ts';

/** Longest single wait on a pool thread; a longer timeout is waited out in slices, so that consumers take turns. */
const WAIT_SLICE_MS = 100;

/**
 * A blocking wait for records holds one of libuv's pool threads (4 by default, `UV_THREADPOOL_SIZE`), which `fs`, `dns` and
 * `crypto` need as well. So two consumers of a process wait at once, and the others take turns.
 */
const waitSlots = new Slots(2);

/**
 * Records over node-rdkafka's public conversion, packed into batches. The first record is waited for alone and the rest taken
 * with timeout 0: node-rdkafka restarts its timeout with every message, so that a batch of a slow topic would never end.
 */
export class PortableSource<K, V, H> implements RecordSource<K, V, H> {
  readonly kind = 'portable';
  readonly #raw: RawConsumer;
  readonly #decoders: RecordDecoders<K, V, H>;
  readonly #topics: TopicTable;
  readonly #onPartitionEof: (at: TopicPartitionOffset) => void;
  readonly #held: unknown[];

  /** @param held Errors to be raised first, also those that come to it before the first fetch. */
  constructor(
    raw: RawConsumer,
    topics: TopicTable,
    decoders: RecordDecoders<K, V, H>,
    onPartitionEof: (at: TopicPartitionOffset) => void,
    held: unknown[],
  ) {
    this.#held = held;
    this.#raw = raw;
    this.#topics = topics;
    this.#decoders = decoders;
    this.#onPartitionEof = onPartitionEof;
  }

  async fetch(maxRecords: number, timeoutMs: number): Promise<RecordBatch<K, V, H> | undefined> {
    const deadline = performance.now() + timeoutMs;
    let messages = await this.#take(maxRecords, 0);
    while (messages.length === 0) {
      const remaining = deadline - performance.now();
      if (remaining <= 0) return undefined;
      messages = await this.#wait(Math.min(WAIT_SLICE_MS, Math.ceil(remaining)));
      if (messages.length > 0 && maxRecords > 1) messages = await this.#takeRest(messages, maxRecords - 1);
    }
    return packMessages(messages, this.#topics, this.#decoders);
  }

  fetchAhead(maxRecords: number): Promise<RecordBatch<K, V, H> | undefined> {
    return this.fetch(maxRecords, 0);
  }

  finishAhead(): undefined {
    return undefined;
  }

  storeOffsets(offsets: readonly TopicPartitionOffset[]): void {
    if (this.#store(offsets)) return;
    // One that is gone must not cost the others theirs.
    for (const at of offsets) this.#store([at]);
  }

  #store(offsets: readonly TopicPartitionOffset[]): boolean {
    try {
      return this.#raw.offsetsStore(offsets) === 0;
    } catch {
      return false;
    }
  }

  close(): void {
    // Nothing is held between two fetches.
  }

  /** The first record of a batch, holding a pool thread meanwhile. */
  async #wait(timeoutMs: number): Promise<RawMessage[]> {
    const turn = waitSlots.take();
    if (turn !== undefined) await turn;
    try {
      return await this.#take(1, timeoutMs);
    } finally {
      waitSlots.release();
    }
  }

  /** An error that follows a record must not cost the record: it stays behind and shows itself again at the next fetch. */
  async #takeRest(first: RawMessage[], count: number): Promise<RawMessage[]> {
    try {
      return first.concat(await this.#take(count, 0));
    } catch (error) {
      this.#held.push(error);
      return first;
    }
  }

  #take(count: number, timeoutMs: number): Promise<RawMessage[]> {
    if (this.#held.length > 0) return Promise.reject(this.#held.shift());
    return new Promise((resolve, reject) => {
      this.#raw.consume(timeoutMs, count, (error, messages = [], eofs = []) => {
        if (error) {
          reject(consumeError(error));
          return;
        }
        for (const { topic, partition, offset } of eofs) this.#onPartitionEof({ topic, partition, offset });
        resolve(messages);
      });
    });
  }
}
