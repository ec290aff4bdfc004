import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BatchDecodeError,
  consumeMessage,
  consumeMessageBatch,
  createConsumer,
  createProducer,
  enqueueAutoCommits,
  IncompatibleEnvironmentError,
  jsonDeserializer,
  NoMessageError,
  produceMessage,
  shutdownCleanup,
  synchronousMessageHandling,
} from 'rdkafka-toolkit';
import { CountingMetrics, type Services, startServices } from '../support/services.ts';
import { committedTotal, fill, readAll } from '../support/topics.ts';

describe('synchronous single pattern', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('has delivered the outputs and committed the offset when a turn ends', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 20);
    const vars = services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
    const consumer = await createConsumer({ vars, topics: [input] });
    const producer = await createProducer({ vars });
    for (let turn = 1; turn <= 20; turn++) {
      const record = await consumeMessage(consumer);
      await produceMessage(producer, { topic: output }, undefined, record.value);
      await synchronousMessageHandling({ producer, consumer });
      assert.equal(producer.inFlight, 0);
      const committed = await consumer.committed();
      assert.equal(
        committed.reduce<number>((sum, offset) => sum + (offset ?? 0), 0),
        turn,
      );
    }
    await shutdownCleanup({ producer, consumer });
    assert.equal((await readAll(services, output)).length, 20);
  });

  test('leaves the event loop free while it commits', async () => {
    const input = await services.topic('in');
    await fill(services, input, 5);
    await using consumer = await createConsumer({ vars: services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: 'false' }), topics: [input] });
    let turns = 0;
    let counting = true;
    const count = (): void => {
      turns++;
      if (counting) setImmediate(count);
    };
    // An answer may be there at once, but not every time.
    for (let commits = 0; commits < 5; commits++) {
      await consumeMessage(consumer);
      const before = turns;
      counting = true;
      setImmediate(count);
      await synchronousMessageHandling({ consumer });
      counting = false;
      if (turns > before) return;
    }
    assert.fail('no turn of the event loop in 5 commits');
  });

  test('commits nothing of a turn that was not ended', async () => {
    const input = await services.topic('in');
    await fill(services, input, 5, { partition: 2 });
    const vars = services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
    const consumer = await createConsumer({ vars, topics: [input] });
    await consumeMessage(consumer);
    await synchronousMessageHandling({ consumer });
    await consumeMessage(consumer);
    await consumer.close();
    assert.equal(await committedTotal(services, vars, input), 1);
  });

  test('refuses to run under auto-commit, naming the variable', async () => {
    const input = await services.topic('in');
    await using consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    await assert.rejects(
      synchronousMessageHandling({ consumer }),
      (error) => error instanceof IncompatibleEnvironmentError && error.variable === 'CONSUMER_ENABLE_AUTO_COMMIT',
    );
  });
});

describe('synchronous batch pattern', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('gives full batches, then the rest at the deadline, each record once', async () => {
    const input = await services.topic('in');
    await fill(services, input, 2_500);
    const vars = services.vars();
    const metrics = new CountingMetrics();
    const consumer = await createConsumer({ vars, topics: [input] });
    const sizes: number[] = [];
    const seen = new Set<string>();
    for (let turn = 0; turn < 3; turn++) {
      const records = await consumeMessageBatch(consumer, metrics, { count: 1_000, timeoutMs: 6_000 });
      sizes.push(records.length);
      for (const { key } of records) seen.add(String(key));
      enqueueAutoCommits(consumer, records);
    }
    await assert.rejects(consumeMessageBatch(consumer, metrics, { count: 10, timeoutMs: 200 }), NoMessageError);
    await consumer.close();
    assert.deepEqual(sizes, [1_000, 1_000, 500]);
    assert.equal(seen.size, 2_500);
    assert.equal(metrics.consumed, 2_500);
    assert.equal(await committedTotal(services, vars, input), 2_500);
  });

  test('ends at its deadline however slowly records trickle in', async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [input] });
    await producer.send({ topic: input, value: 'first' });
    await consumeMessage(consumer);
    const trickle = setInterval(() => void producer.enqueue({ topic: input, value: 'x' }), 50);
    const start = performance.now();
    const records = await consumeMessageBatch(consumer, undefined, { count: 1_000, timeoutMs: 700 });
    const elapsed = performance.now() - start;
    clearInterval(trickle);
    assert.ok(records.length >= 3, `${records.length} records`);
    assert.ok(elapsed >= 690 && elapsed < 1_200, `${elapsed} ms`);
    await shutdownCleanup({ consumer, producer });
  });

  test('gives the good records and an error for each bad one, and loses none', async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    const producer = await createProducer({ vars });
    for (const value of ['1', '{', '2', 'x', '3']) await producer.send({ topic: input, partition: 0, value });
    await producer.close();
    const consumer = await createConsumer({ vars, topics: [input], valueDeserializer: jsonDeserializer<number>() });
    const error = await consumeMessageBatch(consumer, undefined, { count: 5, timeoutMs: 5_000 }).catch((reason: unknown) => reason);
    assert.ok(error instanceof BatchDecodeError);
    assert.deepEqual(
      error.records.map(({ value }) => value),
      [1, 2, 3],
    );
    assert.deepEqual(
      error.errors.map(({ offset }) => offset),
      [1, 3],
    );
    enqueueAutoCommits(consumer, error);
    await consumer.close();
    assert.equal(await committedTotal(services, vars, input), 5);
  });

  test('gives what it holds when it is aborted half-way', async () => {
    const input = await services.topic('in');
    await fill(services, input, 3);
    await using consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    const stop = new AbortController();
    const pending = consumeMessageBatch(consumer, undefined, { count: 10, timeoutMs: 20_000, signal: stop.signal });
    while ((await consumer.lag()).length === 0 || (await consumer.lag()).some(({ lagRecords }) => lagRecords > 0)) await sleep(20);
    stop.abort(new Error('enough'));
    assert.equal((await pending).length, 3);
    await assert.rejects(consumeMessageBatch(consumer, undefined, { count: 10, signal: stop.signal }), /enough/);
  });
});
