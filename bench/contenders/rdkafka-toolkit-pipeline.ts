import { consumeMessageBatch, createAvroConsumer, createAvroProducer, createSchemaRegistry, enqueueAutoCommits } from 'rdkafka-toolkit';
import { measurePool, poolOptions } from '../avro/pool.ts';
import { charge, fareFaults, type Trip, tripSchemas } from '../avro/records.ts';
import { contend, type Meter } from '../contender.ts';
import { type Job, varsOf } from '../job.ts';

async function byHand(job: Job, meter: Meter): Promise<string[]> {
  const vars = varsOf(job);
  const registry = createSchemaRegistry({ vars });
  const topic = job.outputTopics[0]!;
  const consumer = await createAvroConsumer<string | null, Trip>({ vars, topics: job.inputTopics, registry });
  const producer = await createAvroProducer({ vars, registry, valueSchema: tripSchemas[job.fields], preload: [topic] });
  let sum = 0;
  const output = ({ key, value }: { readonly key: string | null; readonly value: Trip }) => {
    sum += value.fare;
    return { topic, key, value: charge(value) };
  };
  for (let count = 0; count < job.records; ) {
    const records = await consumeMessageBatch(consumer, undefined, { count: Math.min(1_000, job.records - count), timeoutMs: 60_000 });
    if (!meter.started) meter.start(records.length);
    await producer.enqueueBatch(records.map(output));
    count += records.length;
    enqueueAutoCommits(consumer, records);
  }
  // Throws when a report is missing or bad.
  await producer.flush({ timeoutMs: 60_000 });
  meter.stop();
  await consumer.close();
  await producer.close();
  return fareFaults(sum, job);
}

contend((job, meter) =>
  job.client === 'rdkafka-toolkit'
    ? byHand(job, meter)
    : measurePool(job, meter, poolOptions(job.client, job.fields === 9 ? 'charge' : 'charge-20')),
);
