import type { RawMessage } from './node-rdkafka.ts';
import { columnBytes, RecordBatch, type RecordDecoders } from './record-batch.ts';

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
  const batch = new RecordBatch(length, messages, new ArrayBuffer(columnBytes(length)), topics.names, decoders);
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
    batch.partitions[index] = partition;
    batch.topicIndexes[index] = topicIndex;
    batch.keyLengths[index] = key === null ? -1 : key.length;
    batch.valueLengths[index] = value === null ? -1 : value.length;
  }
  return batch;
}
