import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { ConsumerRecord, type RecordBatch } from '../binding/record-batch.ts';
import { NoMessageError } from '../errors.ts';
import type { Assignment } from './assignment.ts';
import type { DueTime, OffsetKeeper } from './consumer-settings.ts';
import type { Fetcher } from './fetcher.ts';
import type { Parked } from './partition-flow.ts';
import type { RecordBuffer } from './record-buffer.ts';

/** Longest single fetch: what a `close()` may have to wait for. */
const FETCH_SLICE_MS = 200;

/** How often a consumer with too much in flight looks whether some of it is finished. */
const ROOM_CHECK_MS = 5;

/**
 * Hands buffered records over: one that still counts, when there is room for it in flight, when it is old enough and due, and when its
 * schema is there.
 */
export class ReadyRecords<K, V, H> {
  readonly #assignment: Assignment<K, V, H>;
  readonly #buffer: RecordBuffer<K, V, H>;
  readonly #fetcher: Fetcher<K, V, H>;
  readonly #keeper: OffsetKeeper;
  readonly #minimumAgeMs: number;
  readonly #assertOpen: () => void;
  readonly #stop = new AbortController();
  #open = true;
  #dueTime: DueTime | undefined;
  #waiting = 0;

  /** @param assertOpen Throws when the consumer is closed. */
  constructor(
    assignment: Assignment<K, V, H>,
    fetcher: Fetcher<K, V, H>,
    keeper: OffsetKeeper,
    minimumAgeMs: number,
    assertOpen: () => void,
  ) {
    this.#assignment = assignment;
    this.#buffer = assignment.buffer;
    this.#fetcher = fetcher;
    this.#keeper = keeper;
    this.#minimumAgeMs = minimumAgeMs;
    this.#assertOpen = assertOpen;
  }

  /** Holds back records that are not due: their partition rests until the first of them is. */
  holdBack(dueTime: DueTime): void {
    this.#dueTime = dueTime;
  }

  /** Hands no more over. */
  stop(): void {
    this.#open = false;
    this.#stop.abort();
  }

  /** True while someone waits for a record and none is buffered. */
  get starved(): boolean {
    return this.#waiting > 0 && this.#buffer.current() === undefined;
  }

  /** Why none came in time. */
  noMessage(timeoutMs: number): NoMessageError {
    const { room, inFlightRecords } = this.#keeper;
    if (room > 0) return new NoMessageError(timeoutMs);
    return new NoMessageError(
      timeoutMs,
      `${inFlightRecords} records are handed over and not finished, as many as CONSUMER_MAX_IN_FLIGHT_RECORDS and CONSUMER_MAX_IN_FLIGHT_MB ` +
        'allow. Are they passed to enqueueAutoCommits, and their outputs delivered?',
    );
  }

