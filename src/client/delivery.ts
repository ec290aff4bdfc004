import { DeliveryError } from '../errors.ts';

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

/** What waits for reports: a record, or a batch of them. */
export interface Outstanding {
  readonly topic: string;
  /** An earlier number that was given out while there was no room; 0 when there was none. */
  readonly reserved: number;
  /** True when someone was, or will be, told of a failure by callback or promise. */
  readonly observed: boolean;
  /** True when whoever produced it deals with a failure, so that no offset is held back by it. */
  readonly owned?: boolean | undefined;
  /** The record is delivered; `index` is its place in its batch. True when nothing is outstanding any more. */
  settle(index: number, partition: number, offset: number, timestamp: number): boolean;
  /** The record failed. True when nothing is outstanding any more. */
  fail(index: number, error: DeliveryError): boolean;
}

/** One record on its way: accepted by the producer, its delivery report outstanding or in. */
export class Delivery implements Outstanding {
  /** Position in the process-wide sequence of produced records, from 1. */
  readonly sequence: number;
  readonly topic: string;
  /** @internal */
  readonly reserved: number;
  /** @internal */
  readonly owned: boolean;
  readonly #callback: DeliveryCallback | undefined;
  #outcome: RecordMetadata | DeliveryError | undefined;
  #promise: Promise<RecordMetadata> | undefined;
  #resolve: ((metadata: RecordMetadata) => void) | undefined;
  #reject: ((error: DeliveryError) => void) | undefined;

  constructor(sequence: number, topic: string, callback: DeliveryCallback | undefined, reserved = 0, owned = false) {
    this.sequence = sequence;
    this.topic = topic;
    this.#callback = callback;
    this.reserved = reserved;
    this.owned = owned;
  }

  /** True when the report is in. */
  get settled(): boolean {
    return this.#outcome !== undefined;
  }

  get observed(): boolean {
    return this.#callback !== undefined || this.#promise !== undefined;
  }

  /**
   * Resolves with where the record is, rejects with a `DeliveryError`. Made on first access, so that a loop that does not ask
   * pays nothing.
   */
  get delivered(): Promise<RecordMetadata> {
    this.#promise ??= new Promise((resolve, reject) => {
      if (this.#outcome === undefined) {
        this.#resolve = resolve;
        this.#reject = reject;
      } else if (this.#outcome instanceof DeliveryError) reject(this.#outcome);
      else resolve(this.#outcome);
    });
    return this.#promise;
  }

  /** @internal */
  settle(_index: number, partition: number, offset: number, timestamp: number): boolean {
    const metadata = { topic: this.topic, partition, offset, timestamp };
    this.#outcome = metadata;
    this.#resolve?.(metadata);
    this.#callback?.(undefined, metadata);
    return true;
  }

  /** @internal */
  fail(_index: number, error: DeliveryError): boolean {
    this.#outcome = error;
    this.#reject?.(error);
    this.#callback?.(error, undefined);
    return true;
  }
}

/** One record on its way of which nobody holds a {@link Delivery}: only its callback, if any, is told. */
export class CallbackDelivery implements Outstanding {
  readonly topic: string;
  readonly reserved = 0;
  readonly #callback: DeliveryCallback | undefined;

  constructor(topic: string, callback: DeliveryCallback | undefined) {
    this.topic = topic;
    this.#callback = callback;
  }

  get observed(): boolean {
    return this.#callback !== undefined;
  }

  settle(_index: number, partition: number, offset: number, timestamp: number): boolean {
    this.#callback?.(undefined, { topic: this.topic, partition, offset, timestamp });
    return true;
  }

  fail(_index: number, error: DeliveryError): boolean {
    this.#callback?.(error, undefined);
    return true;
  }
}

/** Where the records of a batch are, by their place in it. A record that failed has partition and offset -1. */
export interface BatchMetadata {
  readonly partitions: Int32Array;
  readonly offsets: Float64Array;
  /** Milliseconds since the epoch, -1 when unknown. */
  readonly timestamps: Float64Array;
}

/** Some records of a batch were not delivered; `failures` says which, `metadata` where the others are. */
export class BatchDeliveryError extends DeliveryError {
  readonly failures: readonly { readonly index: number; readonly error: DeliveryError }[];
  readonly metadata: BatchMetadata;

  constructor(failures: readonly { readonly index: number; readonly error: DeliveryError }[], metadata: BatchMetadata) {
    const { error } = failures[0]!;
    const { sequence, kafkaCode, retriable, fatal, topic, partition } = error;
    super(`${failures.length} of ${metadata.offsets.length} records were not delivered, the first: ${error.message}`, sequence, {
      cause: error,
      kafkaCode,
      retriable,
      fatal,
      topic,
      partition,
    });
    this.failures = failures;
    this.metadata = metadata;
  }
}

/** Called once for a batch: with an error, or with where its records are. What it throws is emitted as `clientError`. */
export type BatchDeliveryCallback = (error: BatchDeliveryError | undefined, metadata: BatchMetadata | undefined) => void;

/** Many records on their way, with one promise for all of them. */
export class BatchDelivery implements Outstanding {
  /** Number of records. */
  readonly length: number;
  /** Topic of the first record. */
  readonly topic: string;
  /** @internal */
  readonly reserved: number;
  readonly #callback: BatchDeliveryCallback | undefined;
  readonly #metadata: BatchMetadata;
  readonly #failures: { readonly index: number; readonly error: DeliveryError }[] = [];
  #outstanding: number;
  #promise: Promise<BatchMetadata> | undefined;
  #resolve: ((metadata: BatchMetadata) => void) | undefined;
  #reject: ((error: BatchDeliveryError) => void) | undefined;

