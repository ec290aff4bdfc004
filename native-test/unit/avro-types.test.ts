import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AvroDecimal } from '../../src/avro/decimal.ts';
import { createAvroDeserializer } from '../../src/avro/deserializer.ts';
import { standardLogicalTypes } from '../../src/avro/logical-types.ts';
import type { AvroTypeOptions } from '../../src/avro/parse-type.ts';
import { type AvroSchemaJson, avroSchema, defineSchema } from '../../src/avro/schema.ts';
import { createAvroSerializer } from '../../src/avro/serializer.ts';
import { subjectName } from '../../src/avro/subject-name.ts';
import { DecodeError, EncodeError } from '../../src/errors.ts';
import { staticSchemas } from '../support/static-schemas.ts';

const place = { topic: 't', partition: 0, offset: 0 };
const context = { topic: 't', isKey: false };
const logicalTypes = standardLogicalTypes;

async function write(json: AvroSchemaJson, value: unknown, options: AvroTypeOptions = {}): Promise<Buffer> {
  const serializer = createAvroSerializer<unknown>({ registry: staticSchemas('"null"'), schema: avroSchema(json, options) });
  await serializer.prepare!(context);
  return serializer.serialize(value, context)!;
}

function read(data: Buffer, writer: AvroSchemaJson, options: AvroTypeOptions = {}, reader?: AvroSchemaJson): unknown {
  const registry = staticSchemas(avroSchema(writer).text);
  const deserializer =
    reader === undefined
      ? createAvroDeserializer<unknown>({ registry, types: options })
      : createAvroDeserializer<unknown>({ registry, readerSchema: avroSchema(reader, options) });
  return deserializer.deserialize(data, place);
}

describe('long', () => {
  const edges = [
    0n,
    1n,
    -1n,
    63n,
    64n,
    -64n,
    -65n,
    2n ** 27n,
    2n ** 28n,
    2n ** 31n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 62n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ];

  test('as a bigint holds all 64 bits', async () => {
    for (const value of [...edges, ...edges.map((edge) => -edge)].filter((each) => BigInt.asIntN(64, each) === each)) {
      assert.equal(read(await write('long', value, { long: 'bigint' }), 'long', { long: 'bigint' }), value);
    }
    for (const value of [2n ** 63n, 1, '1']) await assert.rejects(write('long', value, { long: 'bigint' }), EncodeError);
  });

  test('as a number is the same bytes, exact up to 2^53 - 1, refused beyond', async () => {
    await fc.assert(
      fc.asyncProperty(fc.maxSafeInteger(), async (value) => {
        const data = await write('long', value);
        assert.deepEqual(data, await write('long', BigInt(value), { long: 'bigint' }));
        assert.equal(read(data, 'long'), value);
      }),
      { numRuns: 500 },
    );
    const beyond = await write('long', 2n ** 53n, { long: 'bigint' });
    assert.throws(
      () => read(beyond, 'long'),
      (error) => error instanceof DecodeError && /long: 'bigint'/.test(error.message),
    );
  });

  test('as a bigint is found in a union, read from an int and taken from a default', async () => {
    const options = { long: 'bigint' } as const;
    for (const value of [null, 5n, 'text'])
      assert.equal(read(await write(['null', 'long', 'string'], value, options), ['null', 'long', 'string'], options), value);
    assert.equal(read(await write('int', 7), 'int', options, 'long'), 7n);
    const reader = { type: 'record', name: 'R', fields: [{ name: 'n', type: 'long', default: 3 }] };
    const { n } = read(await write({ ...reader, fields: [] }, {}), { ...reader, fields: [] }, options, reader) as { n: bigint };
    assert.equal(n, 3n);
  });
});

