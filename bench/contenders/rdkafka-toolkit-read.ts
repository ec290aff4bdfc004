import { consumeMessageBatch, createConsumer, enqueueAutoCommits, NoMessageError } from 'rdkafka-toolkit';
import { answer, Meter } from '../contender.ts';
import { varsOf } from '../job.ts';

/** After so long without a record the topic has ended: markers and compaction leave fewer records than offsets. */
const END_MS = 5_000;

/** Reads a topic of which nothing is known, up to so many records. */
answer(async (job) => {
  const meter = new Meter();
  const consumer = await createConsumer({ vars: varsOf(job), topics: job.inputTopics });
  let count = 0;
  try {
    while (count < job.records) {
      const records = await consumeMessageBatch(consumer, undefined, { count: 1_000, timeoutMs: count === 0 ? 60_000 : END_MS });
      if (!meter.started) meter.start(records.length);
      count += records.length;
      enqueueAutoCommits(consumer, records);
      meter.stop();
    }
  } catch (error) {
    if (!(error instanceof NoMessageError)) throw error;
  }
  await consumer.close();
  return meter.report(count, []);
});
