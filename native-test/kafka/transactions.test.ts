import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConsumerRecord,
  createConsumer,
  createProducer,
  IncompatibleEnvironmentError,
  type Producer,
  type RuntimeVars,
  recordOrigin,
  runTransaction,
  StateError,
  TransactionError,
} from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { committedTotal, fill, readAll } from '../support/topics.ts';

describe('runTransaction', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  const varsOf = (): RuntimeVars => services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
  const transactional =
    (vars: RuntimeVars, id = vars.APP_NAME!) =>
    (): Promise<Producer> =>
      createProducer({ vars, config: { 'transactional.id': id } });

  /** Stops `count` calls later. */
  function countdown(count: number): { readonly signal: AbortSignal; hit(): void } {
    const stop = new AbortController();
    const giveUp = setTimeout(() => stop.abort(), 40_000);
    return {
      signal: stop.signal,
      hit() {
        if (--count > 0) return;
        clearTimeout(giveUp);
        setImmediate(() => stop.abort());
      },
    };
  }

  const copyTo =
    (topic: string) =>
    ({ key, value }: ConsumerRecord) => ({ topic, key, value });

  test('commits outputs and offsets together, many records at a time', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 500);
    const vars = varsOf();
    const done = countdown(500);
    const copy = copyTo(output);
    const result = await runTransaction({
      consumer: await createConsumer({ vars, topics: [input] }),
      producer: transactional(vars),
      count: 120,
      intervalMs: 500,
      signal: done.signal,
      handleSignals: false,
      handler(record) {
        done.hit();
        return copy(record);
      },
    });
    assert.deepEqual([result.consumed, result.produced, result.left], [500, 500, { records: 0, outputs: 0 }]);
    assert.equal(await committedTotal(services, vars, input), 500);
    const values = (await readAll(services, output)).map(({ value }) => Number(value)).toSorted((a, b) => a - b);
    assert.deepEqual(
      values,
      Array.from({ length: 500 }, (_, index) => index),
    );
  });

  test('a handler that fails aborts the transaction: neither its outputs nor offsets count, and a next run does all of it once', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 60, { partition: 0 });
    const vars = varsOf();
    const copy = copyTo(output);
    const options = { producer: transactional(vars), intervalMs: 200, handleSignals: false };
    const failing = runTransaction({
      ...options,
      consumer: await createConsumer({ vars, topics: [input] }),
      signal: AbortSignal.timeout(40_000),
      count: 25,
      handler(record) {
        if (record.offset === 40) throw new RangeError('enough');
        return copy(record);
      },
    });
    await assert.rejects(failing, RangeError);
    assert.equal(await committedTotal(services, vars, input), 25);
    const done = countdown(35);
    await runTransaction({
      ...options,
      consumer: await createConsumer({ vars, topics: [input] }),
      signal: done.signal,
      handler(record) {
        done.hit();
        return copy(record);
      },
    });
    assert.equal(await committedTotal(services, vars, input), 60);
    assert.deepEqual(
      (await readAll(services, output)).map(({ value }) => Number(value)).toSorted((a, b) => a - b),
      Array.from({ length: 60 }, (_, index) => index),
    );
  });

  test('dead letters and retries are part of the transaction', async () => {
    const [input, output, again, letters] = (await Promise.all(['in', 'out', 'again', 'dead'].map((name) => services.topic(name)))) as [
      string,
      string,
      string,
      string,
    ];
    await fill(services, input, 20, { partition: 0 });
    const vars = varsOf();
    const done = countdown(22);
    const copy = copyTo(output);
    const result = await runTransaction({
      consumer: await createConsumer({ vars, topics: [input] }),
      producer: transactional(vars),
      signal: done.signal,
      handleSignals: false,
      failures: { retryTopics: [{ topic: again, delayMs: 300 }], deadLetterTopics: [letters] },
      handler(record) {
        done.hit();
        if (String(record.value) === '7') throw new RangeError('never');
        if (String(record.value) === '9' && recordOrigin(record) === undefined) throw new RangeError('once');
        return copy(record);
      },
    });
    assert.deepEqual([result.produced, result.retried, result.deadLettered], [19, 2, 1]);
    assert.deepEqual(
      (await readAll(services, letters)).map(({ value }) => String(value)),
      ['7'],
    );
    assert.equal((await readAll(services, output)).length, 19);
    assert.equal(await committedTotal(services, vars, input), 20);
    assert.equal(await committedTotal(services, vars, again), 2);
  });

  test('a twin with the same transactional.id fences the older one, which ends with an error that says so', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 10, { partition: 0 });
    const vars = varsOf();
    const make = transactional(vars);
    let twin: Producer | undefined;
    const running = runTransaction({
      consumer: await createConsumer({ vars, topics: [input] }),
      producer: make,
      signal: AbortSignal.timeout(40_000),
      handleSignals: false,
      async handler(record) {
        if (twin === undefined) {
          twin = await make();
          await twin.transactions.init(10_000);
        }
        return copyTo(output)(record);
      },
    });
    try {
      await assert.rejects(running, (error) => {
        assert.ok(error instanceof TransactionError, String(error));
        assert.deepEqual([error.kind, error.code, error.fatal], ['fenced', 'ERR_FENCED', true]);
        assert.match(error.message, /transactional\.id/);
        return true;
      });
    } finally {
      await twin?.close();
    }
    assert.equal(await committedTotal(services, vars, input), 0);
  });

  test('refuses a consumer that commits by itself and a producer without a transactional.id', async () => {
    const input = await services.topic('in');
    const handler = (): undefined => undefined;
    {
      const vars = services.vars();
      const running = runTransaction({ consumer: await createConsumer({ vars, topics: [input] }), producer: transactional(vars), handler });
      await assert.rejects(running, IncompatibleEnvironmentError);
    }
    const vars = varsOf();
    const running = runTransaction({
      consumer: await createConsumer({ vars, topics: [input] }),
      producer: () => createProducer({ vars }),
      handler,
    });
    await assert.rejects(running, StateError);
  });

  test('stops in the midst of a transaction with what was handled committed', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 100, { partition: 0 });
    const vars = varsOf();
    const stop = new AbortController();
    const copy = copyTo(output);
    const result = await runTransaction({
      consumer: await createConsumer({ vars, topics: [input] }),
      producer: transactional(vars),
      intervalMs: 20_000,
      signal: stop.signal,
      handleSignals: false,
      async handler(record) {
        if (record.offset === 30) stop.abort();
        await sleep(1);
        return copy(record);
      },
    });
    assert.deepEqual([result.consumed, result.produced], [31, 31]);
    assert.equal(await committedTotal(services, vars, input), 31);
    assert.equal((await readAll(services, output)).length, 31);
  });
});
