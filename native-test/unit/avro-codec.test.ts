import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { createAvroDeserializer } from '../../src/avro/deserializer.ts';
import { type AvroSchemaJson, avroSchema } from '../../src/avro/schema.ts';
import { createSchemaRegistry, type SchemaRegistryClient } from '../../src/avro/schema-registry.ts';
import { createAvroSerializer } from '../../src/avro/serializer.ts';
import { ConfigError, DecodeError, EncodeError, SchemaRegistryError } from '../../src/errors.ts';
import { parseRuntimeVars } from '../../src/runtime-vars.ts';
import type { Deserializer } from '../../src/serde.ts';
import { type SchemaRegistryServer, startSchemaRegistry } from '../../src/testing/schema-registry-server.ts';

const place = { topic: 'orders', partition: 0, offset: 0 };
let server: SchemaRegistryServer;
let registry: SchemaRegistryClient;
let subjects = 0;

before(async () => {
  server = await startSchemaRegistry();
  registry = newRegistry();
});
after(() => server.close());

function newRegistry(): SchemaRegistryClient {
  return createSchemaRegistry({ vars: parseRuntimeVars({}), url: server.url, timeoutMs: 5_000 });
}

const record = (name: string, fields: Readonly<Record<string, unknown>>): AvroSchemaJson => ({
  type: 'record',
  name,
  fields: Object.entries(fields).map(([field, type]) => (isField(type) ? { name: field, ...type } : { name: field, type })),
});

function isField(type: unknown): type is object {
  return typeof type === 'object' && type !== null && 'default' in type;
}

/** Registers a schema by plain HTTP, as some other producer would. */
async function registerElsewhere(schema: unknown, more: object = {}, subject = `elsewhere-${++subjects}`): Promise<number> {
  const body = JSON.stringify({ schema: typeof schema === 'string' && /^\W/.test(schema) ? schema : JSON.stringify(schema), ...more });
  const url = `${server.url}/subjects/${subject}/versions`;
  const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  const { id, message } = (await response.json()) as { id: number; message?: string };
  assert.equal(response.status, 200, message);
  return id;
}

/** Wire format by hand. */
function wire(id: number, body: Uint8Array, magic = 0): Buffer {
  const header = Buffer.alloc(5);
  header[0] = magic;
  header.writeUInt32BE(id, 1);
  return Buffer.concat([header, body]);
}

/** An Avro long as the specification says, exact for 64 bits. */
function zigZag(value: bigint): Buffer {
  let rest = value >= 0n ? value * 2n : -value * 2n - 1n;
  const digits: number[] = [];
  for (; rest > 127n; rest >>= 7n) digits.push(Number(rest & 127n) | 128);
  return Buffer.from([...digits, Number(rest)]);
}

async function serializerOf<T>(json: AvroSchemaJson) {
  const schema = avroSchema<T>(json);
  const serializer = createAvroSerializer({ registry, schema, autoRegister: false });
  const context = { topic: `topic-${++subjects}`, isKey: false };
  await registerElsewhere(json, {}, `${context.topic}-value`);
  await serializer.prepare!(context);
  return { schema, serialize: (value: T): Buffer => serializer.serialize(value, context)! };
}

/** Decodes as a consumer does: prepared first, in the middle of other bytes. */
async function decode<T>(deserializer: Deserializer<T>, data: Buffer): Promise<T> {
  const bytes = Buffer.concat([Buffer.alloc(11, 0xee), data, Buffer.alloc(7, 0x55)]);
  await deserializer.prepareAt!(bytes, 11, 11 + data.length);
  return deserializer.deserializeAt!(bytes, 11, 11 + data.length, place);
}

