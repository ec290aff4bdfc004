import { setImmediate as immediate } from 'node:timers/promises';
import rdkafka, { type Message, type Producer } from 'node-rdkafka';
import { contend } from '../contender.ts';
import { RecordChecker } from '../records.ts';
import { connectConsumer, connectProducer, disconnect, LastOffsets } from './node-rdkafka-client.ts';

/** Batches whose outputs are under way at once. */
const BATCHES_IN_FLIGHT = 8;

/** A batch's offsets and how many of its outputs are not delivered yet. */
interface Outputs {
  readonly offsets: { topic: string; partition: number; offset: number }[];
  outstanding: number;
}

/** Offsets are stored batch after batch, once all outputs of a batch are delivered: the same guarantee as the toolkit's. */
contend(async (job, meter) => {
  const checker = new RecordChecker(job.inputTopics);
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
  while (checker.count < job.records) {
    const messages = await take();
    if (messages.length === 0) continue;
    if (!meter.started) meter.start(messages.length);
    const outputs: Outputs = { offsets: [], outstanding: messages.length };
    pending.push(outputs);
    for (const message of messages) {
      checker.check(message.topic, message.partition, message.offset, message.key as Buffer | null, message.value);
      last.note(message);
      await produce(producer, topic, message, outputs);
    }
    outputs.offsets.push(...last.take());
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
  const faults = checker.faults({ records: job.records, whole: true });
  if (failed > 0 || pending.length > 0) faults.push(`${failed} outputs failed, ${pending.length} batches without all reports`);
  return faults;
});

/** Undefined, so without a promise, unless the queue is full. */
function produce(producer: Producer, topic: string, { value, key }: Message, outputs: Outputs): Promise<void> | undefined {
  try {
    producer.produce(topic, null, value, key ?? null, null, outputs);
    return undefined;
  } catch (error) {
    if ((error as { code?: number }).code !== rdkafka.CODES.ERRORS.ERR__QUEUE_FULL) throw error;
    producer.poll();
    return immediate().then(() => produce(producer, topic, { value, key } as Message, outputs));
  }
}
