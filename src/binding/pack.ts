import { columnBytes, RecordBatch, type RecordDecoders } from './record-batch.ts';

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

/** Copies node-rdkafka's messages into one {@link RecordBatch}. */
export function packMessages<K, V, H>(
  messages: readonly RawMessage[],
  topics: TopicTable,
  decoders: RecordDecoders<K, V, H>,
): RecordBatch<K, V, H> {
  const length = messages.length;
  const columns = new ArrayBuffer(columnBytes(length));
  const headers: (Buffer | undefined)[] = [];
  let total = 0;
  for (let index = 0; index < length; index++) {
    const message = messages[index]!;
    total += (message.key?.length ?? 0) + (message.value?.length ?? 0);
    if (message.headers !== undefined) {
      const packed = packHeaders(message.headers);
      headers[index] = packed;
      total += packed.length;
    }
  }
  const bytes = new ArrayBuffer(total);
  const batch = new RecordBatch(length, bytes, columns, topics.names, decoders);
  const target = batch.bytes;
  let at = 0;
  let lastTopic: string | undefined;
  let topicIndex = 0;
  for (let index = 0; index < length; index++) {
    const { topic, partition, offset, timestamp, key, value } = messages[index]!;
    if (topic !== lastTopic) {
      topicIndex = topics.indexOf(topic);
      lastTopic = topic;
    }
    batch.offsets[index] = offset;
    batch.timestamps[index] = timestamp ?? -1;
    batch.starts[index] = at;
    batch.partitions[index] = partition;
    batch.topicIndexes[index] = topicIndex;
    batch.keyLengths[index] = key === null ? -1 : key.length;
    batch.valueLengths[index] = value === null ? -1 : value.length;
    if (key !== null) {
      target.set(key, at);
      at += key.length;
    }
    if (value !== null) {
      target.set(value, at);
      at += value.length;
    }
    const packed = headers[index];
    if (packed !== undefined) {
      target.set(packed, at);
      at += packed.length;
    }
  }
  batch.starts[length] = at;
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
