import type { DeliveryError } from '../errors.ts';

/** Where a delivered record is. */
export interface RecordMetadata {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch, -1 when unknown. */
  readonly timestamp: number;
}

/** Called once for a record: with an error, or with where it is. Must not throw; what it throws is emitted as `clientError`. */
export type DeliveryCallback = (error: DeliveryError | undefined, metadata: RecordMetadata | undefined) => void;

let lastSequence = 0;

/**
 * Numbers records across all producers of the process, so that "every output made so far" is one number, whichever producers
 * made them.
 */
export function nextSequence(): number {
  return ++lastSequence;
}

/** The number of the record produced last in this process, 0 before the first. */
export function currentSequence(): number {
  return lastSequence;
}

/** One record on its way: accepted by the producer, its delivery report outstanding or in. */
export class Delivery {
  /** Position in the process-wide sequence of produced records, from 1. */
  readonly sequence: number;
  readonly topic: string;
  /** @internal */
  readonly callback: DeliveryCallback | undefined;
  /** @internal An earlier number that the record was given while it waited to be queued; 0 when it did not. */
  readonly reserved: number;
  #result: RecordMetadata | DeliveryError | undefined;
  #promise: Promise<RecordMetadata> | undefined;
  #resolve: ((metadata: RecordMetadata) => void) | undefined;
  #reject: ((error: DeliveryError) => void) | undefined;

  constructor(sequence: number, topic: string, callback: DeliveryCallback | undefined, reserved = 0) {
    this.sequence = sequence;
    this.topic = topic;
    this.callback = callback;
    this.reserved = reserved;
  }

  /** True when the report is in. */
  get settled(): boolean {
    return this.#result !== undefined;
  }

  /** True when someone was, or will be, told of a failure by callback or promise. */
  get observed(): boolean {
    return this.callback !== undefined || this.#promise !== undefined;
  }

  /**
   * Resolves with where the record is, rejects with a `DeliveryError`. Made on first access, so that a loop that does not ask
   * pays nothing.
   */
  get delivered(): Promise<RecordMetadata> {
    this.#promise ??= new Promise((resolve, reject) => {
      if (this.#result === undefined) {
        this.#resolve = resolve;
        this.#reject = reject;
      } else if (this.#result instanceof Error) reject(this.#result);
      else resolve(this.#result);
    });
    return this.#promise;
  }

  /** @internal */
  settle(result: RecordMetadata | DeliveryError): void {
    this.#result = result;
    if (result instanceof Error) {
      this.#reject?.(result);
      this.callback?.(result, undefined);
    } else {
      this.#resolve?.(result);
      this.callback?.(undefined, result);
    }
  }
}

/**
 * Deliveries outstanding, in the order they were produced. Reports come out of order across partitions; the ring's head is the
 * oldest one outstanding.
 */
export class DeliveryRing {
  #slots: (Delivery | undefined)[] = new Array(256).fill(undefined);
  #head = 0;
  #tail = 0;
  #size = 0;

  /** Reports outstanding. */
  get size(): number {
    return this.#size;
  }

  /** Sequence of the oldest delivery outstanding, undefined when there is none. */
  get oldest(): number | undefined {
    return this.#head === this.#tail ? undefined : this.#slots[this.#head & (this.#slots.length - 1)]!.sequence;
  }

  /** The ticket under which the next `push` files its delivery. */
  get nextTicket(): number {
    return this.#tail;
  }

  push(delivery: Delivery): void {
    if (this.#tail - this.#head === this.#slots.length) this.#grow();
    this.#slots[this.#tail++ & (this.#slots.length - 1)] = delivery;
    this.#size++;
  }

  /** Takes the delivery of that ticket out; undefined when it is not outstanding. */
  take(ticket: number): Delivery | undefined {
    if (!(ticket >= this.#head && ticket < this.#tail)) return undefined;
    const slot = ticket & (this.#slots.length - 1);
    const delivery = this.#slots[slot];
    if (delivery === undefined) return undefined;
    this.#slots[slot] = undefined;
    this.#size--;
    while (this.#head < this.#tail && this.#slots[this.#head & (this.#slots.length - 1)] === undefined) this.#head++;
    return delivery;
  }

  /** Takes all that are outstanding out. */
  drain(): Delivery[] {
    const rest = this.#slots.filter((delivery) => delivery !== undefined).sort((a, b) => a.sequence - b.sequence);
    this.#slots.fill(undefined);
    this.#head = this.#tail;
    this.#size = 0;
    return rest;
  }

  #grow(): void {
    const size = this.#slots.length;
    const slots: (Delivery | undefined)[] = new Array(size * 2).fill(undefined);
    for (let ticket = this.#head; ticket < this.#tail; ticket++) slots[ticket & (size * 2 - 1)] = this.#slots[ticket & (size - 1)];
    this.#slots = slots;
  }
}
