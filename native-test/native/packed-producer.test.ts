import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { createProducer } from 'rdkafka-toolkit';
import { makeClient, rdkafka } from '../../src/binding/node-rdkafka.ts';
import { ProducerHandle } from '../../src/binding/producer-handle.ts';
import { routeConfig } from '../../src/config/librdkafka-config.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { type Services, startServices } from '../support/services.ts';

interface NativeProducer {
  readonly reports: ArrayBuffer;
  addTopic(...values: unknown[]): number;
  produce(...values: unknown[]): number;
  lastError(): number;
  drain(...values: unknown[]): number;
  takeEvents(): unknown;
  hold(...values: unknown[]): void;
  close(): void;
}

const require = createRequire(import.meta.url);
const { PackedProducer, PackedConsumer, MockCluster } = require('../../../build/Release/rdkafka_toolkit.node') as {
  PackedProducer: new (...values: unknown[]) => NativeProducer;
  PackedConsumer: new (...values: unknown[]) => object;
  MockCluster: new (...values: unknown[]) => object;
};

const ignore = (): void => undefined;

/** A connected node-rdkafka producer that nobody polls. */
async function connected(services: Services): Promise<ProducerHandle> {
  const config = routeConfig('producer', producerSettings(services.vars(), { 'linger.ms': 1 }));
  const handle = new ProducerHandle(config, 'portable', { onDelivery: ignore, onError: ignore, onStatistics: ignore, onLog: ignore });
  await handle.connect(services.bootstrapServers, 10_000, undefined);
  return handle;
}

/** Random values of any type, those that nearly fit among them. */
const anything = fc.oneof(
  fc.anything(),
  fc.integer(),
  fc.double(),
  fc.uint8Array({ maxLength: 64 }),
  fc.int32Array({ maxLength: 40 }),
  fc.float64Array({ maxLength: 8 }),
  fc.constant(new Uint8Array(0)),
);

