import { kafkaCodes } from '../kafka-codes.ts';
import type { RawProducer } from './node-rdkafka.ts';
import { openPackedProducer, type PackedEvent, type PackedProducer } from './packed.ts';
import type { PackedHeaders } from './packed-headers.ts';
import { OUTPUT_COLUMNS, type PackedRecords, unpackRecords } from './packed-records.ts';
import type { EncodedHeaders, OnDelivery, RecordSink } from './record-sink.ts';

/** Records and bytes that are handed to librdkafka at once; fewer when the event loop comes round before. */
const SUBMIT_RECORDS = 1_000;
const SUBMIT_BYTES = 512 * 1024;

/** Drains after which the event loop gets a turn. */
const DRAINS_A_TURN = 4;

/** The columns `drain` fills; their order is that of src/native/packed-producer.cc. */
class Reports {
  readonly tickets: Float64Array;
  readonly offsets: Float64Array;
  readonly timestamps: Float64Array;
  readonly partitions: Int32Array;
  readonly codes: Int32Array;
  readonly capacity: number;

  constructor(buffer: ArrayBuffer) {
    const capacity = buffer.byteLength / 32;
    this.capacity = capacity;
    this.tickets = new Float64Array(buffer, 0, capacity);
    this.offsets = new Float64Array(buffer, 8 * capacity, capacity);
    this.timestamps = new Float64Array(buffer, 16 * capacity, capacity);
    this.partitions = new Int32Array(buffer, 24 * capacity, capacity);
    this.codes = new Int32Array(buffer, 28 * capacity, capacity);
  }
}

/**
 * Records through the packed addon: those added within one turn of the event loop are copied together and handed over in one call;
 * reports are drained as columns when librdkafka wakes the event loop.
 */
export class PackedSink implements RecordSink {
  readonly kind = 'packed';
  readonly recordsPerTurn = 2_000;
  readonly #raw: RawProducer;
  readonly #native: PackedProducer;
  readonly #reports: Reports;
  readonly #onDelivery: OnDelivery;
  readonly #onEvent: (event: PackedEvent) => void;
  readonly #topics = new Map<string, number>();
  #bytes = new Uint8Array(2 * SUBMIT_BYTES);
  #columns = new Int32Array(OUTPUT_COLUMNS * SUBMIT_RECORDS);
  #timestamps = new Float64Array(SUBMIT_RECORDS);
  #count = 0;
  #used = 0;
  /** Staged records that librdkafka has already. */
  #sent = 0;
  #firstTicket = 0;
  #scheduled = false;
  #submitting = false;
  #draining = false;
  #closed = false;
  /** Flushes and transactional calls under way: each polls the main queue on a pool thread. */
  #servedElsewhere = 0;
  #lastTopic = '';
  #lastTopicIndex = -1;

  constructor(raw: RawProducer, onDelivery: OnDelivery, onEvent: (event: PackedEvent) => void) {
    this.#raw = raw;
    this.#native = openPackedProducer(raw, () => this.poll());
    this.#reports = new Reports(this.#native.reports);
    this.#onDelivery = onDelivery;
    this.#onEvent = onEvent;
  }

