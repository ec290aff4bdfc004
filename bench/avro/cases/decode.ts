import avro from 'avsc';
import {
  consumeMessageBatch,
  createAvroConsumer,
  createConsumer,
  createSchemaRegistry,
  enqueueAutoCommits,
  parseRuntimeVars,
  type RuntimeVars,
} from 'rdkafka-toolkit';
import { connectConsumer, consumeBatches, disconnect, LastOffsets } from '../../contenders/node-rdkafka-client.ts';
import { Clock, sumFaults } from '../clock.ts';
import type { AvroJob, AvroReport } from '../job.ts';
import { kafkaJsClients, PlainAvro } from '../peers.ts';
import { expectedFares, fareSchema, type Trip, tripSchemas } from '../records.ts';

/** The runtime variables of a job. */
export function varsOf({ bootstrapServers, registryUrl, groupId, vars }: AvroJob): RuntimeVars {
  return parseRuntimeVars({
    ...process.env,
    ...vars,
    KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
    SCHEMA_REGISTRY_URL: registryUrl,
    APP_NAME: groupId,
    CONSUMER_STATIC_MEMBERSHIP: 'false',
    CONSUMER_AUTO_OFFSET_RESET: 'earliest',
    CONSUMER_ENABLE_AUTO_COMMIT: 'true',
  });
}

const BATCH = { count: 1_000, timeoutMs: 60_000 };

/** Consumes and decodes to objects, adds up a field. */
export async function decodeCase(job: AvroJob): Promise<AvroReport> {
  const { sum, clock } = await contenders[job.contender]!(job);
  return clock.report(job.records, sumFaults(sum, expectedFares(job.records)));
}

interface Decoded {
  readonly sum: number;
  readonly clock: Clock;
}

const contenders: Readonly<Record<string, (job: AvroJob) => Promise<Decoded>>> = {
  toolkit: (job) => byToolkit(job, false),
  projection: (job) => byToolkit(job, true),
  bare: (job) => bare(job, false),
  'bare-projection': (job) => bare(job, true),
  'node-rdkafka': byNodeRdkafka,
  kafkajs: byKafkaJs,
};

async function byToolkit(job: AvroJob, project: boolean): Promise<Decoded> {
  const vars = varsOf(job);
  const registry = createSchemaRegistry({ vars });
  const valueSchema = project ? fareSchema : undefined;
  const consumer = await createAvroConsumer<string | null, Pick<Trip, 'fare'>>({ vars, topics: job.inputTopics, registry, valueSchema });
  const clock = new Clock();
  let sum = 0;
  for (let count = 0; count < job.records; ) {
    const records = await consumeMessageBatch(consumer, undefined, { ...BATCH, count: Math.min(BATCH.count, job.records - count) });
    if (!clock.started) clock.start(records.length);
    for (const { value } of records) sum += value.fare;
    count += records.length;
    enqueueAutoCommits(consumer, records);
  }
  clock.stop();
  await consumer.close();
  return { sum, clock };
}

/** The same consumer without a deserializer, and avsc's `type.decode` on the bytes of the batch: no check, no guard, no cache. */
async function bare(job: AvroJob, project: boolean): Promise<Decoded> {
  const writer = avro.Type.forSchema(JSON.parse(tripSchemas[job.fields].text) as avro.Schema);
  const type = project ? avro.Type.forSchema(JSON.parse(fareSchema.text) as avro.Schema) : writer;
  const resolver = project ? type.createResolver(writer) : undefined;
  const inPlace = type as unknown as { decode(bytes: Buffer, start: number, resolver: unknown): { value: Trip } };
  const consumer = await createConsumer({ vars: varsOf(job), topics: job.inputTopics });
  const clock = new Clock();
  let sum = 0;
  for (let count = 0; count < job.records; ) {
    const records = await consumeMessageBatch(consumer, undefined, { ...BATCH, count: Math.min(BATCH.count, job.records - count) });
    if (!clock.started) clock.start(records.length);
    for (const { batch, index } of records) sum += inPlace.decode(batch.bytes, batch.valueStart(index) + 5, resolver).value.fare;
    count += records.length;
    enqueueAutoCommits(consumer, records);
  }
  clock.stop();
  await consumer.close();
  return { sum, clock };
}

async function byNodeRdkafka(job: AvroJob): Promise<Decoded> {
  const codec = new PlainAvro(job);
  const last = new LastOffsets();
  const clock = new Clock();
  const consumer = await connectConsumer(baseJob(job));
  let sum = 0;
  let count = 0;
  await consumeBatches(consumer, 1_000, (messages) => {
    if (!clock.started) clock.start(messages.length);
    for (const message of messages) {
      sum += codec.decode(message.value as Buffer).fare;
      last.note(message);
    }
    consumer.offsetsStore(last.take());
    count += messages.length;
    return count < job.records;
  });
  clock.stop();
  await disconnect(consumer);
  return { sum, clock };
}

/** A job as the contenders of the other bench take it. */
export function baseJob(job: AvroJob): Parameters<typeof connectConsumer>[0] {
  const { bootstrapServers, groupId, inputTopics, outputTopic, records, vars } = job;
  const outputTopics = [outputTopic];
  return { client: 'node-rdkafka', mode: 'batch', bootstrapServers, groupId, records, vars, headers: 0, inputTopics, outputTopics };
}

async function byKafkaJs(job: AvroJob): Promise<Decoded> {
  const codec = new PlainAvro(job);
  const clock = new Clock();
  const { consumer } = kafkaJsClients(job, varsOf(job));
  await consumer.connect();
  await consumer.subscribe({ topics: [...job.inputTopics], fromBeginning: true });
  let sum = 0;
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
    const eachBatch = async ({
      batch,
    }: {
      readonly batch: { readonly messages: readonly { readonly value: Buffer | null }[] };
    }): Promise<void> => {
      if (!clock.started) clock.start(batch.messages.length);
      for (const { value } of batch.messages) sum += codec.decode(value!).fare;
      count += batch.messages.length;
      if (count < job.records) return;
      clock.stop();
      resolve();
    };
    consumer.run({ eachBatch }).catch(reject);
  });
  await consumer.disconnect();
  return { sum, clock };
}
