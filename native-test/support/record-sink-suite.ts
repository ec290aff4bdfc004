import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import {
  BatchDeliveryError,
  createProducer,
  DeliveryError,
  EncodeError,
  type Producer,
  parseRuntimeVars,
  QueueFullError,
} from 'rdkafka-toolkit';
import { startMockCluster } from 'rdkafka-toolkit/testing';
import type { PackedRecords } from '../../src/binding/packed-records.ts';
import { encodeRecord } from '../../src/client/encode-record.ts';
import { PackedOutput } from '../../src/pool/packed-output.ts';
import type { RuntimeVars } from '../../src/runtime-vars.ts';
import { rawSerializer } from '../../src/serde.ts';
import { type Services, startServices } from './services.ts';
import { readAll } from './topics.ts';

const NOT_LEADER = 6;
const MESSAGE_SIZE_TOO_LARGE = 10;
const OUT_OF_ORDER_SEQUENCE = 45;
const QUEUE_FULL = -184;
const UNKNOWN_PARTITION = -190;
const MESSAGE_TIMED_OUT = -192;

/** What producing must do, whichever way the records take to librdkafka. */
export function recordSinkSuite(kind: 'portable' | 'packed'): void {
  const native = { RDKAFKA_TOOLKIT_NATIVE: kind === 'packed' ? 'on' : 'off' };
  const vars = (services: Services, extra = {}): RuntimeVars => services.vars({ ...native, ...extra });

  async function open(services: Services, extra = {}): Promise<Producer> {
    const producer = await createProducer({ vars: vars(services, extra) });
    assert.equal(producer.sink, kind);
    return producer;
  }

  describe(`producing by the ${kind} sink`, () => {
    test('keeps every field of random records, null and empty apart', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      const bytes = fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 40 }));
      const text = fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom('a', 'é', '\u{1f600}', '_', 'proto') });
      // The portable sink cannot send null or bytes that are no text.
      const value = kind === 'packed' ? fc.oneof(bytes, text) : text;
      const record = fc.record({
        key: bytes,
        value: bytes,
        timestamp: fc.option(fc.integer({ min: 1, max: 2_000_000_000_000 }), { nil: undefined }),
        headers: fc.option(fc.array(fc.record({ name: fc.oneof(text, fc.constant('__proto__')), value }), { maxLength: 4 }), {
          nil: undefined,
        }),
      });
      const records = fc.sample(record, 2_500);
      await using producer = await open(services);
      const start = Date.now();
      const deliveries = [];
      for (const each of records) deliveries.push(await producer.enqueue({ topic, partition: 1, ...each }));
      const offsets = (await Promise.all(deliveries.map((delivery) => delivery.delivered))).map(({ offset }) => offset);
      assert.deepEqual(
        offsets,
        records.map((_, index) => index),
      );
      const hex = (part: Uint8Array | string | null): string | null => (part === null ? null : Buffer.from(part as string).toString('hex'));
      const read = await readAll(services, topic);
      assert.equal(read.length, records.length);
      for (const [index, { key, value, timestamp, headers }] of records.entries()) {
        const got = read[index]!;
        assert.deepEqual([hex(got.key), hex(got.value)], [hex(key), hex(value)]);
        if (timestamp === undefined) assert.ok(got.timestamp >= start - 1 && got.timestamp <= Date.now());
        else assert.equal(got.timestamp, timestamp);
        assert.deepEqual(
          got.headers.map((header) => [header.name, hex(header.value)]),
          (headers ?? []).map((header) => [header.name, hex(header.value)]),
        );
      }
    });

    test('chooses the partition by the key as Java does (murmur2)', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      await using producer = await open(services);
      // Computed with Apache Kafka's Utils.murmur2 over 4 partitions.
      const expected: [string, number][] = [];
      for (const key of ['a', 'order-1', 'order-2', '42', 'Zürich']) expected.push([key, toPositive(murmur2(Buffer.from(key))) % 4]);
      for (const [key, partition] of expected) assert.equal((await producer.send({ topic, key, value: 'v' })).partition, partition, key);
    });

    test('takes records without a promise while there is room, and takes none when there is not', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      await using producer = await open(services, { PRODUCER_QUEUE_MAX_RECORDS: '50' });
      const record = (number: number): { topic: string; partition: number; value: string } => ({ topic, partition: 0, value: `${number}` });
      const offsets: number[] = [];
      let taken = 0;
      while (producer.tryEnqueue(record(taken), (error, metadata) => offsets.push(error === undefined ? metadata!.offset : -1))) taken++;
      assert.equal(taken, 50);
      assert.equal(producer.inFlight, 50);
      // It is nobody's turn before those in line.
      const waiting = producer.enqueue(record(50));
      assert.equal(producer.tryEnqueue(record(51)), false);
      await (await waiting).delivered;
      assert.throws(() => producer.tryEnqueue({ topic, value: Buffer.alloc(100_000_000) }), { code: 'ERR_TOO_LARGE' });
      assert.equal(producer.tryEnqueue(record(51)), true);
      await producer.flush();
      assert.deepEqual(
        offsets,
        Array.from({ length: 50 }, (_, index) => index),
      );
      assert.deepEqual(
        (await readAll(services, topic)).map(({ value }) => Number(value)),
        Array.from({ length: 52 }, (_, index) => index),
      );
      // A failure without a callback is raised, as an unobserved delivery's is.
      const failing = await open(services);
      assert.equal(failing.tryEnqueue({ topic, partition: 77, value: 'x' }), true);
      await assert.rejects(failing.flush(), (error) => error instanceof DeliveryError && error.kafkaCode === UNKNOWN_PARTITION);
      await assert.rejects(failing.close(), DeliveryError);
      assert.throws(() => failing.tryEnqueue(record(0)), { code: 'ERR_CLOSED' });
    });

    test('takes records without a promise for ever, from a timer that comes back for what was refused', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      await using producer = await open(services);
      let taken = 0;
      for (const deadline = Date.now() + 30_000; taken < 7_000 && Date.now() < deadline; await sleep(1)) {
        while (taken < 7_000 && producer.tryEnqueue({ topic, value: String(taken) })) taken++;
      }
      assert.equal(taken, 7_000);
      await producer.flush();
      assert.equal((await readAll(services, topic)).length, 7_000);
    });

    test('delivers batches, with one promise, in order, their places by column', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      await using producer = await open(services);
      const make = (from: number): { topic: string; partition: number; value: string }[] =>
        Array.from({ length: 500 }, (_, index) => ({ topic, partition: index % 4, value: String(from + index) }));
      const calls: unknown[] = [];
      const batches = [];
      for (let from = 0; from < 5_000; from += 500) {
        batches.push(await producer.enqueueBatch(make(from), (error, metadata) => calls.push([error, metadata?.offsets.length])));
      }
      assert.equal(batches[0]!.length, 500);
      for (const [number, batch] of batches.entries()) {
        const { partitions, offsets, timestamps } = await batch.delivered;
        assert.equal(batch.settled, true);
        for (let index = 0; index < 500; index++) {
          assert.deepEqual([partitions[index], offsets[index]], [index % 4, number * 125 + (index >>> 2)]);
          assert.ok(timestamps[index]! > 0);
        }
      }
      assert.deepEqual(
        calls,
        batches.map(() => [undefined, 500]),
      );
      assert.equal(producer.inFlight, 0);
      assert.equal(producer.acknowledgedSequence(), Number.MAX_SAFE_INTEGER);
      const values = (await readAll(services, topic)).map(({ value }) => Number(value)).toSorted((a, b) => a - b);
      assert.deepEqual(
        values,
        Array.from({ length: 5_000 }, (_, index) => index),
      );
    });

    test('delivers packed blocks in order among single records, each record reported', async (t) => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      // Less than a block: what has no room waits for reports.
      const producer = await open(services, { PRODUCER_QUEUE_MAX_RECORDS: '300' });
      t.after(() => producer.close().catch(() => undefined));
      await producer.send({ topic: await services.topic('other'), value: 'so that topics have other numbers here than in the block' });
      const settings = { keySerializer: rawSerializer, valueSerializer: rawSerializer, sink: 'packed', recordMaxBytes: 1_000_000 } as const;
      const block = (from: number, partition = 0): PackedRecords => {
        const output = new PackedOutput();
        for (let value = from; value < from + 999; value++) {
          const record = {
            topic,
            partition: value === from + 500 ? partition : 0,
            key: null,
            value: String(value),
            headers: { n: 'a' },
            timestamp: value + 1,
          };
          output.add(record, encodeRecord(record, settings));
        }
        return output.take()!;
      };
      const deliveries: (Promise<unknown> | undefined)[] = [];
      for (let from = 0; from < 5_000; from += 1_000) {
        deliveries.push((await producer.enqueuePacked(block(from))).delivered);
        deliveries.push(producer.send({ topic, partition: 0, value: String(from + 999), timestamp: from + 1_000 }));
      }
      await Promise.all(deliveries);
      const records = await readAll(services, topic);
      assert.deepEqual(
        records.map(({ value, timestamp }) => [Number(value), timestamp]),
        Array.from({ length: 5_000 }, (_, index) => [index, index + 1]),
      );
      assert.deepEqual(
        records[1]!.headers.map(({ name, value }) => [name, String(value)]),
        [['n', 'a']],
      );
      const refused = await producer.enqueuePacked(block(5_000, 99));
      await assert.rejects(refused.delivered, (error: unknown) => {
        assert.ok(error instanceof BatchDeliveryError);
        assert.deepEqual(
          error.failures.map((failure) => [failure.index, failure.error.kafkaCode]),
          [[500, UNKNOWN_PARTITION]],
        );
        return true;
      });
      assert.equal((await readAll(services, topic)).length, 5_998);
    });

    test('takes none of a batch with a record that does not fit', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      await using producer = await open(services);
      const good = { topic, value: 'good' };
      const large = { topic, value: Buffer.alloc(3 * 1_048_576) };
      await assert.rejects(producer.enqueueBatch([good, large]), { code: 'ERR_TOO_LARGE', kafkaCode: MESSAGE_SIZE_TOO_LARGE });
      const unnamed = { topic, value: 'x', headers: [{ name: '', value: 'v' }] };
      await assert.rejects(producer.enqueueBatch([good, unnamed]), EncodeError);
      await assert.rejects(producer.enqueueBatch([]), { code: 'ERR_STATE' });
      await assert.rejects(producer.enqueueBatch([{ topic, value: 'x', partition: -3 }]), { code: 'ERR_STATE' });
      assert.equal(producer.acknowledgedSequence(), Number.MAX_SAFE_INTEGER);
      await producer.flush();
      assert.equal((await readAll(services, topic)).length, 0);
    });

    test('reports the record that has no such partition with its true code, the others arrive', async (t) => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      const producer = await open(services);
      t.after(() => producer.close().catch(() => undefined));
      // Known from the first record on, so that the refusal comes at once.
      await producer.send({ topic, value: 'first' });
      const batch = await producer.enqueueBatch([0, 99, 3].map((partition) => ({ topic, partition, value: String(partition) })));
      await assert.rejects(batch.delivered, (error: unknown) => {
        assert.ok(error instanceof BatchDeliveryError);
        assert.deepEqual(
          error.failures.map((failure) => [failure.index, failure.error.kafkaCode]),
          [[1, UNKNOWN_PARTITION]],
        );
        assert.deepEqual([...error.metadata.partitions], [0, -1, 3]);
        assert.equal(error.kafkaCode, UNKNOWN_PARTITION);
        return true;
      });
      await assert.rejects(producer.send({ topic, partition: 99, value: 'x' }), { code: 'ERR_DELIVERY', kafkaCode: UNKNOWN_PARTITION });
      assert.equal((await readAll(services, topic)).length, 3);
      await producer.close().catch(() => undefined);
    });

    test('keeps the order of records that nobody waits for, batches among them', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      await using producer = await open(services, { PRODUCER_QUEUE_MAX_RECORDS: '4000' });
      const offsets: Promise<number>[] = [];
      while (offsets.length < 9_000) {
        const value = String(offsets.length);
        if (offsets.length % 700 !== 0) {
          offsets.push(producer.send({ topic, partition: 0, value }).then(({ offset }) => offset));
          continue;
        }
        const batch = producer.enqueueBatch(Array.from({ length: 50 }, () => ({ topic, partition: 0, value })));
        for (let index = 0; index < 50; index++) offsets.push(batch.then(async ({ delivered }) => (await delivered).offsets[index]!));
      }
      const found = await Promise.all(offsets);
      assert.deepEqual(
        found,
        found.map((_, index) => index),
      );
    });

    test('lets timers run in a loop that never rests', async () => {
      await using services = await startServices();
      const topic = await services.topic('sink');
      await using producer = await open(services);
      let ticks = 0;
      const timer = setInterval(() => ticks++, 1);
      for (let index = 0; index < 30_000; index++) await producer.enqueue({ topic, value: 'x' });
      clearInterval(timer);
      assert.ok(ticks >= 5, `${ticks} turns`);
    });

    test('reports every record once when brokers go away, at the flush and at the close, with the true code', async (t) => {
      await using cluster = await startMockCluster({ topics: ['out'] });
      const settings = { PRODUCER_DELIVERY_TIMEOUT_SECONDS: '3', KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'sink' };
      const producer = await createProducer({ vars: parseRuntimeVars({ ...settings, ...native }) });
      t.after(() => producer.close().catch(() => undefined));
      const failures: unknown[] = [];
      producer.on('deliveryError', (error) => failures.push(error.kafkaCode));
      await producer.send({ topic: 'out', value: 'before' });
      cluster.stopBroker(1);
      const batch = await producer.enqueueBatch(Array.from({ length: 300 }, (_, index) => ({ topic: 'out', value: String(index) })));
      const single = await producer.enqueue({ topic: 'out', value: 'single' });
      const outcomes = await Promise.allSettled([batch.delivered, single.delivered, producer.flush({ timeoutMs: 20_000 })]);
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['rejected', 'rejected', 'fulfilled'],
      );
      assert.deepEqual(failures, new Array(301).fill(MESSAGE_TIMED_OUT));
      // Nobody asks for these: the close tells.
      await producer.enqueueBatch([{ topic: 'out', value: 'x' }]);
      await assert.rejects(producer.close({ timeoutMs: 300 }), DeliveryError);
      assert.equal(failures.length, 302);
    });

    test('gives error, log and statistics events while it produces', async () => {
      await using cluster = await startMockCluster({ brokers: 1, topics: ['out'] });
      const env = { KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'sink', ...native, RDKAFKA_STATISTICS_INTERVAL_MS: '100' };
      await using producer = await createProducer({ vars: parseRuntimeVars(env), config: { 'socket.connection.setup.timeout.ms': 1_000 } });
      const seen = { errors: [] as (number | undefined)[], logs: 0, statistics: 0 };
      producer.on('clientError', ({ kafkaCode }) => seen.errors.push(kafkaCode));
      producer.on('log', () => seen.logs++);
      producer.on('statistics', ({ type }) => {
        assert.equal(type, 'producer');
        seen.statistics++;
      });
      await producer.send({ topic: 'out', value: 'x' });
      cluster.stopBroker(1);
      const enough = (): boolean => seen.errors.includes(-187) && seen.logs > 0 && seen.statistics >= 3;
      for (const deadline = Date.now() + 15_000; Date.now() < deadline && !enough(); ) await sleep(50);
      assert.ok(seen.errors.includes(-187), `all brokers down: ${seen.errors}`);
      assert.ok(seen.logs > 0 && seen.statistics >= 3, JSON.stringify(seen));
      cluster.startBroker(1);
      await producer.send({ topic: 'out', value: 'again' });
    });

    test('an idempotence error that librdkafka cannot mend is fatal: no record is taken any more', async (t) => {
      await using cluster = await startMockCluster({ topics: ['out'] });
      const address = { KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'sink' };
      const producer = await createProducer({ vars: parseRuntimeVars({ ...address, ...native }) });
      t.after(() => producer.close().catch(() => undefined));
      const send = (): Promise<unknown> => producer.send({ topic: 'out', partition: 0, value: 'x' });
      await send();
      cluster.pushErrors('produce', [OUT_OF_ORDER_SEQUENCE]);
      await assert.rejects(send(), { code: 'ERR_DELIVERY', kafkaCode: OUT_OF_ORDER_SEQUENCE });
      // Without the addon the event does not say that it is fatal: the next report does.
      if (kind === 'portable') await assert.rejects(send(), { code: 'ERR_DELIVERY', fatal: true });
      for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(send(), { code: 'ERR_FATAL', fatal: true });
      assert.equal(producer.failure()?.kafkaCode, OUT_OF_ORDER_SEQUENCE);
    });

    test('a listener of failed records that throws is told of, and the reports behind it come through', async (t) => {
      await using cluster = await startMockCluster({ topics: ['out'] });
      const vars = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'sink', ...native });
      const producer = await createProducer({ vars });
      t.after(() => producer.close().catch(() => undefined));
      const told: Error[] = [];
      producer.on('clientError', (error) => told.push(error));
      producer.on('deliveryError', () => {
        throw new TypeError('of the listener');
      });
      const sent = ['a', 'b', 'c'].map((value) => producer.send({ topic: 'out', partition: 77, value }));
      for (const each of sent) await assert.rejects(each, DeliveryError);
      assert.deepEqual(
        told.map((error) => [error.message, error.cause]),
        sent.map(() => ['A listener of deliveryError threw: TypeError: of the listener', new TypeError('of the listener')]),
      );
    });

    test('a record that librdkafka takes for written because a later one was is not delivered', async (t) => {
      await using cluster = await startMockCluster({ topics: ['out'] });
      const vars = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'sink', ...native });
      const producer = await createProducer({ vars });
      t.after(() => producer.close().catch(() => undefined));
      const failed: unknown[] = [];
      producer.on('deliveryError', (error) => failed.push(error));
      await producer.send({ topic: 'out', partition: 1, value: 'connected' });
      // Both requests are on their way before the first is answered: by a broker that does not lead the partition yet, but does a moment later.
      cluster.setRoundTripTime(1, 400);
      cluster.pushErrors('produce', [NOT_LEADER]);
      const first = (await producer.enqueue({ topic: 'out', partition: 0, value: 'first' })).delivered;
      await sleep(100);
      const second = (await producer.enqueue({ topic: 'out', partition: 0, value: 'second' })).delivered;
      await assert.rejects(first, (error) => {
        assert.ok(error instanceof DeliveryError, String(error));
        assert.deepEqual([error.code, error.retriable, error.fatal, error.topic], ['ERR_DELIVERY', true, false, 'out']);
        assert.match(error.message, /^Not known to be delivered to out \[0\]: no broker has answered for it/);
        return true;
      });
      assert.equal((await second).offset, 0);
      assert.deepEqual(failed, [producer.failure()]);
      cluster.setRoundTripTime(1, 0);
      // The topic holds what was reported as delivered, and no more.
      assert.equal((await producer.send({ topic: 'out', partition: 0, value: 'third' })).offset, 1);
    });

    test('a batch that finds the queue full half way says which records were not taken', async (t) => {
      await using cluster = await startMockCluster({ topics: ['out'] });
      const env = { PRODUCER_QUEUE_MAX_RECORDS: '10', PRODUCER_QUEUE_FULL_TIMEOUT_SECONDS: '0.2', PRODUCER_DELIVERY_TIMEOUT_SECONDS: '3' };
      const address = { KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'sink' };
      const producer = await createProducer({ vars: parseRuntimeVars({ ...env, ...address, ...native }) });
      t.after(() => producer.close().catch(() => undefined));
      cluster.stopBroker(1);
      const records = Array.from({ length: 15 }, (_, index) => ({ topic: 'out', partition: 0, value: String(index) }));
      const batch = await producer.enqueueBatch(records);
      await assert.rejects(producer.enqueue(records[0]!), QueueFullError);
      await assert.rejects(producer.enqueueBatch(records), QueueFullError);
      cluster.startBroker(1);
      await assert.rejects(batch.delivered, (error: unknown) => {
        assert.ok(error instanceof BatchDeliveryError);
        const refused = error.failures.filter((failure) => failure.error.kafkaCode === QUEUE_FULL).map(({ index }) => index);
        assert.deepEqual(refused, [10, 11, 12, 13, 14]);
        return true;
      });
      await producer.close().catch(() => undefined);
    });
  });
}

/** Kafka's murmur2, written from its description: seed 0x9747b28c over 4-byte little-endian blocks. */
function murmur2(data: Buffer): number {
  const m = 0x5bd1e995;
  let h = (0x9747b28c ^ data.length) >>> 0;
  let at = 0;
  for (; at + 4 <= data.length; at += 4) {
    let k = Math.imul(data.readInt32LE(at), m);
    k = Math.imul(k ^ (k >>> 24), m);
    h = Math.imul(h, m) ^ k;
  }
  const rest = data.length - at;
  if (rest >= 3) h ^= data[at + 2]! << 16;
  if (rest >= 2) h ^= data[at + 1]! << 8;
  if (rest >= 1) h = Math.imul(h ^ data[at]!, m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}

function toPositive(hash: number): number {
  return hash & 0x7fffffff;
}
