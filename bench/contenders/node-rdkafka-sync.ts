import { contend } from '../contender.ts';
import { RecordChecker } from '../records.ts';
import { connectConsumer, consumeBatches, disconnect } from './node-rdkafka-client.ts';

contend(async (job, meter) => {
  const checker = new RecordChecker(job);
  const consumer = await connectConsumer(job);
  // One record ends the wait, so that a long timeout costs nothing here.
  consumer.setDefaultConsumeTimeout(1000);
  await consumeBatches(consumer, 1, ([message]) => {
    if (!meter.started) meter.start(0);
    const taken = performance.now();
    const { topic, partition, offset, key, value } = message!;
    checker.check(topic, partition, offset, key as Buffer | null, value);
    consumer.commitSync({ topic, partition, offset: offset + 1 });
    meter.latency(performance.now() - taken);
    return checker.count < job.records;
  });
  meter.stop();
  await disconnect(consumer);
  return checker.faults();
});
