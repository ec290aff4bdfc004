import { createProducer, type DeliveryCallback } from 'rdkafka-toolkit';
import { contend } from '../contender.ts';
import { varsOf } from '../job.ts';
import { DeliveryChecker, RecordMaker } from '../records.ts';

contend(async (job, meter) => {
  const checker = new DeliveryChecker(job);
  const maker = new RecordMaker(job.outputTopics, job);
  const onDelivery: DeliveryCallback = (error, metadata) => {
    if (error !== undefined || metadata === undefined) checker.failed();
    else checker.delivered(metadata.topic, metadata.partition, metadata.offset);
  };
  const producer = await createProducer({ vars: varsOf(job) });
  meter.start(0);
  for (let index = 0; index < job.records; index++) {
    const record = maker.make(index);
    if (!producer.tryEnqueue(record, onDelivery)) await producer.enqueue(record, onDelivery);
  }
  await producer.flush({ timeoutMs: 60_000 });
  meter.stop();
  await producer.close();
  return checker.faults(job);
});
