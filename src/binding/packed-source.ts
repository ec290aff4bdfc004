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
  /** Commits under way, by their ticket. */
  readonly #commits = new Map<number, { readonly resolve: (code: number) => void; readonly timer: NodeJS.Timeout }>();
  #nextCommit = 0;
  /** Errors that came beside records: the records go first. */
  readonly #held: unknown[] = [];

  constructor(raw: RawConsumer, topics: TopicTable, decoders: RecordDecoders<K, V, H>, onPartitionEof: (at: TopicPartitionOffset) => void) {
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

  get #open(): PackedConsumer {
    this.#native ??= openPackedConsumer(
      this.#raw,
      () => this.#wake?.(),
      () => this.#takeCommits(),
    );
    return this.#native;
  }

  #drain(maxRecords: number): RecordBatch<K, V, H> | undefined {
    const native = this.#open;
    const { names } = this.#topics;
    while (this.#topicsKnown < names.length) native.addTopic(names[this.#topicsKnown++]!);
    const fetched = native.fetch(maxRecords, MAX_BATCH_BYTES);
    if (fetched === undefined) return undefined;
    for (const name of fetched.topics ?? []) {
      this.#topics.indexOf(name);
      this.#topicsKnown++;
    }
    this.#note(fetched);
    if (fetched.length === undefined) return undefined;
    return new RecordBatch(fetched.length, fetched.bytes!, fetched.columns!, names, this.#decoders, native);
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
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, Math.ceil(timeoutMs));
    });
    clearTimeout(timer);
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
