import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  ClosedError,
  ConfigError,
  type ConsumerRecord,
  consumeMessageBatch,
  createAvroProducer,
  createConsumer,
  createDecodePool,
  createProducer,
  createSchemaRegistry,
  DecodeError,
  type DecodePool,
  WorkerError,
} from 'rdkafka-toolkit';
import { type SchemaRegistryServer, startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { type Order, orderSchema } from '../support/pool-handlers/avro.ts';
import { DEADLY } from '../support/pool-handlers/order-decoder.ts';
import { type Services, startServices } from '../support/services.ts';

const moduleUrl = (name: string): URL => new URL(`../support/pool-handlers/${name}.js`, import.meta.url);

describe('a decode pool', () => {
  let services: Services;
  let server: SchemaRegistryServer;
  let pool: DecodePool<Order>;
  before(async () => {
    services = await startServices();
    server = await startSchemaRegistry();
    const registry = createSchemaRegistry({ vars: services.vars(), url: server.url });
    pool = await createDecodePool<Order>({ decoder: moduleUrl('order-decoder'), registry, concurrency: 2 });
  });
  after(async () => {
    await pool.close();
    await server.close();
    await services[Symbol.asyncDispose]();
  });

  /** Produces orders, or bytes as they are, to one partition and consumes them as bytes. */
  async function consumed(values: readonly (Order | Buffer | null)[]): Promise<ConsumerRecord[]> {
    const topic = await services.topic('orders');
    const vars = services.vars();
    const registry = createSchemaRegistry({ vars, url: server.url });
    await using avro = await createAvroProducer({ vars, registry, valueSchema: orderSchema });
    await using raw = await createProducer({ vars });
    for (const value of values) {
      if (value !== null && !Buffer.isBuffer(value)) {
        await avro.enqueue({ topic, partition: 0, value });
        continue;
      }
      // Two producers keep no order between them.
      await avro.flush();
      await raw.send({ topic, partition: 0, value });
    }
    await avro.flush();
    await using consumer = await createConsumer({ vars, topics: [topic] });
    const records: ConsumerRecord[] = [];
    while (records.length < values.length) {
      records.push(...(await consumeMessageBatch(consumer, undefined, { count: values.length - records.length, timeoutMs: 10_000 })));
    }
    return records;
  }

  const orders = (count: number): Order[] => Array.from({ length: count }, (_, id) => ({ id, to: `street ${id % 13}` }));

  test('gives the values of many records in their order, whichever are asked for', async () => {
    const records = await consumed(orders(2_500));
    assert.deepEqual(await pool.decodeBatch(records), orders(2_500));
    const some = records.filter((_, index) => index % 3 === 1).toReversed();
    assert.deepEqual(
      await pool.decodeBatch(some),
      orders(2_500)
        .filter(({ id }) => id % 3 === 1)
        .toReversed(),
    );
    assert.deepEqual(await pool.decodeBatch([]), []);
    // They are copied: the caller's records stay whole.
    assert.equal(records[7]!.value?.length, 5 + orderSchema.type.toBuffer(orders(8)[7]!).length);
  });

  test('gives columns, of numbers in memory that was transferred', async () => {
    const records = await consumed(orders(1_500));
    const { id, to } = await pool.decodeColumns(records, ['id', 'to']);
    assert.ok(id instanceof Float64Array);
    assert.deepEqual(
      [...id],
      orders(1_500).map((order) => order.id),
    );
    assert.deepEqual(
      to,
      orders(1_500).map((order) => order.to),
    );
    assert.deepEqual(await pool.decodeColumns([], ['id']), { id: new Float64Array() });
  });

  test('gives null for a null value, and undefined in its columns', async () => {
    const records = await consumed([orders(1)[0]!, null]);
    assert.deepEqual(await pool.decodeBatch(records), [orders(1)[0], null]);
    assert.deepEqual(await pool.decodeColumns(records, ['id']), { id: [0, undefined] });
  });

  test('tells where a record is that cannot be decoded', async () => {
    const records = await consumed([...orders(3), Buffer.from('no Avro'), ...orders(2)]);
    await assert.rejects(pool.decodeBatch(records), (error: unknown) => {
      assert.ok(error instanceof DecodeError);
      const { topic, partition, offset } = records[3]!;
      assert.deepEqual([error.topic, error.partition, error.offset], [topic, partition, offset]);
      return true;
    });
  });

  test('a worker that ends costs its call, and not the next one', async () => {
    const records = await consumed([...orders(3), { id: 3, to: DEADLY }]);
    await assert.rejects(pool.decodeBatch(records), (error: unknown) => error instanceof WorkerError && error.topic === records[0]!.topic);
    assert.deepEqual(await pool.decodeBatch(records.slice(0, 3)), orders(3));
  });

  test('calls that are under way when it is closed are refused, and so are later ones', async () => {
    const records = await consumed(orders(1_000));
    const registry = createSchemaRegistry({ vars: services.vars(), url: server.url });
    const own = await createDecodePool<Order>({ decoder: moduleUrl('order-decoder'), registry, concurrency: 1 });
    const calls = Promise.allSettled(Array.from({ length: 20 }, () => own.decodeBatch(records)));
    await own.close();
    await own.close();
    const settled = [...(await calls), ...(await Promise.allSettled([own.decodeBatch(records)]))];
    const refused = settled.filter((each) => each.status === 'rejected' && each.reason instanceof ClosedError);
    assert.equal(refused.length + settled.filter(({ status }) => status === 'fulfilled').length, 21);
    assert.ok(refused.length >= 2, `${refused.length} refused`);
  });

  test('a module that is no decoder is refused', async () => {
    await assert.rejects(createDecodePool({ decoder: moduleUrl('no-handler') }), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /no-handler\.js to be made by definePoolDecoder/);
      return true;
    });
    await assert.rejects(createDecodePool({ decoder: moduleUrl('order-decoder'), concurrency: 0 }), ConfigError);
  });
});
