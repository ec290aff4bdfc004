import { parentPort, workerData } from 'node:worker_threads';
import { createAvroDeserializer } from '../../src/avro/deserializer.ts';
import { type AvroSchemaJson, avroSchema } from '../../src/avro/schema.ts';
import { staticSchemas } from './static-schemas.ts';

/** Limits of a bomb. */
export const BOMB_MS = 50;
export const BOMB_HEAP_MB = 64;

/** Few bytes that claim much. */
export interface Bomb {
  readonly name: string;
  readonly writer: AvroSchemaJson;
  readonly reader?: AvroSchemaJson;
  readonly body: Buffer;
}

export interface BombOutcome {
  readonly name: string;
  readonly error: string;
  /** Of three times, so that a busy machine does not count. */
  readonly fastestMs: number;
}

/** An Avro long. */
function long(value: bigint): Buffer {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

const array = (items: unknown): AvroSchemaJson => ({ type: 'array', items });
const record = (name: string, ...fields: object[]): AvroSchemaJson => ({ type: 'record', name, fields });
const skipped = { name: 'skipped', type: array('int') };
const kept = { name: 'kept', type: 'int', default: 0 };
const list = record('Node', { name: 'next', type: ['Node', 'null'] });
const tree = record('Tree', { name: 'all', type: array('Tree') });
const emptyRecord = record('Empty');

export function bombs(): Bomb[] {
  const counts = [2n ** 31n, 5n * 10n ** 7n, 2n ** 53n, 2n ** 62n, -(2n ** 31n), -(2n ** 63n)];
  const items: [name: string, items: unknown][] = [
    ['ints', 'int'],
    ['nulls', 'null'],
    ['empty records', emptyRecord],
    ['fixed of no bytes', { type: 'fixed', name: 'None', size: 0 }],
    ['strings', 'string'],
  ];
  const claims = items.flatMap(([name, type]) =>
    counts.map((count) => ({
      name: `an array of ${count} ${name}`,
      writer: array(type),
      body: Buffer.concat([long(count), Buffer.alloc(3)]),
    })),
  );
  const blocksOfNulls = Buffer.concat(Array.from({ length: 10_000 }, () => long(60_000n)));
  return [
    ...claims,
    ...counts.map((count) => ({ name: `a map of ${count}`, writer: { type: 'map', values: 'null' }, body: long(count) })),
    ...counts.map((length) => ({ name: `a string of ${length} bytes`, writer: 'string', body: long(length) })),
    ...counts.map((length) => ({ name: `${length} bytes`, writer: 'bytes', body: long(length) })),
    ...counts.map((count) => ({
      name: `a skipped array of ${count}`,
      writer: record('R', skipped, kept),
      reader: record('R', kept),
      body: long(count),
    })),
    {
      name: 'a skipped block of a size below zero',
      writer: record('R', skipped, kept),
      reader: record('R', kept),
      body: Buffer.concat([long(-1n), long(-2n), Buffer.alloc(9)]),
    },
    { name: 'many blocks of nulls', writer: array('null'), body: blocksOfNulls },
    { name: 'arrays of nulls in an array', writer: array(array('null')), body: Buffer.concat([long(10_000n), blocksOfNulls]) },
    { name: 'a list 10^5 deep', writer: list, body: Buffer.alloc(100_000) },
    { name: 'a list that goes on beyond the end', writer: list, body: Buffer.alloc(0) },
    { name: 'a tree 10^5 deep', writer: tree, body: Buffer.alloc(100_000, 2) },
    {
      name: 'a skipped tree 10^5 deep',
      writer: record('R', { name: 't', type: tree }, kept),
      reader: record('R', kept),
      body: Buffer.alloc(100_000, 2),
    },
    { name: 'a record within itself', writer: record('Self', { name: 'self', type: 'Self' }), body: Buffer.alloc(10) },
    { name: 'an endless varint', writer: 'long', body: Buffer.alloc(100_000, 0x80) },
    { name: 'an endless count', writer: array('int'), body: Buffer.alloc(1_000_000, 0xff) },
  ];
}

function run({ name, writer, reader, body }: Bomb): BombOutcome {
  const readerSchema = reader === undefined ? undefined : avroSchema<unknown>(reader);
  const deserializer = createAvroDeserializer({ registry: staticSchemas(avroSchema(writer).text), readerSchema });
  const data = Buffer.concat([Buffer.of(0, 0, 0, 0, 1), body]);
  let error = 'decoded';
  let fastestMs = Number.POSITIVE_INFINITY;
  for (let time = 0; time < 3; time++) {
    const startedAt = performance.now();
    try {
      deserializer.deserialize(data, { topic: 'bombs', partition: 0, offset: 0 });
    } catch (thrown) {
      error = String(thrown);
    }
    fastestMs = Math.min(fastestMs, performance.now() - startedAt);
  }
  return { name, error, fastestMs };
}

if (workerData === 'run') parentPort?.postMessage(bombs().map(run));
