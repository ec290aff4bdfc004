/**
 * A service of its own process: `node runner-process.js runAsync|runSync|runBatch INPUT OUTPUT [hang]`, configured by the environment; with
 * `hang` its handler never ends after 200 records. Prints `handled` after 200 records and the runner's result, as JSON, at its end. It never calls `process.exit`: that it ends
 * shows that nothing was left open.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumerRecord, createConsumer, createProducer, type ProducerRecord, runAsync, runBatch, runSync } from 'rdkafka-toolkit';

const [runner = '', input = '', output = '', hang] = process.argv.slice(2);

const consumer = await createConsumer({ topics: [input] });
const producer = await createProducer();
let handled = 0;

function count(records: number): void {
  if (handled < 200 && handled + records >= 200) process.stdout.write('handled\n');
  handled += records;
}

const copy = ({ partition, offset, value }: ConsumerRecord): ProducerRecord => ({ topic: output, key: `${partition}/${offset}`, value });

async function handler(record: ConsumerRecord): Promise<ProducerRecord> {
  if (record.offset % 10 === 0) await sleep(1);
  count(1);
  if (hang !== undefined && handled >= 200) await new Promise(() => undefined);
  return copy(record);
}

async function batchHandler(records: readonly ConsumerRecord[]): Promise<ProducerRecord[]> {
  await sleep(10);
  count(records.length);
  return records.map(copy);
}

const result =
  runner === 'runBatch'
    ? await runBatch({ consumer, producer, count: 50, timeoutMs: 200, handler: batchHandler })
    : await (runner === 'runSync' ? runSync : runAsync)({ consumer, producer, handler });
process.stdout.write(`${JSON.stringify(result)}\n`);
