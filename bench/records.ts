import type { Job } from './job.ts';
import type { Shape } from './shape.ts';

const KEY_BYTES = 8;

/** A value holds at least its number and a check. */
export const RECORD_BYTES_MIN: number = KEY_BYTES + 8;

/** Faults that are told apart before only their number is. */
const MAX_FAULTS = 3;

export interface BenchRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer;
  readonly value: Buffer;
  readonly headers: readonly BenchHeader[] | undefined;
}

export interface BenchHeader {
  readonly name: string;
  readonly value: string;
}

/** Records that share a trace id; made once, so that making headers is no part of what is measured. */
const TRACES = 1024;
const traceIds = Array.from({ length: TRACES }, (_, trace) => `4bf92f3577b34da6a3ce929d${trace.toString(16).padStart(8, '0')}`);
const TRACE_ID_LENGTH = 32;

/** Records of which one has its headers compared in full; of the others only their number and the first one's length are. */
const COMPARED_HEADERS = 16;

/** Headers of a usual kind, for record number `index % TRACES`; the first one tells them apart. */
function headerSets(count: number): BenchHeader[][] {
  return traceIds.map((value) =>
    Array.from({ length: count }, (_, number) =>
      number === 0 ? { name: 'trace-id', value } : { name: `source-${number}`, value: 'rdkafka-toolkit bench' },
    ),
  );
}

/**
 * Makes records: number `index` goes to place `index % places`, so in an ordered topic its offset is `index / places`. One
 * buffer is used again and again: the clients copy what they are given.
 */
export class RecordMaker {
  readonly #topics: readonly string[];
  readonly #places: number;
  readonly #headers: readonly BenchHeader[][] | undefined;
  readonly #partitions: number;
  readonly #key = Buffer.alloc(KEY_BYTES);
  readonly #value: Buffer;

  constructor(topics: readonly string[], { headers, partitions, recordBytes }: Pick<Shape, 'headers' | 'partitions' | 'recordBytes'>) {
    this.#topics = topics;
    this.#headers = headers === 0 ? undefined : headerSets(headers);
    this.#partitions = partitions;
    this.#places = topics.length * partitions;
    this.#value = Buffer.alloc(recordBytes - KEY_BYTES);
    // Neither constant nor random: compresses about as well as small JSON does.
    for (let at = 0; at < this.#value.length; at++) this.#value[at] = (at * at * 31 + at * 7) & (at % 3 === 0 ? 0xff : 0x3f);
  }

  /** Valid until the next call. */
  make(index: number): BenchRecord {
    const place = index % this.#places;
    this.#key.writeUInt32LE(index, 0);
    this.#value.writeUInt32LE(index, 0);
    this.#value[this.#value.length - 1] = checkByte(index);
    return {
      topic: this.#topics[Math.floor(place / this.#partitions)]!,
      partition: place % this.#partitions,
      key: this.#key,
      value: this.#value,
      headers: this.#headers?.[index % TRACES],
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
  readonly #headers: number;
  #count = 0;
  #sum = 0;
  #lastIndex = -1;
  #faultCount = 0;
  readonly #faults: string[] = [];

  readonly #valueBytes: number;
  readonly #expected: Pick<Job, 'records' | 'whole'>;

  constructor(job: Pick<Job, 'inputTopics' | 'headers' | 'partitions' | 'recordBytes' | 'records' | 'whole'>) {
    this.#headers = job.headers;
    this.#firstPlace = new Map(job.inputTopics.map((topic, number) => [topic, number * job.partitions]));
    this.#next = new Float64Array(job.inputTopics.length * job.partitions);
    this.#valueBytes = job.recordBytes - KEY_BYTES;
    this.#expected = job;
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
    this.#lastIndex = index;
    if (key?.length !== KEY_BYTES || value?.length !== this.#valueBytes) {
      this.#fault(`${topic} [${partition}] @ ${offset}: key or value has the wrong length`);
      return;
    }
    const last = value[this.#valueBytes - 1]!;
    this.#sum += value.readUInt32LE(0) + last;
    if (value.readUInt32LE(0) !== index || key.readUInt32LE(0) !== index || last !== checkByte(index)) {
      this.#fault(`${topic} [${partition}] @ ${offset}: not the record that was produced there`);
    }
  }

  /** Checks the headers of the record that was checked last. */
  checkHeaders(count: number, first: Buffer | string | null | undefined): void {
    const index = this.#lastIndex;
    const wrong =
      count !== this.#headers ||
      first?.length !== TRACE_ID_LENGTH ||
      (index % COMPARED_HEADERS === 0 && String(first) !== traceIds[index % TRACES]);
    if (wrong) this.#fault(`record ${index}: ${count} headers, the first ${String(first)}`);
  }

  /** What is wrong with what was checked. */
  faults(): string[] {
    const { records, whole } = this.#expected;
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

  constructor({ outputTopics, partitions }: Pick<Job, 'outputTopics' | 'partitions'>) {
    for (const topic of outputTopics) this.#next.set(topic, new Float64Array(partitions).fill(-1));
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

  /** Notes a batch that was acknowledged with the first offset of each of its partitions. */
  deliveredFrom(records: readonly BenchRecord[], firsts: readonly { topic: string; partition: number; offset: number }[]): void {
    const next = new Map(firsts.map(({ topic, partition, offset }) => [`${topic} ${partition}`, offset]));
    for (const { topic, partition } of records) {
      const place = `${topic} ${partition}`;
      const offset = next.get(place) ?? Number.NaN;
      this.delivered(topic, partition, offset);
      next.set(place, offset + 1);
    }
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
