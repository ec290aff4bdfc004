import { consumeMessage, createConsumer, enqueueAutoCommits } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { startMetrics } from '../metrics.ts';
import { RecordChecker } from '../records.ts';

contend(async (job, meter) => {
  // Before the clients: the start of its thread is no throughput.
  const metrics = startMetrics(job);
  const checker = new RecordChecker(job);
  const consumer = await createConsumer({ vars: varsOf(job), topics: job.inputTopics });
  metrics?.watchConsumer(consumer);
  const wait = { timeoutMs: 60_000 };
  while (checker.count < job.records) {
    const record = await consumeMessage(consumer, metrics, wait);
    if (!meter.started) meter.start(1);
    checker.check(record.topic, record.partition, record.offset, record.key, record.value);
    if (job.headers > 0) checker.checkHeaders(record.headers.length, record.headers[0]?.value);
    enqueueAutoCommits(consumer, record);
  }
  meter.stop();
  await consumer.close();
  return checker.faults();
});
