import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { OUTPUT_COLUMNS, type PackedRecords, unpackRecords } from '../binding/packed-records.ts';
import type { RecordSink } from '../binding/record-sink.ts';
import { QueueFullError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { Acknowledgements } from './acknowledgements.ts';
import { type BatchDelivery, type DeliveryRing, nextSequence, type Outstanding } from './delivery.ts';
import type { EncodedRecord, ProducerRecord } from './encode-record.ts';
import { toRawHeaders, unpackHeaders } from './produce-headers.ts';

/** How much may wait for the broker, and how long a record waits for room. */
export interface QueueLimits {
  readonly queueMaxRecords: number;
  readonly queueMaxBytes: number;
  readonly queueFullTimeoutMs: number;
}

/**
 * Records on their way to the broker, no more than the limits allow, and the line of those who could not produce at once: for want of
 * room, because a schema must be fetched, or because the event loop is due its turn.
 */
export class LocalQueue {
  readonly #sink: RecordSink;
  readonly #ring: DeliveryRing;
  readonly #acknowledgements: Acknowledgements;
  readonly #limits: QueueLimits;
  readonly #assertOpen: () => void;
  #sinceTurn = 0;
  #turnNoted = false;
  /** Settles when whoever could not produce at once has produced or given up; `#inLine` of them are left. */
  #line: Promise<void> = Promise.resolve();
  #inLine = 0;
  #onReports: (() => void)[] = [];

  /** @param assertOpen Throws when the producer is of no use any more. */
  constructor(sink: RecordSink, ring: DeliveryRing, acknowledgements: Acknowledgements, limits: QueueLimits, assertOpen: () => void) {
    this.#sink = sink;
    this.#ring = ring;
    this.#acknowledgements = acknowledgements;
    this.#limits = limits;
    this.#assertOpen = assertOpen;
  }

  /** True when others are in line, or the event loop is due its turn. */
  get mustWait(): boolean {
    return this.#inLine > 0 || this.#sinceTurn >= this.#sink.recordsPerTurn;
  }

  /** The event loop takes its turn by itself where nobody awaits anything: a caller that comes back later may go on. */
  noteTurn(): void {
    if (this.#turnNoted) return;
    this.#turnNoted = true;
    setImmediate(() => {
      this.#turnNoted = false;
      this.#sinceTurn = 0;
    });
  }

  isFull({ value }: EncodedRecord): boolean {
    const { queueMaxRecords, queueMaxBytes } = this.#limits;
    return this.#ring.size >= queueMaxRecords || this.#ring.bytes + (value?.length ?? 0) > queueMaxBytes;
  }

  add(
    record: Pick<ProducerRecord, 'topic' | 'partition' | 'timestamp'>,
    encoded: EncodedRecord,
    outstanding: Outstanding,
    sequence: number,
    index: number,
  ): void {
    const { topic, partition, timestamp } = record;
    const { key, value, headers } = encoded;
    const ticket = this.#ring.nextTicket;
    if (this.#ring.size === 0) this.#sink.watch(true);
    this.#sinceTurn++;
    this.#ring.push(outstanding, sequence, index, value === null ? 0 : value.length);
    this.#sink.add(topic, partition, key, value, timestamp, headers, ticket);
  }

  /** Up to which record there is room for those from `from` on. */
  packedRoom({ length, columns }: PackedRecords, from: number): number {
    const { queueMaxRecords, queueMaxBytes } = this.#limits;
    const most = Math.min(length, from + queueMaxRecords - this.#ring.size);
    let { bytes } = this.#ring;
    let to = from;
    for (; to < most; to++) {
      bytes += Math.max(columns[to * OUTPUT_COLUMNS + 3]!, 0);
      if (bytes > queueMaxBytes) break;
    }
    return to;
  }

  addPacked(batch: BatchDelivery, records: PackedRecords, from: number, to: number): void {
    const firstTicket = this.#ring.nextTicket;
    if (this.#ring.size === 0) this.#sink.watch(true);
    this.#sinceTurn += to - from;
    for (let index = from; index < to; index++) {
      this.#ring.push(batch, nextSequence(), index, Math.max(records.columns[index * OUTPUT_COLUMNS + 3]!, 0));
    }
    if (this.#sink.addPacked !== undefined) {
      this.#sink.addPacked(records, from, to, firstTicket);
      return;
    }
    let ticket = firstTicket;
    for (const { topic, partition, key, value, timestamp, headers } of unpackRecords(records, from, to)) {
      this.#sink.add(topic, partition, key, value, timestamp, toRawHeaders(unpackHeaders(headers), topic), ticket++);
    }
  }

  /** The report on a record that was added. */
  report(ticket: number, code: number, partition: number, offset: number, timestamp: number): void {
    const outstanding = this.#ring.take(ticket);
    if (outstanding === undefined) return;
    const { index, sequence } = this.#ring;
    if (code === 0) this.#acknowledgements.settle(outstanding, index, sequence, partition, offset, timestamp);
    else this.#acknowledgements.reject(outstanding, index, sequence, code, partition);
    if (this.#ring.size === 0) this.#sink.watch(false);
    if (this.#onReports.length > 0) {
      const waiting = this.#onReports;
      this.#onReports = [];
      for (const resolve of waiting) resolve();
    }
  }

  /** Until when a record that comes now waits for room. */
  deadline(): number {
    return performance.now() + this.#limits.queueFullTimeoutMs;
  }

  /** @throws QueueFullError at the deadline, and what says that the producer is of no use any more */
  async roomFor(topic: string, encoded: EncodedRecord, deadline: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.isFull(encoded)) await this.#makeRoom(topic, deadline, signal);
    this.#assertOpen();
  }

  /** As {@link roomFor}, for one record at least of those from `from` on. */
  async roomForPacked(
    topic: string,
    records: PackedRecords,
    from: number,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    while (this.packedRoom(records, from) === from) await this.#makeRoom(topic, deadline, signal);
    this.#assertOpen();
  }

  /** Resolves when reports came in, which is what frees the queue, or after a moment. */
  async #makeRoom(topic: string, deadline: number, signal: AbortSignal | undefined): Promise<void> {
    this.#assertOpen();
    if (performance.now() >= deadline) throw this.#queueFull(topic);
    this.#sink.submit();
    this.#sink.poll();
    const reports = new Promise<void>((resolve) => this.#onReports.push(resolve));
    await orAborted(Promise.race([reports, sleep(50)]), signal);
  }

  #queueFull(topic: string): QueueFullError {
    const seconds = this.#limits.queueFullTimeoutMs / 1000;
    return new QueueFullError(
      `Cannot produce to ${topic}: the local queue stayed full for ${seconds} s (${this.#ring.size} records wait for the broker). ` +
        'The record was not taken. Is the broker reachable? Else raise PRODUCER_QUEUE_MAX_RECORDS or PRODUCER_QUEUE_MAX_MB.',
      { topic, kafkaCode: kafkaCodes.queueFull },
    );
  }

  /**
   * What takes a while is done in the order of the calls: schemas that must be fetched, room in the queue, turns of the event loop. It
   * gets its number now, so that an offset noted meanwhile waits for it.
   */
  async lineUp<T>(
    pending: Promise<unknown> | undefined,
    signal: AbortSignal | undefined,
    work: (reserved: number) => Promise<T>,
  ): Promise<T> {
    // Waited for when it is its turn; until then its failure is nobody's.
    pending?.catch(ignore);
    const reserved = this.#acknowledgements.reserve();
    this.#inLine++;
    const before = this.#line;
    const mine = (async () => {
      try {
        await orAborted(before, signal);
        if (pending !== undefined) await orAborted(pending, signal);
        if (this.#sinceTurn >= this.#sink.recordsPerTurn) await this.#turn();
        return await work(reserved);
      } catch (error) {
        this.#acknowledgements.unreserve(reserved);
        throw error;
      } finally {
        this.#inLine--;
      }
    })();
    // One that gives up early must not let those behind it overtake those before it.
    const settled = mine.then(ignore, ignore);
    this.#line = before.then(() => settled);
    return mine;
  }

  /** Reports, timers and signals get their turn. */
  async #turn(): Promise<void> {
    this.#sinceTurn = 0;
    this.#sink.submit();
    await immediate();
  }

  /** librdkafka's flush ends linger; the reports it leaves behind come a turn of the event loop later. */
  async drain(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (this.#acknowledgements.outstanding > 0 && performance.now() < deadline) {
      await orAborted(this.#sink.flush(Math.max(1, Math.min(100, deadline - performance.now()))), signal);
      if (this.#acknowledgements.outstanding > 0) await immediate();
    }
  }
}

const ignore = (): void => undefined;
