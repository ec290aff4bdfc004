import type { Message } from 'node-rdkafka';
import { CALL_TIMEOUT_MS, callCount, measureCalls } from '../batch-timeout.ts';
import { contend } from '../contender.ts';
import { connectConsumer, connectProducer, disconnect } from './node-rdkafka-client.ts';

/** `consume(count)` with its timeout, which node-rdkafka starts anew with every record. */
contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const consumer = await connectConsumer(job, [topic]);
  consumer.setDefaultConsumeTimeout(CALL_TIMEOUT_MS);
  const producer = await connectProducer(job);
  producer.setPollInterval(10);
  const call = (): Promise<Message[]> =>
    new Promise((resolve, reject) =>
      consumer.consume(callCount(job.rate!), (error, messages) => (error ? reject(error) : resolve(messages))),
    );
  while (consumer.assignments().length === 0) await call();
  const faults = await measureCalls(job, meter, { send: () => void producer.produce(topic, null, Buffer.from('x')), call });
  await disconnect(consumer);
  await disconnect(producer);
  return faults;
});
