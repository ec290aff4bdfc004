import { contend } from '../contender.ts';
import { RecordChecker } from '../records.ts';
import { copyRecords } from './node-rdkafka-loop.ts';

contend(async (job, meter) => {
  const checker = new RecordChecker(job);
  const faults = await copyRecords(job, meter, (message) => {
    checker.check(message.topic, message.partition, message.offset, message.key as Buffer | null, message.value);
    return message.value;
  });
  return [...faults, ...checker.faults()];
});
