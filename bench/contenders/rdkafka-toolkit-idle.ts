import { consumeMessage, createConsumer, createProducer } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { measureIdle } from '../idle.ts';
import { varsOf } from '../job.ts';

contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const vars = varsOf(job);
  const producer = await createProducer({ vars, config: { 'linger.ms': 0 } });
  const consumer = await createConsumer({ vars, topics: [topic] });
  const assigned = new Promise((resolve) => consumer.once('assigned', resolve));
  const first = consumeMessage(consumer, undefined, { timeoutMs: 60_000 });
  await assigned;
  let waiting: Promise<{ readonly value: Buffer | null }> | undefined = first;
  const faults = await measureIdle(job, meter, {
    send: (value) => void producer.enqueue({ topic, value }),
    take: async () => {
      const { value } = await (waiting ?? consumeMessage(consumer, undefined, { timeoutMs: 60_000 }));
      waiting = undefined;
      return [String(value)];
    },
  });
  await consumer.close();
  await producer.close();
  return faults;
});
