import { createConsumer, enqueueAutoCommits } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { RecordChecker } from '../records.ts';

contend(async (job, meter) => {
  const checker = new RecordChecker(job);
  const consumer = await createConsumer({ vars: varsOf(job), topics: job.inputTopics });
  for await (const record of consumer) {
    if (!meter.started) meter.start(1);
    checker.check(record.topic, record.partition, record.offset, record.key, record.value);
    if (job.headers > 0) checker.checkHeaders(record.headers.length, record.headers[0]?.value);
    enqueueAutoCommits(consumer, record);
    if (checker.count === job.records) break;
  }
  meter.stop();
  await consumer.close();
  return checker.faults();
});
