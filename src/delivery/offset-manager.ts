import { setTimeout as sleep } from 'node:timers/promises';
import { commitTimeout } from '../binding/consumer-handle.ts';
import type { TopicPartition, TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import { RecordBatch } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { OffsetKeeper } from '../client/consumer-settings.ts';
import { currentSequence } from '../client/delivery.ts';
import type { Producer } from '../client/producer.ts';
import { partitionKey } from '../client/record-buffer.ts';
import { CommitError, DeliveryError, type ToolkitError } from '../errors.ts';
import { isGroupMovingCode, kafkaCodes } from '../kafka-codes.ts';
import type { RecordContext } from '../serde.ts';
import { OffsetTracker } from './offset-tracker.ts';
import { PositionTracker } from './position-tracker.ts';

/** How much a consumer may have in hand, and how long it may take to let go of it. */
export interface OffsetLimits {
  /** Records handed over and not yet passed by their partition's watermark. */
  readonly maxInFlightRecords: number;
  /** Bytes of their keys and values. */
  readonly maxInFlightBytes: number;
  /** How long a revoke waits for records under way before the partitions are given up without them. */
  readonly drainTimeoutMs: number;
  /** Whether a partition of which nothing is committed yet begins at its end: then its first record's offset is committed before that is done. */
  readonly startsAtEnd: boolean;
}

/** A record reported as done: a view, or just its place. */
export type FinishedRecord = RecordContext & { readonly batch?: { readonly epoch: number } | undefined };

interface View {
  readonly batch: RecordBatch<unknown, unknown, unknown>;
  readonly index: number;
}

type AnyConsumer = Consumer<unknown, unknown, unknown>;
type AnyProducer = Pick<Producer, 'acknowledgedSequence' | 'failure' | 'forgive' | 'pardon' | 'closed' | 'throwIfFailed'>;

type Tracker = OffsetTracker | PositionTracker;

interface Assigned extends TopicPartition {
  readonly tracker: Tracker;
  stored: number | undefined;
  /** Records handed over, and place and timestamp of the last one: -1 before the first. */
  handedOver: number;
  lastOffset: number;
  lastTimestamp: number;
}

/** How far one partition of this assignment is, as metrics show it. */
export interface PartitionProgress extends TopicPartition {
  /** Records handed over since the partition was assigned. */
  readonly handedOver: number;
  /** Offset and timestamp (milliseconds since the epoch) of the last of them; -1 when there is none. */
  readonly lastOffset: number;
  readonly lastTimestamp: number;
}

/**
 * Keeps the offsets of one consumer: which records were handed over, which are finished, which outputs they wait for, and what
 * may be stored or committed. Stores once a batch, never a record.
 */
export class OffsetManager implements OffsetKeeper {
  readonly #consumer: AnyConsumer;
  readonly #outputs: () => Iterable<AnyProducer>;
  readonly #assigned = new Map<number, Assigned>();
  /** What was produced before this consumer was made cannot be an output of its records. */
  readonly #since = currentSequence();
  readonly #limits: OffsetLimits;
  readonly #onRevoking = new Set<(partitions: readonly TopicPartition[]) => void>();
  #tracking = true;
  #dirty = false;
  #lastKey = -1;
  #lastAssigned: Assigned | undefined;
  #inFlightRecords = 0;
  #inFlightBytes = 0;
  #handedOver = 0;
  #leftAtClose = 0;

  constructor(consumer: AnyConsumer, outputs: () => Iterable<AnyProducer>, limits: OffsetLimits) {
    this.#consumer = consumer;
    this.#outputs = outputs;
    this.#limits = limits;
  }

  /** Records handed over and not yet passed by their partition's watermark, as of the last look. */
  get inFlightRecords(): number {
    return this.#inFlightRecords;
  }

  /** Records handed over so far, for ever growing. */
  get handedOver(): number {
    return this.#handedOver;
  }

  /** Records that were handed over and not finished when the consumer was closed. */
  get leftAtClose(): number {
    return this.#leftAtClose;
  }

  /** See {@link OffsetLimits.startsAtEnd}. */
  get startsAtEnd(): boolean {
    return this.#limits.startsAtEnd;
  }

  /** How far each assigned partition is. */
  progress(): PartitionProgress[] {
    return [...this.#assigned.values()];
  }

  get room(): number {
    const { maxInFlightRecords, maxInFlightBytes } = this.#limits;
    return this.#inFlightBytes >= maxInFlightBytes ? 0 : Math.max(0, maxInFlightRecords - this.#inFlightRecords);
  }

  /** True when all that is in flight is handled, and only reports of its outputs are waited for. */
  get awaitsOutputs(): boolean {
    const busy = [...this.#assigned.values()].filter(({ tracker }) => tracker.inFlight > 0);
    return busy.length > 0 && busy.every(({ tracker }) => tracker.awaitsOutputs);
  }

  assigned(partitions: readonly TopicPartition[], epoch: number): void {
    for (const { topic, partition } of partitions) {
      const key = partitionKey(this.#consumer.topicIndex(topic), partition);
      // Without automatic commits a turn finishes all there is, never one record.
      const tracker = this.#consumer.autoCommit ? new OffsetTracker(epoch) : new PositionTracker(epoch);
      this.#assigned.set(key, { topic, partition, tracker, stored: undefined, handedOver: 0, lastOffset: -1, lastTimestamp: -1 });
    }
    this.#lastKey = -1;
    this.#recount();
  }

  /** While false, what is handed over is nobody's to finish or to commit: whoever reads it does not consume it. */
  track(tracking: boolean): void {
    this.#tracking = tracking;
    // Afterwards offsets count from the next record on, as after a seek.
    for (const { topic, partition, tracker } of [...this.#assigned.values()]) this.assigned([{ topic, partition }], tracker.epoch);
  }

  #recount(): void {
    this.#inFlightRecords = 0;
    this.#inFlightBytes = 0;
    for (const { tracker } of this.#assigned.values()) {
      this.#inFlightRecords += tracker.inFlight;
      this.#inFlightBytes += tracker.inFlightBytes;
    }
  }

  seeked(at: TopicPartition, epoch: number): void {
    this.settle();
    this.assigned([at], epoch);
  }

  delivered(batch: RecordBatch<unknown, unknown, unknown>, from: number, to: number): void {
    this.#handedOver += to - from;
    if (!this.#tracking) return;
    const { topicIndexes, partitions, offsets, timestamps, keyLengths, valueLengths } = batch;
    for (let index = from; index < to; ) {
      const topicIndex = topicIndexes[index]!;
      const partition = partitions[index]!;
      const start = index;
      const assigned = this.#assignedAt(topicIndex, partition);
      const tracker = assigned?.tracker;
      let bytes = 0;
      do {
        const size = Math.max(keyLengths[index]!, 0) + Math.max(valueLengths[index]!, 0);
        tracker?.deliver(offsets[index]!, size);
        bytes += size;
        index++;
      } while (index < to && partitions[index] === partition && topicIndexes[index] === topicIndex);
      if (assigned === undefined) continue;
      if (this.#limits.startsAtEnd && assigned.lastOffset < 0) this.#dirty = true;
      assigned.handedOver += index - start;
      assigned.lastOffset = offsets[index - 1]!;
      assigned.lastTimestamp = timestamps[index - 1]!;
      if (!this.#consumer.autoCommit) continue;
      // A record that is repeated counts twice until the next look.
      this.#inFlightRecords += index - start;
      this.#inFlightBytes += bytes;
    }
  }

  /** Records come in runs of one partition, so the last look-up mostly answers the next. */
  #assignedAt(topicIndex: number, partition: number): Assigned | undefined {
    const key = partitionKey(topicIndex, partition);
    if (key !== this.#lastKey) {
      this.#lastAssigned = this.#assigned.get(key);
      this.#lastKey = key;
    }
    return this.#lastAssigned;
  }

  /** Notes a record as done, as soon as everything produced so far by the linked producers is acknowledged. */
  finish(record: FinishedRecord): void {
    this.#finish(record, this.#required());
  }

  /** As {@link finish} for many at once. */
  finishMany(records: readonly FinishedRecord[]): void {
    const required = this.#required();
    for (const record of records) this.#finish(record, required);
  }

  /** As {@link finish} for records of one batch of this consumer by their places in it, without an object for each. */
  finishOf(batch: RecordBatch<unknown, unknown, unknown>, indexes: Iterable<number>): void {
    const required = this.#required();
    const { topicIndexes, partitions, offsets, epoch } = batch;
    for (const index of indexes) {
      const tracker = this.#assignedAt(topicIndexes[index]!, partitions[index]!)?.tracker;
      if (tracker === undefined || epoch < tracker.epoch) continue;
      if (tracker.finish(offsets[index]!, required)) this.#dirty = true;
    }
  }

  #finish(record: FinishedRecord, required: number): void {
    const { batch } = record;
    if (batch instanceof RecordBatch && batch.topics === this.#consumer.topicNames) {
      // A view of this consumer: its numbers are at hand, without a look-up by name.
      const { index } = record as unknown as View;
      const tracker = this.#assignedAt(batch.topicIndexes[index]!, batch.partitions[index]!)?.tracker;
      if (tracker === undefined || batch.epoch < tracker.epoch) return;
      if (tracker.finish(batch.offsets[index]!, required)) this.#dirty = true;
      return;
    }
    const assigned = this.#assigned.get(partitionKey(this.#consumer.topicIndex(record.topic), record.partition));
    if (assigned === undefined || (batch !== undefined && batch.epoch < assigned.tracker.epoch)) return;
    this.#dirty = assigned.tracker.finish(record.offset, required) || this.#dirty;
  }

  /**
   * `leave` is called when partitions are about to be given up, before what is under way of them is waited for: the time to {@link abandon}
   * what is not begun. Gives what takes it back.
   */
  onRevoking(leave: (partitions: readonly TopicPartition[]) => void): () => void {
    this.#onRevoking.add(leave);
    return () => void this.#onRevoking.delete(leave);
  }

  /** Records that were handed over and will not be handled here: they come again, here or elsewhere. */
  abandon(records: readonly FinishedRecord[]): void {
    for (const record of records) {
      if (!this.holds(record)) continue;
      this.#assigned.get(partitionKey(this.#consumer.topicIndex(record.topic), record.partition))?.tracker.abandon(record.offset);
    }
  }

  /** Whether a record that was handed over is still this consumer's. */
  holds({ topic, partition, batch }: FinishedRecord): boolean {
    const assigned = this.#assigned.get(partitionKey(this.#consumer.topicIndex(topic), partition));
    return assigned !== undefined && !(batch !== undefined && batch.epoch < assigned.tracker.epoch);
  }

  /** Notes every record handed over so far as done. */
  finishAll(): void {
    const required = this.#required();
    for (const { tracker } of this.#assigned.values()) tracker.finishAll(required);
    this.#dirty = true;
  }

  /** 0 while nothing is outstanding, so that the common case never waits. */
  #required(): number {
    return this.#acknowledged() === Number.MAX_SAFE_INTEGER ? 0 : currentSequence();
  }

  #acknowledged(): number {
    let lowest = Number.MAX_SAFE_INTEGER;
    for (const producer of this.#outputs()) lowest = Math.min(lowest, producer.acknowledgedSequence(this.#since));
    return lowest;
  }

  /** The first failed delivery of a producer since this consumer was made. */
  failureOf(producer: AnyProducer): DeliveryError | undefined {
    return producer.failure(this.#since);
  }

  /** Failed deliveries that the handler of a record was told of, and whose record is tried again or put aside: they hold nothing back. */
  forgive(error: DeliveryError): void {
    for (const producer of this.#outputs()) producer.forgive(error);
  }

  /** As {@link forgive} for all that was produced above number `since`: by a handler whose record is tried again or put aside. */
  pardon(since: number): void {
    const until = currentSequence();
    if (until > since) for (const producer of this.#outputs()) producer.pardon(since, until);
  }

  /** Throws what a linked producer could tell nobody: a failed delivery. */
  throwIfFailed(): void {
    for (const producer of this.#outputs()) producer.throwIfFailed(this.#since);
  }

  throwIfStuck(): void {
    if (!this.awaitsOutputs) return;
    for (const producer of this.#outputs()) {
      const failure = producer.failure(this.#since);
      if (failure === undefined) continue;
      const { fatal, kafkaCode, message, partition, sequence, topic } = failure;
      const text = `${message} Whoever was told of it has not dealt with its record, so all that was handled since is held back and nothing more is taken.`;
      throw new DeliveryError(text, sequence, { cause: failure, fatal, kafkaCode, partition, topic });
    }
  }

  settle(): void {
    if (!this.#dirty || !this.#consumer.autoCommit) return;
    const due = this.#due(this.#assigned.values());
    // What still waits for reports is looked at again at the next call.
    this.#dirty = this.#inFlightRecords > 0;
    this.#consumer.handle.storeOffsets(due);
  }

  /** Watermarks that moved since they were stored last; marks them as stored. */
  #due(of: Iterable<Assigned>): TopicPartitionOffset[] {
    const acknowledged = this.#acknowledged();
    const due: TopicPartitionOffset[] = [];
    for (const assigned of of) {
      const offset = assigned.tracker.advance(acknowledged);
      if (offset === undefined || offset === assigned.stored) continue;
      assigned.stored = offset;
      due.push({ topic: assigned.topic, partition: assigned.partition, offset });
    }
    this.#recount();
    return due;
  }

  async revoking(partitions: readonly TopicPartition[], how: 'revoked' | 'lost' | 'closing'): Promise<void> {
    const entries = partitions.flatMap(({ topic, partition }) => {
      const key = partitionKey(this.#consumer.topicIndex(topic), partition);
      const assigned = this.#assigned.get(key);
      return assigned === undefined ? [] : [[key, assigned] as const];
    });
    const leaving = entries.map(([, assigned]) => assigned);
    for (const leave of this.#onRevoking) leave(partitions);
    if (how === 'revoked') await this.#drain(leaving, this.#limits.drainTimeoutMs);
    // What is lost may be in other hands already: an offset of ours could set the group back.
    if (how !== 'lost' && this.#consumer.autoCommit) this.#consumer.handle.storeOffsets(this.#due(leaving));
    for (const [key, assigned] of entries) if (this.#assigned.get(key) === assigned) this.#assigned.delete(key);
    this.#lastKey = -1;
    this.#recount();
  }

  /** Waits until every record handed over of these partitions is finished, or the deadline; a close has its own. */
  async #drain(of: readonly Assigned[], timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const acknowledged = this.#acknowledged();
      for (const { tracker } of of) tracker.advance(acknowledged);
      if (of.every(({ tracker }) => tracker.awaited(acknowledged) === 0) || performance.now() >= deadline || this.#consumer.closed) return;
      await sleep(5);
    }
  }

  /**
   * Commits what is finished and waits for the broker's answer without blocking the event loop.
   *
   * The packed addon gives librdkafka a queue of its own for the answer. Without it the outcome is reported only through a poll, which
   * could take records; the group's committed offsets are asked for instead. Both requests go over one connection, so the answer is
   * later than the commit.
   *
   * @throws CommitError when the broker refused it or did not answer in time
   */
  async commit(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const due = this.#due(this.#assigned.values());
      if (due.length === 0) return;
      const owners = [...this.#assigned.values()];
      const refused = await this.#commitOnce(due, deadline).catch((error: unknown) => error as ToolkitError);
      if (refused === undefined) return;
      for (const assigned of owners) assigned.stored = undefined;
      // The group is rebalancing: what is still ours afterwards is committed then.
      if (!isGroupMovingCode(refused.kafkaCode) || performance.now() >= deadline) throw refused;
      await sleep(100);
      // Records of partitions that are given up here come again where they go.
      await this.#consumer.serveCallbacks();
    }
  }

  /** Undefined when the broker has the offsets, else why not. */
  async #commitOnce(due: readonly TopicPartitionOffset[], deadline: number): Promise<ToolkitError | undefined> {
    const { handle } = this.#consumer;
    // Else librdkafka's own commit of what was stored before could follow this one and set the group back.
    if (this.#consumer.autoCommit) handle.storeOffsets(due);
    const answer = handle.commitConfirmed(due, Math.max(1, deadline - performance.now()));
    if (answer !== undefined) return answer;
    let refused: ToolkitError | undefined;
    const onCommitted = (error: ToolkitError | undefined): void => {
      refused ??= error;
    };
    this.#consumer.on('committed', onCommitted);
    try {
      handle.commit(due);
      for (;;) {
        const committed = await handle.committed(due, Math.max(1, deadline - performance.now())).catch((error: CommitError) => {
          throw error.kafkaCode === kafkaCodes.timedOut ? commitTimeout(due) : error;
        });
        if (due.every(({ offset }, index) => (committed[index] ?? -1) >= offset)) return undefined;
        await this.#consumer.serveCallbacks();
        if (refused !== undefined) return refused;
        if (performance.now() >= deadline) return commitTimeout(due);
        await sleep(20);
      }
    } finally {
      this.#consumer.off('committed', onCommitted);
    }
  }

  async close(timeoutMs: number): Promise<void> {
    try {
      await this.#commitAtClose(timeoutMs);
    } finally {
      this.#recount();
      this.#leftAtClose = this.#inFlightRecords;
    }
  }

  async #commitAtClose(timeoutMs: number): Promise<void> {
    if (this.#assigned.size === 0 || !this.#consumer.autoCommit) return;
    for (const assigned of this.#assigned.values()) assigned.stored = undefined;
    try {
      await this.commit(timeoutMs);
    } catch (error) {
      // Partitions that a rebalance took away meanwhile are another member's; their records come again there.
      if (!(error instanceof CommitError && isGroupMovingCode(error.kafkaCode))) throw error;
    }
  }
}
