import { columnBytes, type LooseRecord, RecordBatch, type RecordDecoders } from './record-batch.ts';

/** A record as node-rdkafka hands it out. */
export interface RawMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp?: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly object[];
}

/** Topic name ↔ index, one per consumer, so that a batch carries numbers only. */
export class TopicTable {
  readonly names: string[] = [];
  readonly #indexes = new Map<string, number>();

  indexOf(topic: string): number {
    const known = this.#indexes.get(topic);
    if (known !== undefined) return known;
    const index = this.names.push(topic) - 1;
    this.#indexes.set(topic, index);
    return index;
  }
}

/** node-rdkafka's messages as a {@link RecordBatch}; their bytes are copied together only when they are asked for as a whole. */
export function packMessages<K, V, H>(
  messages: readonly RawMessage[],
  topics: TopicTable,
  decoders: RecordDecoders<K, V, H>,
): RecordBatch<K, V, H> {
  const length = messages.length;
  const loose: LooseRecord[] = new Array(length);
  const batch = new RecordBatch(length, loose, new ArrayBuffer(columnBytes(length)), topics.names, decoders);
  let lastTopic: string | undefined;
  let topicIndex = 0;
  for (let index = 0; index < length; index++) {
    const { topic, partition, offset, timestamp, key, value, headers } = messages[index]!;
    if (topic !== lastTopic) {
      topicIndex = topics.indexOf(topic);
      lastTopic = topic;
    }
    batch.offsets[index] = offset;
    batch.timestamps[index] = timestamp ?? -1;
    batch.partitions[index] = partition;
    batch.topicIndexes[index] = topicIndex;
    batch.keyLengths[index] = key === null ? -1 : key.length;
    batch.valueLengths[index] = value === null ? -1 : value.length;
    loose[index] = { key, value, packedHeaders: headers === undefined ? undefined : packHeaders(headers) };
  }
  return batch;
}

/**
 * node-rdkafka gives each header as an object with one property. A header called `__proto__` lands in its prototype slot
 * instead; it is read back from there. A null header value arrives as an empty one (the packed source tells them apart).
 */
function packHeaders(headers: readonly object[]): Buffer {
  const parts: Buffer[] = [];
  for (const header of headers) {
    let name = Object.keys(header)[0];
    let value: unknown;
    if (name === undefined) {
      name = '__proto__';
      value = Object.getPrototypeOf(header);
    } else {
      value = (header as Record<string, unknown>)[name];
    }
    const nameBytes = Buffer.from(name, 'utf8');
    const valueBytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value), 'utf8');
    const head = Buffer.allocUnsafe(4 + nameBytes.length + 4);
    head.writeUInt32LE(nameBytes.length, 0);
    nameBytes.copy(head, 4);
    head.writeInt32LE(valueBytes.length, 4 + nameBytes.length);
    parts.push(head, valueBytes);
  }
  return Buffer.concat(parts);
}
