import type { Message } from 'node-rdkafka';
import { contend } from '../contender.ts';
import { measureIdle } from '../idle.ts';
import { connectConsumer, connectProducer, disconnect } from './node-rdkafka-client.ts';

/** `consume(1)` gives its record as soon as it is there; it holds a pool thread meanwhile. */
contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const consumer = await connectConsumer(job, [topic]);
  consumer.setDefaultConsumeTimeout(1_000);
  const producer = await connectProducer(job, { 'linger.ms': 0 });
  const take = (): Promise<Message[]> =>
    new Promise((resolve, reject) => consumer.consume(1, (error, messages) => (error ? reject(error) : resolve(messages))));
  while (consumer.assignments().length === 0) await take();
  const faults = await measureIdle(job, meter, {
    send: (value) => void producer.produce(topic, null, Buffer.from(value)),
    take: async () => (await take()).map(({ value }) => String(value)),
  });
  await disconnect(consumer);
  await disconnect(producer);
  return faults;
});
