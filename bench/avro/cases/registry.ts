import { SchemaRegistry } from '@kafkajs/confluent-schema-registry';
import { createAvroDeserializer, createSchemaRegistry } from 'rdkafka-toolkit';
import { Clock, sumFaults } from '../clock.ts';
import type { AvroJob, AvroReport } from '../job.ts';
import { expectedFares, fareSchema, makeTrip, type Trip, tripSchemas } from '../records.ts';
import { varsOf } from './decode.ts';

/** The kafkajs registry takes half a millisecond a record with a reader schema. */
const SLOW_SHARE = 1 / 100;

/** Decodes values that are in memory already: a registry's `decode` beside ours. */
export async function registryCase(job: AvroJob): Promise<AvroReport> {
  const project = job.contender.endsWith('-reader');
  const theirs = job.contender.startsWith('kafkajs');
  const count = theirs && project ? Math.ceil(job.records * SLOW_SHARE) : job.records;
  const registry = createSchemaRegistry({ vars: varsOf(job) });
  const id = await registry.latest(`bench-${job.fields}`);
  const { type } = tripSchemas[job.fields];
  const values = Array.from({ length: 1_000 }, (_, trip) => {
    const body = type.toBuffer(makeTrip(trip, job.fields));
    const head = Buffer.from([0, 0, 0, 0, 0]);
    head.writeUInt32BE(id, 1);
    return Buffer.concat([head, body]);
  });
  const clock = new Clock();
  const measure = theirs ? byKafkaJs : byToolkit;
  const sum = await measure(job, values, count, project, clock);
  clock.stop();
  const whole = Math.floor(count / values.length);
  return clock.report(count, sumFaults(sum, whole * expectedFares(values.length) + expectedFares(count % values.length)));
}

const place = { topic: 'bench', partition: 0, offset: 0 };

async function byToolkit(job: AvroJob, values: readonly Buffer[], count: number, project: boolean, clock: Clock): Promise<number> {
  const registry = createSchemaRegistry({ vars: varsOf(job) });
  const readerSchema = project ? fareSchema : undefined;
  const deserializer = createAvroDeserializer<Pick<Trip, 'fare'>>({ registry, readerSchema });
  await deserializer.prepareAt!(values[0]!, 0, values[0]!.length);
  clock.start(0);
  let sum = 0;
  for (let index = 0; index < count; index++) sum += deserializer.deserialize(values[index % values.length]!, place).fare;
  return sum;
}

async function byKafkaJs(job: AvroJob, values: readonly Buffer[], count: number, project: boolean, clock: Clock): Promise<number> {
  const registry = new SchemaRegistry({ host: job.registryUrl });
  const options = { AVRO: { readerSchema: JSON.parse(fareSchema.text) } };
  const decode = (value: Buffer): Promise<Trip> =>
    (project ? registry.decode(value, options as never) : registry.decode(value)) as Promise<Trip>;
  await decode(values[0]!);
  clock.start(0);
  let sum = 0;
  for (let index = 0; index < count; index++) sum += (await decode(values[index % values.length]!)).fare;
  return sum;
}
