import { consumeMessageBatch, createConsumer, createDecodePool, createSchemaRegistry, enqueueAutoCommits } from 'rdkafka-toolkit';
import { fareFaults, type Trip } from '../avro/records.ts';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { inputConfig, prefetch } from '../prefetch.ts';

/** Batches that are being decoded at once: one more than there are workers. */
const AHEAD = 2;

/** Decodes in a worker, and brings whole values back, or one column. */
contend(async (job, meter) => {
  const vars = varsOf(job);
  const columns = job.client === 'rdkafka-toolkit-decode-columns';
  const decoder = new URL('../avro/handlers/trip-decoder.js', import.meta.url);
  await using pool = await createDecodePool<Trip>({ decoder, registry: createSchemaRegistry({ vars }), concurrency: 1 });
  const consumer = await createConsumer({ vars, topics: job.inputTopics, config: inputConfig(job) });
  await prefetch(job, consumer);
  let sum = 0;
  const pending: Promise<void>[] = [];
  for (let count = 0; count < job.records; ) {
    const records = await consumeMessageBatch(consumer, undefined, { count: Math.min(1_000, job.records - count), timeoutMs: 60_000 });
    if (!meter.started) meter.start(count + records.length);
    count += records.length;
    pending.push(
      (async () => {
        if (columns) for (const fare of (await pool.decodeColumns(records, ['fare'])).fare) sum += Number(fare);
        else for (const { fare } of await pool.decodeBatch(records)) sum += fare;
        enqueueAutoCommits(consumer, records);
      })(),
    );
    if (pending.length >= AHEAD) await pending.shift();
  }
  await Promise.all(pending);
  meter.stop();
  await consumer.close();
  return fareFaults(sum, job);
});
