import { SchemaRegistry } from '@kafkajs/confluent-schema-registry';
import { createAvroDeserializer, createAvroSerializer, createSchemaRegistry, parseRuntimeVars } from 'rdkafka-toolkit';
import type { Bench } from 'tinybench';
import { PlainAvro } from '../avro/plain-avro.ts';
import { fareSchema, makeTrip, subjectOf, type Trip, tripSchemas } from '../avro/records.ts';
import { ROUND } from './round.ts';

/** Sums are given back, so that nothing can be left out as unused. */
export async function addCodecTasks(bench: Bench, registryUrl: string): Promise<void> {
  const vars = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: 'unused:9092', SCHEMA_REGISTRY_URL: registryUrl });
  const registry = createSchemaRegistry({ vars });
  const id = await registry.register(subjectOf(9), tripSchemas[9].text);
  const trips = Array.from({ length: ROUND }, (_, trip) => makeTrip(trip, 9));
  const values = trips.map((trip) => {
    const head = Buffer.from([0, 0, 0, 0, 0]);
    head.writeUInt32BE(id, 1);
    return Buffer.concat([head, tripSchemas[9].type.toBuffer(trip)]);
  });
  // As a consumer has them: one behind the other in a batch's memory.
  const batch = Buffer.concat(values);
  let size = 0;
  const ends = values.map(({ length }) => (size += length));
  const place = { topic: 'bench', partition: 0, offset: 0 };
  for (const [name, readerSchema] of [
    ['decode', undefined],
    ['decode one field', fareSchema],
  ] as const) {
    const deserializer = createAvroDeserializer<Pick<Trip, 'fare'>>({ registry, readerSchema });
    await deserializer.prepareAt!(values[0]!, 0, values[0]!.length);
    bench.add(`codec: ${name}`, () => {
      let sum = 0;
      for (const value of values) sum += deserializer.deserialize(value, place).fare;
      return sum;
    });
    bench.add(`codec: ${name}, in a batch`, () => {
      let sum = 0;
      let start = 0;
      for (const end of ends) {
        sum += deserializer.deserializeAt!(batch, start, end, place).fare;
        start = end;
      }
      return sum;
    });
  }
  const plain = new PlainAvro(9);
  bench.add('codec: decode by avsc alone', () => {
    let sum = 0;
    for (const value of values) sum += plain.decode(value).fare;
    return sum;
  });
  const theirs = new SchemaRegistry({ host: registryUrl });
  bench.add('codec: decode by @kafkajs/confluent-schema-registry', async () => {
    let sum = 0;
    for (const value of values) sum += ((await theirs.decode(value)) as Trip).fare;
    return sum;
  });
  const serializer = createAvroSerializer<Trip>({ registry, schema: tripSchemas[9], autoRegister: false, subject: subjectOf(9) });
  const context = { topic: 'bench', isKey: false };
  await serializer.prepare?.(context);
  bench.add('codec: encode', () => {
    let bytes = 0;
    for (const trip of trips) bytes += serializer.serialize(trip, context)?.length ?? 0;
    return bytes;
  });
  bench.add('codec: encode by avsc alone', () => {
    let bytes = 0;
    for (const trip of trips) bytes += plain.encode(trip).length;
    return bytes;
  });
}
