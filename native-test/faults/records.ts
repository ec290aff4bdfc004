import { type ConsumerRecord, type ProducerRecord, recordOrigin } from 'rdkafka-toolkit';
import type { OutputRecord } from './verify.ts';

/** Makes records as long as usual ones. */
const FILLING = Buffer.alloc(80, '.');

/** More than any number is long. */
const NUMBER_BYTES = 16;

/** An input: its key and its number within that key, in text. */
export function inputRecord(topic: string, key: number, number: number, filling: Buffer = FILLING): ProducerRecord {
  return { topic, key: String(key), value: Buffer.concat([Buffer.from(`${number} `), filling]) };
}

/** The number of an input within its key. */
export function numberOf(value: Buffer | null): number {
  return Number(value?.toString('latin1', 0, NUMBER_BYTES).split(' ', 1)[0]);
}

/** What a member makes of an input: its place, its number and the member's own number. A delayed one is where it was at first. */
export function outputOf(record: ConsumerRecord, output: string, source: number): ProducerRecord {
  const { topic, partition, offset } = recordOrigin(record) ?? record;
  return { topic: output, key: record.key, value: `${topic} ${partition} ${offset} ${numberOf(record.value)} ${source}` };
}

/** A dead letter as an output: the place of its input and, by its bytes, key and number. */
export function parseDeadLetter(record: ConsumerRecord): OutputRecord {
  const { topic = '', partition = -1, offset = -1 } = recordOrigin(record) ?? {};
  return { topic, partition, offset, key: Number(String(record.key)), number: numberOf(record.value), source: 0 };
}

export function parseOutput({ key, value }: ConsumerRecord): OutputRecord {
  const [topic = '', partition, offset, number, source] = String(value).split(' ');
  return {
    topic,
    partition: Number(partition),
    offset: Number(offset),
    key: Number(key),
    number: Number(number),
    source: Number(source),
  };
}
