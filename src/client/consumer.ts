import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { ConsumerHandle, commitCallbackError } from '../binding/consumer-handle.ts';
import { fromLibrdkafka, type TopicPartition, type TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import { TopicTable } from '../binding/pack.ts';
import { ConsumerRecord, type RecordBatch, type RecordDecoders } from '../binding/record-batch.ts';
import type { RecordSource } from '../binding/record-source.ts';
import type { RoutedConfig } from '../config/librdkafka-config.ts';
import { ClosedError, ConnectError, ConsumeError, NoMessageError, StateError, TimeoutError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { RecordHeader } from '../serde.ts';
import type { ConsumerEvents, ConsumerHealth, Stall, Statistics } from './events.ts';
import { connectWithTokens, type TokenRefresher } from './token-refresher.ts';

/** Longest single fetch: what a `close()` may have to wait for. */
const FETCH_SLICE_MS = 200;

/** Longest time without a poll while nobody asks for records; group membership needs one within `max.poll.interval.ms`. */
const KEEP_ALIVE_MS = 1_000;

/** Polls within one `max.poll.interval.ms` while nobody asks for records: a late timer or two must not cost the membership. */
const KEEP_ALIVE_PER_INTERVAL = 4;

/** How long a consumer that was never assigned anything waits for the name by which it can leave. */
const JOIN_BEFORE_LEAVE_MS = 1_000;

/** Shortest rest of a partition that is parked: each costs a seek. It bounds by how much a record may come late. */
const PARK_MIN_MS = 50;

/** How often a consumer with too much in flight looks whether some of it is finished. */
const ROOM_CHECK_MS = 5;

/** A consumer's settings, all resolved. */
export interface ConsumerSettings<K, V, H> {
  readonly topics: readonly string[];
  readonly groupId: string;
  readonly config: RoutedConfig;
  readonly source: 'portable' | 'packed';
  readonly decoders: RecordDecoders<K, V, H>;
  readonly bootstrapServers: string;
  /** Records per internal batch. */
  readonly prefetchRecords: number;
  readonly pollTimeoutMs: number;
  /** Records and milliseconds of a batch that does not say otherwise. */
  readonly batchCount: number;
  readonly batchTimeoutMs: number;
  /** Records younger than this are held back. */
  readonly minimumAgeMs: number;
  readonly autoCommit: boolean;
  readonly connectTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
  /** librdkafka's `max.poll.interval.ms`. */
  readonly maxPollIntervalMs: number;
  readonly missingTopics: 'fail' | 'wait';
  readonly tokens: TokenRefresher | undefined;
}

/** Who keeps the offsets: told of every assignment and every record handed over. Implemented in `delivery/`. */
export interface OffsetKeeper {
  assigned(partitions: readonly TopicPartition[], epoch: number): void;
  /**
   * Waits for records under way (not when closing), stores what is finished (not of lost ones) and forgets the partitions. Must not
   * reject.
   */
  revoking(partitions: readonly TopicPartition[], how: 'revoked' | 'lost' | 'closing'): Promise<void>;
  /** The partition continues elsewhere: what was handed over before no longer counts. */
  seeked(partition: TopicPartition, epoch: number): void;
  /** Records `from` up to `to` (exclusive) of the batch are handed over. */
  delivered(batch: RecordBatch<unknown, unknown, unknown>, from: number, to: number): void;
  /** How many records may be handed over before some of those in flight are finished; 0 for none. */
  readonly room: number;
  /** Records handed over and not finished. */
  readonly inFlightRecords: number;
  /** Stores what is finished by now; called once a batch. */
  settle(): void;
  /** Stores and commits what is finished, within the deadline. */
  close(timeoutMs: number): Promise<void>;
}

/** When a record of a batch may be handed over, in milliseconds since the epoch; 0 for at once. */
export type DueTime = (batch: RecordBatch<unknown, unknown, unknown>, index: number) => number;

/** A partition whose next record is not due yet. */
interface Parked extends TopicPartition {
  timer: NodeJS.Timeout | undefined;
}

/** Options of one wait. */
export interface WaitOptions {
  /** How long to wait, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of a batch: how many records, how long to wait for them. */
export interface BatchOptions extends WaitOptions {
  /** @default CONSUMER_BATCH_COUNT */
  readonly count?: number | undefined;
  /** Milliseconds. @default CONSUMER_BATCH_TIMEOUT_SECONDS */
  readonly timeoutMs?: number | undefined;
}

/** Records `from … to - 1` of a batch. */
export interface BatchRange<K, V, H> {
  readonly batch: RecordBatch<K, V, H>;
  readonly from: number;
  readonly to: number;
}

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

  /** Batches fetched and not yet handed over, the current one first. */
  readonly #batches: RecordBatch<K, V, H>[] = [];
  #index = 0;
  #fetching: Promise<void> | undefined;
  /** Operations that need the fetching to rest (rebalance, seek, pause), one after the other. */
  #exclusive: Promise<unknown> = Promise.resolve();
  #exclusiveCount = 0;
  #lastPollAt = performance.now();
  #keepAlive: NodeJS.Timeout | undefined;
  #throttled = false;
  #failure: unknown;
  #waiting = 0;
  #joined = false;
  #stall: Stall | undefined;

  /** Counts assignments, seeks and pauses; a batch carries the epoch it arrived in. */
  #epoch = 0;
  /** Partition key → epoch from which its buffered records count. A partition that is not assigned has no entry. */
  readonly #validFrom = new Map<number, number>();
  readonly #paused = new Map<number, TopicPartition>();
  readonly #parked = new Map<number, Parked>();
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
      if (this.#settings.missingTopics === 'fail') await this.#checkTopics(this.topics, deadline, signal);
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

  /** A topic that was just created may take a moment to be known everywhere, so a missing one is asked for some times. */
  async #checkTopics(topics: readonly string[], deadline: number, signal: AbortSignal | undefined): Promise<void> {
    const giveUp = Math.min(deadline, Date.now() + 3_000);
    let missing = topics.filter((topic) => !topic.startsWith('^'));
    while (missing.length > 0) {
      const remaining: string[] = [];
      for (const topic of missing) {
        const metadata = await this.#handle.metadata(topic, Math.max(1, deadline - Date.now()));
        if (!metadata.topics.some(({ name, partitions }) => name === topic && partitions.length > 0)) remaining.push(topic);
      }
      missing = remaining;
      if (missing.length === 0) return;
      if (Date.now() >= giveUp) {
        throw new ConnectError(
          `Unknown topic at ${this.#settings.bootstrapServers}: ${missing.join(', ')}. ` +
            "Create it, check CONSUME_TOPICS and the read permission, or pass missingTopics: 'wait' to wait for it.",
          { code: 'ERR_UNKNOWN_TOPIC', kafkaCode: kafkaCodes.unknownTopicOrPartition, topic: missing[0] },
        );
      }
      await orAborted(sleep(200), signal);
    }
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
      await this.#checkTopics(added, Date.now() + this.#settings.connectTimeoutMs, signal);
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
    const from = this.#index;
    // Whatever else must be looked at for each record is left to #takeReady.
    if (this.#settings.minimumAgeMs > 0 || batch !== this.#batches[0]) return from;
    const most = Math.min(batch.length, from + count, from + this.#keeper!.room);
    const allValid = batch.epoch === this.#epoch && this.#parked.size === 0;
    let to = from;
    if (allValid && !batch.preparesRecords && this.#dueTime === undefined) to = Math.max(from, most);
    else {
      while (to < most && (allValid || this.#isValid(batch, to))) {
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
    const batch = this.#current();
    if (batch === undefined || this.#state !== 'open') return undefined;
    const index = this.#index;
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
    const from = this.#index;
    const to = this.#takeReadyOf(batch, count - records.length);
    for (let index = from; index < to; index++) records.push(new ConsumerRecord(batch, index));
    return true;
  }

  /** Counts the records of the current batch up to `to` (exclusive) as handed over. */
  #handOver(batch: RecordBatch<K, V, H>, to: number): void {
    const from = this.#index;
    this.#index = to;
    this.#keeper!.delivered(batch, from, to);
    // The next batch is fetched while this one is handled.
    if (from === 0 && this.#batches.length === 1 && this.#fetching === undefined) this.#fetchAhead(this.#settings.prefetchRecords);
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

  /** The batch that holds the next valid record at `#index`; drops records of partitions that are gone. */
  #current(): RecordBatch<K, V, H> | undefined {
    for (;;) {
      const batch = this.#batches[0];
      if (batch === undefined) return undefined;
      while (this.#index < batch.length) {
        if ((batch.epoch === this.#epoch && this.#parked.size === 0) || this.#isValid(batch, this.#index)) return batch;
        this.#index++;
      }
      this.#batches.shift();
      this.#index = 0;
    }
  }

  #isValid(batch: RecordBatch<K, V, H>, index: number): boolean {
    const key = partitionKey(batch.topicIndexes[index]!, batch.partitions[index]!);
    const from = this.#validFrom.get(key);
    return from !== undefined && batch.epoch >= from && !this.#parked.has(key);
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
    const batch = this.#current();
    if (batch === undefined) {
      await orAborted(this.#fetch(Math.max(0, Math.min(FETCH_SLICE_MS, remaining)), this.#settings.prefetchRecords), signal);
      return;
    }
    if (this.#keeper!.room === 0) {
      this.#keeper!.settle();
      if (this.#keeper!.room === 0) await orAborted(sleep(Math.min(ROOM_CHECK_MS, Math.max(1, remaining))), signal);
      return;
    }
    const age = Date.now() - batch.timestamps[this.#index]!;
    if (age < this.#settings.minimumAgeMs) {
      const waitMs = Math.min(this.#settings.minimumAgeMs - age, Math.max(1, remaining), FETCH_SLICE_MS);
      await orAborted(sleep(waitMs), signal);
      return;
    }
    const pending = batch.prepare(this.#index);
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
    if (this.#throttled && this.#batches.length === 0) this.#unthrottle();
    this.#lastPollAt = performance.now();
    const batch = await this.#source.fetch(maxRecords, timeoutMs).catch((error: unknown) => this.#tolerate(error));
    this.#lastPollAt = performance.now();
    if (batch === undefined) return;
    batch.epoch = this.#epoch;
    this.#batches.push(batch);
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
    const buffered = this.#batches.reduce((sum, batch) => sum + batch.length, -this.#index);
    if (buffered >= this.#settings.prefetchRecords && !this.#throttled) this.#throttle();
    this.#fetchAhead(1);
  }

  #throttle(): void {
    const flowing = this.#flowing(this.#assignedPartitions());
    if (flowing.length === 0) return;
    this.#throttled = true;
    this.#handle.pause(flowing);
  }

  #unthrottle(): void {
    this.#throttled = false;
    const flowing = this.#flowing(this.#assignedPartitions());
    if (flowing.length > 0) this.#handle.resume(flowing);
  }

  /** Those that are neither paused nor parked. */
  #flowing(partitions: readonly TopicPartition[]): TopicPartition[] {
    return partitions.filter((at) => !this.#paused.has(this.#keyOf(at)) && !this.#parked.has(this.#keyOf(at)));
  }

  /** True when the record is not due: then nothing of its partition is handed over until it is. */
  #parkIfEarly(batch: RecordBatch<K, V, H>, index: number, dueTime: DueTime): boolean {
    const dueAt = dueTime(batch, index);
    if (dueAt === 0 || dueAt <= Date.now()) return false;
    const topicIndex = batch.topicIndexes[index]!;
    const partition = batch.partitions[index]!;
    const parked = { topic: this.#topicTable.names[topicIndex]!, partition, timer: undefined };
    this.#parked.set(partitionKey(topicIndex, partition), parked);
    this.#park(parked, batch.offsets[index]!, dueAt).catch((error: unknown) => {
      // It stays parked: going on from another place would skip records.
      if (this.#state === 'open') this.#failure ??= error;
    });
    return true;
  }

  async #park(parked: Parked, offset: number, dueAt: number): Promise<void> {
    const key = this.#keyOf(parked);
    const isParked = (): boolean => this.#state === 'open' && this.#parked.get(key) === parked;
    await this.#alone(async () => {
      if (!isParked()) return;
      this.#handle.pause([parked]);
      this.#validFrom.set(key, ++this.#epoch);
      await this.#handle.seek({ topic: parked.topic, partition: parked.partition, offset }, this.#settings.connectTimeoutMs);
    });
    if (!isParked()) return;
    parked.timer = setTimeout(() => this.#unpark(key), Math.max(PARK_MIN_MS, dueAt - Date.now())).unref();
  }

  #unpark(key: number): void {
    const parked = this.#parked.get(key);
    this.#parked.delete(key);
    if (parked !== undefined && this.#state === 'open' && !this.#throttled && !this.#paused.has(key)) this.#handle.resume([parked]);
  }

  #assigned(partitions: readonly TopicPartition[]): undefined {
    const epoch = ++this.#epoch;
    this.#joined = true;
    for (const at of partitions) this.#validFrom.set(this.#keyOf(at), epoch);
    this.#keeper!.assigned(partitions, epoch);
    this.emit('assigned', partitions);
    return undefined;
  }

  /** Buffered records of the partitions are dropped; those handed over are waited for, stored, and the partitions given up. */
  async #revoked(partitions: readonly TopicPartition[], lost: boolean): Promise<void> {
    const giveUp = async (): Promise<void> => {
      this.#epoch++;
      // A pause belongs to this assignment: the partition must not come back paused.
      const flowing = this.#throttled ? [] : this.#flowing(partitions);
      const stopped = partitions.filter((at) => !flowing.includes(at));
      if (stopped.length > 0 && this.#state === 'open') this.#handle.resume(stopped);
      for (const at of partitions) {
        const key = this.#keyOf(at);
        this.#validFrom.delete(key);
        this.#paused.delete(key);
        clearTimeout(this.#parked.get(key)?.timer);
        this.#parked.delete(key);
      }
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
    return [...this.#validFrom.keys()].map((key) => ({ topic: this.#topicTable.names[topicIndexOf(key)]!, partition: partitionOf(key) }));
  }

  /** The partitions this consumer holds now. */
  assignment(): readonly TopicPartition[] {
    this.#assertOpen();
    return this.#assignedPartitions();
  }

  /** The partitions that are paused by {@link pause}. */
  paused(): readonly TopicPartition[] {
    return [...this.#paused.values()];
  }

  /** @internal The partitions that rest until their next record is due. */
  parked(): readonly TopicPartition[] {
    return [...this.#parked.values()];
  }

  /** Hands no more records of these partitions over until {@link resume}. What is buffered of them is fetched again then. */
  async pause(partitions: readonly TopicPartition[] = this.assignment()): Promise<void> {
    this.#assertAssigned('pause', partitions);
    await this.#alone(async () => {
      this.#handle.pause(partitions);
      for (const at of partitions) this.#paused.set(this.#keyOf(at), at);
      await this.#rewind(partitions);
    });
  }

  /** Undoes {@link pause}. */
  resume(partitions: readonly TopicPartition[] = this.paused()): void {
    this.#assertAssigned('resume', partitions);
    for (const at of partitions) this.#paused.delete(this.#keyOf(at));
    const flowing = this.#flowing(partitions);
    if (flowing.length > 0) this.#handle.resume(flowing);
  }

  /** Drops what is buffered of the partitions and moves librdkafka back to it. */
  async #rewind(partitions: readonly TopicPartition[]): Promise<void> {
    const buffered = partitions.flatMap((at) => {
      const offset = this.#firstBuffered(this.#keyOf(at));
      return offset === undefined ? [] : [{ ...at, offset }];
    });
    const epoch = ++this.#epoch;
    for (const at of partitions) this.#validFrom.set(this.#keyOf(at), epoch);
    for (const at of buffered) await this.#handle.seek(at, this.#settings.connectTimeoutMs);
  }

  #firstBuffered(key: number): number | undefined {
    const from = this.#validFrom.get(key);
    if (from === undefined) return undefined;
    for (const [number, batch] of this.#batches.entries()) {
      if (batch.epoch < from) continue;
      for (let index = number === 0 ? this.#index : 0; index < batch.length; index++) {
        if (partitionKey(batch.topicIndexes[index]!, batch.partitions[index]!) === key) return batch.offsets[index]!;
      }
    }
    return undefined;
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
      const epoch = ++this.#epoch;
      this.#validFrom.set(this.#keyOf({ topic, partition }), epoch);
      this.#keeper!.seeked({ topic, partition }, epoch);
      await this.#handle.seek({ topic, partition, offset }, this.#settings.connectTimeoutMs);
    });
  }

  /** The offset of the next record to be handed over; undefined for a partition of which none was fetched yet. */
  position(partitions: readonly TopicPartition[] = this.assignment()): (number | undefined)[] {
    this.#assertOpen();
    const positions = this.#handle.position(partitions);
    return partitions.map((at, index) => this.#firstBuffered(this.#keyOf(at)) ?? positions[index]);
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
    return this.#waiting > 0 && this.#current() === undefined;
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
    for (const { timer } of this.#parked.values()) clearTimeout(timer);
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
    this.#batches.length = 0;
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
      if (!this.#validFrom.has(this.#keyOf({ topic, partition }))) {
        throw new StateError(`Cannot ${operation} ${topic} [${partition}]: it is not assigned to this consumer`, { topic, partition });
      }
    }
  }
}

/** Topic index and partition in one number, so that maps are keyed without a string per record. */
export function partitionKey(topicIndex: number, partition: number): number {
  return topicIndex * 0x100000 + partition;
}

function topicIndexOf(key: number): number {
  return Math.floor(key / 0x100000);
}

function partitionOf(key: number): number {
  return key % 0x100000;
}
