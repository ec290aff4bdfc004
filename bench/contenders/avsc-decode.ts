import avro from 'avsc';
import { consumeMessageBatch, createConsumer, enqueueAutoCommits } from 'rdkafka-toolkit';
import { fareFaults, fareSchema, type Trip, tripSchemas } from '../avro/records.ts';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { inputConfig, prefetch } from '../prefetch.ts';

/** The toolkit's consumer without a deserializer, and avsc's `type.decode` on the bytes of the batch: no check, no guard, no cache. */
contend(async (job, meter) => {
  const project = job.mode === 'projection';
  const writer = avro.Type.forSchema(JSON.parse(tripSchemas[job.fields].text) as avro.Schema);
  const type = project ? avro.Type.forSchema(JSON.parse(fareSchema.text) as avro.Schema) : writer;
  const resolver = project ? type.createResolver(writer) : undefined;
  const inPlace = type as unknown as { decode(bytes: Buffer, start: number, resolver: unknown): { value: Trip } };
  const consumer = await createConsumer({ vars: varsOf(job), topics: job.inputTopics, config: inputConfig(job) });
  let sum = 0;
  await prefetch(job, consumer);
  for (let count = 0; count < job.records; ) {
    const records = await consumeMessageBatch(consumer, undefined, { count: Math.min(1_000, job.records - count), timeoutMs: 60_000 });
    if (!meter.started) meter.start(count + records.length);
    for (const { batch, index } of records) sum += inPlace.decode(batch.bytes, batch.valueStart(index) + 5, resolver).value.fare;
    count += records.length;
    enqueueAutoCommits(consumer, records);
  }
  meter.stop();
  await consumer.close();
  return fareFaults(sum, job);
});
