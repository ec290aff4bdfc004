import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  consumeMessage,
  createConsumer,
  createProducer,
  DeliveryError,
  enqueueAutoCommits,
  handleNoMessages,
  IncompatibleEnvironmentError,
  jsonDeserializer,
  NoMessageError,
  type Producer,
  produceMessage,
  produceMessageCallback,
  shutdownCleanup,
  stringDeserializer,
} from 'rdkafka-toolkit';
import { CountingMetrics, type Services, startServices } from '../support/services.ts';
import { committedOffsets, committedTotal, fill, readAll } from '../support/topics.ts';

describe('asynchronous single pattern', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('moves every record once, counts it, and commits what is finished at the end', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 1_000);
    const vars = services.vars();
    const metrics = new CountingMetrics();
    const consumer = await createConsumer({ vars, topics: [input], keyDeserializer: stringDeserializer });
    const producer = await createProducer({ vars });
    try {
      for (let index = 0; index < 1_000; index++) {
        const record = await consumeMessage(consumer, metrics);
        await produceMessage(producer, { topic: output, key: record.key, headers: record.headers }, metrics, record.value);
        enqueueAutoCommits(consumer, record);
      }
    } finally {
      await shutdownCleanup({ consumer, producer });
    }
    assert.equal(metrics.consumed, 1_000);
    assert.equal(metrics.produced, 1_000);
    const records = await readAll(services, output);
    assert.equal(records.length, 1_000);
    assert.deepEqual(new Set(records.map(({ key }) => String(key))).size, 1_000);
    assert.equal(await committedTotal(services, vars, input), 1_000);
  });

  test('commits in the background while it runs', async () => {
    const input = await services.topic('in');
    await fill(services, input, 100);
    const vars = services.vars();
    await using consumer = await createConsumer({ vars, topics: [input] });
    for (let index = 0; index < 100; index++) enqueueAutoCommits(consumer, await consumeMessage(consumer));
    const deadline = Date.now() + 10_000;
    let committed = 0;
    while (committed < 100 && Date.now() < deadline) {
      await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 200 }), NoMessageError);
      committed = (await consumer.committed()).reduce<number>((sum, offset) => sum + (offset ?? 0), 0);
    }
    assert.equal(committed, 100);
  });

  test('does not store the offset of a record that was not enqueued', async () => {
    const input = await services.topic('in');
    await fill(services, input, 40);
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [input] });
    const finished = new Map<number, number>();
    for (let index = 0; index < 40; index++) {
      const record = await consumeMessage(consumer);
      // Every partition's third record is never finished.
      if (record.offset === 2) continue;
      enqueueAutoCommits(consumer, record);
      finished.set(record.partition, record.offset);
    }
    await consumer.close();
    const committed = await committedOffsets(services, vars, input);
    assert.ok([...finished.values()].some((last) => last > 2));
    for (const [partition, last] of finished) if (last > 2) assert.equal(committed[partition], 2, `partition ${partition}`);
  });

  test('holds the offset back when an output is not delivered, and says so at the next call', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 10, { partition: 0 });
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [input] });
    const producer = await createProducer({ vars });
    const events: Error[] = [];
    producer.on('deliveryError', (error) => events.push(error));
    for (let index = 0; index < 3; index++) {
      const record = await consumeMessage(consumer);
      await produceMessage(producer, { topic: output }, undefined, record.value);
      enqueueAutoCommits(consumer, record);
    }
    const doomed = await consumeMessage(consumer);
    const other = await services.topic('other');
    // The producer learns only later that this topic has no such partition.
    await produceMessage(producer, { topic: other, partition: 77 }, undefined, doomed.value);
    enqueueAutoCommits(consumer, doomed);
    while (events.length === 0) await sleep(10);
    const next = await consumeMessage(consumer);
    assert.throws(
      () => enqueueAutoCommits(consumer, next),
      (error) => error instanceof DeliveryError && error.topic === other && error.kafkaCode === -190,
    );
    await assert.rejects(shutdownCleanup({ consumer, producer }), DeliveryError);
    assert.equal(await committedTotal(services, vars, input), 3);
  });

  test('stores an offset only after its outputs are delivered', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 5, { partition: 0 });
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [input] });
    // Lingers for two seconds: the reports of its records are outstanding that long.
    const slow = await createProducer({ vars, config: { 'linger.ms': 2_000 } });
    for (let index = 0; index < 5; index++) {
      const record = await consumeMessage(consumer);
      await produceMessage(slow, { topic: output }, undefined, record.value);
      enqueueAutoCommits(consumer, record);
    }
    assert.equal(slow.inFlight, 5);
    // Without flushing the producer: what is not acknowledged must not be committed.
    await consumer.close();
    assert.ok((await committedTotal(services, vars, input)) === 0);
    await slow.close();
  });

  test('gives NoMessageError after the poll timeout, and handleNoMessages takes it', async () => {
    const input = await services.topic('in');
    await using consumer = await createConsumer({ vars: services.vars({ CONSUMER_POLL_TIMEOUT: '0.3' }), topics: [input] });
    const start = performance.now();
    const error = await consumeMessage(consumer).catch((reason: unknown) => reason);
    assert.ok(error instanceof NoMessageError);
    assert.equal(error.timeoutMs, 300);
    assert.ok(performance.now() - start >= 295);
    await handleNoMessages(error, {});
    await assert.rejects(handleNoMessages(new TypeError('other')), TypeError);
  });

  test('refuses to run without auto-commit, naming the variable', async () => {
    const input = await services.topic('in');
    await using consumer = await createConsumer({ vars: services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: 'false' }), topics: [input] });
    assert.throws(
      () => enqueueAutoCommits(consumer, { topic: input, partition: 0, offset: 0 }),
      (error) => error instanceof IncompatibleEnvironmentError && error.variable === 'CONSUMER_ENABLE_AUTO_COMMIT',
    );
  });

  test('calls back with the place of a delivered record and with the error of a failed one', async () => {
    const metrics = new CountingMetrics();
    const producer: Producer = await createProducer({ vars: services.vars() });
    const output = await services.topic('out');
    const results: unknown[] = [];
    await produceMessageCallback(producer, { topic: output, partition: 1 }, metrics, 'good', (error, at) => results.push(error ?? at));
    await produceMessageCallback(producer, { topic: output, partition: 99 }, metrics, 'bad', (error, at) => results.push(error ?? at));
    await producer.flush();
    assert.equal(results.length, 2);
    const [bad, good] = results[0] instanceof Error ? results : results.toReversed();
    assert.ok(bad instanceof DeliveryError);
    assert.deepEqual({ ...(good as object), timestamp: 0 }, { topic: output, partition: 1, offset: 0, timestamp: 0 });
    assert.deepEqual([metrics.produced, metrics.errors.length], [1, 1]);
    await producer.close();
  });

  test('skips a record that cannot be decoded when told so', async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    const producer = await createProducer({ vars });
    for (const value of ['{"n":1}', 'not json', '{"n":2}']) await producer.send({ topic: input, partition: 0, value });
    await producer.close();
    const consumer = await createConsumer({ vars, topics: [input], valueDeserializer: jsonDeserializer<{ n: number }>() });
    const seen: number[] = [];
    for (let index = 0; index < 3; index++) {
      try {
        const record = await consumeMessage(consumer);
        seen.push(record.value!.n);
        enqueueAutoCommits(consumer, record);
      } catch (error) {
        assert.match(String(error), new RegExp(`Cannot decode the value of ${input} \\[0\\] @ 1`));
        enqueueAutoCommits(consumer, error as never);
      }
    }
    await consumer.close();
    assert.deepEqual(seen, [1, 2]);
    assert.equal(await committedTotal(services, vars, input), 3);
  });

  test('hands a record over only when it is old enough, without blocking the event loop', async () => {
    const input = await services.topic('in');
    const vars = services.vars({ TIMESTAMP_OFFSET_MINUTES: '0.02' });
    const producer = await createProducer({ vars });
    await producer.send({ topic: input, value: 'young' });
    await producer.close();
    await using consumer = await createConsumer({ vars, topics: [input] });
    let ticks = 0;
    const ticking = setInterval(() => ticks++, 10);
    const record = await consumeMessage(consumer);
    clearInterval(ticking);
    assert.ok(Date.now() - record.timestamp >= 1_200);
    assert.ok(ticks > 10);
  });
});
