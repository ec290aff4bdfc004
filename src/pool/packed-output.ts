import type { PackedHeaders } from '../binding/packed-headers.ts';
import { OUTPUT_COLUMNS, type PackedRecords } from '../binding/packed-records.ts';
import type { EncodedRecord, ProducerRecord } from '../client/encode-record.ts';

/** Bytes and records there is room for once there is a record; doubled when they are used up. */
const INITIAL_BYTES = 256 * 1024;
const INITIAL_RECORDS = 1_024;

/** Puts records to produce together in the layout of {@link PackedRecords}. */
export class PackedOutput {
  readonly #topics: string[] = [];
  #bytes = new Uint8Array(0);
  #columns = new Int32Array(0);
  #timestamps = new Float64Array(0);
  #used = 0;
  #count = 0;
  #markedUsed = 0;
  #markedCount = 0;
  #lastTopic = '';
  #lastIndex = -1;

  get length(): number {
    return this.#count;
  }

  /** {@link rewind} goes back to here. */
  mark(): void {
    this.#markedCount = this.#count;
    this.#markedUsed = this.#used;
  }

  /** Forgets what was added since the last mark. */
  rewind(): void {
    this.#count = this.#markedCount;
    this.#used = this.#markedUsed;
  }

  add({ topic, partition, timestamp }: ProducerRecord<unknown, unknown>, { key, value, headers }: EncodedRecord): void {
    const packedHeaders = headers as PackedHeaders | undefined;
    const keyLength = key === null ? -1 : key.length;
    const valueLength = value === null ? -1 : value.length;
    const headerBytes = packedHeaders === undefined ? 0 : packedHeaders.length;
    this.#reserve(Math.max(keyLength, 0) + Math.max(valueLength, 0) + headerBytes);
    const column = this.#count * OUTPUT_COLUMNS;
    const columns = this.#columns;
    columns[column] = topic === this.#lastTopic ? this.#lastIndex : this.#indexOf(topic);
    columns[column + 1] = partition ?? -1;
    columns[column + 2] = keyLength;
    columns[column + 3] = valueLength;
    columns[column + 4] = headerBytes;
    this.#timestamps[this.#count++] = timestamp ?? 0;
    if (keyLength > 0) this.#append(key!);
    if (valueLength > 0) this.#append(value!);
    if (packedHeaders === undefined) return;
    packedHeaders.copy(this.#bytes, this.#used);
    this.#used += headerBytes;
  }

  #append(part: Uint8Array): void {
    this.#bytes.set(part, this.#used);
    this.#used += part.length;
  }

  #indexOf(topic: string): number {
    let index = this.#topics.indexOf(topic);
    if (index < 0) index = this.#topics.push(topic) - 1;
    this.#lastTopic = topic;
    this.#lastIndex = index;
    return index;
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(INITIAL_BYTES, this.#used + bytes, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = larger;
    }
    if (this.#count < this.#timestamps.length) return;
    const records = Math.max(INITIAL_RECORDS, 2 * this.#timestamps.length);
    const columns = new Int32Array(OUTPUT_COLUMNS * records);
    columns.set(this.#columns);
    this.#columns = columns;
    const timestamps = new Float64Array(records);
    timestamps.set(this.#timestamps);
    this.#timestamps = timestamps;
  }

  /** All that was added; undefined when nothing was. Its memory is the caller's. */
  take(): PackedRecords | undefined {
    if (this.#count === 0) return undefined;
    return {
      length: this.#count,
      topics: this.#topics,
      bytes: this.#bytes.subarray(0, this.#used),
      columns: this.#columns.subarray(0, OUTPUT_COLUMNS * this.#count),
      timestamps: this.#timestamps.subarray(0, this.#count),
    };
  }
}
