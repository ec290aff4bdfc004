import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { ConsumerHandle, commitCallbackError } from '../binding/consumer-handle.ts';
import { fromLibrdkafka, type TopicPartition, type TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import { TopicTable } from '../binding/pack.ts';
import { ConsumerRecord, type RecordBatch } from '../binding/record-batch.ts';
import type { RecordSource } from '../binding/record-source.ts';
import { ClosedError, type ConnectError, ConsumeError, NoMessageError, StateError, TimeoutError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { RecordHeader } from '../serde.ts';
import { checkTopics } from './check-topics.ts';
import type { BatchOptions, BatchRange, ConsumerSettings, DueTime, OffsetKeeper, WaitOptions } from './consumer-settings.ts';
import type { ConsumerEvents, ConsumerHealth, Stall, Statistics } from './events.ts';
import { type Parked, PartitionFlow } from './partition-flow.ts';
import { partitionKey, partitionOf, RecordBuffer, topicIndexOf } from './record-buffer.ts';
import { connectWithTokens } from './token-refresher.ts';

/** Longest single fetch: what a `close()` may have to wait for. */
const FETCH_SLICE_MS = 200;

/** Longest time without a poll while nobody asks for records; group membership needs one within `max.poll.interval.ms`. */
const KEEP_ALIVE_MS = 1_000;

/** Polls within one `max.poll.interval.ms` while nobody asks for records: a late timer or two must not cost the membership. */
const KEEP_ALIVE_PER_INTERVAL = 4;

/** How long a consumer that was never assigned anything waits for the name by which it can leave. */
const JOIN_BEFORE_LEAVE_MS = 1_000;

/** How often a consumer with too much in flight looks whether some of it is finished. */
const ROOM_CHECK_MS = 5;

/**
 * A Kafka consumer in a group, typed in key, value and headers. Made by `createConsumer`.
 *
 * Records are fetched in batches and handed over one at a time or many at once. Order is kept per partition. Nothing is
 * committed by handing a record over: see `enqueueAutoCommits` and `synchronousMessageHandling`.
 */
export class Consumer<K = Buffer | null, V = Buffer | null, H = readonly RecordHeader[]> extends EventEmitter<ConsumerEvents> {
  readonly groupId: string;
  /** `CONSUMER_ENABLE_AUTO_COMMIT`: which patterns this consumer may be used with. */
  readonly autoCommit: boolean;
  readonly #settings: ConsumerSettings<K, V, H>;
  readonly #handle: ConsumerHandle;
  readonly #topicTable = new TopicTable();
  readonly #source: RecordSource<K, V, H>;
  #keeper: OffsetKeeper | undefined;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closed: Promise<void> | undefined;
  readonly #stop = new AbortController();

  readonly #buffer: RecordBuffer<K, V, H>;
  readonly #flow: PartitionFlow;
  #fetching: Promise<void> | undefined;
  /** Operations that need the fetching to rest (rebalance, seek, pause), one after the other. */
  #exclusive: Promise<unknown> = Promise.resolve();
  #exclusiveCount = 0;
  #lastPollAt = performance.now();
  #keepAlive: NodeJS.Timeout | undefined;
  #failure: unknown;
  #waiting = 0;
  #joined = false;
  #stall: Stall | undefined;

  #dueTime: DueTime | undefined;
  #topics: readonly string[];

  constructor(settings: ConsumerSettings<K, V, H>) {
    super();
    this.#settings = settings;
    this.#topics = settings.topics;
    this.groupId = settings.groupId;
    this.autoCommit = settings.autoCommit;
    this.#handle = new ConsumerHandle(settings.config, {
      onRebalance: (kind, partitions) => (kind === 'assigned' ? this.#assigned(partitions) : this.#revoked(partitions, kind === 'lost')),
      onOffsetCommit: (error, offsets) => {
        if (error !== undefined && error.code === kafkaCodes.noOffset) return;
        this.emit('committed', commitCallbackError(error, offsets[0]), offsets);
      },
      onPartitionEof: (at) => this.emit('partitionEof', at),
      onError: (error) => {
        const typed = fromLibrdkafka('Kafka consumer', error, (message, options) => new ConsumeError(message, options));
        if (typed.code === 'ERR_AUTHENTICATION') settings.tokens?.renew();
        this.emit('clientError', typed);
      },
      onStatistics: (json) => {
        if (this.listenerCount('statistics') > 0) this.emit('statistics', JSON.parse(json) as Statistics);
      },
      onLog: ({ severity, fac, message }) => this.emit('log', { severity, facility: fac, message }),
    });
    this.#source = this.#handle.source(settings.source, this.#topicTable, settings.decoders);
    this.#flow = new PartitionFlow(this.#handle, (at) => this.#keyOf(at));
    this.#buffer = new RecordBuffer(this.#flow.parked);
  }

  /** The topics it is subscribed to. */
  get topics(): readonly string[] {
    return this.#topics;
  }

  /** Which source the records come from. */
  get source(): 'portable' | 'packed' {
    return this.#source.kind;
  }

  get closed(): boolean {
    return this.#state !== 'open';
  }

  /** @internal `SHUTDOWN_TIMEOUT_SECONDS`. */
  get shutdownTimeoutMs(): number {
    return this.#settings.shutdownTimeoutMs;
  }

  /** @internal Connects, checks the topics and joins the group. Called once, by `createConsumer`. */
  async connect(keeper: OffsetKeeper, signal: AbortSignal | undefined): Promise<void> {
    const { bootstrapServers, connectTimeoutMs, tokens } = this.#settings;
    this.#keeper = keeper;
    const deadline = Date.now() + connectTimeoutMs;
    try {
      const onError = (error: ConnectError): boolean => this.emit('clientError', error);
      await connectWithTokens(this.#handle, tokens, { bootstrapServers, timeoutMs: connectTimeoutMs, signal, onError });
      if (this.#settings.missingTopics === 'fail') await checkTopics(this.#handle, this.topics, { bootstrapServers, deadline, signal });
      this.#handle.subscribe(this.topics);
    } catch (error) {
      this.#state = 'closed';
      tokens?.stop();
      await this.#handle.disconnect(this.#settings.shutdownTimeoutMs);
      throw error;
    }
    const pollEveryMs = Math.min(KEEP_ALIVE_MS, this.#settings.maxPollIntervalMs / KEEP_ALIVE_PER_INTERVAL);
    // Looked at twice as often: a poll that is not due at one look is at the next.
    this.#keepAlive = setInterval(() => this.#keepPolling(pollEveryMs / 2), pollEveryMs / 2).unref();
  }

  /**
   * @internal Subscribes to more topics, and holds back records that are not due: their partition rests until the first of them is, and no
   * other one waits for it.
   *
   * @throws ConnectError when a topic does not exist
   */
  async alsoConsume(topics: readonly string[], dueTime: DueTime, signal: AbortSignal | undefined): Promise<void> {
    this.#assertOpen();
    this.#dueTime = dueTime;
    const added = topics.filter((topic) => !this.#topics.includes(topic));
    if (added.length === 0) return;
    if (this.#settings.missingTopics === 'fail') {
      const { bootstrapServers, connectTimeoutMs } = this.#settings;
      await checkTopics(this.#handle, added, { bootstrapServers, deadline: Date.now() + connectTimeoutMs, signal });
    }
    // A member that joins anew before it has joined is waited for by the group until its session times out.
    await orAborted(this.#finishJoining(performance.now() + this.#settings.connectTimeoutMs), signal);
    this.#assertOpen();
    this.#topics = [...this.#topics, ...added];
    this.#handle.subscribe(this.#topics);
  }

  /**
   * The next record. Waits up to `timeoutMs` (`CONSUMER_POLL_TIMEOUT`).
   *
   * @throws NoMessageError when none came in time
   * @throws ConsumeError | FatalError what the broker reported
   * @throws ClosedError when the consumer is closed
   */
  async consume({ timeoutMs = this.#settings.pollTimeoutMs, signal }: WaitOptions = {}): Promise<ConsumerRecord<K, V, H>> {
    signal?.throwIfAborted();
    const ready = this.#takeReady();
    if (ready !== undefined) return ready;
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      await this.#waitForRecord(deadline, signal);
      const record = this.#takeReady();
      if (record !== undefined) return record;
      if (performance.now() >= deadline) throw this.#noMessage(timeoutMs);
    }
  }

  #noMessage(timeoutMs: number): NoMessageError {
    const { room, inFlightRecords } = this.#keeper!;
    if (room > 0) return new NoMessageError(timeoutMs);
    return new NoMessageError(
      timeoutMs,
      `${inFlightRecords} records are handed over and not finished, as many as CONSUMER_MAX_IN_FLIGHT_RECORDS and CONSUMER_MAX_IN_FLIGHT_MB ` +
        'allow. Are they passed to enqueueAutoCommits, and their outputs delivered?',
    );
  }

  /**
   * Up to `count` records (`CONSUMER_BATCH_COUNT`), waiting until there are so many or `timeoutMs`
   * (`CONSUMER_BATCH_TIMEOUT_SECONDS`) is over, however slowly they come.
   *
   * @throws NoMessageError when not one came in time
   */
  async consumeBatch({
    count = this.#settings.batchCount,
    timeoutMs = this.#settings.batchTimeoutMs,
    signal,
  }: BatchOptions = {}): Promise<ConsumerRecord<K, V, H>[]> {
    if (!(Number.isInteger(count) && count > 0)) throw new StateError(`Expected count to be a whole number above 0, got ${count}`);
    const records: ConsumerRecord<K, V, H>[] = [];
    const deadline = performance.now() + timeoutMs;
    while (records.length < count) {
      if (this.#takeRun(records, count)) continue;
      if (performance.now() >= deadline) break;
      try {
        await this.#waitForRecord(deadline, signal);
      } catch (error) {
        // What was taken is in the caller's hands or nowhere: it goes out first, the error at the next call.
        if (records.length === 0) throw error;
        if (!this.closed && !signal?.aborted) this.#failure ??= error;
        break;
      }
    }
    if (records.length === 0) throw this.#noMessage(timeoutMs);
    return records;
  }

  /**
   * @internal What is ready of one batch, handed over at once and without an object for each record. Waits as {@link consume}.
   *
   * @throws NoMessageError when not one came in time
   */
  async consumeRange({ timeoutMs = this.#settings.pollTimeoutMs, signal }: WaitOptions = {}): Promise<BatchRange<K, V, H>> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const first = this.#takeReady();
      if (first !== undefined) {
        const { batch, index } = first;
        return { batch, from: index, to: this.#takeReadyOf(batch, Number.POSITIVE_INFINITY) };
      }
      if (performance.now() >= deadline) throw this.#noMessage(timeoutMs);
      await this.#waitForRecord(deadline, signal);
    }
  }

  /** Hands over what is ready of the current batch behind a first record; gives where it ends. */
  #takeReadyOf(batch: RecordBatch<K, V, H>, count: number): number {
    const buffer = this.#buffer;
    const from = buffer.index;
    // Whatever else must be looked at for each record is left to #takeReady.
    if (this.#settings.minimumAgeMs > 0 || !buffer.isCurrent(batch)) return from;
    const most = Math.min(batch.length, from + count, from + this.#keeper!.room);
    const allValid = buffer.areAllValid(batch);
    let to = from;
    if (allValid && !batch.preparesRecords && this.#dueTime === undefined) to = Math.max(from, most);
    else {
      while (to < most && (allValid || buffer.isValid(batch, to))) {
        // One that is not due is parked by #takeReady.
        if (this.#dueTime !== undefined && this.#dueTime(batch, to) > Date.now()) break;
        const pending = batch.prepare(to);
        // The promise is asked for again, and waited for, in #waitForRecord.
        pending?.catch(() => undefined);
        if (pending !== undefined) break;
        to++;
      }
    }
    if (to > from) this.#handOver(batch, to);
    return to;
  }

  /** Every record as it comes, for ever; ends when the consumer is closed. Leaving the loop does not close the consumer. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ConsumerRecord<K, V, H>, void, undefined> {
    // By hand: an async generator takes three turns of the microtask queue a record, this takes one.
    let left = false;
    const iterator: AsyncIterableIterator<ConsumerRecord<K, V, H>, void, undefined> = {
      next: () => {
        if (left) return Promise.resolve({ done: true, value: undefined });
        const ready = this.#takeReady();
        return ready === undefined ? this.#nextRecord() : Promise.resolve({ done: false, value: ready });
      },
      return: () => {
        left = true;
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  async #nextRecord(): Promise<IteratorResult<ConsumerRecord<K, V, H>, void>> {
    while (!this.closed) {
      try {
        return { done: false, value: await this.consume({ timeoutMs: 60_000 }) };
      } catch (error) {
        if (error instanceof NoMessageError) continue;
        if (error instanceof ClosedError) break;
        throw error;
      }
    }
    return { done: true, value: undefined };
  }

  /** The next buffered record if it can be handed over right now. */
  #takeReady(): ConsumerRecord<K, V, H> | undefined {
    const batch = this.#buffer.current();
    if (batch === undefined || this.#state !== 'open') return undefined;
    const { index } = this.#buffer;
    if (this.#keeper!.room === 0) return undefined;
    const { minimumAgeMs } = this.#settings;
    if (minimumAgeMs > 0 && batch.timestamps[index]! + minimumAgeMs > Date.now()) return undefined;
    if (this.#dueTime !== undefined && this.#parkIfEarly(batch, index, this.#dueTime)) return this.#takeReady();
    const pending = batch.prepare(index);
    if (pending !== undefined) {
      // The promise is asked for again, and waited for, in #waitForRecord.
      pending.catch(() => undefined);
      return undefined;
    }
    this.#handOver(batch, index + 1);
    return new ConsumerRecord(batch, index);
  }

  /** Takes records that are ready until `records` has `count`, or a batch is at its end. False when none is ready. */
  #takeRun(records: ConsumerRecord<K, V, H>[], count: number): boolean {
    const first = this.#takeReady();
    if (first === undefined) return false;
    records.push(first);
    const { batch } = first;
    const from = this.#buffer.index;
    const to = this.#takeReadyOf(batch, count - records.length);
    for (let index = from; index < to; index++) records.push(new ConsumerRecord(batch, index));
    return true;
  }

  /** Counts the records of the current batch up to `to` (exclusive) as handed over. */
  #handOver(batch: RecordBatch<K, V, H>, to: number): void {
    const from = this.#buffer.index;
    this.#buffer.advance(to);
    this.#keeper!.delivered(batch, from, to);
    // The next batch is fetched while this one is handled.
    if (from === 0 && this.#buffer.batches === 1 && this.#fetching === undefined) this.#fetchAhead(this.#settings.prefetchRecords);
  }

  /** @internal The next record if it is there already, so that a loop needs no promise of {@link consume} for it. */
  takeBuffered(signal: AbortSignal | undefined): ConsumerRecord<K, V, H> | undefined {
    return signal?.aborted ? undefined : this.#takeReady();
  }

  /** A fetch nobody waits for; what goes wrong is raised at the next call. */
  #fetchAhead(maxRecords: number): void {
    this.#fetch(0, maxRecords).catch((error: unknown) => {
      this.#failure ??= error;
    });
  }

  /** Waits until something changed: a record came, became old enough, or its schema arrived; or until the deadline. */
  async #waitForRecord(deadline: number, signal: AbortSignal | undefined): Promise<void> {
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
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    const remaining = deadline - performance.now();
    const batch = this.#buffer.current();
    if (batch === undefined) {
      await orAborted(this.#fetch(Math.max(0, Math.min(FETCH_SLICE_MS, remaining)), this.#settings.prefetchRecords), signal);
      return;
    }
    if (this.#keeper!.room === 0) {
      this.#keeper!.settle();
      if (this.#keeper!.room === 0) await orAborted(sleep(Math.min(ROOM_CHECK_MS, Math.max(1, remaining))), signal);
      return;
    }
    const age = Date.now() - batch.timestamps[this.#buffer.index]!;
    if (age < this.#settings.minimumAgeMs) {
      const waitMs = Math.min(this.#settings.minimumAgeMs - age, Math.max(1, remaining), FETCH_SLICE_MS);
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

  /** One fetch into the buffer. Shared by all who wait; none runs beside a rebalance, seek or pause. */
  #fetch(timeoutMs: number, maxRecords: number): Promise<void> {
    this.#fetching ??= this.#fetchOnce(timeoutMs, maxRecords).finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchOnce(timeoutMs: number, maxRecords: number): Promise<void> {
    if (this.#exclusiveCount > 0) {
      // Not awaited here: the exclusive operation itself waits for the fetch under way, which is this one.
      await sleep(1);
      return;
    }
    this.#keeper!.settle();
    if (this.#flow.throttled && this.#buffer.batches === 0) this.#flow.unthrottle(this.#assignedPartitions());
    this.#lastPollAt = performance.now();
    const batch = await this.#source.fetch(maxRecords, timeoutMs).catch((error: unknown) => this.#tolerate(error));
    this.#lastPollAt = performance.now();
    if (batch === undefined) return;
    this.#buffer.push(batch);
  }

  /** Under `missingTopics: 'wait'` a topic that is not there yet is an event, no failure. */
  #tolerate(error: unknown): undefined {
    const missing =
      error instanceof ConsumeError &&
      (error.kafkaCode === kafkaCodes.unknownTopicOrPartition || error.kafkaCode === kafkaCodes.unknownTopic);
    if (this.#settings.missingTopics !== 'wait' || !missing) throw error;
    this.emit('clientError', error);
    return undefined;
  }

  /** While a handler works nobody fetches, but the group must see polls, and rebalances must be noticed. */
  #keepPolling(dueAfterMs: number): void {
    if (this.#state !== 'open' || this.#fetching !== undefined || performance.now() - this.#lastPollAt < dueAfterMs) return;
    if (!this.#flow.throttled && this.#buffer.records >= this.#settings.prefetchRecords) this.#flow.throttle(this.#assignedPartitions());
    this.#fetchAhead(1);
  }

  /** True when the record is not due: then nothing of its partition is handed over until it is. */
  #parkIfEarly(batch: RecordBatch<K, V, H>, index: number, dueTime: DueTime): boolean {
    const dueAt = dueTime(batch, index);
    if (dueAt === 0 || dueAt <= Date.now()) return false;
    const parked = this.#flow.park({ topic: this.#topicTable.names[batch.topicIndexes[index]!]!, partition: batch.partitions[index]! });
    this.#park(parked, batch.offsets[index]!, dueAt).catch((error: unknown) => {
      // It stays parked: going on from another place would skip records.
      if (this.#state === 'open') this.#failure ??= error;
    });
    return true;
  }

  async #park(parked: Parked, offset: number, dueAt: number): Promise<void> {
    const isParked = (): boolean => this.#state === 'open' && this.#flow.isParked(parked);
    await this.#alone(async () => {
      if (!isParked()) return;
      this.#handle.pause([parked]);
      this.#buffer.restart([this.#keyOf(parked)]);
      await this.#handle.seek({ topic: parked.topic, partition: parked.partition, offset }, this.#settings.connectTimeoutMs);
    });
    if (isParked()) this.#flow.restUntil(dueAt, parked);
  }

  #assigned(partitions: readonly TopicPartition[]): undefined {
    this.#joined = true;
    const epoch = this.#buffer.restart(partitions.map((at) => this.#keyOf(at)));
    this.#keeper!.assigned(partitions, epoch);
    this.emit('assigned', partitions);
    return undefined;
  }

  /** Buffered records of the partitions are dropped; those handed over are waited for, stored, and the partitions given up. */
  async #revoked(partitions: readonly TopicPartition[], lost: boolean): Promise<void> {
    const giveUp = async (): Promise<void> => {
      this.#flow.forget(partitions, this.#state === 'open');
      this.#buffer.drop(partitions.map((at) => this.#keyOf(at)));
      await this.#keeper!.revoking(partitions, lost ? 'lost' : this.#state === 'open' ? 'revoked' : 'closing');
      this.emit('revoked', partitions, { lost });
    };
    if (this.#state === 'open') await this.#alone(giveUp);
    else await giveUp();
  }

  /** Runs `work` while nothing is fetched. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    this.#exclusiveCount++;
    const before = this.#exclusive;
    const run = (async () => {
      await before.catch(() => undefined);
      await this.#fetching?.catch((error: unknown) => {
        this.#failure ??= error;
      });
      return work();
    })();
    this.#exclusive = run.catch(() => undefined);
    try {
      return await run;
    } finally {
      this.#exclusiveCount--;
    }
  }

  #keyOf({ topic, partition }: TopicPartition): number {
    return partitionKey(this.#topicTable.indexOf(topic), partition);
  }

  #assignedPartitions(): TopicPartition[] {
    return [...this.#buffer.assigned].map((key) => ({ topic: this.#topicTable.names[topicIndexOf(key)]!, partition: partitionOf(key) }));
  }

  /** The partitions this consumer holds now. */
  assignment(): readonly TopicPartition[] {
    this.#assertOpen();
    return this.#assignedPartitions();
  }

  /** The partitions that are paused by {@link pause}. */
  paused(): readonly TopicPartition[] {
    return [...this.#flow.paused.values()];
  }

  /** @internal The partitions that rest until their next record is due. */
  parked(): readonly TopicPartition[] {
    return [...this.#flow.parked.values()];
  }

  /** Hands no more records of these partitions over until {@link resume}. What is buffered of them is fetched again then. */
  async pause(partitions: readonly TopicPartition[] = this.assignment()): Promise<void> {
    this.#assertAssigned('pause', partitions);
    await this.#alone(async () => {
      this.#flow.pause(partitions);
      await this.#rewind(partitions);
    });
  }

  /** Undoes {@link pause}. */
  resume(partitions: readonly TopicPartition[] = this.paused()): void {
    this.#assertAssigned('resume', partitions);
    this.#flow.resume(partitions);
  }

  /** Drops what is buffered of the partitions and moves librdkafka back to it. */
  async #rewind(partitions: readonly TopicPartition[]): Promise<void> {
    const buffered = partitions.flatMap((at) => {
      const offset = this.#buffer.firstOffset(this.#keyOf(at));
      return offset === undefined ? [] : [{ ...at, offset }];
    });
    this.#buffer.restart(partitions.map((at) => this.#keyOf(at)));
    for (const at of buffered) await this.#handle.seek(at, this.#settings.connectTimeoutMs);
  }

  /**
   * Continues a partition at `offset`. Records handed over before and not finished no longer hold the committed offset back.
   *
   * @throws StateError when the partition is not assigned
   */
  async seek({ topic, partition, offset }: TopicPartitionOffset): Promise<void> {
    if (!(Number.isSafeInteger(offset) && offset >= 0)) {
      throw new StateError(`Expected an offset from 0 for ${topic} [${partition}], got ${offset}`, { topic, partition });
    }
    this.#assertAssigned('seek', [{ topic, partition }]);
    await this.#alone(async () => {
      const epoch = this.#buffer.restart([this.#keyOf({ topic, partition })]);
      this.#keeper!.seeked({ topic, partition }, epoch);
      await this.#handle.seek({ topic, partition, offset }, this.#settings.connectTimeoutMs);
    });
  }

  /** The offset of the next record to be handed over; undefined for a partition of which none was fetched yet. */
  position(partitions: readonly TopicPartition[] = this.assignment()): (number | undefined)[] {
    this.#assertOpen();
    const positions = this.#handle.position(partitions);
    return partitions.map((at, index) => this.#buffer.firstOffset(this.#keyOf(at)) ?? positions[index]);
  }

  /** The group's committed offsets; undefined where there is none. */
  committed(
    partitions: readonly TopicPartition[] = this.assignment(),
    { timeoutMs = this.#settings.connectTimeoutMs }: { readonly timeoutMs?: number } = {},
  ): Promise<(number | undefined)[]> {
    this.#assertOpen();
    return this.#handle.committed(partitions, timeoutMs);
  }

  /** First offset and next offset of a partition, asked of its leader. */
  watermarks(
    partition: TopicPartition,
    { timeoutMs = this.#settings.connectTimeoutMs }: { readonly timeoutMs?: number } = {},
  ): Promise<{ low: number; high: number }> {
    this.#assertOpen();
    return this.#handle.watermarks(partition, timeoutMs);
  }

  /** Records of each assigned partition not yet handed over, asked of the leaders. */
  async lag(): Promise<(TopicPartition & { readonly lagRecords: number })[]> {
    const partitions = this.assignment();
    const positions = this.position(partitions);
    const committed = positions.includes(undefined) ? await this.committed(partitions) : [];
    return Promise.all(
      partitions.map(async (at, index) => {
        const { low, high } = await this.watermarks(at);
        return { ...at, lagRecords: Math.max(0, high - Math.max(low, positions[index] ?? committed[index] ?? low)) };
      }),
    );
  }

  /** Whether it makes progress, by the watchdog's last look (`CONSUMER_STALL_TIMEOUT_SECONDS`). */
  health(): ConsumerHealth {
    if (this.#state !== 'open') return { status: 'closed', stall: undefined };
    return { status: this.#stall === undefined ? 'ok' : 'stalled', stall: this.#stall };
  }

  /** @internal The watchdog's finding; undefined when there is progress. */
  setStall(stall: Stall | undefined): void {
    this.#stall = stall;
    if (stall !== undefined) this.emit('stalled', stall);
  }

  /** @internal True while someone waits for a record and none is buffered: only then does a lack of records say something. */
  get starved(): boolean {
    return this.#waiting > 0 && this.#buffer.current() === undefined;
  }

  /** Leaves the group and joins it again: the partitions are revoked and assigned anew, as in any rebalance. */
  rejoin(): void {
    this.#assertOpen();
    this.#handle.rejoin(this.topics);
  }

  /** @internal */
  get handle(): ConsumerHandle {
    return this.#handle;
  }

  /** @internal The table of topics that this consumer's batches carry. */
  get topicNames(): readonly string[] {
    return this.#topicTable.names;
  }

  /** @internal Index of a topic in this consumer's batches. */
  topicIndex(topic: string): number {
    return this.#topicTable.indexOf(topic);
  }

  /** @internal One poll, so that librdkafka's callbacks come through; a record that comes with it is buffered. */
  async serveCallbacks(): Promise<void> {
    await this.#fetch(0, 1).catch((error: unknown) => {
      this.#failure ??= error;
    });
  }

  /**
   * Leaves the group: stops handing over, commits what is finished, gives the partitions up, frees the client. Calling it again
   * gives the same promise.
   *
   * @throws CommitError when the last commit failed, TimeoutError when the client did not end in time; it is closed all the same
   */
  close({ timeoutMs = this.#settings.shutdownTimeoutMs }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closed ??= this.#close(timeoutMs);
    return this.#closed;
  }

  async #close(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const remaining = (): number => Math.max(100, deadline - performance.now());
    this.#state = 'closing';
    this.#stop.abort();
    clearInterval(this.#keepAlive);
    this.#flow.stop();
    const settled = Promise.all([this.#exclusive, this.#fetching?.catch(() => undefined)]);
    await Promise.race([settled, sleep(remaining(), undefined, { ref: false })]);
    let failure: unknown;
    try {
      await this.#keeper?.close(remaining());
    } catch (error) {
      failure = error;
    }
    await this.#finishJoining(performance.now() + Math.min(JOIN_BEFORE_LEAVE_MS, remaining()));
    this.#settings.tokens?.stop();
    const clean = await this.#handle.disconnect(remaining());
    this.#state = 'closed';
    this.#buffer.clear();
    this.emit('closed');
    if (failure !== undefined) throw failure;
    if (!clean) throw new TimeoutError(`The consumer of group ${this.groupId} did not end within ${timeoutMs} ms`);
  }

  /**
   * A coordinator names a new member and asks it to come again (KIP-394); the group waits for one that it has named until that leaves or its
   * session times out. So a consumer that closes waits for its name, by which it can leave.
   */
  async #finishJoining(deadline: number): Promise<void> {
    while (!this.#joined && !this.#handle.isMember && performance.now() < deadline) {
      await this.serveCallbacks();
      await sleep(10);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new ClosedError(`The consumer of group ${this.groupId} is closed`);
  }

  #assertAssigned(operation: string, partitions: readonly TopicPartition[]): void {
    this.#assertOpen();
    for (const { topic, partition } of partitions) {
      if (!this.#buffer.isAssigned(this.#keyOf({ topic, partition }))) {
        throw new StateError(`Cannot ${operation} ${topic} [${partition}]: it is not assigned to this consumer`, { topic, partition });
      }
    }
  }
}
