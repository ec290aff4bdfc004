import { type Job, PARTITIONS_PER_TOPIC } from './job.ts';

const KEY_BYTES = 8;
const VALUE_BYTES = 142;

/** Key and value of every bench record. */
export const RECORD_BYTES: number = KEY_BYTES + VALUE_BYTES;

/** Faults that are told apart before only their number is. */
const MAX_FAULTS = 3;

export interface BenchRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer;
  readonly value: Buffer;
}

/**
 * Makes records: number `index` goes to place `index % places`, so in an ordered topic its offset is `index / places`. One
 * buffer is used again and again: the clients copy what they are given.
 */
export class RecordMaker {
  readonly #topics: readonly string[];
  readonly #places: number;
  readonly #key = Buffer.alloc(KEY_BYTES);
  readonly #value = Buffer.alloc(VALUE_BYTES);

  constructor(topics: readonly string[]) {
    this.#topics = topics;
    this.#places = topics.length * PARTITIONS_PER_TOPIC;
    // Neither constant nor random: compresses about as well as small JSON does.
    for (let at = 0; at < VALUE_BYTES; at++) this.#value[at] = (at * at * 31 + at * 7) & (at % 3 === 0 ? 0xff : 0x3f);
  }

  /** Valid until the next call. */
  make(index: number): BenchRecord {
    const place = index % this.#places;
    this.#key.writeUInt32LE(index, 0);
    this.#value.writeUInt32LE(index, 0);
    this.#value[VALUE_BYTES - 1] = checkByte(index);
    return {
      topic: this.#topics[Math.floor(place / PARTITIONS_PER_TOPIC)]!,
      partition: place % PARTITIONS_PER_TOPIC,
      key: this.#key,
      value: this.#value,
    };
  }
}

function checkByte(index: number): number {
  return (index * 31) & 0xff;
}

/** Sum over the first `records` records, as {@link RecordChecker} sums them. */
export function expectedChecksum(records: number): number {
  let sum = 0;
  for (let index = 0; index < records; index++) sum += index + checkByte(index);
  return sum;
}

/**
 * Checks every consumed record: the offset is the next of its partition, and key and value are those produced to that place. So
 * nothing is missing, doubled, out of order or another record's. The cost is the same for every client.
 */
export class RecordChecker {
  readonly #firstPlace: ReadonlyMap<string, number>;
  readonly #next: Float64Array;
  #count = 0;
  #sum = 0;
  #faultCount = 0;
  readonly #faults: string[] = [];

  constructor(topics: readonly string[]) {
    this.#firstPlace = new Map(topics.map((topic, number) => [topic, number * PARTITIONS_PER_TOPIC]));
    this.#next = new Float64Array(topics.length * PARTITIONS_PER_TOPIC);
  }

  get count(): number {
    return this.#count;
  }

  check(topic: string, partition: number, offset: number, key: Buffer | null, value: Buffer | null): void {
    const place = (this.#firstPlace.get(topic) ?? Number.NaN) + partition;
    this.#count++;
    if (this.#next[place] !== offset) this.#fault(`${topic} [${partition}] @ ${offset}: expected offset ${this.#next[place]}`);
    this.#next[place] = offset + 1;
    const index = offset * this.#next.length + place;
    if (key?.length !== KEY_BYTES || value?.length !== VALUE_BYTES) {
      this.#fault(`${topic} [${partition}] @ ${offset}: key or value has the wrong length`);
      return;
    }
    const last = value[VALUE_BYTES - 1]!;
    this.#sum += value.readUInt32LE(0) + last;
    if (value.readUInt32LE(0) !== index || key.readUInt32LE(0) !== index || last !== checkByte(index)) {
      this.#fault(`${topic} [${partition}] @ ${offset}: not the record that was produced there`);
    }
  }

  /** What is wrong, given how many records there must be; `whole` when they are all that the topics hold. */
  faults({ records, whole }: { readonly records: number; readonly whole: boolean }): string[] {
    const faults = [...this.#faults];
    if (this.#faultCount > MAX_FAULTS) faults.push(`${this.#faultCount} faulty records in all`);
    if (this.#count !== records) faults.push(`${this.#count} records instead of ${records}`);
    const expected = expectedChecksum(records);
    if (whole && this.#sum !== expected) faults.push(`checksum ${this.#sum} instead of ${expected}`);
    return faults;
  }

  #fault(text: string): void {
    if (++this.#faultCount <= MAX_FAULTS) this.#faults.push(text);
  }
}

/** Checks delivery reports: all without error, and the offsets of each partition in unbroken ascending order. */
export class DeliveryChecker {
  readonly #next = new Map<string, Float64Array>();
  #count = 0;
  #errors = 0;
  #gaps = 0;

  constructor(topics: readonly string[]) {
    for (const topic of topics) this.#next.set(topic, new Float64Array(PARTITIONS_PER_TOPIC).fill(-1));
  }

  get count(): number {
    return this.#count;
  }

  delivered(topic: string, partition: number, offset: number): void {
    this.#count++;
    const next = this.#next.get(topic);
    if (next === undefined || (next[partition] !== -1 && next[partition] !== offset)) this.#gaps++;
    if (next !== undefined) next[partition] = offset + 1;
  }

  failed(): void {
    this.#count++;
    this.#errors++;
  }

  faults({ records }: Pick<Job, 'records'>): string[] {
    const faults: string[] = [];
    if (this.#count !== records) faults.push(`${this.#count} delivery reports instead of ${records}`);
    if (this.#errors > 0) faults.push(`${this.#errors} records not delivered`);
    if (this.#gaps > 0) faults.push(`${this.#gaps} delivery reports with an offset out of order`);
    return faults;
  }
}
