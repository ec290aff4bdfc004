import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  avroSchema,
  consumeMessage,
  createAvroConsumer,
  createAvroProducer,
  createProducer,
  createSchemaRegistry,
  DecodeError,
  EncodeError,
  enqueueAutoCommits,
  getAvroClient,
  runAsync,
  SchemaRegistryError,
  shutdownCleanup,
} from 'rdkafka-toolkit';
import { startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { CountingMetrics, noFailures, type Services, startServices } from '../support/services.ts';
import { committedTotal, readAll } from '../support/topics.ts';

interface Flight {
  id: number;
  from: string;
  delay: number | null;
  stops: { airport: string; minutes: number }[];
  note: Buffer;
}

interface RatedFlight extends Flight {
  rating: string;
}

const stop = { type: 'record', name: 'Stop', fields: ['airport:string', 'minutes:double'].map(field) };
const flightFields = [
  field('id:long'),
  field('from:string'),
  { name: 'delay', type: ['null', 'int'], default: null },
  { name: 'stops', type: { type: 'array', items: stop } },
  field('note:bytes'),
];
const flightSchema = avroSchema<Flight>({ type: 'record', name: 'Flight', fields: flightFields });
const ratedSchema = avroSchema<RatedFlight>({
  type: 'record',
  name: 'Flight',
  fields: [...flightFields, { name: 'rating', type: 'string', default: 'unrated' }],
});
const keySchema = avroSchema<{ id: number }>({ type: 'record', name: 'FlightKey', fields: [field('id:long')] });
const UNKNOWN_ID = 0x7fff_fff0;

function field(text: string): { name: string; type: string } {
  const [name = '', type = ''] = text.split(':');
  return { name, type };
}

function flight(id: number): Flight {
  return {
    id,
    from: 'Zürich',
    delay: id % 2 === 0 ? null : id,
    stops: id % 3 === 0 ? [] : [{ airport: 'LIS', minutes: 12.5 }],
    note: Buffer.from([0, id % 256]),
  };
}

const nothing = { records: 0, outputs: 0 };

describe('avro', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('keys and values come out as they went in, tombstones too', async () => {
    const input = await services.topic('flights');
    const vars = services.vars();
    await using producer = await createAvroProducer({ vars, keySchema, valueSchema: flightSchema });
    for (let id = 0; id < 20; id++) await producer.enqueue({ topic: input, partition: 0, key: { id }, value: flight(id) });
    await producer.enqueue({ topic: input, partition: 0, key: { id: 20 }, value: null as never });
    await producer.flush();
    await using consumer = await createAvroConsumer({ vars, topics: [input], keySchema, valueSchema: flightSchema, producers: [] });
    for (let id = 0; id <= 20; id++) {
      const { key, value } = await consumeMessage(consumer);
      assert.deepEqual({ ...key }, { id });
      if (id === 20) assert.equal(value, null);
      else assert.deepEqual(plain(value), flight(id));
    }
    const registry = createSchemaRegistry({ vars });
    assert.equal(typeof (await registry.lookup(`${input}-value`, flightSchema.text)), 'number');
    assert.equal(typeof (await registry.lookup(`${input}-key`, keySchema.text)), 'number');
    registry.close();
  });

  test('getAvroClient reads one schema and writes another in the asynchronous pattern', async () => {
    const [input, output] = [await services.topic('flights'), await services.topic('rated')];
    const vars = services.vars();
    await using source = await createAvroProducer({ vars, valueSchema: flightSchema });
    for (let id = 0; id < 50; id++) await source.enqueue({ topic: input, key: String(id), value: flight(id) });
    await source.flush();
    const client = await getAvroClient({
      consumer: { vars, topics: [input], valueSchema: flightSchema },
      producer: { vars, valueSchema: ratedSchema },
    });
    const { consumer, producer, registry } = client;
    try {
      const done = new AbortController();
      let handled = 0;
      const result = await runAsync({
        consumer,
        producer,
        signal: done.signal,
        handleSignals: false,
        handler({ key, value }) {
          if (++handled === 50) done.abort();
          return { topic: output, key, value: { ...value, rating: `${key}*` } };
        },
      });
      assert.deepEqual(result, { consumed: 50, produced: 50, skipped: 0, ...noFailures, left: nothing });
    } finally {
      await shutdownCleanup({ consumer, producer });
      registry.close();
    }
    assert.equal(await committedTotal(services, vars, input), 50);
    await using reader = await createAvroConsumer({ vars: services.vars(), topics: [output], valueSchema: ratedSchema, producers: [] });
    const ids = new Set<number>();
    for (let count = 0; count < 50; count++) {
      const { value } = await consumeMessage(reader);
      assert.deepEqual(plain(value), { ...flight(value.id), rating: `${value.id}*` });
      ids.add(value.id);
    }
    assert.equal(ids.size, 50);
  });

  test('a reader with a new field sees its default in old records, and an old reader leaves it out', async () => {
    const input = await services.topic('flights');
    const vars = services.vars();
    await using old = await createAvroProducer({ vars, valueSchema: flightSchema });
    await old.send({ topic: input, partition: 0, value: flight(1) });
    await using young = await createAvroProducer({ vars, valueSchema: ratedSchema });
    await young.send({ topic: input, partition: 0, value: { ...flight(2), rating: 'good' } });
    await old.send({ topic: input, partition: 0, value: flight(3) });
    const read = async <V>(schema: ReturnType<typeof avroSchema<V>> | undefined): Promise<unknown[]> => {
      await using consumer = await createAvroConsumer<string | null, V>({
        vars: services.vars(),
        topics: [input],
        valueSchema: schema,
        producers: [],
      });
      const values: unknown[] = [];
      while (values.length < 3) values.push(plain((await consumeMessage(consumer)).value));
      return values;
    };
    const [asYoung, asOld, asWritten] = await Promise.all([read(ratedSchema), read(flightSchema), read(undefined)]);
    assert.deepEqual(asYoung, [
      { ...flight(1), rating: 'unrated' },
      { ...flight(2), rating: 'good' },
      { ...flight(3), rating: 'unrated' },
    ]);
    assert.deepEqual(asOld, [flight(1), flight(2), flight(3)]);
    assert.deepEqual(asWritten, [flight(1), { ...flight(2), rating: 'good' }, flight(3)]);
  });

  test('poison bytes are a DecodeError that says where and why, and can be skipped', async () => {
    const input = await services.topic('flights');
    const vars = services.vars();
    await using good = await createAvroProducer({ vars, valueSchema: flightSchema });
    await using raw = await createProducer({ vars });
    const registry = createSchemaRegistry({ vars });
    await good.send({ topic: input, partition: 2, value: flight(0) });
    const id = await registry.lookup(`${input}-value`, flightSchema.text);
    const foreign = await registry.register(`${input}-foreign`, avroSchema({ type: 'record', name: 'Other', fields: [] }).text);
    registry.close();
    const whole = Buffer.concat([header(id), flightSchema.type.toBuffer(flight(7))]);
    const poison: readonly (readonly [bytes: Buffer, message: RegExp, schemaId: number | undefined])[] = [
      [Buffer.from('{"id":1}'), /magic byte 0x00, got 0x7b/, undefined],
      [Buffer.alloc(0), /5 bytes .*got 0/, undefined],
      [Buffer.from([0, 0, 0]), /5 bytes .*got 3/, undefined],
      [header(id), /truncated/, id],
      [whole.subarray(0, -3), /truncated/, id],
      [Buffer.concat([whole, Buffer.from([1, 2])]), /2 bytes are left over/, id],
      [Buffer.concat([header(UNKNOWN_ID), Buffer.from([2])]), new RegExp(`schema ${UNKNOWN_ID}`), UNKNOWN_ID],
      [header(foreign), new RegExp(`schema ${foreign} cannot be read`), foreign],
    ];
    for (const [value] of poison) await raw.send({ topic: input, partition: 2, value });
    await good.send({ topic: input, partition: 2, value: flight(8) });

    const consumer = await createAvroConsumer({ vars, topics: [input], valueSchema: flightSchema, producers: [] });
    try {
      assert.equal((await consumeMessage(consumer)).value.id, 0);
      for (const [index, [, message, schemaId]] of poison.entries()) {
        await assert.rejects(consumeMessage(consumer), (error) => {
          assert.ok(error instanceof DecodeError, String(error));
          assert.deepEqual([error.code, error.topic, error.partition, error.offset], ['ERR_DECODE', input, 2, index + 1]);
          assert.equal(error.schemaId, schemaId, error.message);
          assert.match(error.message, message);
          assert.ok(error.message.includes(`${input} [2] @ ${index + 1}`), error.message);
          enqueueAutoCommits(consumer, error);
          return true;
        });
      }
      const last = await consumeMessage(consumer);
      assert.equal(last.value.id, 8);
      // The first was not finished: nothing behind it is committed.
      enqueueAutoCommits(consumer, last);
    } finally {
      await consumer.close();
    }
    assert.equal(await committedTotal(services, vars, input), 0);

    const again = await createAvroConsumer({ vars, topics: [input], valueSchema: flightSchema, producers: [] });
    const metrics = new CountingMetrics();
    const done = new AbortController();
    const result = await runAsync({
      consumer: again,
      metrics,
      signal: done.signal,
      handleSignals: false,
      onError: (error) => (error instanceof DecodeError ? 'skip' : 'stop'),
      handler({ value }) {
        if (value.id === 8) done.abort();
      },
    });
    assert.deepEqual(result, { consumed: poison.length + 2, produced: 0, skipped: poison.length, ...noFailures, left: nothing });
    assert.equal(metrics.errors.length, poison.length);
    assert.equal(await committedTotal(services, vars, input), poison.length + 2);
  });

  test('an outage of the registry in the middle keeps the record, and nothing is lost when it is back', async () => {
    await using registry = await startSchemaRegistry();
    const [input, output] = [await services.topic('flights'), await services.topic('out')];
    const vars = services.vars({ SCHEMA_REGISTRY_URL: registry.url, SCHEMA_REGISTRY_TIMEOUT_SECONDS: '3' });
    await using old = await createAvroProducer({ vars, valueSchema: flightSchema });
    await using young = await createAvroProducer({ vars, valueSchema: ratedSchema });
    for (let id = 0; id < 10; id++) await old.send({ topic: input, partition: 0, value: flight(id) });
    for (let id = 10; id < 20; id++) await young.send({ topic: input, partition: 0, value: { ...flight(id), rating: 'good' } });

    await using consumer = await createAvroConsumer({ vars, topics: [input], valueSchema: ratedSchema, producers: [] });
    await using producer = await createProducer({ vars });
    for (let id = 0; id < 10; id++) {
      const record = await consumeMessage(consumer);
      assert.equal(record.value.id, id);
      await producer.enqueue({ topic: output, partition: 0, value: String(record.value.id) });
      enqueueAutoCommits(consumer, record);
    }
    // The schema of the next ten is not known yet.
    const heal = registry.fail({ match: /^GET \/schemas/, status: 500 });
    for (let attempt = 0; attempt < 2; attempt++) {
      await assert.rejects(consumeMessage(consumer), (error) => {
        assert.ok(error instanceof SchemaRegistryError, String(error));
        assert.deepEqual([error.code, error.retriable, error.status], ['ERR_SCHEMA_REGISTRY', true, 500]);
        assert.ok(error.message.includes(registry.url), error.message);
        return true;
      });
    }
    const metrics = new CountingMetrics();
    const done = new AbortController();
    setTimeout(heal, 1_500);
    const result = await runAsync({
      consumer,
      producer,
      metrics,
      signal: done.signal,
      handleSignals: false,
      handler({ value: { id } }) {
        if (id === 19) done.abort();
        return { topic: output, partition: 0, value: String(id) };
      },
    });
    assert.deepEqual(result, { consumed: 10, produced: 10, skipped: 0, ...noFailures, left: nothing });
    assert.ok(metrics.errors.length >= 1 && metrics.errors.every((error) => error instanceof SchemaRegistryError));
    const values = (await readAll(services, output)).map(({ value }) => Number(String(value)));
    assert.deepEqual(
      values,
      Array.from({ length: 20 }, (_, id) => id),
    );
    assert.equal(await committedTotal(services, vars, input), 20);
  });

  test('a producer whose registry is out says so, produces nothing, and goes on when it is back', async () => {
    await using registry = await startSchemaRegistry();
    const output = await services.topic('flights');
    const vars = services.vars({ SCHEMA_REGISTRY_URL: registry.url, SCHEMA_REGISTRY_TIMEOUT_SECONDS: '3' });
    await using producer = await createAvroProducer({ vars, valueSchema: flightSchema });
    const heal = registry.fail({ status: 503 });
    await assert.rejects(
      producer.send({ topic: output, value: flight(1) }),
      (error) => error instanceof SchemaRegistryError && error.retriable && error.status === 503,
    );
    assert.equal(producer.inFlight, 0);
    heal();
    // Many at once before the id is known: all keep their order behind one request.
    const many = Array.from({ length: 20 }, (_, id) => producer.send({ topic: output, partition: 0, value: flight(id) }));
    assert.deepEqual(
      (await Promise.all(many)).map(({ offset }) => offset),
      Array.from({ length: 20 }, (_, offset) => offset),
    );
    const registrations = [...registry.requests].filter(([request]) => request.startsWith('POST'));
    assert.equal(registrations.length, 1);
  });

  test('a value that does not fit names the field, and nothing is produced or committed', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('flights')];
    const vars = services.vars();
    await using source = await createAvroProducer({ vars, valueSchema: flightSchema });
    await source.send({ topic: input, partition: 0, value: flight(1) });
    await using producer = await createAvroProducer({ vars, keySchema, valueSchema: flightSchema });
    const key = { id: 1 };
    const wrong: readonly (readonly [value: object, path: string, got: RegExp])[] = [
      [{ ...flight(1), id: 'one' }, 'id', /expected id to be Avro \w*long, got "one"/i],
      [{ ...flight(1), delay: 1.5 }, 'delay', /delay/],
      [{ ...flight(1), from: undefined }, 'from', /undefined/],
      [{ ...flight(1), stops: [{ airport: 'LIS', minutes: 1 }, { airport: 'OPO' }] }, 'stops.1.minutes', /double/],
    ];
    for (const [value, path, got] of wrong) {
      await assert.rejects(producer.send({ topic: output, key, value: value as Flight }), (error) => {
        assert.ok(error instanceof EncodeError, String(error));
        assert.deepEqual([error.code, error.path, error.topic], ['ERR_ENCODE', path, output]);
        assert.match(error.message, got);
        assert.ok(error.message.includes(path) && error.message.includes(output), error.message);
        return true;
      });
    }
    await assert.rejects(
      producer.send({ topic: output, key: { id: 'x' } as never, value: flight(1) }),
      (error) => error instanceof EncodeError && error.path === 'id' && /the key/.test(error.message),
    );
    assert.equal(producer.inFlight, 0);

    const consumer = await createAvroConsumer({ vars, topics: [input], valueSchema: flightSchema, producers: [producer] });
    const running = runAsync({
      consumer,
      producer,
      handleSignals: false,
      handler: ({ value }) => ({ topic: output, key, value: { ...value, delay: 'late' as never } }),
    });
    await assert.rejects(running, (error) => error instanceof EncodeError && error.path === 'delay');
    assert.equal((await readAll(services, output)).length, 0);
    assert.equal(await committedTotal(services, vars, input), 0);
  });
});

function header(id: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(id, 1);
  return bytes;
}

/** A copy without avsc's record classes, so that `deepEqual` looks at the fields alone. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}