  add(
    topic: string,
    partition: number | undefined,
    key: Buffer | null,
    value: Buffer | null,
    timestamp: number | undefined,
    headers: EncodedHeaders,
    ticket: number,
  ): void {
    const index = topic === this.#lastTopic ? this.#lastTopicIndex : this.#topicIndex(topic);
    const packedHeaders = headers as PackedHeaders | undefined;
    const keyLength = key === null ? 0 : key.length;
    const valueLength = value === null ? 0 : value.length;
    const headerBytes = packedHeaders === undefined ? 0 : packedHeaders.length;
    const end = this.#used + keyLength + valueLength + headerBytes;
    if (end > this.#bytes.length || this.#count === this.#timestamps.length) this.#grow(end);
    const count = this.#count++;
    if (count === 0) this.#firstTicket = ticket;
    const column = count * OUTPUT_COLUMNS;
    const columns = this.#columns;
    columns[column] = index;
    columns[column + 1] = partition ?? -1;
    columns[column + 2] = key === null ? -1 : keyLength;
    columns[column + 3] = value === null ? -1 : valueLength;
    columns[column + 4] = headerBytes;
    this.#timestamps[count] = timestamp ?? 0;
    let at = this.#used;
    if (keyLength > 0) {
      this.#bytes.set(key!, at);
      at += keyLength;
    }
    if (valueLength > 0) {
      this.#bytes.set(value!, at);
      at += valueLength;
    }
    packedHeaders?.copy(this.#bytes, at);
    this.#used = end;
    if (count + 1 >= SUBMIT_RECORDS || end >= SUBMIT_BYTES) this.submit();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.submit();
      });
    }
  }

  addPacked(records: PackedRecords, from: number, to: number, firstTicket: number): void {
    this.submit();
    let at = from;
    if (this.#count === 0 && !this.#submitting) {
      const columns = this.#withOwnTopics(records);
      while (at < to) {
        at += this.#native.produce(records.bytes, columns, records.timestamps, at, to - at, firstTicket + at - from);
        if (at === to) return;
        const code = this.#native.lastError();
        if (code === kafkaCodes.queueFull) break;
        const refused = firstTicket + at++ - from;
        setImmediate(() => this.#onDelivery(refused, code, -1, -1, -1));
      }
    }
    // What librdkafka has no room for waits among the records that are staged, behind those before it.
    let ticket = firstTicket + at - from;
    for (const { topic, partition, key, value, timestamp, headers } of unpackRecords(records, at, to)) {
      this.add(topic, partition, key, value, timestamp, headers, ticket++);
    }
  }

  /** The block's columns with this client's numbers for its topics. */
  #withOwnTopics({ topics, columns }: PackedRecords): Int32Array {
    const own = topics.map((topic) => this.#topics.get(topic) ?? this.#topicIndex(topic));
    if (own.every((index, theirs) => index === theirs)) return columns;
    const mapped = columns.slice();
    for (let column = 0; column < mapped.length; column += OUTPUT_COLUMNS) mapped[column] = own[mapped[column]!]!;
    return mapped;
  }

  #topicIndex(topic: string): number {
    let index = this.#topics.get(topic);
    if (index === undefined) {
      index = this.#native.addTopic(topic);
      this.#topics.set(topic, index);
    }
    this.#lastTopic = topic;
    this.#lastTopicIndex = index;
    return index;
  }

  #grow(bytesNeeded: number): void {
    if (bytesNeeded > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(bytesNeeded, this.#bytes.length * 2));
      bytes.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = bytes;
    }
    if (this.#count === this.#timestamps.length) {
      const columns = new Int32Array(this.#columns.length * 2);
      columns.set(this.#columns);
      this.#columns = columns;
      const timestamps = new Float64Array(this.#timestamps.length * 2);
      timestamps.set(this.#timestamps);
      this.#timestamps = timestamps;
    }
  }

  submit(): void {
    if (this.#submitting || this.#closed || this.#count === 0) return;
    this.#submitting = true;
    try {
      // Reports may add records: they join the staged ones.
      while (this.#sent < this.#count) {
        this.#sent += this.#native.produce(
          this.#bytes,
          this.#columns,
          this.#timestamps,
          this.#sent,
          this.#count - this.#sent,
          this.#firstTicket + this.#sent,
        );
        if (this.#sent === this.#count) break;
        const code = this.#native.lastError();
        // What is staged stays so; the next reports make room.
        if (code === kafkaCodes.queueFull) return;
        const refused = this.#firstTicket + this.#sent++;
        setImmediate(() => this.#onDelivery(refused, code, -1, -1, -1));
      }
      this.#count = 0;
      this.#used = 0;
      this.#sent = 0;
    } finally {
      this.#submitting = false;
    }
  }

  poll(): void {
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    try {
      for (let drains = 0; !this.#closed; drains++) {
        if (drains === DRAINS_A_TURN) {
          setImmediate(() => this.poll());
          break;
        }
        const { capacity } = this.#reports;
        const count = this.#native.drain(this.#servedElsewhere === 0);
        this.#deliver(count);
        for (const event of this.#native.takeEvents() ?? []) this.#onEvent(event);
        if (count < capacity) break;
      }
    } finally {
      this.#draining = false;
    }
    // What librdkafka had no room for.
    if (this.#count > 0 && !this.#scheduled) this.submit();
  }

  #deliver(count: number): void {
    const { tickets, codes, partitions, offsets, timestamps } = this.#reports;
    for (let index = 0; index < count; index++) {
      this.#onDelivery(tickets[index]!, codes[index]!, partitions[index]!, offsets[index]!, timestamps[index]!);
    }
  }

  flush(timeoutMs: number): Promise<void> {
    return this.servedElsewhere(() => new Promise((resolve) => this.#raw.flush(timeoutMs, () => resolve())));
  }

  async servedElsewhere<T>(call: () => Promise<T>): Promise<T> {
    this.submit();
    this.poll();
    this.#servedElsewhere++;
    try {
      return await call();
    } finally {
      this.#servedElsewhere--;
      this.poll();
    }
  }

  watch(outstanding: boolean): void {
    if (!this.#closed) this.#native.hold(outstanding);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#native.close();
  }
}