describe('logical types', () => {
  const cases: [name: string, schema: AvroSchemaJson, values: readonly unknown[], bad: readonly unknown[]][] = [
    [
      'decimal on bytes',
      { type: 'bytes', logicalType: 'decimal', precision: 20, scale: 2 },
      ['0.00', '12.34', '-12.34', '-0.01', '1.28', '-1.28', '2.56', '123456789012345678.90'].map(AvroDecimal.parse),
      ['abc', 1.5, AvroDecimal.parse('1.234'), AvroDecimal.parse('1234567890123456789.00')],
    ],
    [
      'decimal on fixed',
      { type: 'fixed', name: 'D', size: 4, logicalType: 'decimal', precision: 9 },
      ['0', '-1', '8388608'].map(AvroDecimal.parse),
      ['99999999999', 5],
    ],
    [
      'date',
      { type: 'int', logicalType: 'date' },
      [new Date('2024-02-29T00:00:00Z'), new Date(0), new Date('1950-01-01T00:00:00Z')],
      [new Date(1), new Date(Number.NaN), 5],
    ],
    ['time-millis', { type: 'int', logicalType: 'time-millis' }, [0, 86_399_999], [-1, 86_400_000, 1.5]],
    ['time-micros', { type: 'long', logicalType: 'time-micros' }, [0, 86_399_999_999], [86_400_000_000]],
    [
      'timestamp-millis',
      { type: 'long', logicalType: 'timestamp-millis' },
      [new Date(1_700_000_000_123), new Date(-1)],
      ['2024-01-01', new Date(Number.NaN)],
    ],
    ['timestamp-micros', { type: 'long', logicalType: 'timestamp-micros' }, [1_700_000_000_123_456n, -(2n ** 62n)], [1]],
    ['uuid', { type: 'string', logicalType: 'uuid' }, ['01234567-89ab-cdef-0123-456789abcdef'], ['0123', 5]],
    ['uuid on fixed', { type: 'fixed', name: 'U', size: 16, logicalType: 'uuid' }, ['01234567-89ab-cdef-0123-456789abcdef'], ['0123']],
    [
      'duration',
      { type: 'fixed', name: 'L', size: 12, logicalType: 'duration' },
      [{ months: 1, days: 2, milliseconds: 4_294_967_295 }],
      [{ months: -1, days: 0, milliseconds: 0 }],
    ],
  ];
  for (const [name, schema, values, bad] of cases) {
    test(`${name} comes back as it was, alone, in a union and in a record`, async () => {
      const union = ['null', schema];
      const record = {
        type: 'record',
        name: 'R',
        fields: [
          { name: 'a', type: schema },
          { name: 'b', type: typeof schema === 'object' && 'name' in schema ? String(schema.name) : schema },
        ],
      };
      for (const value of values) {
        assert.deepEqual(read(await write(schema, value, { logicalTypes }), schema, { logicalTypes }), value);
        assert.deepEqual(read(await write(union, value, { logicalTypes }), union, { logicalTypes }), value);
        const pair = read(await write(record, { a: value, b: value }, { logicalTypes }), record, { logicalTypes }) as object;
        assert.deepEqual({ ...pair }, { a: value, b: value });
      }
      for (const value of bad) await assert.rejects(write(schema, value, { logicalTypes }), EncodeError, String(value));
    });
  }

  test('bytes that are none are a DecodeError', async () => {
    const uuid = { type: 'string', logicalType: 'uuid' };
    const data = await write('string', 'no uuid');
    assert.throws(
      () => read(data, uuid, { logicalTypes }),
      (error) => error instanceof DecodeError && /Expected a UUID/.test(error.message),
    );
  });

  test('are read from a writer that has the same bytes without them, and the other way round', async () => {
    const plain = { type: 'record', name: 'R', fields: [{ name: 'at', type: 'long' }] };
    const logical = { ...plain, fields: [{ name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } }] };
    const data = await write(plain, { at: 5 });
    assert.deepEqual({ ...(read(data, plain, { logicalTypes }, logical) as object) }, { at: new Date(5) });
    assert.deepEqual({ ...(read(data, logical, { logicalTypes }, plain) as object) }, { at: 5 });
    assert.equal(read(data, logical, {}, plain) instanceof Object, true);
  });

  test('of your own stand beside them; unknown ones are their underlying type; impossible ones are refused', async () => {
    const cents = { type: 'long', logicalType: 'money' };
    const money = {
      fromAvro: (raw: number): string => `${raw / 100} EUR`,
      toAvro: (value: string): number => Number.parseFloat(value) * 100,
    };
    const options = { logicalTypes: { ...logicalTypes, money } };
    const data = await write(cents, '12.5 EUR', options);
    assert.equal(read(data, cents, options), '12.5 EUR');
    assert.equal(read(data, cents, { logicalTypes }), 1_250);
    assert.throws(() => avroSchema({ type: 'bytes', logicalType: 'decimal', precision: 2, scale: 3 }, { logicalTypes }), /scale/);
  });

  test('may decode Avro themselves', async () => {
    const inner = createAvroDeserializer<number>({ registry: staticSchemas('"int"') });
    const envelope = {
      type: 'record',
      name: 'E',
      fields: [
        { name: 'a', type: { type: 'bytes', logicalType: 'avro' } },
        { name: 'b', type: 'int' },
      ],
    };
    const avro = { fromAvro: (raw: Buffer): number => inner.deserialize(raw, place), toAvro: (): never => assert.fail('not written') };
    const data = await write(
      {
        ...envelope,
        fields: [
          { name: 'a', type: 'bytes' },
          { name: 'b', type: 'int' },
        ],
      },
      { a: await write('int', 42), b: 7 },
    );
    assert.deepEqual({ ...(read(data, envelope, { logicalTypes: { avro } }) as object) }, { a: 42, b: 7 });
  });
});

