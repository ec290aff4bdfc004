import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  ConfigError,
  createAvroProducer,
  createConsumer,
  createPoolRunner,
  createProducer,
  createSchemaRegistry,
  DecodeError,
  EncodeError,
  IncompatibleEnvironmentError,
  type PoolMode,
  type PoolRunner,
  type PoolStats,
  type RunPoolOptions,
  type RunResult,
  type RuntimeVars,
  recordOrigin,
  WorkerError,
} from 'rdkafka-toolkit';
import { startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { createAvroDeserializer } from 'rdkafka-toolkit/worker';
import { invoiceSchema, orderSchema } from '../support/pool-handlers/avro.ts';
import { CountingMetrics, type Services, startServices } from '../support/services.ts';
import { committedTotal, readAll } from '../support/topics.ts';

const handlerUrl = (name: string): URL => new URL(`../support/pool-handlers/${name}.js`, import.meta.url);

type Options = Partial<RunPoolOptions<Buffer | null, Buffer | null, readonly unknown[]>> & {
  /** Told every 20 ms. */
  readonly onStats?: (stats: PoolStats) => void;
};

interface Run {
  readonly result: RunResult;
  readonly pool: PoolRunner;
  readonly metrics: CountingMetrics;
}

describe('runPool', () => {
  let services: Services;
  let flags: string;
  before(async () => {
    services = await startServices();
    flags = mkdtempSync(join(tmpdir(), 'pool-test-'));
  });
  after(async () => {
    rmSync(flags, { recursive: true });
    await services[Symbol.asyncDispose]();
  });

  /** Produces one record for each text, keyed and in partitions by turns, `<out>` in place of the output topic. */
  async function fillTexts(out: string, texts: readonly string[]): Promise<string> {
    const topic = await services.topic('in');
    await using producer = await createProducer({ vars: services.vars() });
    for (const [index, text] of texts.entries()) {
      const headers = { index: String(index) };
      await producer.enqueue({
        topic,
        partition: index % 4,
        key: `key-${index % 7}`,
        value: `${out}|${text}`,
        headers,
        timestamp: 1_000 + index,
      });
    }
    await producer.flush();
    return topic;
  }

  /** Runs until `handled` records are handled and skipped, or it ends by itself. */
  async function run(topic: string, vars: RuntimeVars, handled: number, { onStats, ...options }: Options = {}): Promise<Run> {
    const consumer = await createConsumer({ vars, topics: [topic] });
    const producer = await createProducer({ vars });
    const metrics = new CountingMetrics();
    const stop = new AbortController();
    const pool = createPoolRunner({
      consumer,
      producer,
      metrics,
      handler: handlerUrl('text'),
      mode: 'pool',
      concurrency: 2,
      handleSignals: false,
      signal: stop.signal,
      ...(options as object),
    });
    const watch = setInterval(() => {
      const stats = pool.stats();
      const { handledRecords, failedRecords } = stats;
      onStats?.(stats);
      if (handledRecords + failedRecords >= handled) stop.abort();
    }, 20);
    try {
      return { result: await pool.run(), pool, metrics };
    } finally {
      clearInterval(watch);
    }
  }

  const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

  for (const mode of ['pool', 'inline', 'auto'] satisfies (PoolMode | 'auto')[]) {
    test(`in mode ${mode} every output is produced once, in the order of its partition, and every offset committed`, async () => {
      const out = await services.topic('out');
      const topic = await fillTexts(
        out,
        numbers(3_000).map((index) => `${index % 50 === 0 ? 'later' : 'echo'}|${index}`),
      );
      const vars = services.vars();
      const { result, pool, metrics } = await run(topic, vars, 3_000, { mode });
      const left = { records: 0, outputs: 0 };
      assert.deepEqual(result, { consumed: 3_000, produced: 3_000, skipped: 0, filtered: 0, retried: 0, deadLettered: 0, left });
      assert.deepEqual([metrics.consumed, metrics.produced, metrics.errors.length], [3_000, 3_000, 0]);
      assert.equal(pool.stats().queuedRecords, 0);
      const records = await readAll(services, out);
      const values = records.map(({ value }) => Number(value));
      assert.deepEqual(
        values.toSorted((a, b) => a - b),
        numbers(3_000),
      );
      for (const partition of numbers(4)) {
        // One input partition and key went to one output partition: there it is in order.
        const own = records.filter((record) => record.partition === partition).map(({ value }) => Number(value));
        for (const [input, key] of numbers(28).map((each) => [each % 4, each % 7])) {
          const chain = own.filter((index) => index % 4 === input && index % 7 === key);
          assert.deepEqual(
            chain,
            chain.toSorted((a, b) => a - b),
          );
        }
      }
      const [first] = records;
      assert.equal(String(first!.headers[0]!.value), String(first!.value));
      assert.equal(first!.timestamp, 1_000 + Number(first!.value));
      assert.equal(await committedTotal(services, vars, topic), 3_000);
    });
  }

  for (const mode of ['pool', 'inline'] as const) {
    test(`in mode ${mode} a record whose handler fails because all is to stop comes again, and the end is a clean one`, async () => {
      const out = await services.topic('out');
      const topic = await services.topic('in');
      const vars = services.vars();
      await using filling = await createProducer({ vars });
      for (const action of ['echo', 'echo', 'fail-at-stop', 'echo']) {
        await filling.send({ topic, partition: 0, value: `${out}|${action}|x` });
      }
      const asked: unknown[] = [];
      const onError = (error: unknown): 'skip' => {
        asked.push(error);
        return 'skip';
      };
      // Stopped once the first two are done; the third waits for nothing else.
      const { result } = await run(topic, vars, 2, { mode, concurrency: 1, taskRecords: 1, onError });
      assert.deepEqual([asked, result.skipped], [[], 0]);
      assert.equal(await committedTotal(services, vars, topic), 2);
    });
  }

  test('auto tries workers on the live stream and takes them for a handler that is busy, in order across the changes', {
    skip: availableParallelism() < 2,
  }, async () => {
    const [count, out] = [120_000, await services.topic('out')];
    const topic = await fillTexts(out, numbers(count).map(String));
    const vars = services.vars();
    const modes = new Set<PoolMode>();
    const onStats = ({ mode }: PoolStats): void => void modes.add(mode);
    const { pool } = await run(topic, vars, count, { mode: 'auto', handler: handlerUrl('busy'), onStats });
    assert.deepEqual([...modes], ['inline', 'pool']);
    const { mode, switches, micros } = pool.stats();
    assert.ok(switches > 0 && micros.inline! > 50, JSON.stringify({ mode, switches, micros }));
    const records = await readAll(services, out);
    for (const partition of numbers(4)) {
      const own = records.filter((record) => record.partition === partition).map(({ value }) => Number(value));
      assert.deepEqual(
        own,
        numbers(count).filter((index) => index % 4 === partition),
      );
    }
    assert.equal(await committedTotal(services, vars, topic), count);
  });

  test('records of a key keep their order across partitions of workers; several outputs or none are as good as one', async () => {
    const out = await services.topic('out');
    const actions = ['twice', 'none', 'echo'];
    const topic = await fillTexts(
      out,
      numbers(600).map((index) => `${actions[index % 3]}|${index}`),
    );
    const { result } = await run(topic, services.vars(), 600, { order: 'key', taskRecords: 50 });
    assert.equal(result.produced, 600);
    const values = (await readAll(services, out)).map(({ value }) => String(value));
    assert.equal(values.filter((value) => value.endsWith(' again')).length, 200);
  });

  test('a handler that throws: the record is skipped or stops the runner, those before it are produced and committed', async () => {
    const out = await services.topic('out');
    const topic = await fillTexts(
      out,
      numbers(400).map((index) => `${index === 201 ? 'throw' : 'echo'}|${index}`),
    );
    const errors: [unknown, number | undefined][] = [];
    const onError: Options['onError'] = (error, record) => {
      errors.push([error, record?.offset]);
      return 'skip';
    };
    const vars = services.vars();
    const { result, metrics } = await run(topic, vars, 400, { onError });
    assert.deepEqual([result.produced, result.skipped], [399, 1]);
    const [error] = metrics.errors as Error[];
    assert.deepEqual([error?.name, error?.message, errors[0]?.[1]], ['RangeError', 'no 201', 50]);
    assert.equal(await committedTotal(services, vars, topic), 400);

    const again = services.vars();
    await assert.rejects(run(topic, again, 400), /no 201/);
    const committed = await committedTotal(services, again, topic);
    assert.ok(committed < 400, `${committed}`);
  });

  test('records that fail go by way of a retry topic to the dead letters, those that cannot be decoded at once; a worker that dies among them', async () => {
    const out = await services.topic('out');
    const [again, dead] = [await services.topic('again'), await services.topic('dead')];
    const actions = new Map([
      [10, 'throw'],
      [77, 'exit'],
      [150, 'throw'],
    ]);
    const topic = await fillTexts(
      out,
      numbers(200).map((index) => `${actions.get(index) ?? 'echo'}|${index}`),
    );
    const vars = services.vars();
    const failures = {
      attempts: 2,
      backoff: { initialMs: 1, maxMs: 1 },
      retryTopics: [{ topic: again, delayMs: 100 }],
      retries: 1,
      deadLetterTopics: [dead],
    };
    // 197 are handled; three fail twice: once for the retry topic, once for the dead letters.
    const { result } = await run(topic, vars, 203, { failures });
    assert.deepEqual([result.produced, result.skipped, result.deadLettered], [197, 0, 3]);
    const letters = await readAll(services, dead);
    const origins = letters.map((record) => recordOrigin({ rawHeaders: record.headers }));
    assert.deepEqual(
      origins.map((origin) => [origin?.topic, origin?.retryCount, origin?.exception]).toSorted(),
      [
        [topic, 1, 'RangeError'],
        [topic, 1, 'RangeError'],
        [topic, 1, 'WorkerError'],
      ].toSorted(),
    );
    assert.deepEqual(
      letters.map(({ value }) => String(value)).toSorted(),
      [`${out}|exit|77`, `${out}|throw|10`, `${out}|throw|150`].toSorted(),
    );
    assert.equal((await readAll(services, again)).length, 3);
    assert.equal(await committedTotal(services, vars, topic), 200);
  });

  test('a worker that exits costs a second try and nothing else', async () => {
    const out = await services.topic('out');
    const flag = join(flags, 'exit-once');
    const topic = await fillTexts(
      out,
      numbers(500).map((index) => (index === 222 ? `exit-once|${flag}` : `echo|${index}`)),
    );
    const vars = services.vars();
    const { result, pool } = await run(topic, vars, 500);
    assert.deepEqual([result.produced, result.skipped, pool.stats().workerFailures], [500, 0, 1]);
    const values = (await readAll(services, out)).map(({ value }) => String(value));
    assert.equal(new Set(values).size, 500);
    assert.ok(values.includes('after the exit'));
    assert.equal(await committedTotal(services, vars, topic), 500);
  });

  const deadly: [action: string, options: Options][] = [
    ['exit', {}],
    // The task of the other lane waits behind it in the same worker each time, and is not to blame.
    ['exit', { concurrency: 1 }],
    ['out-of-memory', { resourceLimits: { maxOldGenerationSizeMb: 48 } }],
    ['hang', { taskTimeoutMs: 1_000 }],
  ];
  for (const [action, options] of deadly) {
    test(`a record that ends its worker each time (${action}, ${options.concurrency ?? 2} workers) is told apart; all others are handled`, async () => {
      const out = await services.topic('out');
      const topic = await fillTexts(
        out,
        numbers(200).map((index) => `${index === 122 ? action : 'echo'}|${index}`),
      );
      const errors: [error: unknown, offset: number | undefined][] = [];
      const onError: Options['onError'] = (error, record) => {
        errors.push([error, record?.offset]);
        return 'skip';
      };
      const vars = services.vars();
      const { result } = await run(topic, vars, 200, { ...options, onError });
      assert.deepEqual([result.produced, result.skipped, errors.length], [199, 1, 1]);
      const [[error, offset]] = errors as [[WorkerError, number]];
      assert.ok(error instanceof WorkerError, String(error));
      assert.deepEqual([error.topic, error.partition, error.offset, offset], [topic, 2, 30, 30]);
      const values = (await readAll(services, out)).map(({ value }) => Number(value));
      assert.deepEqual(
        values.toSorted((a, b) => a - b),
        numbers(200).filter((index) => index !== 122),
      );
      assert.equal(await committedTotal(services, vars, topic), 200);
    });
  }

  test('a record that ends its worker is never acknowledged when the runner stops at it', async () => {
    const out = await services.topic('out');
    const topic = await fillTexts(
      out,
      numbers(40).map((index) => `${index === 20 ? 'exit' : 'echo'}|${index}`),
    );
    const vars = services.vars();
    await assert.rejects(run(topic, vars, 40), WorkerError);
    const { result } = await run(topic, vars, 1, { onError: () => 'skip' });
    assert.ok(result.consumed >= 5, `${result.consumed} came again`);
  });

  test('told to stop, it fires the signal, finishes what is under way and loses nothing', async () => {
    const out = await services.topic('out');
    const topic = await fillTexts(out, ['wait-for-stop|0', ...numbers(100).map((index) => `echo|${index + 1}`)]);
    const vars = services.vars();
    // Partitions 1 and 3 are the second worker's; the first one waits in its first record.
    await run(topic, vars, 50);
    const produced = new Set((await readAll(services, out)).map(({ value }) => String(value)));
    const { result } = await run(topic, vars, 101 - produced.size);
    const all = (await readAll(services, out)).map(({ value }) => Number(value));
    assert.deepEqual(
      [...new Set(all)].toSorted((a, b) => a - b),
      numbers(101),
    );
    assert.equal(await committedTotal(services, vars, topic), 101, JSON.stringify(result));
  });

  test('outputs that cannot be sent are the fault of their record', async () => {
    const out = await services.topic('out');
    const topic = await fillTexts(out, ['lone-surrogate|0', 'huge|1', 'echo|2']);
    const { result, metrics } = await run(topic, services.vars(), 3, { onError: () => 'skip' });
    assert.deepEqual([result.produced, result.skipped], [1, 2]);
    const [surrogate, huge] = metrics.errors.toSorted((a, b) => String(a).length - String(b).length).reverse() as Error[];
    assert.ok([surrogate, huge].some((error) => error instanceof EncodeError));
    assert.ok([surrogate, huge].some((error) => /too large/.test(String(error))));
  });

  test('a module that is no handler, or does not load in a worker, is a ConfigError', async () => {
    const topic = await services.topic('in');
    for (const [name, message] of [
      ['no-handler', /made by definePoolHandler/],
      ['main-entry', /rdkafka-toolkit\/worker/],
      ['not-there', /not-there/],
    ] as const) {
      await assert.rejects(run(topic, services.vars(), 1, { handler: handlerUrl(name) }), (error) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.match(error.message, message);
        return true;
      });
    }
  });

  test('impossible options are refused', async () => {
    const topic = await services.topic('in');
    const vars = services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
    await using consumer = await createConsumer({ vars, topics: [topic] });
    const options = { consumer, handler: handlerUrl('text'), closeClients: false, handleSignals: false };
    await assert.rejects(createPoolRunner(options).run(), IncompatibleEnvironmentError);
    assert.throws(() => createPoolRunner({ ...options, concurrency: 0, taskRecords: 1.5 }), /concurrency[\s\S]*taskRecords/);
  });

  describe('with Avro', () => {
    async function fillOrders(vars: RuntimeVars, out: string, count: number): Promise<string> {
      const topic = await services.topic('orders');
      await using producer = await createAvroProducer({ vars, valueSchema: orderSchema });
      for (const id of numbers(count)) await producer.enqueue({ topic, partition: id % 4, key: String(id), value: { id, to: out } });
      await producer.flush();
      return topic;
    }

    for (const mode of ['pool', 'inline'] as const) {
      test(`in mode ${mode} it decodes, handles and encodes; each schema is asked for once`, async () => {
        await using registryServer = await startSchemaRegistry();
        const vars = services.vars({ SCHEMA_REGISTRY_URL: registryServer.url });
        const out = await services.topic('invoices');
        const topic = await fillOrders(vars, out, 1_000);
        const before = new Map(registryServer.requests);
        const registry = createSchemaRegistry({ vars });
        const { result } = await run(topic, vars, 1_000, { mode, registry, handler: handlerUrl('avro') });
        assert.equal(result.produced, 1_000);
        assert.deepEqual(
          [...registryServer.requests]
            .map(([request, times]) => [request.replace(out, 'out'), times - (before.get(request) ?? 0)])
            .filter(([, times]) => times !== 0)
            .toSorted(),
          [
            ['GET /schemas/ids/1', 1],
            ['POST /subjects/out-value/versions', 1],
          ],
        );
        const deserializer = createAvroDeserializer({ registry, readerSchema: invoiceSchema });
        const records = await readAll(services, out);
        for (const { value } of records) await deserializer.prepareAt!(value!, 0, value!.length);
        const ids = records.map(({ value, ...place }) => deserializer.deserialize(value, place).id);
        assert.deepEqual(
          ids.toSorted((a, b) => a - b),
          numbers(1_000),
        );
      });
    }

    test('a value that cannot be decoded is a DecodeError with its place and schema; an outage is waited for', async () => {
      await using registryServer = await startSchemaRegistry();
      const vars = services.vars({ SCHEMA_REGISTRY_URL: registryServer.url, SCHEMA_REGISTRY_TIMEOUT_SECONDS: '1' });
      const out = await services.topic('invoices');
      const topic = await fillOrders(vars, out, 20);
      await using producer = await createProducer({ vars });
      await producer.send({ topic, partition: 3, value: Buffer.of(0, 0, 0, 0, 1, 2, 0x80) });
      registryServer.fail({ status: 503, times: 4 });
      const registry = createSchemaRegistry({ vars });
      const { result, metrics, pool } = await run(topic, vars, 21, { registry, handler: handlerUrl('avro'), onError: () => 'skip' });
      assert.deepEqual([result.produced, result.skipped, pool.stats().decodeErrors], [20, 1, 1]);
      const error = metrics.errors.find((each) => each instanceof DecodeError) as DecodeError;
      assert.deepEqual([error.topic, error.partition, error.offset, error.schemaId], [topic, 3, 5, 1]);
    });

    test('without a registry the handler is told', async () => {
      const out = await services.topic('invoices');
      const topic = await fillOrders(services.vars(), out, 1);
      await assert.rejects(run(topic, services.vars(), 1, { handler: handlerUrl('avro') }), /Expected a registry to be passed/);
    });
  });
});