  constructor(length: number, topic: string, callback: BatchDeliveryCallback | undefined, reserved: number) {
    this.length = length;
    this.topic = topic;
    this.reserved = reserved;
    this.#callback = callback;
    this.#outstanding = length;
    this.#metadata = {
      partitions: new Int32Array(length).fill(-1),
      offsets: new Float64Array(length).fill(-1),
      timestamps: new Float64Array(length).fill(-1),
    };
  }

  /** True when every report is in. */
  get settled(): boolean {
    return this.#outstanding === 0;
  }

  get observed(): boolean {
    return this.#callback !== undefined || this.#promise !== undefined;
  }

  /** Resolves when every record is delivered; rejects with a {@link BatchDeliveryError} once every report is in and some are bad. */
  get delivered(): Promise<BatchMetadata> {
    this.#promise ??= new Promise((resolve, reject) => {
      if (!this.settled) {
        this.#resolve = resolve;
        this.#reject = reject;
      } else if (this.#failures.length > 0) reject(this.#error());
      else resolve(this.#metadata);
    });
    return this.#promise;
  }

  #error(): BatchDeliveryError {
    return new BatchDeliveryError(
      this.#failures.toSorted((a, b) => a.index - b.index),
      this.#metadata,
    );
  }

  /** @internal */
  settle(index: number, partition: number, offset: number, timestamp: number): boolean {
    this.#metadata.partitions[index] = partition;
    this.#metadata.offsets[index] = offset;
    this.#metadata.timestamps[index] = timestamp;
    return this.#countDown();
  }

  /** @internal */
  fail(index: number, error: DeliveryError): boolean {
    this.#failures.push({ index, error });
    return this.#countDown();
  }

  #countDown(): boolean {
    if (--this.#outstanding > 0) return false;
    if (this.#failures.length === 0) {
      this.#resolve?.(this.#metadata);
      this.#callback?.(undefined, this.#metadata);
    } else {
      const error = this.#error();
      this.#reject?.(error);
      this.#callback?.(error, undefined);
    }
    return true;
  }
}

/** One outstanding record: what waits for it, its place in that, and its number. */
export interface RingEntry {
  readonly outstanding: Outstanding;
  readonly index: number;
  readonly sequence: number;
}

/**
 * Records outstanding, in the order they were produced. Reports come out of order across partitions; the ring's head is the
 * oldest one outstanding. Kept in columns, so that a record costs no object here.
 */
export class DeliveryRing {
  #slots: (Outstanding | undefined)[] = new Array(256).fill(undefined);
  #indexes = new Int32Array(256);
  #sequences = new Float64Array(256);
  #sizes = new Float64Array(256);
  #head = 0;
  #tail = 0;
  #size = 0;
  #bytes = 0;
  /** The record that `take` took last. */
  index = 0;
  sequence = 0;

  /** Reports outstanding. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the values outstanding, which is what librdkafka's queue counts. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Sequence of the oldest delivery outstanding, undefined when there is none. */
  get oldest(): number | undefined {
    return this.#head === this.#tail ? undefined : this.#sequences[this.#head & (this.#slots.length - 1)]!;
  }

  /** The ticket under which the next `push` files its record. */
  get nextTicket(): number {
    return this.#tail;
  }

  push(outstanding: Outstanding, sequence: number, index = 0, bytes = 0): void {
    if (this.#tail - this.#head === this.#slots.length) this.#grow();
    const slot = this.#tail++ & (this.#slots.length - 1);
    this.#slots[slot] = outstanding;
    this.#indexes[slot] = index;
    this.#sequences[slot] = sequence;
    this.#sizes[slot] = bytes;
    this.#size++;
    this.#bytes += bytes;
  }

  /** Takes the record of that ticket out, its numbers in `index` and `sequence`; undefined when it is not outstanding. */
  take(ticket: number): Outstanding | undefined {
    if (!(ticket >= this.#head && ticket < this.#tail)) return undefined;
    const mask = this.#slots.length - 1;
    const slot = ticket & mask;
    const outstanding = this.#slots[slot];
    if (outstanding === undefined) return undefined;
    this.#slots[slot] = undefined;
    this.#size--;
    this.#bytes -= this.#sizes[slot]!;
    this.index = this.#indexes[slot]!;
    this.sequence = this.#sequences[slot]!;
    while (this.#head < this.#tail && this.#slots[this.#head & mask] === undefined) this.#head++;
    return outstanding;
  }

  /** Takes all that are outstanding out, oldest first. */
  drain(): RingEntry[] {
    const rest: RingEntry[] = [];
    for (let ticket = this.#head; ticket < this.#tail; ticket++) {
      const slot = ticket & (this.#slots.length - 1);
      const outstanding = this.#slots[slot];
      if (outstanding === undefined) continue;
      rest.push({ outstanding, index: this.#indexes[slot]!, sequence: this.#sequences[slot]! });
    }
    this.#slots.fill(undefined);
    this.#head = this.#tail;
    this.#size = 0;
    this.#bytes = 0;
    return rest;
  }

  #grow(): void {
    const size = this.#slots.length;
    const slots: (Outstanding | undefined)[] = new Array(size * 2).fill(undefined);
    const indexes = new Int32Array(size * 2);
    const sequences = new Float64Array(size * 2);
    const sizes = new Float64Array(size * 2);
    for (let ticket = this.#head; ticket < this.#tail; ticket++) {
      const from = ticket & (size - 1);
      const to = ticket & (size * 2 - 1);
      slots[to] = this.#slots[from];
      indexes[to] = this.#indexes[from]!;
      sequences[to] = this.#sequences[from]!;
      sizes[to] = this.#sizes[from]!;
    }
    this.#slots = slots;
    this.#indexes = indexes;
    this.#sequences = sequences;
    this.#sizes = sizes;
  }
}