test('AvroDecimal is exact in text and scale', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: 0, max: 12 }), (unscaled, scale) => {
      const decimal = new AvroDecimal(unscaled, scale);
      const again = AvroDecimal.parse(decimal.toString());
      assert.deepEqual([again.unscaled, again.scale], [unscaled, scale]);
      assert.equal(decimal.rescale(scale + 3).rescale(scale).unscaled, unscaled);
    }),
  );
  assert.equal(JSON.stringify({ price: AvroDecimal.parse('1.10') }), '{"price":"1.10"}');
});

describe('unions', () => {
  test('are unwrapped where the value tells its branch, wrapped where it does not', async () => {
    assert.equal(read(await write(['null', 'string', 'double'], 'x'), ['null', 'string', 'double']), 'x');
    const ambiguous = ['null', 'int', 'double'];
    assert.deepEqual({ ...(read(await write(ambiguous, { double: 1.5 }), ambiguous) as object) }, { double: 1.5 });
    assert.equal(read(await write(ambiguous, null), ambiguous), null);
  });
});

test('a projection reads its fields and skips the others, whatever they are', async () => {
  const value = { a: [[1, 2], []], m: { x: { y: 1 } }, keep: 'kept', u: 'text', f: Buffer.alloc(3), last: 5 };
  const fields = {
    a: { type: 'array', items: { type: 'array', items: 'int' } },
    m: { type: 'map', values: { type: 'map', values: 'long' } },
    keep: 'string',
    u: ['null', 'string'],
    f: { type: 'fixed', name: 'F', size: 3 },
    last: 'double',
  };
  const record = (names: readonly (keyof typeof fields)[]): AvroSchemaJson => ({
    type: 'record',
    name: 'R',
    fields: names.map((name) => ({ name, type: fields[name] })),
  });
  const writer = record(['a', 'm', 'keep', 'u', 'f', 'last']);
  const data = await write(writer, value);
  for (const name of ['a', 'm', 'keep', 'u', 'f', 'last'] as const) {
    const read1 = read(data, writer, {}, record([name])) as Record<string, unknown>;
    assert.deepEqual(structuredClone(read1[name]), structuredClone(value[name]));
  }
});

test('subject names follow the strategy', () => {
  const schema = defineSchema({ type: 'record', name: 'Order', namespace: 'shop', fields: [] });
  const names = (['topic', 'record', 'topic-record'] as const).map((strategy) =>
    subjectName(strategy, { topic: 'orders', isKey: true }, schema),
  );
  assert.deepEqual(names, ['orders-key', 'shop.Order', 'orders-shop.Order']);
  assert.equal(
    subjectName(({ topic }) => `my-${topic}`, context, schema),
    'my-t',
  );
});
