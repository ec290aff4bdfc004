import { type BatchMetadata, createProducer } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { type BenchRecord, DeliveryChecker, RecordMaker } from '../records.ts';

const BATCH_RECORDS = 500;

contend(async (job, meter) => {
  const checker = new DeliveryChecker(job);
  // One for each place in a batch, since a maker uses its buffers again.
  const makers = Array.from({ length: BATCH_RECORDS }, () => new RecordMaker(job.outputTopics, job));
  const producer = await createProducer({ vars: varsOf(job) });
  meter.start(0);
  for (let index = 0; index < job.records; ) {
    const records: BenchRecord[] = [];
    while (records.length < BATCH_RECORDS && index < job.records) records.push(makers[records.length]!.make(index++));
    const count = (metadata: BatchMetadata): void => {
      for (const [place, { topic }] of records.entries()) checker.delivered(topic, metadata.partitions[place]!, metadata.offsets[place]!);
    };
    await producer.enqueueBatch(records, (error, metadata) => {
      if (metadata === undefined) for (let failed = 0; failed < (error?.failures.length ?? 0); failed++) checker.failed();
      else count(metadata);
    });
  }
  await producer.flush({ timeoutMs: 60_000 });
  meter.stop();
  await producer.close();
  return checker.faults(job);
});
