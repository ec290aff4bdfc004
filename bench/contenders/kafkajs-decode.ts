import { PlainAvro } from '../avro/plain-avro.ts';
import { fareFaults } from '../avro/records.ts';
import { contend } from '../contender.ts';
import { connectConsumer, eachBatch } from './kafkajs-client.ts';

contend(async (job, meter) => {
  const codec = new PlainAvro(job.fields);
  const consumer = await connectConsumer(job, meter);
  let sum = 0;
  let count = 0;
  const take = (messages: readonly { readonly value: Buffer | null }[]): void => {
    if (!meter.started) meter.start(messages.length);
    for (const { value } of messages) sum += codec.decode(value!).fare;
    count += messages.length;
  };
  await eachBatch(consumer, take, () => count >= job.records);
  meter.stop();
  await consumer.disconnect();
  return fareFaults(sum, job);
});
