import { setImmediate as immediate } from 'node:timers/promises';
import rdkafka, { type KafkaConsumer, type Message, type Producer } from 'node-rdkafka';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { routeConfig } from '../../src/config/librdkafka-config.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { type Job, varsOf } from '../job.ts';

/** node-rdkafka restarts its timeout with every record, so a long one would hold an incomplete batch back. */
const CONSUME_TIMEOUT_MS = 5;

/** node-rdkafka, or a fork of it with the same clients. */
export type Binding = Pick<typeof rdkafka, 'KafkaConsumer' | 'Producer'>;

/** A raw consumer that has joined its group, with the settings `createConsumer` would use. */
export async function connectConsumer(
  job: Job,
  topics: readonly string[] = job.inputTopics,
  binding: Binding = rdkafka,
): Promise<KafkaConsumer> {
  const { global, topic } = routeConfig('consumer', consumerSettings(varsOf(job)));
  const consumer = new binding.KafkaConsumer(global, topic);
  await new Promise<void>((resolve, reject) => {
    consumer.connect({}, (error) => (error ? reject(error) : resolve()));
  });
  consumer.setDefaultConsumeTimeout(CONSUME_TIMEOUT_MS);
  consumer.subscribe([...topics]);
  return consumer;
}

/** A raw producer with the settings `createProducer` would use; every record gets a delivery report. */
export async function connectProducer(job: Job, binding: Binding = rdkafka): Promise<Producer> {
  const { global, topic } = routeConfig('producer', producerSettings(varsOf(job)));
  const producer = new binding.Producer({ ...global, dr_cb: true }, topic);
  await new Promise<void>((resolve, reject) => {
    producer.connect({}, (error) => (error ? reject(error) : resolve()));
  });
  return producer;
}

export function disconnect(client: KafkaConsumer | Producer): Promise<void> {
  return new Promise((resolve) => client.disconnect(() => resolve()));
}

/** Takes batches, the next one from the callback of the last, until `onMessages` returns false. */
export function consumeBatches(consumer: KafkaConsumer, count: number, onMessages: (messages: Message[]) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (): void => {
      consumer.consume(count, (error, messages) => {
        if (error) reject(error);
        else if (messages.length === 0 || onMessages(messages)) next();
        else resolve();
      });
    };
    next();
  });
}

/** Undefined, so without a promise, unless the queue is full. `opaque` comes back with the report. */
export function produceWhenRoom(
  producer: Producer,
  topic: string,
  { value, key }: { readonly value: Message['value']; readonly key?: Message['key'] | undefined },
  opaque: object,
): Promise<void> | undefined {
  try {
    producer.produce(topic, null, value, key ?? null, null, opaque);
    return undefined;
  } catch (error) {
    if ((error as { code?: number }).code !== rdkafka.CODES.ERRORS.ERR__QUEUE_FULL) throw error;
    producer.poll();
    return immediate().then(() => produceWhenRoom(producer, topic, { value, key }, opaque));
  }
}

/** Last message of each partition of a batch, which is all that has to be stored. */
export class LastOffsets {
  readonly #topics = new Map<string, Message[]>();

  note(message: Message): void {
    const partitions = this.#topics.get(message.topic);
    if (partitions === undefined) {
      const first: Message[] = [];
      first[message.partition] = message;
      this.#topics.set(message.topic, first);
    } else partitions[message.partition] = message;
  }

  /** Offsets to store for what was noted since the last call. */
  take(): { topic: string; partition: number; offset: number }[] {
    const offsets: { topic: string; partition: number; offset: number }[] = [];
    for (const partitions of this.#topics.values()) {
      for (const { topic, partition, offset } of Object.values(partitions)) offsets.push({ topic, partition, offset: offset + 1 });
      partitions.length = 0;
    }
    return offsets;
  }
}
