import { type Consumer, Kafka, type KafkaMessage, logLevel } from 'kafkajs';
import { contend, type Meter } from '../contender.ts';
import { type Job, varsOf } from '../job.ts';
import { RecordChecker } from '../records.ts';

/** Fetches as much as the others do; commits in the background like them. */
function connect(job: Job): Consumer {
  const vars = varsOf(job);
  const kafka = new Kafka({ clientId: job.groupId, brokers: job.bootstrapServers.split(','), logLevel: logLevel.NOTHING });
  return kafka.consumer({
    groupId: job.groupId,
    maxBytesPerPartition: vars.CONSUMER_FETCH_MAX_PARTITION_MB * 1024 * 1024,
    maxBytes: vars.MESSAGE_TOTAL_MAX_MB * 1024 * 1024,
    minBytes: 1,
    maxWaitTimeInMs: 500,
  });
}

/** KafkaJS's consumer, by `eachBatch` or `eachMessage`, every record checked. */
export function runKafkaJs(by: 'eachBatch' | 'eachMessage'): void {
  contend(async (job: Job, meter: Meter) => {
    const checker = new RecordChecker(job.inputTopics, job.headers);
    const consumer = connect(job);
    await consumer.connect();
    await consumer.subscribe({ topics: [...job.inputTopics], fromBeginning: true });
    const check = (topic: string, partition: number, { offset, key, value, headers }: KafkaMessage): void => {
      checker.check(topic, partition, Number(offset), key, value);
      if (job.headers > 0) checker.checkHeaders(Object.keys(headers ?? {}).length, headers?.['trace-id'] as Buffer | undefined);
    };
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        if (checker.count < job.records) return;
        meter.stop();
        resolve();
      };
      consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      consumer
        .run(
          by === 'eachBatch'
            ? {
                eachBatch: async ({ batch: { topic, partition, messages } }) => {
                  if (!meter.started) meter.start(messages.length);
                  for (const message of messages) check(topic, partition, message);
                  done();
                },
              }
            : {
                eachMessage: async ({ topic, partition, message }) => {
                  if (!meter.started) meter.start(1);
                  check(topic, partition, message);
                  done();
                },
              },
        )
        .catch(reject);
    });
    await consumer.disconnect();
    return checker.faults({ records: job.records, whole: true });
  });
}
