import { setImmediate as immediate } from 'node:timers/promises';
import { kafkaCodes } from '../kafka-codes.ts';
import { consumeError } from './consume-error.ts';
import type { RawConsumer, TopicPartitionOffset } from './node-rdkafka.ts';
import type { TopicTable } from './pack.ts';
import { openPackedConsumer, type PackedConsumer, type PackedFetch } from './packed.ts';
import { RecordBatch, type RecordDecoders } from './record-batch.ts';
import type { RecordSource } from './record-source.ts';

/** Bytes of keys and values a batch holds at most, give or take a record. */
const MAX_BATCH_BYTES = 16 * 1024 * 1024;

/** Fewer records are drained at once in less time than it takes to wake a thread for them. */
const FEWEST_AHEAD = 64;

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
  /** Topics of the table that the addon knows. */
  #topicsTold = 0;
  /**
   * Index in the table by the addon's index. They are the same but when the table got topics while the addon, fetching ahead, met some of
   * them in another order.
   */
  readonly #topicIndexes: number[] = [];
  #areSameIndexes = true;
  #closed = false;
  #wake: (() => void) | undefined;
  /** Records that the addon fetches ahead; 0 while it does not. */
  #ahead = 0;
  /** True when the last fetch left records in librdkafka's queue. */
  #hasBacklog = false;
  /** Commits under way, by their ticket. */
  readonly #commits = new Map<number, { readonly resolve: (code: number) => void; readonly timer: NodeJS.Timeout }>();
  #nextCommit = 0;
  /** Errors that came beside records: the records go first. */
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
    // A backlog never lets a loop wait: timers, signals and rebalances get their turn here, once a batch.
    await immediate();
    for (;;) {
      if (this.#closed) return undefined;
      if (this.#held.length > 0) throw this.#held.shift();
      const batch = this.#drain(maxRecords);
      if (batch !== undefined) return batch;
      if (this.#held.length > 0) continue;
      const remaining = deadline - performance.now();
      if (remaining <= 0) return undefined;
      await this.#woken(remaining);
    }
  }

  /** Beside the event loop while there is a backlog: a fetch that empties the queue soon is not worth waking a thread. */
  async fetchAhead(maxRecords: number): Promise<RecordBatch<K, V, H> | undefined> {
    const isWorthIt = this.#hasBacklog && maxRecords >= FEWEST_AHEAD && !this.#closed && this.#held.length === 0;
    if (!isWorthIt || !this.#withTopics.fetchAhead(maxRecords, MAX_BATCH_BYTES)) return this.fetch(maxRecords, 0);
    this.#ahead = maxRecords;
    for (;;) {
      await this.#waken();
      if (this.#closed) return undefined;
      if (this.#ahead === 0) {
        // It was taken by who could not wait: here, too, the event loop gets its turn once a batch.
        await immediate();
        return undefined;
      }
      const fetched = this.#open.takeAhead(false);
      if (fetched !== false) return this.#tookAhead(fetched);
    }
  }

  finishAhead(): RecordBatch<K, V, H> | undefined {
    if (this.#ahead === 0 || this.#closed) return undefined;
    const fetched = this.#open.takeAhead(true);
    this.#wake?.();
    return this.#tookAhead(fetched === false ? undefined : fetched);
  }

  #tookAhead(fetched: PackedFetch | undefined): RecordBatch<K, V, H> | undefined {
    const maxRecords = this.#ahead;
    this.#ahead = 0;
    return this.#batchOf(fetched, maxRecords);
  }

  get #open(): PackedConsumer {
    this.#native ??= openPackedConsumer(
      this.#raw,
      () => this.#wake?.(),
      () => this.#takeCommits(),
    );
    return this.#native;
  }

  #drain(maxRecords: number): RecordBatch<K, V, H> | undefined {
    return this.#batchOf(this.#withTopics.fetch(maxRecords, MAX_BATCH_BYTES), maxRecords);
  }

  /** The addon, which knows the topics of the table. */
  get #withTopics(): PackedConsumer {
    const native = this.#open;
    const { names } = this.#topics;
    while (this.#topicsTold < names.length) {
      const index = this.#topicsTold++;
      if (native.addTopic(names[index]!) === this.#topicIndexes.length) this.#addTopic(index);
    }
    return native;
  }

  #addTopic(index: number): void {
    this.#areSameIndexes &&= index === this.#topicIndexes.length;
    this.#topicIndexes.push(index);
  }

  #batchOf(fetched: PackedFetch | undefined, maxRecords: number): RecordBatch<K, V, H> | undefined {
    this.#hasBacklog = fetched?.length === maxRecords || (fetched?.bytes?.byteLength ?? 0) >= MAX_BATCH_BYTES;
    if (fetched === undefined) return undefined;
    for (const name of fetched.topics ?? []) this.#addTopic(this.#topics.indexOf(name));
    this.#note(fetched);
    if (fetched.length === undefined) return undefined;
    const batch = new RecordBatch(fetched.length, fetched.bytes!, fetched.columns!, this.#topics.names, this.#decoders, this.#open);
    if (!this.#areSameIndexes) batch.topicIndexes.set(batch.topicIndexes.map((index) => this.#topicIndexes[index]!));
    return batch;
  }

  /** What came beside records. What a listener throws must not cost them. */
  #note({ eofs = [], errors = [] }: PackedFetch): void {
    for (const at of eofs) {
      try {
        this.#onPartitionEof(at);
      } catch (error) {
        this.#held.push(error);
      }
    }
    for (const error of errors) this.#held.push(consumeError(error));
  }

  async #woken(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#wake?.(), Math.ceil(timeoutMs));
    await this.#waken();
    clearTimeout(timer);
  }

  /** Until the queue fills, a fetch ahead is done, or the source is closed. */
  async #waken(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  storeOffsets(offsets: readonly TopicPartitionOffset[]): void {
    if (!this.#closed) this.#open.storeOffsets(offsets);
  }

  assignmentLost(): boolean {
    return !this.#closed && this.#open.assignmentLost();
  }

  isMember(): boolean {
    return !this.#closed && this.#open.isMember();
  }

  commit(offsets: readonly TopicPartitionOffset[], timeoutMs: number): Promise<number> {
    if (this.#closed) return Promise.resolve(kafkaCodes.destroyed);
    const ticket = this.#nextCommit++ & 0x7fffffff;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settleCommit(ticket, kafkaCodes.timedOut), Math.ceil(timeoutMs));
      this.#commits.set(ticket, { resolve, timer });
      const code = this.#open.commit(offsets, ticket);
      if (code !== 0) this.#settleCommit(ticket, code);
    });
  }

  #takeCommits(): void {
    for (const [ticket, code] of this.#native?.takeCommits() ?? []) this.#settleCommit(ticket, code);
  }

  #settleCommit(ticket: number, code: number): void {
    const pending = this.#commits.get(ticket);
    if (pending === undefined) return;
    this.#commits.delete(ticket);
    clearTimeout(pending.timer);
    pending.resolve(code);
  }

  close(): void {
    this.#closed = true;
    for (const ticket of this.#commits.keys()) this.#settleCommit(ticket, kafkaCodes.destroyed);
    this.#native?.close();
    this.#native = undefined;
    this.#wake?.();
  }
}