describe('the native producer', () => {
  test('refuses whatever is no connected producer, and a second one for the same client', async () => {
    await using services = await startServices();
    const handle = await connected(services);
    for (const value of [undefined, null, 1, 'x', {}, [], Buffer.alloc(8)]) {
      assert.throws(() => new PackedProducer(value, ignore), TypeError);
      assert.throws(() => new MockCluster(value), TypeError);
    }
    assert.throws(() => new PackedProducer(handle.native), TypeError);
    assert.throws(() => new PackedConsumer(handle.native, ignore, ignore), TypeError);
    assert.throws(() => new MockCluster(handle.native), TypeError);
    const native = new PackedProducer(handle.native, ignore);
    assert.throws(() => new PackedProducer(handle.native, ignore), /already/);
    native.close();
    native.close();
    new PackedProducer(handle.native, ignore).close();
    for (const call of [() => native.addTopic('a'), () => native.drain(true)]) assert.throws(call, /closed/);
    assert.throws(() => native.produce(new Uint8Array(0), new Int32Array(5), new Float64Array(1), 0, 1, 0), /closed/);
    await handle.disconnect(10_000);
  });

  test('is woken for what waited in the queue before it was there', async () => {
    await using services = await startServices();
    const { global, topic } = routeConfig('producer', producerSettings(services.vars(), { 'statistics.interval.ms': 1_000 }));
    const { _client: raw } = makeClient(rdkafka.Producer, { ...global }, { ...topic });
    await new Promise((resolve) => raw.connect(resolve));
    await sleep(1_500);
    // librdkafka tells only of a queue that was empty.
    let woken = 0;
    const native = new PackedProducer(raw, () => void woken++);
    await sleep(200);
    assert.equal(woken, 1);
    native.drain(true);
    assert.equal((native.takeEvents() as { type: string }[])[0]?.type, 'statistics');
    await sleep(1_300);
    assert.equal(woken, 2);
    native.close();
    await new Promise<void>((resolve) => raw.disconnect(resolve));
  });

  test('refuses lengths that lie, detached buffers and wrong columns, and sends nothing then', async () => {
    await using services = await startServices();
    const topic = await services.topic('native');
    const handle = await connected(services);
    const native = new PackedProducer(handle.native, ignore);
    const index = native.addTopic(topic);
    const bytes = new TextEncoder().encode('keyvalue');
    const columns = (...values: number[]): Int32Array => Int32Array.from(values);
    const good = columns(index, 0, 3, 5, 0);
    const time = Float64Array.of(0);
    const wrong: unknown[][] = [
      [bytes, columns(index, 0, 3, 6, 0), time, 0, 1, 0],
      [bytes, columns(index, 0, 3, 5, 1), time, 0, 1, 0],
      [bytes, columns(index, 0, 0x7fffffff, 0x7fffffff, 0x7fffffff), time, 0, 1, 0],
      [bytes, columns(index, 0, -2, 5, 0), time, 0, 1, 0],
      [bytes, columns(index, -2, 3, 5, 0), time, 0, 1, 0],
      [bytes, columns(index, 0, 3, 5, -1), time, 0, 1, 0],
      [bytes, columns(index + 1, 0, 3, 5, 0), time, 0, 1, 0],
      [bytes, columns(-1, 0, 3, 5, 0), time, 0, 1, 0],
      [bytes, good, Float64Array.of(Number.NaN), 0, 1, 0],
      [bytes, good, Float64Array.of(-1), 0, 1, 0],
      [bytes, good, time, 0, 2, 0],
      [bytes, good, time, 1, 1, 0],
      [bytes, good, time, 0, 1, -1],
      [bytes, good, time, 0, 1, 2 ** 53],
      [bytes, good, new Float64Array(0), 0, 1, 0],
      [structuredClone(bytes, { transfer: [] }).subarray(0, 0), good, time, 0, 1, 0],
    ];
    const detached = new Uint8Array(8);
    structuredClone(detached, { transfer: [detached.buffer] });
    wrong.push([detached, good, time, 0, 1, 0]);
    for (const values of wrong) assert.throws(() => native.produce(...values), RangeError, JSON.stringify(values.slice(1)));
    for (const value of [undefined, null, 'x', {}, [], new ArrayBuffer(8)]) {
      assert.throws(() => native.produce(value, good, time, 0, 1, 0), TypeError);
      assert.throws(() => native.produce(bytes, value, time, 0, 1, 0), TypeError);
      assert.throws(() => native.produce(bytes, good, value, 0, 1, 0), TypeError);
    }
    // Header bytes that are no headers are refused for their record alone.
    assert.equal(native.produce(bytes, columns(index, 0, 0, 0, 8), time, 0, 1, 0), 0);
    assert.equal(native.lastError(), -186);
    assert.equal(native.produce(bytes, good, time, 0, 1, 77), 1);
    let reports = 0;
    for (const deadline = Date.now() + 10_000; reports === 0 && Date.now() < deadline; await sleep(5)) reports = native.drain(true);
    assert.equal(reports, 1);
    assert.deepEqual([...new Float64Array(native.reports, 0, 1)], [77]);
    native.close();
    await handle.disconnect(10_000);
  });

  test('survives any arguments', async () => {
    await using services = await startServices();
    const handle = await connected(services);
    const native = new PackedProducer(handle.native, ignore);
    native.addTopic(await services.topic('native'));
    const methods = ['addTopic', 'produce', 'lastError', 'drain', 'takeEvents', 'hold'] as const;
    fc.assert(
      fc.property(fc.constantFrom(...methods), fc.array(anything, { maxLength: 7 }), (method, values) => {
        try {
          (native[method] as (...values: unknown[]) => unknown)(...values);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }),
      { numRuns: 20_000 },
    );
    native.close();
    await handle.disconnect(10_000);
  });

  test('survives producers closed, flushed twice and collected in the middle of everything', async () => {
    await using services = await startServices();
    const topic = await services.topic('native');
    for (let round = 0; round < 30; round++) {
      const producer = await createProducer({ vars: services.vars() });
      producer.on('deliveryError', ignore);
      for (let index = 0; index < 200; index++) void producer.send({ topic, value: 'x' }).catch(ignore);
      const ends = [producer.flush(), producer.flush(), producer.close({ timeoutMs: round * 20 }), producer.close()];
      await Promise.allSettled(ends);
      await assert.rejects(producer.enqueue({ topic, value: 'x' }), { code: 'ERR_CLOSED' });
      (globalThis as { gc?: () => void }).gc?.();
    }
  });
});
