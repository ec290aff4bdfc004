import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Consumer,
  type ConsumerOptions,
  type ConsumerRecord,
  createConsumer,
  createProducer,
  DecodeError,
  type HandlerContext,
  type HandlerResult,
  jsonDeserializer,
  type Producer,
  type ProducerRecord,
  type RunOptions,
  type RunResult,
  type RuntimeVars,
  runAsync,
  runBatch,
  runSync,
  StateError,
  stringDeserializer,
} from 'rdkafka-toolkit';
import { CountingMetrics, noFailures, type Services, startServices } from '../support/services.ts';
import { committedTotal, fill, readAll } from '../support/topics.ts';

type Text = string | null;
type Outputs = HandlerResult<Uint8Array | Text, Uint8Array | Text>;
type Handler<V> = (record: ConsumerRecord<Text, V>, context: HandlerContext) => Outputs | Promise<Outputs>;
type Options<V> = Omit<RunOptions<Text, V, ConsumerRecord['headers'], Uint8Array | Text, Uint8Array | Text>, 'handleSignals'>;

interface Runner {
  readonly name: string;
  readonly autoCommit: 'true' | 'false';
  /** Records handled as one. */
  readonly unit: number;
  run<V>(options: Options<V>, handler: Handler<V>): Promise<RunResult>;
}

const BATCH = 3;

/** The same handler of single records on every runner: a batch hands it its records one after the other, in one turn. */
const runners: readonly Runner[] = [
  {
    name: 'runAsync',
    autoCommit: 'true',
    unit: 1,
    run: (options, handler) => runAsync({ ...options, handleSignals: false, handler }),
  },
  {
    name: 'runSync',
    autoCommit: 'false',
    unit: 1,
    run: (options, handler) => runSync({ ...options, handleSignals: false, handler }),
  },
  {
    name: 'runBatch',
    autoCommit: 'true',
    unit: BATCH,
    run: (options, handler) =>
      runBatch({
        ...options,
        handleSignals: false,
        count: BATCH,
        timeoutMs: 1_000,
        async handler(records, context) {
          const outputs: ProducerRecord[] = [];
          for (const record of records) {
            const result = await handler(record, context);
            if (result !== undefined) outputs.push(...(Array.isArray(result) ? result : [result]));
          }
          return outputs;
        },
      }),
  },
];

const nothing = { records: 0, outputs: 0 };

