import type { ConsumerHandle } from '../binding/consumer-handle.ts';
import type { TopicPartition, TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import type { TopicTable } from '../binding/pack.ts';
import { StateError } from '../errors.ts';
import type { OffsetKeeper } from './consumer-settings.ts';
import { type Parked, PartitionFlow } from './partition-flow.ts';
import { partitionKey, partitionOf, RecordBuffer, topicIndexOf } from './record-buffer.ts';

/**
 * The partitions that a consumer holds, and what is buffered of them: how they come and go, rest, and continue elsewhere. Whatever changes
 * them is called while nothing is fetched (`Fetcher.alone`), or by librdkafka while it assigns them.
 */
export class Assignment<K, V, H> {
  readonly buffer: RecordBuffer<K, V, H>;
  readonly #handle: ConsumerHandle;
  readonly #topics: TopicTable;
  readonly #keeper: OffsetKeeper;
  readonly #flow: PartitionFlow;
  /** Where partitions go on as soon as librdkafka has taken it: until then it hands on from where it was. */
  readonly #moving = new Map<number, TopicPartitionOffset>();
  readonly #seekTimeoutMs: number;

  constructor(handle: ConsumerHandle, topics: TopicTable, keeper: OffsetKeeper, seekTimeoutMs: number) {
    this.#handle = handle;
    this.#topics = topics;
    this.#keeper = keeper;
    this.#seekTimeoutMs = seekTimeoutMs;
    this.#flow = new PartitionFlow(handle, (at) => this.#keyOf(at));
    this.buffer = new RecordBuffer(this.#flow.parked, this.#moving);
  }

  #keyOf({ topic, partition }: TopicPartition): number {
    return partitionKey(this.#topics.indexOf(topic), partition);
  }

  #keysOf(partitions: readonly TopicPartition[]): number[] {
    return partitions.map((at) => this.#keyOf(at));
  }

  get partitions(): TopicPartition[] {
    return [...this.buffer.assigned].map((key) => ({ topic: this.#topics.names[topicIndexOf(key)]!, partition: partitionOf(key) }));
  }

  /** Those that are paused by {@link pause}. */
  get paused(): TopicPartition[] {
    return [...this.#flow.paused.values()];
  }

  /** Those that rest until their next record is due. */
  get parked(): TopicPartition[] {
    return [...this.#flow.parked.values()];
  }

  /** @throws StateError for a partition that is not assigned */
  assertHolds(operation: string, partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      if (!this.buffer.isAssigned(this.#keyOf({ topic, partition }))) {
        throw new StateError(`Cannot ${operation} ${topic} [${partition}]: it is not assigned to this consumer`, { topic, partition });
      }
    }
  }

  take(partitions: readonly TopicPartition[]): void {
    const epoch = this.buffer.restart(this.#keysOf(partitions));
    this.#keeper.assigned(partitions, epoch);
  }

  /** What is buffered of them is dropped; records handed over are waited for, their offsets stored, and the partitions given up. */
  async giveUp(partitions: readonly TopicPartition[], how: 'revoked' | 'lost' | 'closing', isOpen: boolean): Promise<void> {
    this.#flow.forget(partitions, isOpen);
    const keys = this.#keysOf(partitions);
    for (const key of keys) this.#moving.delete(key);
    this.buffer.drop(keys);
    await this.#keeper.revoking(partitions, how);
  }

  /** What is buffered of them is fetched again when they are resumed. */
  async pause(partitions: readonly TopicPartition[]): Promise<void> {
    this.#flow.pause(partitions);
    const buffered = partitions.flatMap((at) => {
      const offset = this.#nextOffset(this.#keyOf(at));
      return offset === undefined ? [] : [{ ...at, offset }];
    });
    this.buffer.restart(this.#keysOf(partitions));
    await this.#moveAll(buffered);
  }

  /** Those whose seek fails stay where they are to go on: {@link finishMoves} tries again. */
  async #moveAll(targets: readonly TopicPartitionOffset[]): Promise<void> {
    for (const target of targets) this.#moving.set(this.#keyOf(target), target);
    for (const target of targets) {
      await this.#handle.seek(target, this.#seekTimeoutMs);
      this.#moving.delete(this.#keyOf(target));
    }
  }

  /**
   * Tries those again whose seek has failed. Called after each fetch.
   *
   * @throws StateError when it fails again: nothing of these partitions is handed over meanwhile, so no record is skipped
   */
  async finishMoves(): Promise<void> {
    if (this.#moving.size === 0) return;
    // What librdkafka has handed on meanwhile is not what comes next.
    this.buffer.restart(this.#moving.keys());
    await this.#moveAll([...this.#moving.values()]);
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.#flow.resume(partitions);
  }

  /** Records handed over before no longer hold the committed offset back. */
  async seek({ topic, partition, offset }: TopicPartitionOffset): Promise<void> {
    const epoch = this.buffer.restart([this.#keyOf({ topic, partition })]);
    this.#keeper.seeked({ topic, partition }, epoch);
    await this.#moveAll([{ topic, partition, offset }]);
  }

  /** The offset of the next record to be handed over; undefined for a partition of which none was fetched yet. */
  positions(partitions: readonly TopicPartition[]): (number | undefined)[] {
    const fetched = this.#handle.position(partitions);
    return partitions.map((at, index) => this.#nextOffset(this.#keyOf(at)) ?? fetched[index]);
  }

  /** Of the record that comes next; undefined when librdkafka has it. */
  #nextOffset(key: number): number | undefined {
    return this.#moving.get(key)?.offset ?? this.buffer.firstOffset(key);
  }

  /** Nothing of the partition is handed over from now on; then {@link halt} it, and say by {@link restUntil} until when. */
  park(topicIndex: number, partition: number): Parked {
    return this.#flow.park({ topic: this.#topics.names[topicIndex]!, partition });
  }

  isParked(parked: Parked): boolean {
    return this.#flow.isParked(parked);
  }

  /** Fetches no more of a partition that is parked; it goes on from `offset` later. */
  async halt(parked: Parked, offset: number): Promise<void> {
    const target = { topic: parked.topic, partition: parked.partition, offset };
    // First of all: whatever fails, it is known where the partition goes on.
    this.#moving.set(this.#keyOf(parked), target);
    this.#handle.pause([parked]);
    this.buffer.restart([this.#keyOf(parked)]);
    await this.#moveAll([target]);
  }

  /** @param dueAt Milliseconds since the epoch. */
  restUntil(dueAt: number, parked: Parked): void {
    this.#flow.restUntil(dueAt, parked);
  }

  get throttled(): boolean {
    return this.#flow.throttled;
  }

  /** librdkafka fetches nothing until {@link unthrottle}. */
  throttle(): void {
    this.#flow.throttle(this.partitions);
  }

  unthrottle(): void {
    this.#flow.unthrottle(this.partitions);
  }

  /** No partition wakes any more. */
  stop(): void {
    this.#flow.stop();
  }
}
