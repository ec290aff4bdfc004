import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { ConsumerHandle, commitCallbackError } from '../binding/consumer-handle.ts';
import { fromLibrdkafka, type TopicPartition, type TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import { TopicTable } from '../binding/pack.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { RecordSource } from '../binding/record-source.ts';
import { ClosedError, type ConnectError, ConsumeError, NoMessageError, StateError, TimeoutError, type ToolkitError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { RecordHeader } from '../serde.ts';
import { Assignment } from './assignment.ts';
import { checkTopics } from './check-topics.ts';
import type { BatchOptions, BatchRange, ConsumerSettings, DueTime, OffsetKeeper, WaitOptions } from './consumer-settings.ts';
import type { ConsumerEvents, ConsumerHealth, Stall, Statistics } from './events.ts';
import { Fetcher } from './fetcher.ts';
import { ReadyRecords } from './ready-records.ts';
import { connectWithTokens } from './token-refresher.ts';

/** How long a consumer that was never assigned anything waits for the name by which it can leave. */
const JOIN_BEFORE_LEAVE_MS = 1_000;

/** How long a consumer without partitions waits for the end of a rebalance, to leave the group after it; less where it cannot tell of one. */
const REBALANCE_BEFORE_LEAVE_MS = 5_000;
const POSSIBLE_REBALANCE_MS = 1_000;

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
  /** These three are set when it begins to connect. */
  #assignment!: Assignment<K, V, H>;
  #fetcher!: Fetcher<K, V, H>;
  #ready!: ReadyRecords<K, V, H>;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closed: Promise<void> | undefined;
  #joined = false;
  #stall: Stall | undefined;
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
        this.#clientError(fromLibrdkafka('Kafka consumer', error, (message, options) => new ConsumeError(message, options)));
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
    this.#assignment = new Assignment(this.#handle, this.#topicTable, keeper, connectTimeoutMs);
    this.#fetcher = new Fetcher(this.#source, this.#assignment, keeper, this.#settings, (error) => this.#clientError(error));
    this.#ready = new ReadyRecords(this.#assignment, this.#fetcher, keeper, this.#settings.minimumAgeMs, () => this.#assertOpen());
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
    this.#fetcher.start();
  }

  /**
   * @internal Subscribes to more topics, and holds back records that are not due: their partition rests until the first of them is, and no
   * other one waits for it.
   *
   * @throws ConnectError when a topic does not exist
   */
  async alsoConsume(topics: readonly string[], dueTime: DueTime, signal: AbortSignal | undefined): Promise<void> {
    this.#assertOpen();
    this.#ready.holdBack(dueTime);
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
    const ready = this.#ready.take();
    if (ready !== undefined) return ready;
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      await this.#ready.change(deadline, signal);
      const record = this.#ready.take();
      if (record !== undefined) return record;
      if (performance.now() >= deadline) throw this.#ready.noMessage(timeoutMs);
    }
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
      if (this.#ready.takeRun(records, count)) continue;
      if (performance.now() >= deadline) break;
      try {
        await this.#ready.change(deadline, signal);
      } catch (error) {
        // What was taken is in the caller's hands or nowhere: it goes out first, the error at the next call.
        if (records.length === 0) throw error;
        if (!this.closed && !signal?.aborted) this.#fetcher.noteFailure(error);
        break;
      }
    }
    if (records.length === 0) throw this.#ready.noMessage(timeoutMs);
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
      const first = this.#ready.take();
      if (first !== undefined) {
        const { batch, index } = first;
        return { batch, from: index, to: this.#ready.takeMoreOf(batch, Number.POSITIVE_INFINITY) };
      }
      if (performance.now() >= deadline) throw this.#ready.noMessage(timeoutMs);
      await this.#ready.change(deadline, signal);
    }
  }

  /** Every record as it comes, for ever; ends when the consumer is closed. Leaving the loop does not close the consumer. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ConsumerRecord<K, V, H>, void, undefined> {
    // By hand: an async generator takes three turns of the microtask queue a record, this takes one.
    let left = false;
    const iterator: AsyncIterableIterator<ConsumerRecord<K, V, H>, void, undefined> = {
      next: () => {
        if (left) return Promise.resolve({ done: true, value: undefined });
        const ready = this.#ready.take();
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

  /** @internal The next record if it is there already, so that a loop needs no promise of {@link consume} for it. */
  takeBuffered(signal: AbortSignal | undefined): ConsumerRecord<K, V, H> | undefined {
    return signal?.aborted ? undefined : this.#ready.take();
  }

  #assigned(partitions: readonly TopicPartition[]): undefined {
    this.#joined = true;
    this.#assignment.take(partitions);
    this.emit('assigned', partitions);
    return undefined;
  }

  async #revoked(partitions: readonly TopicPartition[], lost: boolean): Promise<void> {
    const giveUp = async (): Promise<void> => {
      const isOpen = this.#state === 'open';
      await this.#assignment.giveUp(partitions, lost ? 'lost' : isOpen ? 'revoked' : 'closing', isOpen);
      this.emit('revoked', partitions, { lost });
    };
    if (this.#state === 'open') await this.#fetcher.alone(giveUp);
    else await giveUp();
  }

  /** The partitions this consumer holds now. */
  assignment(): readonly TopicPartition[] {
    this.#assertOpen();
    return this.#assignment.partitions;
  }

  /** The partitions that are paused by {@link pause}. */
  paused(): readonly TopicPartition[] {
    return this.#assignment.paused;
  }

  /** @internal The partitions that rest until their next record is due. */
  parked(): readonly TopicPartition[] {
    return this.#assignment.parked;
  }

  /**
   * Hands no more records of these partitions over until {@link resume}. What is buffered of them is fetched again then.
   *
   * @throws StateError when a partition is not assigned, or librdkafka does not seek back in time: nothing of the partition is handed over, and no
   *   record skipped, until it does; it is asked again at each fetch
   */
  async pause(partitions: readonly TopicPartition[] = this.assignment()): Promise<void> {
    await this.#whileAssigned('pause', partitions, () => this.#assignment.pause(partitions));
  }

  /** Undoes {@link pause}. */
  resume(partitions: readonly TopicPartition[] = this.paused()): void {
    this.#assertAssigned('resume', partitions);
    this.#assignment.resume(partitions);
  }

  /**
   * Continues a partition at `offset`. Records handed over before and not finished no longer hold the committed offset back.
   *
   * @throws StateError when the partition is not assigned, or librdkafka does not seek in time: nothing of the partition is handed over until it
   *   does; it is asked again at each fetch
   */
  async seek({ topic, partition, offset }: TopicPartitionOffset): Promise<void> {
    if (!(Number.isSafeInteger(offset) && offset >= 0)) {
      throw new StateError(`Expected an offset from 0 for ${topic} [${partition}], got ${offset}`, { topic, partition });
    }
    await this.#whileAssigned('seek', [{ topic, partition }], () => this.#assignment.seek({ topic, partition, offset }));
  }

  /** The offset of the next record to be handed over; undefined for a partition of which none was fetched yet. */
  position(partitions: readonly TopicPartition[] = this.assignment()): (number | undefined)[] {
    this.#assertOpen();
    this.#fetcher.finishAhead();
    return this.#assignment.positions(partitions);
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

  /** Whether a broker answers a request for metadata within `timeoutMs`; false once it is closed. Holds a thread of libuv's pool meanwhile. */
  async brokersAnswer(timeoutMs: number): Promise<boolean> {
    return this.#state === 'open' && (await this.#handle.brokersAnswer(timeoutMs));
  }

  /** @internal The watchdog's finding; undefined when there is progress. */
  setStall(stall: Stall | undefined): void {
    this.#stall = stall;
    if (stall !== undefined) this.emit('stalled', stall);
  }

  /** @internal True while someone waits for a record and none is buffered: only then does a lack of records say something. */
  get starved(): boolean {
    return this.#ready.starved;
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
  serveCallbacks(): Promise<void> {
    return this.#fetcher.poll();
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
    this.#ready.stop();
    this.#fetcher.stop();
    this.#assignment.stop();
    await Promise.race([this.#fetcher.settled(), sleep(remaining(), undefined, { ref: false })]);
    let failure: unknown;
    try {
      await this.#keeper?.close(remaining());
    } catch (error) {
      failure = error;
    }
    await this.#finishJoining(performance.now() + Math.min(JOIN_BEFORE_LEAVE_MS, remaining()));
    await this.#leave(remaining() / 2);
    this.#settings.tokens?.stop();
    const clean = await this.#handle.disconnect(remaining(), { answered: failure === undefined });
    this.#state = 'closed';
    this.#assignment.buffer.clear();
    this.emit('closed');
    if (failure !== undefined) throw failure;
    if (!clean) throw new TimeoutError(`The consumer of group ${this.groupId} did not end within ${timeoutMs} ms`);
  }

  #clientError(error: ToolkitError): void {
    if (error.code === 'ERR_AUTHENTICATION') this.#settings.tokens?.renew();
    this.emit('clientError', error);
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

  /** Asks to leave the group. One without partitions waits until a rebalance that is under way has given it some, or has let it go. */
  async #leave(timeoutMs: number): Promise<void> {
    this.#handle.leave();
    const from = performance.now();
    while (this.#assignment.partitions.length === 0) {
      const rebalancing = this.#handle.isRebalancing();
      const longest = Math.min(timeoutMs, rebalancing === undefined ? POSSIBLE_REBALANCE_MS : REBALANCE_BEFORE_LEAVE_MS);
      if (rebalancing === false || performance.now() - from > longest) return;
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

  /** Runs `work` on partitions that are assigned while nothing is fetched. Looked at twice: a rebalance may come before its turn. */
  async #whileAssigned(operation: string, partitions: readonly TopicPartition[], work: () => Promise<void>): Promise<void> {
    this.#assertAssigned(operation, partitions);
    await this.#fetcher.alone(() => {
      this.#assertAssigned(operation, partitions);
      return work();
    });
  }

  #assertAssigned(operation: string, partitions: readonly TopicPartition[]): void {
    this.#assertOpen();
    this.#assignment.assertHolds(operation, partitions);
  }
}
