import type { Message } from 'node-rdkafka';
import { contend } from '../contender.ts';
import { measureLoad } from '../load.ts';
import { connectConsumer, connectProducer, disconnect, LastOffsets } from './node-rdkafka-client.ts';

/** Below that rate `consume(1)` gives a record as soon as it is there; above, it cannot keep up. */
const SINGLE_RATE = 1_000;

contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const last = new LastOffsets();
  const consumer = await connectConsumer(job, [topic]);
  const producer = await connectProducer(job);
  producer.setPollInterval(10);
  const single = job.rate! < SINGLE_RATE;
  if (single) consumer.setDefaultConsumeTimeout(1_000);
  const consume = (): Promise<Message[]> =>
    new Promise((resolve, reject) =>
      consumer.consume(single ? 1 : 1_000, (error, messages) => (error ? reject(error) : resolve(messages))),
    );
  while (consumer.assignments().length === 0) await consume();
  const faults = await measureLoad(job, meter, {
    send: (value) => void producer.produce(topic, null, value),
    async receive(take) {
      for (;;) {
        for (const message of await consume()) {
          last.note(message);
          if (!take(message.value as Buffer)) return;
        }
        consumer.offsetsStore(last.take());
      }
    },
  });
  await disconnect(consumer);
  await disconnect(producer);
  return faults;
});
