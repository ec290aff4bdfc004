import type { ConsumerHandle } from '../binding/consumer-handle.ts';
import type { TopicPartition } from '../binding/node-rdkafka.ts';

/** Shortest rest of a partition that is parked: each costs a seek. It bounds by how much a record may come late. */
const PARK_MIN_MS = 50;

/** A partition whose next record is not due yet. */
export interface Parked extends TopicPartition {
  timer: NodeJS.Timeout | undefined;
}

/**
 * Which of the assigned partitions librdkafka fetches: not those that are paused by the user, not those that rest until a record is due, and
 * none while the buffer is full and nobody takes from it.
 */
export class PartitionFlow {
  readonly #handle: ConsumerHandle;
  readonly #keyOf: (at: TopicPartition) => number;
  readonly paused: Map<number, TopicPartition> = new Map();
  readonly parked: Map<number, Parked> = new Map();
  #throttled = false;

  constructor(handle: ConsumerHandle, keyOf: (at: TopicPartition) => number) {
    this.#handle = handle;
    this.#keyOf = keyOf;
  }

  get throttled(): boolean {
    return this.#throttled;
  }

  /** Those that are neither paused nor parked. */
  #flowing(partitions: readonly TopicPartition[]): TopicPartition[] {
    return partitions.filter((at) => !this.paused.has(this.#keyOf(at)) && !this.parked.has(this.#keyOf(at)));
  }

  /** Stops all of them. */
  throttle(assigned: readonly TopicPartition[]): void {
    const flowing = this.#flowing(assigned);
    if (flowing.length === 0) return;
    this.#throttled = true;
    this.#handle.pause(flowing);
  }

  unthrottle(assigned: readonly TopicPartition[]): void {
    this.#throttled = false;
    this.#resume(this.#flowing(assigned));
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.#handle.pause(partitions);
    for (const at of partitions) this.paused.set(this.#keyOf(at), at);
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.paused.delete(this.#keyOf(at));
    this.#resume(this.#flowing(partitions));
  }

  #resume(partitions: readonly TopicPartition[]): void {
    if (partitions.length > 0) this.#handle.resume(partitions);
  }

  /** Nothing of the partition is handed over from now on; {@link restUntil} says until when. */
  park(at: TopicPartition): Parked {
    const parked: Parked = { ...at, timer: undefined };
    this.parked.set(this.#keyOf(at), parked);
    return parked;
  }

  isParked(parked: Parked): boolean {
    return this.parked.get(this.#keyOf(parked)) === parked;
  }

  /** @param dueAt Milliseconds since the epoch. */
  restUntil(dueAt: number, parked: Parked): void {
    parked.timer = setTimeout(() => this.#unpark(parked), Math.max(PARK_MIN_MS, dueAt - Date.now())).unref();
  }

  #unpark(parked: Parked): void {
    const key = this.#keyOf(parked);
    this.parked.delete(key);
    if (!this.#throttled && !this.paused.has(key)) this.#handle.resume([parked]);
  }

  /** They are given up: a pause belongs to an assignment, the partitions must not come back paused. */
  forget(partitions: readonly TopicPartition[], resume: boolean): void {
    const flowing = this.#throttled ? [] : this.#flowing(partitions);
    if (resume) this.#resume(partitions.filter((at) => !flowing.includes(at)));
    for (const at of partitions) {
      const key = this.#keyOf(at);
      this.paused.delete(key);
      clearTimeout(this.parked.get(key)?.timer);
      this.parked.delete(key);
    }
  }

  /** No timer of it wakes a partition of a client that is being closed. */
  stop(): void {
    for (const { timer } of this.parked.values()) clearTimeout(timer);
  }
}
