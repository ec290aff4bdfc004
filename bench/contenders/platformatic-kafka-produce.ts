import { contend } from '../contender.ts';
import { DeliveryChecker } from '../records.ts';
import { sendBatches } from './batches.ts';
import { openProducer } from './platformatic-kafka-client.ts';

const BATCH_RECORDS = 5_000;

/** `send` of many at once; an answer has the first offset of each partition. */
contend(async (job, meter) => {
  const settings = { acks: -1, compression: job.compression };
  meter.settings('producer', settings);
  const checker = new DeliveryChecker(job);
  const producer = await openProducer(job);
  meter.start(0);
  await sendBatches(job, BATCH_RECORDS, 1, async (records) => {
    const { offsets = [] } = await producer.send({
      ...settings,
      messages: records.map(({ headers, ...record }) =>
        headers === undefined
          ? record
          : { ...record, headers: new Map(headers.map(({ name, value }) => [Buffer.from(name), Buffer.from(value)])) },
      ),
    });
    checker.deliveredFrom(
      records,
      offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset: Number(offset) })),
    );
  });
  meter.stop();
  await producer.close();
  return checker.faults(job);
});
