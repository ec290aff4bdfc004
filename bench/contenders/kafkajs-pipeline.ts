import type { KafkaMessage } from 'kafkajs';
import { PlainAvro } from '../avro/plain-avro.ts';
import { charge, fareFaults } from '../avro/records.ts';
import { contend } from '../contender.ts';
import { connectConsumer, connectProducer, eachBatch, SEND } from './kafkajs-client.ts';

/** Each batch is produced with one request, and its offsets resolved by KafkaJS itself once that is acknowledged. */
contend(async (job, meter) => {
  const codec = new PlainAvro(job.fields);
  const producer = await connectProducer(job, meter);
  const consumer = await connectConsumer(job, meter);
  let sum = 0;
  let count = 0;
  const change = ({ key, value }: KafkaMessage): { readonly key: Buffer | null; readonly value: Buffer } => {
    const trip = codec.decode(value!);
    sum += trip.fare;
    return { key, value: codec.encode(charge(trip)) };
  };
  const take = async (messages: readonly KafkaMessage[]): Promise<void> => {
    if (!meter.started) meter.start(messages.length);
    await producer.send({ ...SEND, topic: job.outputTopics[0]!, messages: messages.map(change) });
    count += messages.length;
  };
  await eachBatch(consumer, take, () => count >= job.records);
  meter.stop();
  await consumer.disconnect();
  await producer.disconnect();
  return fareFaults(sum, job);
});
