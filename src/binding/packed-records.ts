import { PackedHeaders } from './packed-headers.ts';

/** Int32 columns of a record to produce: topic, partition (-1: the partitioner's), key length, value length (-1: null), bytes of headers. */
export const OUTPUT_COLUMNS = 5;

/**
 * Records to produce in memory that can be transferred between threads whole: key, value and headers of each record back to back, in
 * the layout `src/native/packed-producer.cc` reads.
 */
export interface PackedRecords {
  readonly length: number;
  /** Index → topic name. */
  readonly topics: readonly string[];
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** {@link OUTPUT_COLUMNS} for each record. */
  readonly columns: Int32Array<ArrayBuffer>;
  /** Milliseconds since the epoch; 0: when it is produced. */
  readonly timestamps: Float64Array<ArrayBuffer>;
}

/** One of {@link PackedRecords}, its parts views over their memory. */
export interface UnpackedRecord {
  readonly topic: string;
  readonly partition: number | undefined;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: PackedHeaders | undefined;
  readonly timestamp: number | undefined;
}

/** Records `from … to - 1` one by one. */
export function* unpackRecords(
  { topics, bytes, columns, timestamps }: PackedRecords,
  from: number,
  to: number,
): IterableIterator<UnpackedRecord> {
  let at = 0;
  const take = (length: number): Buffer | null => {
    if (length < 0) return null;
    const part = Buffer.from(bytes.buffer, bytes.byteOffset + at, length);
    at += length;
    return part;
  };
  for (let index = 0; index < to; index++) {
    const column = index * OUTPUT_COLUMNS;
    const partition = columns[column + 1]!;
    const key = take(columns[column + 2]!);
    const value = take(columns[column + 3]!);
    const headerBytes = columns[column + 4]!;
    const headers = headerBytes === 0 ? undefined : new PackedHeaders(bytes, at, headerBytes);
    at += headerBytes;
    if (index < from) continue;
    yield {
      topic: topics[columns[column]!]!,
      partition: partition < 0 ? undefined : partition,
      key,
      value,
      headers,
      timestamp: timestamps[index] === 0 ? undefined : timestamps[index],
    };
  }
}
