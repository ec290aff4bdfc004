import { consumeMessageBatch, createConsumer, enqueueAutoCommits } from 'rdkafka-toolkit';
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
  while (checker.count < job.records) {
    const count = Math.min(1000, job.records - checker.count);
    const records = await consumeMessageBatch(consumer, metrics, { count, timeoutMs: 60_000 });
    if (!meter.started) meter.start(records.length);
    for (const record of records) {
      checker.check(record.topic, record.partition, record.offset, record.key, record.value);
      if (job.headers > 0) checker.checkHeaders(record.headers.length, record.headers[0]?.value);
    }
    enqueueAutoCommits(consumer, records);
  }
  meter.stop();
  await consumer.close();
  return checker.faults();
});
