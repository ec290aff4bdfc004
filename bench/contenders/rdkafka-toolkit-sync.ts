import { consumeMessage, createConsumer, synchronousMessageHandling } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { RecordChecker } from '../records.ts';

contend(async (job, meter) => {
  const checker = new RecordChecker(job);
  const consumer = await createConsumer({ vars: varsOf(job), topics: job.inputTopics });
  while (checker.count < job.records) {
    const record = await consumeMessage(consumer, undefined, { timeoutMs: 60_000 });
    if (!meter.started) meter.start(0);
    const taken = performance.now();
    checker.check(record.topic, record.partition, record.offset, record.key, record.value);
    await synchronousMessageHandling({ consumer });
    meter.latency(performance.now() - taken);
  }
  meter.stop();
  await consumer.close();
  return checker.faults();
});
