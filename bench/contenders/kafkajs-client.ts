import { CompressionTypes, type Consumer, Kafka, type KafkaMessage, logLevel, type Producer } from 'kafkajs';
import { contend, type Meter } from '../contender.ts';
import { type Job, varsOf } from '../job.ts';
import { RecordChecker } from '../records.ts';

function kafkaOf(job: Job): Kafka {
  return new Kafka({ clientId: job.groupId, brokers: job.bootstrapServers.split(','), logLevel: logLevel.NOTHING });
}

/** A consumer that fetches as much as the others do and commits in the background like them. */
export async function connectConsumer(job: Job, meter: Meter, topics: readonly string[] = job.inputTopics): Promise<Consumer> {
  const vars = varsOf(job);
  const settings = {
    maxBytesPerPartition: vars.CONSUMER_FETCH_MAX_PARTITION_MB * 1024 * 1024,
    maxBytes: vars.MESSAGE_TOTAL_MAX_MB * 1024 * 1024,
    minBytes: 1,
    maxWaitTimeInMs: 500,
  };
  meter.settings('consumer', settings);
  const consumer = kafkaOf(job).consumer({ groupId: job.groupId, ...settings });
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  return consumer;
}

/** What every `send` is made with: acknowledged by all replicas, as the others are. */
export const SEND: { readonly acks: number; readonly compression: CompressionTypes } = { acks: -1, compression: CompressionTypes.None };

/** A producer to topics that are there. */
export async function connectProducer(job: Job, meter: Meter): Promise<Producer> {
  const settings = { allowAutoTopicCreation: false };
  meter.settings('producer', { ...settings, ...SEND });
  const producer = kafkaOf(job).producer(settings);
  await producer.connect();
  return producer;
}

/** Takes batches until `done`; those of several partitions at once. */
export async function eachBatch(
  consumer: Consumer,
  take: (messages: readonly KafkaMessage[]) => Promise<void> | void,
  done: () => boolean,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
    consumer
      .run({
        partitionsConsumedConcurrently: 4,
        eachBatch: async ({ batch: { messages } }) => {
          await take(messages);
          if (done()) resolve();
        },
      })
      .catch(reject);
  });
}

/** KafkaJS's consumer, by `eachBatch` or `eachMessage`, every record checked. */
export function runKafkaJs(by: 'eachBatch' | 'eachMessage'): void {
  contend(async (job: Job, meter: Meter) => {
    const checker = new RecordChecker(job);
    const consumer = await connectConsumer(job, meter);
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
    return checker.faults();
  });
}
