import { consumeError } from './consume-error.ts';
import type { RawConsumer, TopicPartitionOffset } from './node-rdkafka.ts';
import type { TopicTable } from './pack.ts';
import { openPackedConsumer, type PackedConsumer, type PackedFetch } from './packed.ts';
import { RecordBatch, type RecordDecoders } from './record-batch.ts';
import type { RecordSource } from './record-source.ts';

/** Bytes of keys and values a batch holds at most, give or take a record. */
const MAX_BATCH_BYTES = 16 * 1024 * 1024;

/**
 * Records through the packed addon. librdkafka wakes the event loop when its queue fills; the queue is then drained without waiting,
 * so no thread is held while a consumer is idle.
 */
export class PackedSource<K, V, H> implements RecordSource<K, V, H> {
  readonly kind = 'packed';
  readonly #raw: RawConsumer;
  readonly #topics: TopicTable;
  readonly #decoders: RecordDecoders<K, V, H>;
  readonly #onPartitionEof: (at: TopicPartitionOffset) => void;
  #native: PackedConsumer | undefined;
  #topicsKnown = 0;
  #closed = false;
  #wake: (() => void) | undefined;
  /** Errors that came beside records: the records go first. */
  readonly #held: Error[] = [];

  constructor(raw: RawConsumer, topics: TopicTable, decoders: RecordDecoders<K, V, H>, onPartitionEof: (at: TopicPartitionOffset) => void) {
    this.#raw = raw;
    this.#topics = topics;
    this.#decoders = decoders;
    this.#onPartitionEof = onPartitionEof;
  }

  async fetch(maxRecords: number, timeoutMs: number): Promise<RecordBatch<K, V, H> | undefined> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (this.#closed) return undefined;
      const held = this.#held.shift();
      if (held !== undefined) throw held;
      const batch = this.#drain(maxRecords);
      if (batch !== undefined) return batch;
      if (this.#held.length > 0) continue;
      const remaining = deadline - performance.now();
      if (remaining <= 0) return undefined;
      await this.#woken(remaining);
    }
  }

  #drain(maxRecords: number): RecordBatch<K, V, H> | undefined {
    this.#native ??= openPackedConsumer(this.#raw, () => this.#wake?.());
    const { names } = this.#topics;
    while (this.#topicsKnown < names.length) this.#native.addTopic(names[this.#topicsKnown++]!);
    const fetched = this.#native.fetch(maxRecords, MAX_BATCH_BYTES);
    if (fetched === undefined) return undefined;
    for (const name of fetched.topics ?? []) {
      this.#topics.indexOf(name);
      this.#topicsKnown++;
    }
    this.#note(fetched);
    if (fetched.length === undefined) return undefined;
    return new RecordBatch(fetched.length, fetched.bytes!, fetched.columns!, names, this.#decoders);
  }

  #note({ eofs = [], errors = [] }: PackedFetch): void {
    for (const at of eofs) this.#onPartitionEof(at);
    for (const error of errors) this.#held.push(consumeError(error));
  }

  async #woken(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, Math.ceil(timeoutMs));
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }

  close(): void {
    this.#closed = true;
    this.#native?.close();
    this.#native = undefined;
    this.#wake?.();
  }
}