  /** The next buffered record if it can be handed over right now. */
  take(): ConsumerRecord<K, V, H> | undefined {
    const batch = this.#buffer.current();
    if (batch === undefined || !this.#open) return undefined;
    const { index } = this.#buffer;
    if (this.#keeper.room === 0) return undefined;
    if (this.#minimumAgeMs > 0 && batch.timestamps[index]! + this.#minimumAgeMs > Date.now()) return undefined;
    if (this.#dueTime !== undefined && this.#parkIfEarly(batch, index, this.#dueTime)) return this.take();
    const pending = batch.prepare(index);
    if (pending !== undefined) {
      // The promise is asked for again, and waited for, in #waitForChange.
      pending.catch(() => undefined);
      return undefined;
    }
    this.#handOver(batch, index + 1);
    return new ConsumerRecord(batch, index);
  }

  /** Hands over what is ready of a batch behind a first record that was taken of it; gives where it ends. */
  takeMoreOf(batch: RecordBatch<K, V, H>, count: number): number {
    const buffer = this.#buffer;
    const from = buffer.index;
    // Whatever else must be looked at for each record is left to take.
    if (this.#minimumAgeMs > 0 || !buffer.isCurrent(batch)) return from;
    const most = Math.min(batch.length, from + count, from + this.#keeper.room);
    const allValid = buffer.areAllValid(batch);
    let to = from;
    if (allValid && !batch.preparesRecords && this.#dueTime === undefined) to = Math.max(from, most);
    else {
      while (to < most && (allValid || buffer.isValid(batch, to))) {
        // One that is not due is parked by take.
        if (this.#dueTime !== undefined && this.#dueTime(batch, to) > Date.now()) break;
        const pending = batch.prepare(to);
        // The promise is asked for again, and waited for, in #waitForChange.
        pending?.catch(() => undefined);
        if (pending !== undefined) break;
        to++;
      }
    }
    if (to > from) this.#handOver(batch, to);
    return to;
  }

  /** Takes records that are ready until `records` has `count`, or a batch is at its end. False when none is ready. */
  takeRun(records: ConsumerRecord<K, V, H>[], count: number): boolean {
    const first = this.take();
    if (first === undefined) return false;
    records.push(first);
    const { batch } = first;
    const from = this.#buffer.index;
    const to = this.takeMoreOf(batch, count - records.length);
    for (let index = from; index < to; index++) records.push(new ConsumerRecord(batch, index));
    return true;
  }

  /** Counts the records of the current batch up to `to` (exclusive) as handed over. */
  #handOver(batch: RecordBatch<K, V, H>, to: number): void {
    const from = this.#buffer.index;
    this.#buffer.advance(to);
    this.#keeper.delivered(batch, from, to);
    // The next batch is fetched while this one is handled.
    if (from === 0 && this.#buffer.batches === 1) this.#fetcher.fetchAhead();
  }

  /** True when the record is not due: then nothing of its partition is handed over until it is. */
  #parkIfEarly(batch: RecordBatch<K, V, H>, index: number, dueTime: DueTime): boolean {
    const dueAt = dueTime(batch, index);
    if (dueAt === 0 || dueAt <= Date.now()) return false;
    const parked = this.#assignment.park(batch.topicIndexes[index]!, batch.partitions[index]!);
    this.#park(parked, batch.offsets[index]!, dueAt).catch((error: unknown) => {
      if (this.#open) this.#fetcher.noteFailure(error);
    });
    return true;
  }

  async #park(parked: Parked, offset: number, dueAt: number): Promise<void> {
    const isParked = (): boolean => this.#open && this.#assignment.isParked(parked);
    try {
      await this.#fetcher.alone(async () => {
        if (isParked()) await this.#assignment.halt(parked, offset);
      });
    } finally {
      // Where the seek failed, nothing is handed over until it is done.
      if (isParked()) this.#assignment.restUntil(dueAt, parked);
    }
  }

  /** Waits until something changed: a record came, became old enough, or its schema arrived; or until the deadline. */
  async change(deadline: number, signal: AbortSignal | undefined): Promise<void> {
    this.#waiting++;
    try {
      await this.#waitForChange(deadline, signal);
    } finally {
      this.#waiting--;
    }
  }

  async #waitForChange(deadline: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    this.#assertOpen();
    this.#fetcher.raiseFailure();
    const remaining = deadline - performance.now();
    const batch = this.#buffer.current();
    if (batch === undefined) {
      await orAborted(this.#fetcher.fetch(Math.max(0, Math.min(FETCH_SLICE_MS, remaining))), signal);
      return;
    }
    if (this.#keeper.room === 0) {
      this.#keeper.settle();
      if (this.#keeper.room > 0) return;
      this.#keeper.throwIfStuck();
      await orAborted(sleep(Math.min(ROOM_CHECK_MS, Math.max(1, remaining))), signal);
      return;
    }
    const age = Date.now() - batch.timestamps[this.#buffer.index]!;
    if (age < this.#minimumAgeMs) {
      const waitMs = Math.min(this.#minimumAgeMs - age, Math.max(1, remaining), FETCH_SLICE_MS);
      await orAborted(sleep(waitMs), signal);
      return;
    }
    const pending = batch.prepare(this.#buffer.index);
    if (pending !== undefined) await orAborted(this.#whileOpen(pending), signal);
  }

  /** Waits for `pending`, or until the consumer is closed. */
  async #whileOpen(pending: Promise<void>): Promise<void> {
    try {
      await orAborted(pending, this.#stop.signal);
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }
}
