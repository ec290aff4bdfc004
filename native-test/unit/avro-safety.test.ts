import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createAvroDeserializer } from '../../src/avro/deserializer.ts';
import { parseAvroType } from '../../src/avro/parse-type.ts';
import { type AvroSchemaJson, avroSchema } from '../../src/avro/schema.ts';
import { ConfigError, DecodeError } from '../../src/errors.ts';
import { fuzzAvro } from '../fuzz/avro-fuzz.ts';
import { BOMB_HEAP_MB, BOMB_MS, type BombOutcome, bombs } from '../support/avro-bombs.ts';
import { staticSchemas } from '../support/static-schemas.ts';

const place = { topic: 'bombs', partition: 0, offset: 7 };

function decode(schema: AvroSchemaJson, body: Uint8Array, reader?: AvroSchemaJson): unknown {
  const readerSchema = reader === undefined ? undefined : avroSchema<unknown>(reader);
  const deserializer = createAvroDeserializer<unknown>({ registry: staticSchemas(avroSchema(schema).text), readerSchema });
  return deserializer.deserialize(Buffer.concat([Buffer.of(0, 0, 0, 0, 1), body]), place);
}

describe('bombs', () => {
  test(`each is a DecodeError within ${BOMB_MS} ms in a heap of ${BOMB_HEAP_MB} MB`, async () => {
    const worker = new Worker(new URL('../support/avro-bombs.js', import.meta.url), {
      workerData: 'run',
      resourceLimits: { maxOldGenerationSizeMb: BOMB_HEAP_MB, maxYoungGenerationSizeMb: 16 },
    });
    const outcomes = await new Promise<readonly BombOutcome[]>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    assert.equal(outcomes.length, bombs().length);
    for (const { name, error, fastestMs } of outcomes) {
      assert.match(error, /^DecodeError: /, name);
      assert.ok(fastestMs <= BOMB_MS, `${name} took ${fastestMs} ms`);
    }
  });

  test('what they resemble is decoded', () => {
    const nulls = { type: 'array', items: 'null' };
    assert.equal((decode(nulls, avroSchema<null[]>(nulls).type.toBuffer(new Array(10_000).fill(null))) as null[]).length, 10_000);
    const doubles = { type: 'array', items: 'double' };
    const many = Array.from({ length: 100_000 }, (_, index) => index / 3);
    assert.deepEqual(decode(doubles, avroSchema(doubles).type.toBuffer(many)), many);
    const node = { type: 'record', name: 'Node', fields: [{ name: 'next', type: ['null', 'Node'] }] };
    // A chain of 400: a branch index of 1 for each, 0 at the end.
    const chain = Buffer.concat([Buffer.alloc(400, 2), Buffer.of(0)]);
    let depth = 0;
    for (let at = decode(node, chain) as { next: unknown } | null; at !== null; at = at.next as typeof at) depth++;
    assert.equal(depth, 401);
  });

  test('blocks with a size in bytes are read and skipped', () => {
    const list = {
      type: 'record',
      name: 'L',
      fields: [
        { name: 'all', type: { type: 'array', items: 'int' } },
        { name: 'x', type: 'int' },
      ],
    };
    // -2 items, 2 bytes, 1, 2, end; x = 3.
    const body = Buffer.of(3, 4, 2, 4, 0, 6);
    assert.deepEqual({ ...(decode(list, body) as object) }, { all: [1, 2], x: 3 });
    const reader = { type: 'record', name: 'L', fields: [{ name: 'x', type: 'int' }] };
    assert.deepEqual({ ...(decode(list, body, reader) as object) }, { x: 3 });
  });
});

describe('__proto__', () => {
  test('is a key like any other in a map', () => {
    const schema = { type: 'map', values: 'string' };
    const key = Buffer.from('__proto__');
    const body = Buffer.concat([Buffer.of(2, 2 * key.length), key, Buffer.of(2), Buffer.from('v'), Buffer.of(0)]);
    const map = decode(schema, body) as Record<string, string>;
    assert.deepEqual(Object.keys(map), ['__proto__']);
    assert.equal(Object.getPrototypeOf(map), Object.prototype);
    assert.equal(Object.getOwnPropertyDescriptor(map, '__proto__')?.value, 'v');
    assert.deepEqual(avroSchema(schema).type.toBuffer(map), body);
  });

  test('is refused as the name of a field', () => {
    const schema = { type: 'record', name: 'R', fields: [{ name: '__proto__', type: 'int' }] };
    assert.throws(() => avroSchema(schema), /__proto__/);
    assert.throws(
      () => decodeRegistered(JSON.stringify(schema)),
      (error) => error instanceof DecodeError && /__proto__/.test(error.message),
    );
  });

  test('in a default is a key like any other', () => {
    const text = `{"type":"record","name":"R","fields":[{"name":"m","type":{"type":"map","values":"int"},"default":{"__proto__":1}}]}`;
    const { m } = decode({ type: 'record', name: 'R', fields: [] }, Buffer.alloc(0), text) as { m: object };
    assert.deepEqual(Object.entries(m), [['__proto__', 1]]);
  });
});

function decodeRegistered(text: string): unknown {
  return createAvroDeserializer<unknown>({ registry: staticSchemas(text) }).deserialize(Buffer.of(0, 0, 0, 0, 1, 0), place);
}

describe('schemas of others', () => {
  const refused: [name: string, text: string][] = [
    ['with code for a name', '{"type":"record","name":"A(){}; process.exit(); //","fields":[]}'],
    ['with code for a field', '{"type":"record","name":"A","fields":[{"name":"a;process.exit()","type":"int"}]}'],
    ['of more than a megabyte', `{"type":"record","name":"A","doc":"${'x'.repeat(1_100_000)}","fields":[]}`],
    ['nested without end', `${'{"type":"array","items":'.repeat(20_000)}"int"${'}'.repeat(20_000)}`],
    ['that is no JSON', '{"type":'],
  ];
  for (const [name, text] of refused) {
    test(`a schema ${name} is refused`, () => {
      assert.throws(() => parseAvroType(text), ConfigError);
    });
  }

  test('types may have the names of what every object has', () => {
    const schema = { type: 'record', name: 'constructor', fields: [{ name: 'toString', type: 'int' }] };
    assert.deepEqual({ ...(decode(schema, Buffer.of(4)) as object) }, { toString: 2 });
  });

  test('what every object has is no symbol of an enum', () => {
    const { type } = avroSchema<string>({ type: 'enum', name: 'E', symbols: ['A', 'B'] });
    for (const value of ['constructor', 'toString', '__proto__', 'C']) {
      assert.equal(type.isValid(value), false);
      assert.throws(() => type.toBuffer(value));
    }
    assert.deepEqual(type.toBuffer('B'), Buffer.of(2));
  });
});

test('100,000 random and mutated inputs: every one is a value or a DecodeError', () => {
  const { inputs, decoded, refused, heapGrowthBytes } = fuzzAvro(100_000, 20_260_101);
  assert.equal(decoded + refused, inputs);
  assert.ok(decoded > 1_000 && refused > 10_000, `${decoded} decoded, ${refused} refused`);
  assert.ok(heapGrowthBytes < 64 * 1_048_576, `${heapGrowthBytes} bytes`);
});
