import { setImmediate as immediate } from 'node:timers/promises';
import type { Message } from 'node-rdkafka';
import type { Meter } from '../contender.ts';
import type { Job } from '../job.ts';
import { connectConsumer, connectProducer, disconnect, LastOffsets, produceWhenRoom } from './node-rdkafka-client.ts';

/** Batches whose outputs are under way at once. */
const BATCHES_IN_FLIGHT = 8;

/** A batch's offsets and how many of its outputs are not delivered yet. */
interface Outputs {
  readonly offsets: { topic: string; partition: number; offset: number }[];
  outstanding: number;
}

/**
 * Consumes, lets `transform` make each record's output, and produces. Offsets are stored batch after batch, once all outputs of a batch are
 * delivered: the same guarantee as the toolkit's. Gives what went wrong with the outputs.
 */
export async function copyRecords(job: Job, meter: Meter, transform: (message: Message) => Buffer | null): Promise<string[]> {
  const last = new LastOffsets();
  const topic = job.outputTopics[0]!;
  const producer = await connectProducer(job);
  const consumer = await connectConsumer(job);
  const pending: Outputs[] = [];
  let failed = 0;
  producer.on('delivery-report', (error, report) => {
    if (error) failed++;
    (report.opaque as Outputs).outstanding--;
    while (pending[0]?.outstanding === 0) consumer.offsetsStore(pending.shift()!.offsets);
  });
  const take = (): Promise<Message[]> =>
    new Promise((resolve, reject) => consumer.consume(1000, (error, messages) => (error ? reject(error) : resolve(messages))));
  for (let count = 0; count < job.records; ) {
    const messages = await take();
    if (messages.length === 0) continue;
    if (!meter.started) meter.start(messages.length);
    const outputs: Outputs = { offsets: [], outstanding: messages.length };
    pending.push(outputs);
    for (const message of messages) {
      last.note(message);
      await produceWhenRoom(producer, topic, { value: transform(message), key: message.key }, outputs);
    }
    outputs.offsets.push(...last.take());
    count += messages.length;
    producer.poll();
    while (pending.length > BATCHES_IN_FLIGHT) {
      await immediate();
      producer.poll();
    }
  }
  await new Promise<void>((resolve, reject) => producer.flush(60_000, (error) => (error ? reject(error) : resolve())));
  for (const deadline = Date.now() + 10_000; pending.length > 0 && Date.now() < deadline; ) {
    producer.poll();
    await immediate();
  }
  meter.stop();
  await disconnect(consumer);
  await disconnect(producer);
  return failed > 0 || pending.length > 0 ? [`${failed} outputs failed, ${pending.length} batches without all reports`] : [];
}
