import { setImmediate as immediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Message } from 'node-rdkafka';
import { consumeMessageBatch, createAvroConsumer, createAvroProducer, createSchemaRegistry, enqueueAutoCommits } from 'rdkafka-toolkit';
import { consumerSettings } from '../../../src/config/consumer-config.ts';
import { producerSettings } from '../../../src/config/producer-config.ts';
import { connectConsumer, connectProducer, disconnect, LastOffsets, produceWhenRoom } from '../../contenders/node-rdkafka-client.ts';
import { runProgram } from '../../programs.ts';
import { Clock } from '../clock.ts';
import { charge } from '../handlers/charge.ts';
import type { AvroJob, AvroReport } from '../job.ts';
import { kafkaJsClients, PlainAvro } from '../peers.ts';
import { type Trip, tripSchemas } from '../records.ts';
import { baseJob, varsOf } from './decode.ts';
import { measurePool, poolOptions } from './pool.ts';

/** Batches whose outputs are under way at once, in the loops by hand. */
const BATCHES_IN_FLIGHT = 8;

/** Consume, decode, change a field, encode, produce with acks=all, every report, offsets stored once the outputs are acknowledged. */
export function pipelineCase(job: AvroJob): Promise<AvroReport> {
  if (job.contender === 'toolkit') return byToolkit(job);
  if (job.contender === 'node-rdkafka') return byNodeRdkafka(job);
  if (job.contender === 'kafkajs') return byKafkaJs(job);
  if (job.contender === 'confluent-kafka-python') return byPython(job);
  return measurePool(job, poolOptions(job.contender, `charge-${job.fields}`), true);
}

async function byToolkit(job: AvroJob): Promise<AvroReport> {
  const vars = varsOf(job);
  const registry = createSchemaRegistry({ vars });
  const valueSchema = tripSchemas[job.fields];
  const consumer = await createAvroConsumer<string | null, Trip>({ vars, topics: job.inputTopics, registry });
  const producer = await createAvroProducer({ vars, registry, valueSchema, preload: [job.outputTopic] });
  const clock = new Clock();
  for (let count = 0; count < job.records; ) {
    const limit = { count: Math.min(1_000, job.records - count), timeoutMs: 60_000 };
    const records = await consumeMessageBatch(consumer, undefined, limit);
    if (!clock.started) clock.start(records.length);
    await producer.enqueueBatch(records.map(({ key, value }) => ({ topic: job.outputTopic, key, value: charge(value) })));
    count += records.length;
    enqueueAutoCommits(consumer, records);
  }
  await producer.flush({ timeoutMs: 60_000 });
  clock.stop();
  await consumer.close();
  await producer.close();
  return clock.report(job.records, []);
}

interface Outputs {
  readonly offsets: { topic: string; partition: number; offset: number }[];
  outstanding: number;
}

async function byNodeRdkafka(job: AvroJob): Promise<AvroReport> {
  const codec = new PlainAvro(job);
  const last = new LastOffsets();
  const clock = new Clock();
  const producer = await connectProducer(baseJob(job));
  const consumer = await connectConsumer(baseJob(job));
  const pending: Outputs[] = [];
  let failed = 0;
  let count = 0;
  producer.on('delivery-report', (error, report) => {
    if (error) failed++;
    (report.opaque as Outputs).outstanding--;
    while (pending[0]?.outstanding === 0) consumer.offsetsStore(pending.shift()!.offsets);
  });
  const take = (): Promise<Message[]> =>
    new Promise((resolve, reject) => consumer.consume(1000, (error, messages) => (error ? reject(error) : resolve(messages))));
  while (count < job.records) {
    const messages = await take();
    if (messages.length === 0) continue;
    if (!clock.started) clock.start(messages.length);
    const outputs: Outputs = { offsets: [], outstanding: messages.length };
    pending.push(outputs);
    for (const message of messages) {
      last.note(message);
      const value = codec.encode(charge(codec.decode(message.value as Buffer)));
      await produceWhenRoom(producer, job.outputTopic, { value, key: message.key as Buffer | null }, outputs);
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
  clock.stop();
  await disconnect(consumer);
  await disconnect(producer);
  return clock.report(job.records, failed > 0 || pending.length > 0 ? [`${failed} outputs failed, ${pending.length} batches open`] : []);
}

/** Each batch is produced with one request, and its offsets resolved by KafkaJS itself once that is acknowledged. */
async function byKafkaJs(job: AvroJob): Promise<AvroReport> {
  const codec = new PlainAvro(job);
  const clock = new Clock();
  const { consumer, producer } = kafkaJsClients(job, varsOf(job));
  await producer.connect();
  await consumer.connect();
  await consumer.subscribe({ topics: [...job.inputTopics], fromBeginning: true });
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
    consumer
      .run({
        partitionsConsumedConcurrently: 4,
        eachBatch: async ({ batch: { messages } }) => {
          if (!clock.started) clock.start(messages.length);
          const outputs = messages.map(({ key, value }) => ({ key, value: codec.encode(charge(codec.decode(value!))) }));
          await producer.send({ topic: job.outputTopic, acks: -1, messages: outputs });
          count += messages.length;
          if (count < job.records) return;
          clock.stop();
          resolve();
        },
      })
      .catch(reject);
  });
  await consumer.disconnect();
  await producer.disconnect();
  return clock.report(job.records, []);
}

/** Compiled to dist/, where no Python file is copied. */
const SCRIPT = new URL('../../../../bench/avro/confluent-kafka.py', import.meta.url);

async function byPython(job: AvroJob): Promise<AvroReport> {
  const vars = varsOf(job);
  const settings = { consumer: consumerSettings(vars), producer: producerSettings(vars) };
  const input = JSON.stringify({ ...job, settings, schema: JSON.parse(tripSchemas[job.fields].text) });
  const { output } = await runProgram('python3', [fileURLToPath(SCRIPT)], input);
  const { recordsPerSecond, cpuMicrosPerRecord, delivered } = JSON.parse(output) as Record<string, number>;
  const faults = delivered === job.records ? [] : [`${delivered} outputs instead of ${job.records}`];
  return { recordsPerSecond: recordsPerSecond!, cpuMicrosPerRecord: cpuMicrosPerRecord!, mainMicrosPerRecord: undefined, faults };
}
