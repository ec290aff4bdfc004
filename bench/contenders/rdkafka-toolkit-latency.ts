import { createConsumer, createProducer, enqueueAutoCommits } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { measureLoad } from '../load.ts';

contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const vars = varsOf(job);
  const producer = await createProducer({ vars });
  const consumer = await createConsumer({ vars, topics: [topic] });
  const assigned = new Promise((resolve) => consumer.once('assigned', resolve));
  const records = consumer[Symbol.asyncIterator]();
  // Whoever is not asked for records does not join.
  let next = records.next();
  await assigned;
  const faults = await measureLoad(job, meter, {
    send: (value) => void producer.enqueue({ topic, value }),
    async receive(take) {
      for (;;) {
        const { value: record, done } = await next;
        if (done) return;
        enqueueAutoCommits(consumer, record);
        if (!take(record.value!)) return;
        next = records.next();
      }
    },
  });
  await consumer.close();
  await producer.close();
  return faults;
});
