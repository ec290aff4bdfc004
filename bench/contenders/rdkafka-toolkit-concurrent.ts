import { setTimeout as sleep } from 'node:timers/promises';
import { createConsumer, createProducer, runAsync } from 'rdkafka-toolkit';
import { committedOffsets } from '../../native-test/support/topics.ts';
import { contend, type Meter } from '../contender.ts';
import { type Job, varsOf } from '../job.ts';

const CONCURRENCY = 256;
const HANDLER_MS = 2;
/** The same few come again and again, as customers do. */
const KEYS = 10_000;

/** A topic of its own, since the others' records all have different keys. */
async function fill(job: Job, topic: string): Promise<void> {
  await using producer = await createProducer({ vars: varsOf(job), config: { 'linger.ms': 100, 'compression.codec': 'none' } });
  for (let index = 0; index < job.records; index++) {
    const key = index % KEYS;
    await producer.enqueue({ topic, partition: key % job.partitions, key: String(key), value: String(Math.floor(index / KEYS)) });
  }
  await producer.flush({ timeoutMs: 60_000 });
}

async function run(job: Job, meter: Meter): Promise<string[]> {
  const topic = job.outputTopics[0]!;
  await fill(job, topic);
  const vars = varsOf(job);
  const consumer = await createConsumer({ vars, topics: [topic] });
  const stop = new AbortController();
  const next = new Int32Array(KEYS);
  let disordered = 0;
  let done = 0;
  await runAsync({
    consumer,
    handleSignals: false,
    closeClients: false,
    signal: stop.signal,
    concurrency: job.client === 'rdkafka-toolkit' ? CONCURRENCY : 1,
    order: 'key',
    async handler({ key, value }) {
      if (!meter.started) meter.start(0);
      await sleep(HANDLER_MS);
      // When it is done, all before it of its key are.
      if (next[Number(key)]!++ !== Number(value)) disordered++;
      if (++done < job.records) return;
      meter.stop();
      setImmediate(() => stop.abort());
    },
  });
  await consumer.close();
  const faults = disordered > 0 ? [`${disordered} records out of the order of their key`] : [];
  const offsets = await committedOffsets(job, vars, topic);
  const committed = offsets.reduce<number>((sum, offset) => sum + (offset ?? 0), 0);
  return committed === job.records ? faults : [...faults, `${committed} records committed instead of ${job.records}`];
}

contend(run);
