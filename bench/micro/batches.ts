import type { Bench } from 'tinybench';
import type { RawMessage } from '../../src/binding/node-rdkafka.ts';
import { packMessages, TopicTable } from '../../src/binding/pack.ts';
import type { RecordBatch } from '../../src/binding/record-batch.ts';
import { rawDeserializer } from '../../src/serde.ts';
import { ROUND } from './round.ts';

export function addBatchTasks(bench: Bench): void {
  const messages = Array.from({ length: ROUND }, (_, offset) => ({
    topic: 'bench',
    partition: offset % 4,
    offset,
    timestamp: 1_700_000_000_000,
    key: Buffer.alloc(8, offset),
    value: Buffer.alloc(142, offset),
    headers: [{ 'trace-id': Buffer.from('4bf92f3577b34da6') }],
  })) as unknown as RawMessage[];
  const decoders = { key: rawDeserializer, value: rawDeserializer, headers: undefined };
  const pack = (): RecordBatch => packMessages(messages, new TopicTable(), decoders);
  bench.add('RecordBatch: pack node-rdkafka’s messages', () => pack().length);
  const batch = pack();
  bench.add('RecordBatch: look at offsets', () => {
    let sum = 0;
    for (let index = 0; index < batch.length; index++) sum += batch.at(index)!.offset;
    return sum;
  });
  bench.add('RecordBatch: make keys and values', () => {
    let bytes = 0;
    for (const { key, value } of pack()) bytes += key!.length + value!.length;
    return bytes;
  });
  bench.add('RecordBatch: make headers', () => {
    let count = 0;
    for (const { headers } of pack()) count += headers.length;
    return count;
  });
}
