import { rawDeserializer } from 'rdkafka-toolkit';
import { StreamAppWrapper } from 'rdkafka-toolkit/stream';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { RecordChecker } from '../records.ts';

contend(async (job, meter) => {
  const checker = new RecordChecker(job);
  const app = new StreamAppWrapper({ vars: varsOf(job), handleSignals: false });
  for (const name of job.inputTopics) {
    const topic = app.topic<Buffer | null, Buffer | null>(name, { keyDeserializer: rawDeserializer, valueDeserializer: rawDeserializer });
    app.agent(topic, (record) => {
      if (!meter.started) meter.start(1);
      checker.check(record.topic, record.partition, record.offset, record.key, record.value);
      if (checker.count < job.records) return;
      meter.stop();
      void app.stop();
    });
  }
  await app.run();
  return checker.faults();
});