describe('runners', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  /** A consumer and a producer that know of each other alone: tests run side by side. */
  async function openClients<V = Buffer | null>(
    vars: RuntimeVars,
    input: string,
    options: ConsumerOptions<Text, V> = {},
  ): Promise<{ consumer: Consumer<Text, V>; producer: Producer } & AsyncDisposable> {
    const producer = await createProducer({ vars });
    const consumer = await createConsumer<Text, V>({
      ...options,
      vars,
      topics: [input],
      producers: [producer],
      keyDeserializer: stringDeserializer,
    }).catch(async (error: unknown) => {
      await producer.close();
      throw error;
    });
    const close = async (): Promise<void> => {
      await Promise.allSettled([consumer.close(), producer.close()]);
    };
    return { consumer, producer, [Symbol.asyncDispose]: close };
  }

  for (const { name, autoCommit, unit, run } of runners) {
    const varsOf = (): RuntimeVars => services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: autoCommit });

    test(`${name} produces one, many or no records, whether the handler returns them or a promise of them`, async () => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      await fill(services, input, 60);
      const vars = varsOf();
      await using clients = await openClients(vars, input);
      const { consumer, producer } = clients;
      const metrics = new CountingMetrics();
      const stop = new AbortController();
      let handled = 0;
      const result = await run({ consumer, producer, metrics, signal: stop.signal }, ({ key, value }) => {
        if (++handled === 60) stop.abort();
        const number = Number(key);
        const out = { topic: output, key, value };
        const outputs = [undefined, out, [out, out], []][number % 4];
        return number % 8 < 4 ? outputs : Promise.resolve(outputs);
      });
      assert.deepEqual(result, { consumed: 60, produced: 45, skipped: 0, ...noFailures, left: nothing });
      assert.deepEqual([metrics.consumed, metrics.produced, metrics.errors], [60, 45, []]);
      assert.ok(consumer.closed && producer.closed);
      assert.equal(await committedTotal(services, vars, input), 60);
      const outputs = (await readAll(services, output)).map(({ key, value }) => {
        assert.deepEqual(key, value);
        return Number(key);
      });
      const expected = Array.from({ length: 60 }, (_, number) => Array<number>([0, 1, 2, 0][number % 4]!).fill(number)).flat();
      assert.deepEqual(
        outputs.sort((a, b) => a - b),
        expected,
      );
    });

    test(`${name} finishes and commits what is under way when it is stopped, tells the handler, and takes no more`, async () => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      await fill(services, input, 30, { partition: 0 });
      const vars = varsOf();
      await using clients = await openClients(vars, input);
      const { consumer, producer } = clients;
      const stop = new AbortController();
      const signals: boolean[] = [];
      const result = await run({ consumer, producer, signal: stop.signal }, async ({ offset, key, value }, { signal }) => {
        signals.push(signal.aborted);
        if (offset === 5) {
          stop.abort(new Error('enough'));
          await sleep(100);
          assert.ok(signal.aborted);
          assert.match(String(signal.reason), /enough/);
        }
        return { topic: output, key, value };
      });
      assert.deepEqual(result, { consumed: 6, produced: 6, skipped: 0, ...noFailures, left: nothing });
      assert.deepEqual(signals, Array(6).fill(false));
      assert.ok(consumer.closed && producer.closed);
      assert.equal(await committedTotal(services, vars, input), 6);
      assert.equal((await readAll(services, output)).length, 6);
    });

    test(`${name} rejects with the handler's error after it closed both clients, and the record comes again`, async () => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      await fill(services, input, 10, { partition: 0 });
      const vars = varsOf();
      const boom = new Error('boom');
      {
        await using clients = await openClients(vars, input);
        const { consumer, producer } = clients;
        const failing = run({ consumer, producer }, ({ key, value }) => {
          if (key === '4') throw boom;
          return { topic: output, key, value };
        });
        await assert.rejects(failing, (error) => error === boom);
        assert.ok(consumer.closed && producer.closed);
      }
      const firstAgain = Math.floor(4 / unit) * unit;
      assert.equal(await committedTotal(services, vars, input), firstAgain);
      await using again = await openClients(vars, input);
      const stop = new AbortController();
      const offsets: number[] = [];
      await run({ ...again, signal: stop.signal }, ({ offset }) => {
        offsets.push(offset);
        if (offset === 9) stop.abort();
      });
      assert.deepEqual(
        offsets,
        Array.from({ length: 10 - firstAgain }, (_, index) => index + firstAgain),
      );
      assert.equal(await committedTotal(services, vars, input), 10);
    });

    test(`${name} goes on after an error of the handler that onError skips, and commits`, async () => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      await fill(services, input, 9, { partition: 0 });
      const vars = varsOf();
      await using clients = await openClients(vars, input);
      const metrics = new CountingMetrics();
      const stop = new AbortController();
      const boom = new Error('boom');
      const asked: unknown[] = [];
      const result = await run(
        {
          ...clients,
          metrics,
          signal: stop.signal,
          onError(error, record) {
            asked.push([error, record?.offset]);
            return 'skip';
          },
        },
        async ({ offset, key, value }) => {
          if (offset === 8) stop.abort();
          if (offset === 4) throw boom;
          return { topic: output, key, value };
        },
      );
      // A batch fails as a whole, and is reported under its first record.
      assert.deepEqual(asked, [[boom, Math.floor(4 / unit) * unit]]);
      assert.deepEqual(result, { consumed: 9, produced: 9 - unit, skipped: unit, ...noFailures, left: nothing });
      assert.deepEqual(metrics.errors, [boom]);
      assert.equal(await committedTotal(services, vars, input), 9);
    });

    test(`${name} stops at a record that cannot be decoded, or goes on past it when told so`, async () => {
      const input = await services.topic('in');
      const vars = varsOf();
      const filling = await createProducer({ vars });
      for (const value of ['0', '1', 'poison', '3', '4', '5']) await filling.send({ topic: input, partition: 0, value });
      await filling.close();
      const options = { valueDeserializer: jsonDeserializer<number>() };
      {
        await using clients = await openClients(vars, input, options);
        const stopping = run({ ...clients }, () => undefined);
        await assert.rejects(stopping, (error) => {
          assert.ok(error instanceof DecodeError);
          assert.deepEqual([error.topic, error.partition, error.offset], [input, 0, 2]);
          return true;
        });
        assert.ok(clients.consumer.closed && clients.producer.closed);
      }
      assert.equal(await committedTotal(services, vars, input), Math.floor(2 / unit) * unit);
      await using clients = await openClients(vars, input, options);
      const stop = new AbortController();
      const seen: unknown[] = [];
      const result = await run({ ...clients, signal: stop.signal, onError: () => 'skip' }, ({ value }) => {
        seen.push(value);
        if (value === 5) stop.abort();
      });
      const skippedOver = unit === 1 ? [3, 4, 5] : [0, 1, 3, 4, 5];
      assert.deepEqual(seen, skippedOver);
      assert.deepEqual(result, { consumed: skippedOver.length + 1, produced: 0, skipped: 1, ...noFailures, left: nothing });
      assert.equal(await committedTotal(services, vars, input), 6);
    });

    test(`${name} refuses records returned without a producer, and commits nothing of them`, async () => {
      const input = await services.topic('in');
      await fill(services, input, BATCH, { partition: 0 });
      const vars = varsOf();
      await using clients = await openClients(vars, input);
      const { consumer } = clients;
      const running = run({ consumer }, ({ key }) => ({ topic: input, key, value: 'x' }));
      await assert.rejects(running, (error) => error instanceof StateError && /no producer/.test(error.message));
      assert.ok(consumer.closed);
      assert.equal(await committedTotal(services, vars, input), 0);
    });

    test(`${name} leaves the clients open with closeClients: false, and the next run goes on where it stopped`, async () => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      await fill(services, input, 12, { partition: 0 });
      const vars = varsOf();
      await using clients = await openClients(vars, input);
      const { consumer, producer } = clients;
      const offsets: number[] = [];
      for (const last of [5, 11]) {
        const stop = new AbortController();
        const { left: _left, ...counts } = await run(
          { consumer, producer, signal: stop.signal, closeClients: false },
          ({ offset, key, value }) => {
            offsets.push(offset);
            if (offset === last) stop.abort();
            return { topic: output, key, value };
          },
        );
        assert.deepEqual(counts, { consumed: 6, produced: 6, skipped: 0, ...noFailures });
        assert.ok(!consumer.closed && !producer.closed);
      }
      assert.deepEqual(
        offsets,
        Array.from({ length: 12 }, (_, index) => index),
      );
      // Offsets wait for the outputs' delivery, which nobody has waited for yet.
      await producer.flush();
      await consumer.close();
      assert.equal(await committedTotal(services, vars, input), 12);
    });
  }

  test('a runner that waits for records stops at once, and one whose signal fired before takes none', async () => {
    const input = await services.topic('in');
    await fill(services, input, 1);
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const options = { ...clients, closeClients: false, handleSignals: false };
    const none = await runAsync({ ...options, signal: AbortSignal.abort(), handler: () => assert.fail('took a record') });
    assert.deepEqual(none, { consumed: 0, produced: 0, skipped: 0, ...noFailures, left: nothing });
    const stop = new AbortController();
    let stoppedAt = Number.POSITIVE_INFINITY;
    const running = runAsync({
      ...options,
      signal: stop.signal,
      handler() {
        setTimeout(() => {
          stoppedAt = performance.now();
          stop.abort();
        }, 300);
      },
    });
    assert.deepEqual(await running, { consumed: 1, produced: 0, skipped: 0, ...noFailures, left: nothing });
    assert.ok(performance.now() - stoppedAt < 1_000);
  });

  test('a handler that gives up at the signal ends the run without an error, and its record comes again', async () => {
    const input = await services.topic('in');
    await fill(services, input, 2, { partition: 0 });
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const stop = new AbortController();
    const result = await runAsync({
      ...clients,
      signal: stop.signal,
      handleSignals: false,
      async handler({ offset }, { signal }) {
        if (offset === 0) return;
        setTimeout(() => stop.abort(), 50);
        await once(signal, 'abort');
        signal.throwIfAborted();
      },
    });
    assert.equal(result.produced, 0);
    assert.equal(await committedTotal(services, vars, input), 1);
  });

  test('a runner ends when its consumer is closed by someone else', async () => {
    const input = await services.topic('in');
    await fill(services, input, 3, { partition: 0 });
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const { consumer, producer } = clients;
    const result = await runAsync({
      ...clients,
      handleSignals: false,
      handler({ offset }) {
        if (offset === 2) setTimeout(() => void consumer.close(), 100);
      },
    }).catch((error: unknown) => error);
    assert.deepEqual(result, { consumed: 3, produced: 0, skipped: 0, ...noFailures, left: nothing });
    assert.ok(producer.closed);
    assert.equal(await committedTotal(services, vars, input), 3);
  });

  /** Runs a service in a process of its own, sends the signal twice once it is at work, and waits for its end. */
  async function endBySignal(args: readonly string[], signal: NodeJS.Signals, vars: RuntimeVars, extra: NodeJS.ProcessEnv = {}) {
    const script = join(import.meta.dirname, '../support/runner-process.js');
    const { NODE_TEST_CONTEXT: _context, NODE_V8_COVERAGE: _coverage, HOSTNAME: _host, ...env } = process.env;
    const child = spawn(process.execPath, [script, ...args], {
      stdio: 'pipe',
      timeout: 60_000,
      killSignal: 'SIGKILL',
      env: {
        ...env,
        KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers,
        APP_NAME: vars.APP_NAME,
        CONSUMER_ENABLE_AUTO_COMMIT: String(args[0] !== 'runSync'),
        // No automatic commit saves it: what is committed was committed at the end.
        CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: '600',
        ...extra,
      },
    });
    let out = '';
    let err = '';
    let signalledAt = 0;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      if (signalledAt > 0 || !out.includes('handled')) return;
      signalledAt = performance.now();
      child.kill(signal);
      // As from a terminal or an impatient supervisor. Not by a timer, which may be late: a process that has ended its work and is on its way
      // out has no handler any more.
      for (const until = performance.now() + 2; performance.now() < until; );
      child.kill(signal);
    });
    const [code, killedBy] = (await once(child, 'close')) as [number | null, string | null];
    return { code, killedBy, out, err, tookMs: performance.now() - signalledAt };
  }

  for (const [runner, signal] of [
    ['runAsync', 'SIGTERM'],
    ['runSync', 'SIGINT'],
    ['runBatch', 'SIGTERM'],
  ] as const) {
    test(`${signal} ends a process in ${runner} with exit code 0 and everything it took produced and committed`, async (t) => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      const total = 20_000;
      await fill(services, input, total);
      const vars = services.vars();
      const { code, killedBy, out, err, tookMs } = await endBySignal([runner, input, output], signal, vars);
      assert.deepEqual([code, killedBy, err], [0, null, '']);
      t.diagnostic(`ended ${Math.round(tookMs)} ms after ${signal}`);
      assert.ok(tookMs < 10_000);
      const result = JSON.parse(out.slice(out.indexOf('{'))) as RunResult;
      assert.ok(result.consumed >= 200 && result.consumed < total, `${result.consumed} records`);
      assert.deepEqual([result.produced, result.left], [result.consumed, nothing]);
      assert.equal(await committedTotal(services, vars, input), result.consumed);
      const keys = (await readAll(services, output)).map(({ key }) => String(key));
      assert.deepEqual([keys.length, new Set(keys).size], [result.consumed, result.consumed]);
    });
  }

  test('SIGTERM ends a process whose handler hangs with exit code 1 at the deadline, the work before it committed', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 1_000);
    const vars = services.vars();
    const ended = await endBySignal(['runAsync', input, output, 'hang'], 'SIGTERM', vars, { SHUTDOWN_TIMEOUT_SECONDS: '3' });
    assert.deepEqual([ended.code, ended.killedBy], [1, null]);
    assert.ok(ended.tookMs >= 1_500 && ended.tookMs < 6_000, `${ended.tookMs} ms`);
    assert.match(
      ended.err,
      /ShutdownError: runAsync was stopped by SIGTERM and did not end cleanly within 3000 ms: 1 records were not finished/,
    );
    assert.equal(await committedTotal(services, vars, input), 199);
  });
});
