import rdkafka, { type Message } from 'node-rdkafka';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { routeConfig } from '../../src/config/librdkafka-config.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { contend } from '../contender.ts';
import { measureIdle } from '../idle.ts';
import { varsOf } from '../job.ts';
import { disconnect } from './node-rdkafka-client.ts';

/** `consume(1)` gives its record as soon as it is there; it holds a pool thread meanwhile. */
contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const settings = routeConfig('consumer', consumerSettings(varsOf(job), { 'auto.offset.reset': 'latest' }));
  const consumer = new rdkafka.KafkaConsumer(settings.global, settings.topic);
  const forProducer = routeConfig('producer', producerSettings(varsOf(job), { 'linger.ms': 0 }));
  const producer = new rdkafka.Producer(forProducer.global, forProducer.topic);
  for (const client of [consumer, producer]) {
    await new Promise<void>((resolve, reject) => client.connect({}, (error) => (error ? reject(error) : resolve())));
  }
  consumer.setDefaultConsumeTimeout(1_000);
  consumer.subscribe([topic]);
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