async function decodeError(deserializer: Deserializer<unknown>, data: Buffer): Promise<DecodeError> {
  const error = await decode(deserializer, data).then(
    (value) => assert.fail(`decoded as ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DecodeError, String(error));
  return error;
}

const text = fc.string({ unit: 'grapheme' }).filter((value) => !/\p{Surrogate}/u.test(value));
const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
/** What avsc writes exactly; see the tests of larger ones below. */
const long = fc.integer({ min: -(2 ** 52), max: 2 ** 52 - 1 });
const bytes = fc.uint8Array().map((array) => Buffer.from(array));
const double = fc.double({ noNaN: true });
const names = fc.stringMatching(/^[a-z]{1,8}$/);

const corpus: [name: string, schema: AvroSchemaJson, values: fc.Arbitrary<unknown>][] = [
  ['null', 'null', fc.constant(null)],
  ['boolean', 'boolean', fc.boolean()],
  ['int', 'int', int],
  ['long', 'long', long],
  ['double', 'double', double],
  ['float', 'float', fc.float({ noNaN: true })],
  ['string', 'string', text],
  ['bytes', 'bytes', bytes],
  ['fixed', { type: 'fixed', name: 'Four', size: 4 }, fc.uint8Array({ minLength: 4, maxLength: 4 }).map((array) => Buffer.from(array))],
  ['enum', { type: 'enum', name: 'Suit', symbols: ['HEARTS', 'SPADES'] }, fc.constantFrom('HEARTS', 'SPADES')],
  ['array', { type: 'array', items: 'int' }, fc.array(int, { maxLength: 200 })],
  ['map', { type: 'map', values: 'string' }, fc.dictionary(names, text, { noNullPrototype: true })],
  ['union', ['null', 'string', 'int'], fc.oneof(fc.constant(null), text, int)],
  [
    'record',
    record('A', { id: 'long', name: ['null', 'string'], ok: 'boolean' }),
    fc.record({ id: long, name: fc.option(text), ok: fc.boolean() }),
  ],
  [
    'nested record',
    record('Order', {
      lines: { type: 'array', items: record('Line', { sku: 'string', count: 'int' }) },
      tags: { type: 'map', values: 'double' },
    }),
    fc.record({ lines: fc.array(fc.record({ sku: text, count: int })), tags: fc.dictionary(names, double, { noNullPrototype: true }) }),
  ],
  [
    'recursive record',
    record('Node', { value: 'int', next: ['null', 'Node'] }),
    fc.letrec((tie) => ({ node: fc.record({ value: int, next: fc.option(tie('node'), { maxDepth: 4 }) }) })).node,
  ],
];

/** Records of avsc have a class of their own: compared as plain data. */
const plain = (value: unknown): unknown => structuredClone(value instanceof Buffer ? new Uint8Array(value) : value);

describe('wire format', () => {
  for (const [name, json, values] of corpus) {
    test(`a value of schema "${name}" comes back as it was, and no shorter or longer value is taken for one`, async () => {
      const { serialize } = await serializerOf<unknown>(json);
      const id = registryId(serialize, values);
      const deserializer = createAvroDeserializer<unknown>({ registry: newRegistry() });
      await fc.assert(
        fc.asyncProperty(values, fc.double({ min: 0, max: 0.999, noNaN: true }), async (value, cut) => {
          const data = serialize(value);
          if (value === null) {
            assert.equal(data, null);
            return;
          }
          assert.equal(data[0], 0);
          assert.equal(data.readUInt32BE(1), id);
          assert.deepEqual(plain(await decode(deserializer, data)), plain(value));
          const shorter = data.subarray(0, 5 + Math.floor((data.length - 5) * cut));
          assert.equal((await decodeError(deserializer, Buffer.from(shorter))).schemaId, id);
          const longer = Buffer.concat([data, Buffer.of(0)]);
          assert.match((await decodeError(deserializer, longer)).message, /1 bytes are left over/);
        }),
        { numRuns: 100 },
      );
    });
  }

  /** The id under which a serializer writes. */
  function registryId(serialize: (value: unknown) => Buffer | null, values: fc.Arbitrary<unknown>): number | undefined {
    const [sample] = fc.sample(values, { numRuns: 1, seed: 1 });
    return serialize(sample)?.readUInt32BE(1);
  }

  test('null is a tombstone in both directions', async () => {
    const serializer = createAvroSerializer<string | null>({ registry, schema: avroSchema('string') });
    assert.equal(serializer.serialize(null, { topic: 'never-prepared', isKey: false }), null);
    assert.equal(createAvroDeserializer({ registry }).deserialize(null, place), null);
  });

  test('a long that a number cannot hold is refused, never changed', async () => {
    const { serialize } = await serializerOf<number>('long');
    const deserializer = createAvroDeserializer<number>({ registry: newRegistry() });
    const edges = [2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 60].flatMap((edge) => [-2, -1, 0, 1, 2].map((step) => edge + step));
    for (const value of edges.flatMap((edge) => [edge, -edge])) {
      let data: Buffer;
      try {
        data = serialize(value);
      } catch (error) {
        assert.ok(error instanceof EncodeError);
        continue;
      }
      assert.deepEqual(data.subarray(5), zigZag(BigInt(value)), `${value} as written`);
    }
    const id = serialize(0).readUInt32BE(1);
    for (const edge of [2n ** 52n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 60n, 2n ** 63n - 3n]) {
      for (const exact of [edge - 1n, edge, edge + 1n, -edge - 1n, -edge, -edge + 1n]) {
        const read = await decode(deserializer, wire(id, zigZag(exact))).catch((error: unknown) => error);
        assert.ok(read instanceof DecodeError || read === Number(exact), `${exact} read as ${String(read)}`);
        if (typeof read === 'number') assert.equal(BigInt(read), exact);
      }
    }
  });

  test('a value may follow any other in the same memory without changing it', async () => {
    const { serialize } = await serializerOf<string>('string');
    const reader = createAvroDeserializer<string>({ registry: newRegistry() });
    // From far below to far above the slab the serializer writes into, so that each boundary is crossed.
    const sizes = [0, 1, 10, 1_000, 100_000, 162_000, 262_139, 262_144, 300_000, 1_048_576, 5, 262_130, 3_000_000, 7];
    const written = sizes.map((size) => ({ size, data: serialize(String(size % 10).repeat(size)) }));
    for (let index = 0; index < 3_000; index++)
      written.push({ size: index % 517, data: serialize(String((index % 517) % 10).repeat(index % 517)) });
    for (const { size, data } of written) assert.ok((await decode(reader, data)) === String(size % 10).repeat(size), `${size}`);
  });

  test('values of nearly the size of a slab fit at every fill level', async () => {
    const { serialize } = await serializerOf<Buffer>('bytes');
    const reader = createAvroDeserializer<Buffer>({ registry: newRegistry() });
    for (let size = 262_144 - 20; size < 262_144 + 20; size++) {
      serialize(Buffer.alloc(size % 9));
      const value = Buffer.alloc(size, size % 251);
      assert.ok((await decode(reader, serialize(value))).equals(value), `${size}`);
    }
  });
});

describe('decoding', () => {
  const bad: [name: string, data: () => Promise<Buffer>, message: RegExp][] = [
    ['nothing', async () => Buffer.alloc(0), /at least 5 bytes of Confluent wire format, got 0/],
    ['four bytes', async () => Buffer.alloc(4), /at least 5 bytes of Confluent wire format, got 4/],
    ['another magic byte', async () => wire(1, Buffer.from('abc'), 0x7b), /magic byte 0x00, got 0x7b/],
    ['an unknown schema id', async () => wire(4_294_967_295, Buffer.alloc(1)), /4294967295/],
    ['a truncated value', async () => wire(await registerElsewhere('"string"'), Buffer.of(20, 65)), /truncated/],
    ['an empty value', async () => wire(await registerElsewhere('"string"'), Buffer.alloc(0)), /truncated/],
    ['bytes left over', async () => wire(await registerElsewhere('"int"'), Buffer.of(2, 0, 0)), /2 bytes are left over/],
    ['a union branch that is not there', async () => wire(await registerElsewhere(['null', 'int']), Buffer.of(8)), /union/],
    [
      'an id of a JSON schema',
      async () => wire(await registerElsewhere('{"type":"object"}', { schemaType: 'JSON' }), Buffer.of(0)),
      /JSON, not AVRO/,
    ],
    [
      'an id of a Protobuf schema',
      async () => wire(await registerElsewhere(' syntax = "proto3"; message A { int32 a = 1; }', { schemaType: 'PROTOBUF' }), Buffer.of(0)),
      /PROTOBUF, not AVRO/,
    ],
  ];
  for (const [name, make, message] of bad) {
    test(`refuses ${name}`, async () => {
      const data = await make();
      const error = await decodeError(createAvroDeserializer({ registry: newRegistry() }), data);
      assert.match(error.message, message);
    });
  }

  test('refuses a value whose schema was never fetched', () => {
    const deserializer = createAvroDeserializer({ registry: newRegistry() });
    assert.throws(
      () => deserializer.deserialize(wire(1, Buffer.of(2)), place),
      (error) => error instanceof DecodeError && error.schemaId === 1,
    );
  });

  test('gives values in the reader schema, whichever their writer used', async () => {
    const readerSchema = avroSchema<{ id: number; note: string; price: number }>(
      record('Order', { id: 'long', note: { type: 'string', default: 'none' }, price: { type: 'double', default: 0 } }),
    );
    const writers: [schema: AvroSchemaJson, value: unknown, expected: object][] = [
      [record('Order', { id: 'int' }), { id: 1 }, { id: 1, note: 'none', price: 0 }],
      [record('Order', { note: 'string', id: 'long', gone: 'string' }), { note: 'x', id: 2, gone: 'y' }, { id: 2, note: 'x', price: 0 }],
      [record('Order', { id: 'int', price: 'int' }), { id: 3, price: 4 }, { id: 3, note: 'none', price: 4 }],
      [JSON.parse(readerSchema.text), { id: 5, note: 'z', price: 1.5 }, { id: 5, note: 'z', price: 1.5 }],
    ];
    const deserializer = createAvroDeserializer({ registry: newRegistry(), readerSchema });
    for (const [json, value, expected] of writers) {
      const id = await registerElsewhere(json);
      const body = avroSchema<unknown>(json).type.toBuffer(value);
      assert.deepEqual(plain(await decode(deserializer, wire(id, body))), expected);
    }
  });

  test('refuses every value of a writer the reader schema cannot read, naming the schema', async () => {
    const readerSchema = avroSchema(record('Order', { id: 'int', needed: 'string' }));
    const id = await registerElsewhere(record('Order', { id: 'int' }));
    const deserializer = createAvroDeserializer({ registry: newRegistry(), readerSchema });
    for (let time = 0; time < 2; time++) {
      const error = await decodeError(deserializer, wire(id, Buffer.of(2)));
      assert.equal(error.schemaId, id);
      assert.match(error.message, new RegExp(`schema ${id} cannot be read: .*needed`));
    }
  });

  for (const [name, json, values] of corpus) {
    test(`a projection skips a field of schema "${name}" as decoding reads it, whatever the bytes are`, async () => {
      const all = avroSchema<{ mark: number }>(record('Whole', { before: 'double', skipped: json, mark: 'int', after: 'string' }));
      const readerSchema = avroSchema<{ mark: number }>(record('Whole', { mark: 'int' }));
      const id = await registerElsewhere(all.text);
      const whole = createAvroDeserializer<{ mark: number }>({ registry });
      const projection = createAvroDeserializer({ registry, readerSchema });
      const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), cut: fc.nat({ max: 3 }) });
      // Blocks may say how many bytes they have: skipping believes it, reading has no use for it, so that a lie there parts them.
      const hasBlocks = /"(array|map)"/.test(all.text);
      let decoded = 0;
      let refused = 0;
      await fc.assert(
        fc.asyncProperty(values, int, text, fc.option(change), async (skipped, mark, after, changed) => {
          const body = all.type.toBuffer({ before: 0.5, skipped, mark, after } as never);
          if (changed !== null && !hasBlocks) body[changed.at % body.length] = changed.byte;
          const data = wire(id, body.subarray(0, body.length - (changed?.cut ?? 0)));
          let expected: { mark: number };
          try {
            expected = await decode(whole, data);
          } catch (error) {
            refused++;
            assert.ok(error instanceof DecodeError);
            // What is not read need not be right, only end where it must.
            await decode(projection, data).catch((reason: unknown) => assert.ok(reason instanceof DecodeError));
            return;
          }
          decoded++;
          if (changed === null) assert.equal(expected.mark, mark);
          assert.deepEqual(plain(await decode(projection, data)), { mark: expected.mark });
        }),
        { numRuns: 300 },
      );
      assert.ok(decoded > 0 && refused > 0);
    });
  }

  test('asks for each schema once, and for none of a value that is no wire format', async () => {
    const id = await registerElsewhere({ type: 'long', logicalType: 'asked-for-once' });
    const deserializer = createAvroDeserializer<number>({ registry: newRegistry() });
    for (let index = 0; index < 100; index++) assert.equal(await decode(deserializer, wire(id, Buffer.of(84))), 42);
    assert.equal(server.requests.get(`GET /schemas/ids/${id}`), 1);
    const data = wire(id, Buffer.of(84), 1);
    assert.equal(deserializer.prepareAt!(data, 0, data.length), undefined);
    assert.equal(deserializer.prepareAt!(data, 0, 3), undefined);
  });

  test('an outage makes a record wait; once the registry is back it is read', async () => {
    const id = await registerElsewhere('"int"');
    const data = wire(id, Buffer.of(6));
    const deserializer = createAvroDeserializer<number>({ registry: newRegistry() });
    const heal = server.fail({ match: new RegExp(`/schemas/ids/${id}`), status: 503 });
    await assert.rejects(
      deserializer.prepareAt!(data, 0, data.length)!,
      (error) => error instanceof SchemaRegistryError && error.retriable,
    );
    heal();
    assert.equal(await decode(deserializer, data), 3);
  });

  test('a refused sign-in is no fault of the record: it waits', async () => {
    const id = await registerElsewhere('"int"');
    const data = wire(id, Buffer.of(6));
    const deserializer = createAvroDeserializer<number>({ registry: newRegistry() });
    const heal = server.fail({ match: new RegExp(`/schemas/ids/${id}`), status: 401 });
    await assert.rejects(async () => deserializer.prepareAt!(data, 0, data.length), SchemaRegistryError);
    heal();
    assert.equal(await decode(deserializer, data), 3);
  });
});

describe('encoding', () => {
  const named = { type: 'enum', name: 'Suit', symbols: ['HEARTS', 'SPADES'] };
  const order = record('Order', { id: 'int', customer: record('Customer', { email: 'string' }), lines: { type: 'array', items: 'int' } });
  const good = { id: 1, customer: { email: 'a@b' }, lines: [1] };
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const faults: [name: string, value: unknown, path: string, got: RegExp][] = [
    ['a text for a number', { ...good, id: 'x' }, 'id', /expected id to be Avro int, got "x"/],
    ['a number out of range', { ...good, id: 2 ** 31 }, 'id', /got 2147483648/],
    ['a field left out', { ...good, customer: {} }, 'customer.email', /customer\.email to be Avro string, got undefined/],
    ['an item of another type', { ...good, lines: [1, 'two'] }, 'lines.1', /lines\.1/],
    ['a bigint', { ...good, id: 1n }, 'id', /expected id to be Avro int, got .*1n/],
    ['an object with a bigint in it', { ...good, id: { n: 1n } }, 'id', /expected id to be Avro int/],
    ['an object that contains itself', { ...good, id: cyclic }, 'id', /expected id to be Avro int/],
    ['no record at all', 'text', '', /expected the value to be Avro record, got "text"/],
  ];
  for (const [name, value, path, message] of faults) {
    test(`refuses ${name}, naming the field, and goes on with the next value`, async () => {
      const { serialize } = await serializerOf<unknown>(order);
      assert.throws(
        () => serialize(value),
        (error) => {
          assert.ok(error instanceof EncodeError, String(error));
          assert.equal(error.path, path);
          assert.match(error.message, message);
          return true;
        },
      );
      const decoded = await decode(createAvroDeserializer({ registry: newRegistry() }), serialize(good));
      assert.deepEqual(plain(decoded), good);
    });
  }

  test('shows no more than a glimpse of a long value', async () => {
    const { serialize } = await serializerOf<unknown>(order);
    assert.throws(
      () => serialize({ ...good, id: 'secret '.repeat(10_000) }),
      (error) => error instanceof EncodeError && error.message.length < 200,
    );
  });

  test('refuses to write before its schema has an id', () => {
    const serializer = createAvroSerializer<string>({ registry, schema: avroSchema('string') });
    assert.throws(
      () => serializer.serialize('a', { topic: 'unprepared', isKey: false }),
      (error) => error instanceof EncodeError && /unprepared-value/.test(error.message),
    );
  });

  test('registers under topic and part, or under the subject given, once', async () => {
    const topic = `naming-${++subjects}`;
    const schema = avroSchema<string>(named);
    const byTopic = createAvroSerializer<string>({ registry, schema });
    for (const isKey of [true, false, true]) await byTopic.prepare!({ topic, isKey });
    await createAvroSerializer<string>({ registry, schema, subject: `${topic}-own` }).prepare!({ topic, isKey: false });
    const posted = [...server.requests].filter(([request]) => request.includes(topic));
    assert.deepEqual(Object.fromEntries(posted), {
      [`POST /subjects/${topic}-key/versions`]: 1,
      [`POST /subjects/${topic}-value/versions`]: 1,
      [`POST /subjects/${topic}-own/versions`]: 1,
    });
    assert.equal(byTopic.prepare!({ topic, isKey: true }), undefined);
  });

  test('registers a schema without a name, as keys have', async () => {
    const serializer = createAvroSerializer<string>({ registry, schema: avroSchema('string') });
    const context = { topic: `unnamed-${++subjects}`, isKey: true };
    await serializer.prepare!(context);
    assert.deepEqual(serializer.serialize('a', context)!.subarray(5), Buffer.of(2, 97));
  });

  test('without auto-registration a schema must be there', async () => {
    const context = { topic: `fixed-${++subjects}`, isKey: false };
    const schema = avroSchema<string>(named);
    const strict = createAvroSerializer<string>({ registry, schema, autoRegister: false });
    await assert.rejects(strict.prepare!(context)!, (error) => error instanceof SchemaRegistryError && error.status === 404);
    const id = await newRegistry().register(`${context.topic}-value`, schema.text);
    await strict.prepare!(context);
    assert.equal(strict.serialize('HEARTS', context)!.readUInt32BE(1), id);
  });

  test('what one client writes the same client reads', async () => {
    const shared = newRegistry();
    const serializer = createAvroSerializer<string>({ registry: shared, schema: avroSchema(named) });
    const context = { topic: `shared-${++subjects}`, isKey: false };
    await serializer.prepare!(context);
    assert.equal(await decode(createAvroDeserializer<string>({ registry: shared }), serializer.serialize('SPADES', context)!), 'SPADES');
  });
});

describe('schemas', () => {
  test('a name, JSON text and an object make the same schema', () => {
    const json = record('A', { a: 'int' });
    for (const form of [json, JSON.stringify(json)])
      assert.deepEqual(avroSchema(form).type.schema(), { name: 'A', type: 'record', fields: [{ name: 'a', type: 'int' }] });
    for (const form of ['string', '"string"', { type: 'string' }]) assert.equal(avroSchema(form).type.typeName, 'string');
  });

  const wrong: AvroSchemaJson[] = ['no-such-type', '{"type":', { type: 'record' }, { type: 'record', name: 'a b', fields: [] }, [['null']]];
  for (const schema of wrong) {
    test(`refuses ${JSON.stringify(schema)}`, () => {
      assert.throws(
        () => avroSchema(schema),
        (error) => error instanceof ConfigError && /Expected a valid Avro schema/.test(error.message),
      );
    });
  }
});
