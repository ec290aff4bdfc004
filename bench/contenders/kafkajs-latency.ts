import type { KafkaMessage } from 'kafkajs';
import { contend } from '../contender.ts';
import { measureLoad } from '../load.ts';
import { connectConsumer, connectProducer, eachBatch, SEND } from './kafkajs-client.ts';

/** What comes due while a request is under way goes with the next one: KafkaJS has no linger of its own. */
contend(async (job, meter) => {
  const topic = job.outputTopics[0]!;
  const producer = await connectProducer(job, meter);
  const consumer = await connectConsumer(job, meter, [topic]);
  const joined = new Promise<void>((resolve) => consumer.on('consumer.group_join', () => resolve()));
  let take: ((value: Buffer) => boolean) | undefined;
  let ended = false;
  const consuming = eachBatch(
    consumer,
    (messages: readonly KafkaMessage[]) => {
      for (const { value } of messages) if (!ended) ended = !take!(value!);
    },
    () => ended,
  );
  await joined;
  let waiting: { readonly value: Buffer }[] = [];
  let sending: Promise<void> | undefined;
  const sendAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const messages = waiting;
      waiting = [];
      await producer.send({ ...SEND, topic, messages });
    }
    sending = undefined;
  };
  const faults = await measureLoad(job, meter, {
    send(value) {
      waiting.push({ value });
      sending ??= sendAll();
    },
    receive(given) {
      take = given;
      return consuming;
    },
  });
  await sending;
  await consumer.disconnect();
  await producer.disconnect();
  return faults;
});
