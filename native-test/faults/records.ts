import type { ConsumerRecord, ProducerRecord } from 'rdkafka-toolkit';
import type { OutputRecord } from './verify.ts';

/** Makes records as long as usual ones. */
const FILLING = Buffer.alloc(80, '.');

/** More than any number is long. */
const NUMBER_BYTES = 16;

/** An input: its key and its number within that key, in text. */
export function inputRecord(topic: string, key: number, number: number, filling: Buffer = FILLING): ProducerRecord {
  return { topic, key: String(key), value: Buffer.concat([Buffer.from(`${number} `), filling]) };
}

/** What a member makes of an input: its place, its number and the member's own number. */
export function outputOf({ topic, partition, offset, key, value }: ConsumerRecord, output: string, source: number): ProducerRecord {
  const number = value?.toString('latin1', 0, NUMBER_BYTES).split(' ', 1)[0];
  return { topic: output, key, value: `${topic} ${partition} ${offset} ${number} ${source}` };
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
