import { consumeMessageBatch, createAvroConsumer, createSchemaRegistry, enqueueAutoCommits } from 'rdkafka-toolkit';
import { fareFaults, fareSchema, type Trip } from '../avro/records.ts';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { inputConfig, prefetch } from '../prefetch.ts';

/** Decodes to objects, or, in the mode `projection`, to one field. */
contend(async (job, meter) => {
  const vars = varsOf(job);
  const registry = createSchemaRegistry({ vars });
  const valueSchema = job.mode === 'projection' ? fareSchema : undefined;
  const consumer = await createAvroConsumer<string | null, Pick<Trip, 'fare'>>({
    vars,
    topics: job.inputTopics,
    registry,
    valueSchema,
    config: inputConfig(job),
  });
  await prefetch(job, consumer);
  let sum = 0;
  for (let count = 0; count < job.records; ) {
    const records = await consumeMessageBatch(consumer, undefined, { count: Math.min(1_000, job.records - count), timeoutMs: 60_000 });
    if (!meter.started) meter.start(count + records.length);
    for (const { value } of records) sum += value.fare;
    count += records.length;
    enqueueAutoCommits(consumer, records);
  }
  meter.stop();
  await consumer.close();
  return fareFaults(sum, job);
});
