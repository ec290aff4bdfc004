import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Consumer,
  createConsumer,
  createProducer,
  jsonDeserializer,
  type RunResult,
  runAsync,
  runBatch,
  runSync,
  StateError,
  stringDeserializer,
} from 'rdkafka-toolkit';
import { CountingMetrics, type Services, startServices } from '../support/services.ts';
import { committedTotal, fill, readAll } from '../support/topics.ts';

describe('runners', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  for (const [name, autoCommit] of [
    ['runAsync', 'true'],
    ['runSync', 'false'],
    ['runBatch', 'true'],
  ] as const) {
    test(`${name} produces what the handler returns, commits, and closes both clients when it is stopped`, async () => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      await fill(services, input, 60);
      const vars = services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: autoCommit });
      const consumer = await createConsumer({ vars, topics: [input], keyDeserializer: stringDeserializer });
      const producer = await createProducer({ vars });
      const metrics = new CountingMetrics();
      const stop = new AbortController();
      let seen = 0;
      // Records 0, 3, 6 … make two outputs, 1, 4, 7 … one, the others none.
      const outputs = (key: string | null) => Array.from({ length: 2 - (Number(key) % 3) }, () => ({ topic: output, key, value: 'x' }));
      const options = { consumer, producer, metrics, signal: stop.signal, handleSignals: false };
      const count = (more: number): void => {
        seen += more;
        if (seen === 60) stop.abort();
      };
      let result: RunResult;
      if (name === 'runBatch') {
        const handler = (records: readonly { key: string | null }[]) => {
          count(records.length);
          return records.flatMap(({ key }) => outputs(key));
        };
        result = await runBatch({ ...options, count: 25, timeoutMs: 500, handler });
      } else {
        const run = name === 'runAsync' ? runAsync : runSync;
        result = await run({
          ...options,
          async handler({ key }) {
            count(1);
            return outputs(key);
          },
        });
      }
      assert.deepEqual(result, { consumed: 60, produced: 60, skipped: 0 });
      assert.deepEqual([metrics.consumed, metrics.produced], [60, 60]);
      assert.ok(consumer.closed && producer.closed);
      assert.equal((await readAll(services, output)).length, 60);
      assert.equal(await committedTotal(services, vars, input), 60);
    });
  }

  test('an error of the handler stops the runner, closes the clients, and the record comes again', async () => {
    const input = await services.topic('in');
    await fill(services, input, 10, { partition: 0 });
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [input], keyDeserializer: stringDeserializer });
    const boom = new Error('boom');
    const failing = runAsync({
      consumer,
      handler({ key }) {
        if (key === '4') throw boom;
      },
    });
    await assert.rejects(failing, (error) => error === boom);
    assert.ok(consumer.closed);
    assert.equal(await committedTotal(services, vars, input), 4);
  });

  test("errors are passed over when onError says 'skip': of the handler and of the decoder", async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    const producer = await createProducer({ vars });
    for (const value of ['1', '2', 'poison', '4']) await producer.send({ topic: input, partition: 0, value });
    await producer.close();
    const consumer = await createConsumer({ vars, topics: [input], valueDeserializer: jsonDeserializer<number>() });
    const stop = new AbortController();
    const errors: unknown[] = [];
    const result = await runAsync({
      consumer,
      signal: stop.signal,
      onError(error) {
        errors.push(error);
        return 'skip';
      },
      handler({ value }) {
        if (value === 4) stop.abort();
        if (value === 2) throw new RangeError('two');
      },
    });
    assert.deepEqual(result, { consumed: 4, produced: 0, skipped: 2 });
    assert.equal(errors.length, 2);
    assert.equal(await committedTotal(services, vars, input), 4);
  });

  test('records returned without a producer are an error, not lost', async () => {
    const input = await services.topic('in');
    await fill(services, input, 1);
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [input] });
    await assert.rejects(runAsync({ consumer, handler: () => ({ topic: 'out', value: 'x' }) }), StateError);
    assert.equal(await committedTotal(services, vars, input), 0);
  });
});

describe('a rebalance', () => {
  for (const strategy of ['range,roundrobin', 'cooperative-sticky']) {
    test(`loses nothing and keeps the order when members come and go (${strategy})`, async () => {
      await using services = await startServices();
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      const total = 4_000;
      await fill(services, input, total);
      const vars = services.vars({ CONSUMER_ASSIGNMENT_STRATEGY: strategy, CONSUMER_PREFETCH_COUNT: '50' });
      await using producer = await createProducer({ vars });
      const handled = new Map<string, number>();
      const member = async (): Promise<{ consumer: Consumer; stop: AbortController; done: Promise<unknown> }> => {
        const consumer = await createConsumer({ vars, topics: [input] });
        const stop = new AbortController();
        const last = new Map<number, number>();
        consumer.on('assigned', (partitions) => {
          for (const { partition } of partitions) last.delete(partition);
        });
        const done = runAsync({
          consumer,
          producer,
          signal: stop.signal,
          handleSignals: false,
          closeClients: false,
          async handler({ partition, offset, key }) {
            // Within one assignment offsets only ascend.
            assert.ok(offset > (last.get(partition) ?? -1), `partition ${partition}: ${offset} after ${last.get(partition)}`);
            last.set(partition, offset);
            handled.set(String(key), (handled.get(String(key)) ?? 0) + 1);
            if (offset % 5 === 0) await sleep(1);
            return { topic: output, key, value: 'x' };
          },
        }).finally(() => consumer.close());
        return { consumer, stop, done };
      };
      const first = await member();
      const unassigned = new Promise((resolve) => first.consumer.once('revoked', resolve));
      while (handled.size < 200) await sleep(20);
      const second = await member();
      await unassigned;
      await sleep(1_500);
      second.stop.abort();
      await second.done;
      const deadline = Date.now() + 60_000;
      // The last member has everything again before it leaves: a commit in the middle of a rebalance may be refused.
      while ((handled.size < total || first.consumer.assignment().length < 4) && Date.now() < deadline) await sleep(50);
      await sleep(1_000);
      first.stop.abort();
      await first.done;
      await producer.flush();
      const keys = (await readAll(services, output)).map(({ key }) => String(key));
      assert.equal(new Set(keys).size, total);
      // Revokes wait for what is under way, so hardly anything comes twice. The mock refuses commits while a group rebalances.
      if (services.real) assert.ok(keys.length - total <= 2 * 50, `${keys.length - total} duplicates`);
      assert.equal(await committedTotal(services, vars, input), total);
    });
  }

  test('two consumers of one process and HOSTNAME do not fence each other', async () => {
    await using services = await startServices();
    const input = await services.topic('in');
    const vars = services.vars({ HOSTNAME: `pod-${process.pid}` });
    await using first = await createConsumer({ vars, topics: [input] });
    await using second = await createConsumer({ vars, topics: [input] });
    const errors: unknown[] = [];
    for (const consumer of [first, second]) consumer.on('clientError', (error) => errors.push(error));
    const poll = (consumer: Consumer): Promise<unknown> => consumer.consume({ timeoutMs: 200 }).catch(() => undefined);
    const deadline = Date.now() + 30_000;
    while (first.assignment().length + second.assignment().length !== 4 || second.assignment().length === 0) {
      assert.ok(Date.now() < deadline, 'no assignment');
      await Promise.all([poll(first), poll(second)]);
    }
    assert.deepEqual(errors, []);
  });
});
