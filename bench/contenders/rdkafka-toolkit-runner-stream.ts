import { createConsumer, runAsync } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { RecordChecker } from '../records.ts';

/** What a stream app's agent is compared with: the runner it works by. */
contend(async (job, meter) => {
  const checker = new RecordChecker(job);
  const stop = new AbortController();
  await runAsync({
    consumer: await createConsumer({ vars: varsOf(job), topics: job.inputTopics }),
    handleSignals: false,
    signal: stop.signal,
    handler(record) {
      if (!meter.started) meter.start(1);
      checker.check(record.topic, record.partition, record.offset, record.key, record.value);
      if (checker.count < job.records) return;
      meter.stop();
      stop.abort();
    },
  });
  return checker.faults();
});
