import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { consumeMessage, createConsumer, NoMessageError, nativeStatus } from 'rdkafka-toolkit';
import { startServices } from '../support/services.ts';
import { fill } from '../support/topics.ts';
import { until } from '../support/until.ts';

interface Native {
  readonly PackedConsumer: new (
    ...values: unknown[]
  ) => {
    fetch(...values: unknown[]): unknown;
    free(...values: unknown[]): void;
    addTopic(name: unknown): number;
    commit(...values: unknown[]): number;
    storeOffsets(...values: unknown[]): number[];
    close(): void;
  };
}

const require = createRequire(import.meta.url);
const load = (): Native => require('../../../build/Release/rdkafka_toolkit.node') as Native;

/** Another packed consumer over the client of a toolkit's consumer. */
function openSecond(consumer: { readonly handle: unknown }): InstanceType<Native['PackedConsumer']> {
  const { PackedConsumer } = load();
  const ignore = (): undefined => undefined;
  return new PackedConsumer((consumer.handle as { native: object }).native, ignore, ignore);
}

describe('the packed addon', () => {
  test('was compiled and fits the librdkafka that runs', () => assert.deepEqual(nativeStatus(), { available: true, reason: undefined }));

  test('refuses whatever is no connected consumer, with a TypeError', () => {
    const { PackedConsumer } = load();
    const kafka = require('node-rdkafka') as { KafkaConsumer: new (conf: object, topic: object) => { _client: object } };
    const unconnected = new kafka.KafkaConsumer({ 'group.id': 'g' }, {})._client;
    const wrong: unknown[] = [undefined, null, 1, 'x', {}, [], new Map(), new ArrayBuffer(8), Buffer.alloc(8), () => 0, unconnected];
    for (const value of wrong)
      assert.throws(
        () =>
          new PackedConsumer(
            value,
            () => undefined,
            () => undefined,
          ),
        TypeError,
        String(value),
      );
    for (const callback of [undefined, null, 1, {}]) {
      assert.throws(() => new PackedConsumer(unconnected, callback, () => undefined), TypeError);
      assert.throws(() => new PackedConsumer(unconnected, () => undefined, callback), TypeError);
    }
    assert.throws(() => Reflect.apply(PackedConsumer as unknown as () => void, undefined, []), TypeError);
  });

  test('checks the arguments of every call, and says when it is closed', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    await using consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
    const native = openSecond(consumer);
    for (const value of [undefined, null, 0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 40, '5', {}, 5n]) {
      assert.throws(() => native.fetch(value, 1000), RangeError, `records: ${String(value)}`);
      assert.throws(() => native.fetch(10, value), RangeError, `bytes: ${String(value)}`);
    }
    for (const value of [undefined, null, 1, {}, '', 'a\0b']) assert.throws(() => native.addTopic(value), TypeError);
    assert.deepEqual([native.addTopic('a'), native.addTopic('b'), native.addTopic('a')], [0, 1, 0]);
    native.close();
    native.close();
    assert.throws(() => native.fetch(10, 1000), /closed/);
  });

  test('loses nothing at a bound of bytes or records that falls between any two records', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    await fill(services, topic, 1_000, { partition: 0 });
    for (const [records, bytes] of [
      [1_000, 1],
      [1_000, 100],
      [7, 1_000_000],
      [64, 1_000_000],
      [65, 200],
    ] as const) {
      await using consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
      const native = openSecond(consumer);
      let next = 0;
      for (const deadline = Date.now() + 20_000; next < 1_000 && Date.now() < deadline; ) {
        const fetched = native.fetch(records, bytes) as { length: number; columns: ArrayBuffer } | undefined;
        if (fetched === undefined) {
          await sleep(5);
          continue;
        }
        assert.ok(fetched.length <= records);
        for (const offset of new Float64Array(fetched.columns, 0, fetched.length)) assert.equal(offset, next++);
      }
      assert.equal(next, 1_000);
      native.close();
    }
  });

  test('gives the memory of a batch back, of one batch only, closed or not, and takes nothing else for memory', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    await fill(services, topic, 200, { partition: 0 });
    await using consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
    const native = openSecond(consumer);
    const batches: { readonly bytes: ArrayBuffer; readonly columns: ArrayBuffer }[] = [];
    await until('both batches', () => {
      const fetched = native.fetch(100, 1_000_000) as (typeof batches)[number] | undefined;
      if (fetched !== undefined) batches.push(fetched);
      return batches.length === 2;
    });
    const [first, second] = batches as [(typeof batches)[number], (typeof batches)[number]];
    const sizes = (batch: typeof first): number[] => [batch.bytes.byteLength, batch.columns.byteLength];
    const before = sizes(second);
    assert.ok(before.every((size) => size > 0));
    const { Memory } = Reflect.get(globalThis, 'WebAssembly') as { Memory: new (pages: object) => { readonly buffer: ArrayBuffer } };
    for (const wrong of [undefined, null, 1, {}, Buffer.alloc(8), new SharedArrayBuffer(8), new Memory({ initial: 1 }).buffer]) {
      assert.throws(() => native.free(second.bytes, wrong), TypeError);
    }
    native.free(first.bytes, first.columns);
    native.free(first.bytes);
    native.free();
    assert.deepEqual([sizes(first), sizes(second)], [[0, 0], before]);
    assert.equal(new Float64Array(second.columns, 0, 100)[99], 199);
    native.close();
    native.free(second.bytes, second.columns);
    assert.deepEqual(sizes(second), [0, 0]);
  });

  test('takes any arguments at all without a crash: it answers or throws', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    await fill(services, topic, 50);
    await using consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
    await consumeMessage(consumer, undefined, { timeoutMs: 10_000 });
    const native = openSecond(consumer);
    const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, -1, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1, 2 ** 53));
    const place = fc.record(
      { topic: fc.oneof(fc.string(), fc.constant(topic), fc.anything()), partition: number, offset: number },
      { requiredKeys: [] },
    );
    const getter = {
      get topic(): string {
        throw new Error('a getter that throws');
      },
    };
    const list = fc.oneof(fc.array(place, { maxLength: 4 }), fc.anything(), fc.constant([getter]), fc.constant([new Proxy({}, {})]));
    const any = fc.anything({ withTypedArray: true, withBigInt: true, withSparseArray: true, withNullPrototype: true });
    const call = fc.oneof(
      fc.tuple(fc.constant('fetch' as const), fc.oneof(number, any), fc.oneof(number, any)),
      fc.tuple(fc.constant('addTopic' as const), fc.oneof(fc.string(), any)),
      fc.tuple(fc.constantFrom('commit' as const, 'storeOffsets' as const), list, fc.oneof(number, any)),
    );
    let refused = 0;
    fc.assert(
      fc.property(call, ([method, ...values]) => {
        try {
          Reflect.apply(native[method] as (...values: unknown[]) => unknown, native, values);
        } catch (error) {
          refused++;
          assert.ok(error instanceof Error, String(error));
        }
      }),
      { numRuns: 20_000 },
    );
    assert.ok(refused > 5_000, `${refused} refused`);
    // A method of another object is refused as well.
    for (const self of [undefined, {}, [], new Map()]) assert.throws(() => Reflect.apply(native.fetch, self, [1, 1]));
    native.close();
  });

  test('holds no pool thread while consumers are idle, and wakes at once for a record', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    const vars = services.vars();
    await using consumer = await createConsumer({ vars, topics: [topic] });
    assert.equal(consumer.source, 'packed');
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 4_000 }), NoMessageError);
    const waiting = consumeMessage(consumer, undefined, { timeoutMs: 10_000 });
    const { stat } = await import('node:fs/promises');
    const start = performance.now();
    for (let round = 0; round < 50; round++) await Promise.all([stat('.'), stat('.'), stat('.'), stat('.')]);
    assert.ok(performance.now() - start < 1_000);
    await fill(services, topic, 1);
    assert.equal(String((await waiting).value), '0');
  });

  test('survives many consumers opened, collected and closed in the middle of everything', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    await fill(services, topic, 500);
    const vars = services.vars();
    for (let round = 0; round < 20; round++) {
      const consumers = await Promise.all(
        Array.from({ length: 3 }, () =>
          createConsumer({ vars: services.vars(), topics: [topic], config: { 'client.id': vars.APP_NAME! } }),
        ),
      );
      const pending = consumers.map((consumer) => consumeMessage(consumer, undefined, { timeoutMs: 200 }).catch((error: unknown) => error));
      await sleep(round * 5);
      await Promise.all(consumers.flatMap((consumer) => [consumer.close(), consumer.close()]));
      await Promise.all(pending);
      (globalThis as { gc?: () => void }).gc?.();
    }
  });

  test('lets timers run while a loop works off a backlog', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    await fill(services, topic, 30_000);
    await using consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
    await consumeMessage(consumer, undefined, { timeoutMs: 10_000 });
    // Everything is in librdkafka's queue by now.
    await sleep(1_000);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    for (let count = 1; count < 30_000; count++) await consumeMessage(consumer);
    clearInterval(timer);
    assert.ok(ticks >= 5, `${ticks} turns`);
  });

  test('says who confirmed a commit, and that a closed consumer did not', async () => {
    await using services = await startServices();
    const topic = await services.topic();
    await fill(services, topic, 4, { partition: 0 });
    const consumer = await createConsumer({ vars: services.vars(), topics: [topic] });
    await consumeMessage(consumer, undefined, { timeoutMs: 10_000 });
    const at = { topic, partition: 0, offset: 1 };
    assert.equal(await consumer.handle.commitConfirmed([at], 5_000), undefined);
    assert.deepEqual(await consumer.committed([at]), [1]);
    const refused = await consumer.handle.commitConfirmed([{ ...at, partition: 77 }], 5_000);
    assert.match(String(refused?.message), /Cannot commit .*\[77\] @ 1/);
    const native = openSecond(consumer);
    for (const value of [
      undefined,
      'x',
      {},
      [1],
      [{ topic }],
      [{ topic, partition: -1, offset: 1 }],
      [{ topic: '', partition: 0, offset: 1 }],
    ]) {
      assert.throws(() => native.commit(value, 1), TypeError);
      assert.throws(() => native.storeOffsets(value), TypeError);
    }
    assert.deepEqual(native.storeOffsets([at, { ...at, partition: 77 }]), [1]);
    native.close();
    await consumer.close();
    const late = await consumer.handle.commitConfirmed([at], 5_000);
    assert.equal(late?.kafkaCode, -197);
  });

  test('refuses a worker thread with a reason', async () => {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
       import(${JSON.stringify(import.meta.resolve('../../src/binding/packed.js'))}).then(
         ({ nativeStatus }) => parentPort.postMessage(nativeStatus()), (error) => parentPort.postMessage({ reason: String(error.message) }));`,
      { eval: true },
    );
    const status = await new Promise<{ available?: boolean; reason: string }>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    assert.notEqual(status.available, true);
    assert.match(status.reason, /main thread|node-rdkafka did not load/);
  });
});
