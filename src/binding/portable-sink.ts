import { kafkaCodeOf, type RawError, type RawProducer } from './node-rdkafka.ts';
import type { EncodedHeaders, OnDelivery, RecordSink } from './record-sink.ts';

/** While reports are outstanding they are looked for this often. */
const POLL_INTERVAL_MS = 2;

/** Errors, logs and statistics of a producer at rest are looked for this often. */
const IDLE_POLL_INTERVAL_MS = 200;

/** Reports are also served every so many records, so that a loop that never rests does not fill the queue. */
const POLL_EVERY_RECORDS = 200;

/** node-rdkafka's delivery report. */
export interface RawDeliveryReport {
  readonly opaque: number;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp?: number;
}

/** node-rdkafka sends an empty buffer without memory behind it as null; this one has memory. */
const empty = Buffer.from([0]).subarray(0, 0);

/** Records through node-rdkafka's own `produce`, one by one. */
export class PortableSink implements RecordSink {
  readonly kind = 'portable';
  /** node-rdkafka hands 100 reports a turn on. */
  readonly recordsPerTurn = 100;
  readonly #raw: RawProducer;
  readonly #onDelivery: OnDelivery;
  readonly #idleTimer: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #sincePoll = 0;

  constructor(raw: RawProducer, onDelivery: OnDelivery) {
    this.#raw = raw;
    this.#onDelivery = onDelivery;
    this.#idleTimer = setInterval(() => this.poll(), IDLE_POLL_INTERVAL_MS).unref();
  }

  add(
    topic: string,
    partition: number | undefined,
    key: Buffer | null,
    value: Buffer | null,
    timestamp: number | undefined,
    headers: EncodedHeaders,
    ticket: number,
  ): void {
    const sentValue = value?.length === 0 ? empty : value;
    const sentKey = key?.length === 0 ? empty : key;
    const code = this.#raw.produce(
      topic,
      partition ?? null,
      sentValue,
      sentKey,
      timestamp,
      ticket,
      headers as readonly object[] | undefined,
    );
    // Not from within the call: the caller is not ready for the outcome yet.
    if (code !== 0) setImmediate(() => this.#onDelivery(ticket, code, -1, -1, -1));
    if (++this.#sincePoll >= POLL_EVERY_RECORDS) this.poll();
  }

  submit(): void {
    // librdkafka has everything already.
  }

  poll(): void {
    this.#sincePoll = 0;
    this.#raw.poll();
  }

  async flush(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => this.#raw.flush(timeoutMs, () => resolve()));
    this.poll();
  }

  async servedElsewhere<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } finally {
      this.poll();
    }
  }

  /** A report of node-rdkafka's. */
  report(error: RawError | null, report: RawDeliveryReport): void {
    this.#onDelivery(report.opaque, error === null ? 0 : kafkaCodeOf(error), report.partition, report.offset, report.timestamp ?? -1);
  }

  watch(outstanding: boolean): void {
    if (outstanding) this.#timer ??= setInterval(() => this.poll(), POLL_INTERVAL_MS);
    else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  close(): void {
    this.watch(false);
    clearInterval(this.#idleTimer);
  }
}
