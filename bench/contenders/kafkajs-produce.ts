import { contend } from '../contender.ts';
import { DeliveryChecker } from '../records.ts';
import { sendBatches } from './batches.ts';
import { connectProducer, SEND } from './kafkajs-client.ts';

const BATCH_RECORDS = 10_000;

/** `sendBatch` of as many records as the toolkit's batches hold; an answer has the first offset of each partition. */
contend(async (job, meter) => {
  const checker = new DeliveryChecker(job);
  const producer = await connectProducer(job, meter);
  meter.start(0);
  await sendBatches(job, BATCH_RECORDS, 1, async (records) => {
    const answers = await producer.sendBatch({
      ...SEND,
      topicMessages: job.outputTopics.map((topic) => ({
        topic,
        messages: records
          .filter((record) => record.topic === topic)
          .map(({ key, value, partition, headers }) => ({
            key,
            value,
            partition,
            ...(headers === undefined ? {} : { headers: Object.fromEntries(headers.map((header) => [header.name, header.value])) }),
          })),
      })),
    });
    checker.deliveredFrom(
      records,
      answers.map(({ topicName, partition, baseOffset }) => ({ topic: topicName, partition, offset: Number(baseOffset) })),
    );
  });
  meter.stop();
  await producer.disconnect();
  return checker.faults(job);
});
