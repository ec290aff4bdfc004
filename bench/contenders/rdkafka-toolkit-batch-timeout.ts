import { consumeMessageBatch, createConsumer, createProducer, enqueueAutoCommits, NoMessageError } from 'rdkafka-toolkit';
import { CALL_TIMEOUT_MS, callCount, measureCalls } from '../batch-timeout.ts';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';

contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const vars = varsOf(job);
  const producer = await createProducer({ vars });
  const consumer = await createConsumer({ vars, topics: [topic] });
  const limit = { count: callCount(job.rate!), timeoutMs: CALL_TIMEOUT_MS };
  const call = async (): Promise<void> => {
    try {
      enqueueAutoCommits(consumer, await consumeMessageBatch(consumer, undefined, limit));
    } catch (error) {
      if (!(error instanceof NoMessageError)) throw error;
    }
  };
  const assigned = new Promise((resolve) => consumer.once('assigned', resolve));
  await Promise.all([assigned, call()]);
  const faults = await measureCalls(job, meter, { send: () => void producer.enqueue({ topic, value: 'x' }), call });
  await consumer.close();
  await producer.close();
  return faults;
});
