import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConsecutiveBreaker, circuitBreaker, handleAll } from 'cockatiel';
import {
  BatchItemError,
  ConfigError,
  type Consumer,
  type ConsumerOptions,
  type ConsumerRecord,
  createConsumer,
  createProducer,
  DeliveryError,
  type DetachedRecord,
  jsonDeserializer,
  nativeStatus,
  type Producer,
  type RunAsyncOptions,
  type RunResult,
  type RuntimeVars,
  recordOrigin,
  runAsync,
  runBatch,
  runSync,
  StateError,
} from 'rdkafka-toolkit';
import { CountingMetrics, type Services, startServices } from '../support/services.ts';
import { committedTotal, fill, readAll } from '../support/topics.ts';

type Bytes = Buffer | null;
type Options<V> = Omit<
  RunAsyncOptions<Bytes, V, ConsumerRecord['headers'], Uint8Array | string | null, Uint8Array | string | null>,
  'handler'
>;

/** Counts what the runner tells of retries and dead letters, too. */
class FailureMetrics extends CountingMetrics {
  readonly retried: unknown[] = [];
  readonly deadLettered: unknown[] = [];

  recordRetried(error: unknown): void {
    this.retried.push(error);
  }

  recordDeadLettered(error: unknown): void {
    this.deadLettered.push(error);
  }
}

/** A group of the mock cluster that is not new waits for nearly a session before it assigns anything. */
const shortSession = (real: boolean): Readonly<Record<string, string>> => (real ? {} : { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '2' });
const packed = nativeStatus().available && process.env.RDKAFKA_TOOLKIT_NATIVE !== 'off';
const fast = { initialMs: 5, maxMs: 20 };

describe('records that fail', { concurrency: 4 }, () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  async function openClients<V = Bytes>(
    vars: RuntimeVars,
    input: string,
    options: ConsumerOptions<Bytes, V> = {},
  ): Promise<{ consumer: Consumer<Bytes, V>; producer: Producer } & AsyncDisposable> {
    const producer = await createProducer({ vars });
    const consumer = await createConsumer<Bytes, V>({ topics: [input], ...options, vars, producers: [producer] });
    const close = async (): Promise<void> => {
      await Promise.allSettled([consumer.close(), producer.close()]);
    };
    return { consumer, producer, [Symbol.asyncDispose]: close };
  }

  /** Runs until `total` calls of `count` were made, for one reason or other. */
  function counted(total: number): { readonly signal: AbortSignal; count(): void } {
    const stop = new AbortController();
    let count = 0;
    const giveUp = setTimeout(() => stop.abort(), 30_000);
    return {
      signal: stop.signal,
      count() {
        if (++count < total) return;
        clearTimeout(giveUp);
        // After this turn: the record that counts last is finished.
        setImmediate(() => stop.abort());
      },
    };
  }

  function startAll<V>(
    clients: { consumer: Consumer<Bytes, V>; producer?: Producer },
    signal: AbortSignal,
    options: Partial<Options<V>>,
    handler: (record: ConsumerRecord<Bytes, V>) => unknown,
  ): Promise<RunResult> {
    const { consumer, producer } = clients;
    return runAsync({
      consumer,
      producer,
      handleSignals: false,
      ...options,
      signal,
      handler: async (record) => void (await handler(record)),
    });
  }

  test('a handler that throws once is called again after a rest, and nothing goes elsewhere', async () => {
    const [input, letters] = [await services.topic('in'), await services.topic('dead')];
    await fill(services, input, 20, { partition: 0 });
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const metrics = new FailureMetrics();
    const done = counted(20);
    const seen: number[] = [];
    const failures = { attempts: 3, backoff: fast, deadLetterTopics: [letters] };
    const result = await startAll(clients, done.signal, { failures, metrics }, ({ offset }) => {
      seen.push(offset);
      if (offset % 5 === 0 && seen.filter((each) => each === offset).length === 1) throw new RangeError(`at ${offset}`);
      done.count();
    });
    const expected = Array.from({ length: 20 }, (_, offset) => (offset % 5 === 0 ? [offset, offset] : [offset])).flat();
    assert.deepEqual(seen, expected);
    assert.deepEqual([result.consumed, result.retried, result.deadLettered, result.skipped], [20, 4, 0, 0]);
    assert.deepEqual([metrics.errors.length, metrics.retried.length, metrics.deadLettered.length], [4, 4, 0]);
    assert.equal((await readAll(services, letters)).length, 0);
    assert.equal(await committedTotal(services, vars, input), 20);
  });

  test('a dead letter is the record byte for byte, with its origin and its error', async () => {
    const [input, letters] = [await services.topic('in'), await services.topic('dead')];
    const vars = services.vars();
    const key = Buffer.from([0, 255, 1, 128]);
    const value = Buffer.from([200, 0, 10, 255]);
    const headers = [
      { name: 'twice', value: 'a' },
      { name: 'twice', value: 'b' },
      { name: 'kafka_retry_count', value: 'its own' },
      ...(packed
        ? [
            { name: 'bytes', value: Buffer.from([255, 0, 254]) },
            { name: 'none', value: null },
          ]
        : []),
    ];
    const timestamp = 1_700_000_000_000;
    await using filling = await createProducer({ vars });
    await filling.send({ topic: input, partition: 2, key, value, headers, timestamp });
    await filling.send({ topic: input, partition: 2, key: null, value: null });
    await using clients = await openClients(vars, input);
    const metrics = new FailureMetrics();
    const done = counted(4);
    class PaymentRefused extends Error {
      override readonly name = 'PaymentRefused';
    }
    const failures = { attempts: 2, backoff: fast, deadLetterTopics: [letters] };
    const result = await startAll(clients, done.signal, { failures, metrics }, ({ offset }) => {
      done.count();
      if (offset === 0) throw new PaymentRefused('no\0 money');
      throw 'just text';
    });
    assert.deepEqual([result.retried, result.deadLettered, result.skipped], [2, 2, 0]);
    assert.deepEqual([metrics.retried.length, metrics.deadLettered.length], [2, 2]);
    const [first, second] = (await readAll(services, letters)).toSorted((a) => (a.key === null ? 1 : -1)) as [
      DetachedRecord,
      DetachedRecord,
    ];
    assert.deepEqual([first.key, first.value], [key, value]);
    assert.deepEqual(
      first.headers.slice(0, headers.length),
      headers.map((header) => ({ name: header.name, value: header.value === null ? null : Buffer.from(header.value) })),
    );
    assert.deepEqual(recordOrigin({ rawHeaders: first.headers }), {
      topic: input,
      partition: 2,
      offset: 0,
      timestamp,
      retryCount: 0,
      attempts: 2,
      exception: 'PaymentRefused',
      exceptionMessage: 'no  money',
      notBefore: undefined,
    });
    assert.deepEqual([second.key, second.value], [null, null]);
    const origin = recordOrigin({ rawHeaders: second.headers });
    assert.deepEqual([origin?.offset, origin?.exception, origin?.exceptionMessage], [1, 'string', 'just text']);
    assert.equal(await committedTotal(services, vars, input), 2);
  });

  for (const [name, run] of [
    [
      'runAsync',
      (options: Options<number | null>, handler: (value: number) => void) =>
        runAsync({ ...options, handler: ({ value }) => handler(value!) }),
    ],
    [
      'runSync',
      (options: Options<number | null>, handler: (value: number) => void) =>
        runSync({ ...options, handler: ({ value }) => handler(value!) }),
    ],
    [
      'runBatch',
      (options: Options<number | null>, handler: (value: number) => void) =>
        runBatch({
          ...options,
          count: 4,
          timeoutMs: 500,
          handler: (records) => {
            for (const { value } of records) handler(value!);
          },
        }),
    ],
  ] as const) {
    test(`${name}: a record that cannot be decoded is a dead letter at once, and the rest goes on`, async () => {
      const [input, letters] = [await services.topic('in'), await services.topic('dead')];
      const vars = services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: String(name !== 'runSync'), PRODUCE_FAILURE_TOPICS: letters });
      await using filling = await createProducer({ vars });
      for (const value of ['0', 'poison', '2', '3', '{', '5']) await filling.send({ topic: input, partition: 0, value });
      await using clients = await openClients(vars, input, { valueDeserializer: jsonDeserializer<number>() });
      const done = counted(4);
      const values: number[] = [];
      const options = { consumer: clients.consumer, producer: clients.producer, handleSignals: false, signal: done.signal };
      const result = await run({ ...options, failures: { attempts: 5, backoff: fast } }, (value) => {
        values.push(value);
        done.count();
      });
      assert.deepEqual(values, [0, 2, 3, 5]);
      assert.deepEqual([result.consumed, result.retried, result.deadLettered], [6, 0, 2]);
      const dead = await readAll(services, letters);
      assert.deepEqual(dead.map(({ value }) => String(value)).toSorted(), ['poison', '{']);
      assert.deepEqual(new Set(dead.map(({ headers }) => recordOrigin({ rawHeaders: headers })?.exception)), new Set(['DecodeError']));
      assert.equal(await committedTotal(services, vars, input), 6);
    });
  }

  test('routes send some errors elsewhere, skip some and stop at others', async () => {
    const [input, letters, refused] = [await services.topic('in'), await services.topic('dead'), await services.topic('refused')];
    await fill(services, input, 5, { partition: 0 });
    const vars = services.vars({ PRODUCE_FAILURE_TOPICS: letters });
    await using clients = await openClients(vars, input);
    const calls: number[] = [];
    const running = startAll(
      clients,
      AbortSignal.timeout(30_000),
      {
        failures: {
          attempts: 2,
          backoff: fast,
          routes: [
            { errors: RangeError, action: 'deadLetter', deadLetterTopic: refused },
            { errors: (error) => error === 'skip me', action: 'skip' },
            { errors: [SyntaxError, EvalError], action: 'stop' },
          ],
        },
      },
      ({ offset }) => {
        calls.push(offset);
        if (offset === 0) throw new RangeError('refused');
        if (offset === 1) throw 'skip me';
        if (offset === 2) throw new TypeError('usual');
        throw new EvalError('enough');
      },
    );
    await assert.rejects(running, EvalError);
    assert.deepEqual(calls, [0, 1, 2, 2, 3]);
    assert.deepEqual(
      (await readAll(services, refused)).map(({ value }) => String(value)),
      ['0'],
    );
    assert.deepEqual(
      (await readAll(services, letters)).map(({ value }) => String(value)),
      ['2'],
    );
    assert.equal(await committedTotal(services, vars, input), 3);
  });

  test("the original's variables: so many retries by way of the retry topic, counted in kafka_retry_count, then the failure topic", async () => {
    const [input, again, letters] = [await services.topic('in'), await services.topic('again'), await services.topic('dead')];
    await fill(services, input, 3, { partition: 1 });
    const vars = services.vars({
      RETRY_COUNT_MAX: '2',
      PRODUCE_RETRY_TOPICS: again,
      PRODUCE_FAILURE_TOPICS: letters,
      RETRY_DELAY_SECONDS: '0.2',
      RETRY_DELAY_FACTOR: '1',
    });
    await using clients = await openClients(vars, input, { topics: [input, again] });
    const done = counted(3 + 3 + 3);
    const counts: string[] = [];
    const result = await startAll(clients, done.signal, {}, (record) => {
      counts.push(`${record.value} ${record.header('kafka_retry_count') ?? 'first'}`);
      done.count();
      throw new TypeError('always');
    });
    assert.deepEqual(counts.toSorted(), ['0 1', '0 2', '0 first', '1 1', '1 2', '1 first', '2 1', '2 2', '2 first']);
    assert.deepEqual([result.retried, result.deadLettered], [6, 3]);
    const dead = await readAll(services, letters);
    for (const { key, value, headers } of dead) {
      assert.equal(String(key), String(value));
      assert.deepEqual(
        headers.slice(0, 1).map(({ name, value }) => [name, String(value)]),
        [['index', String(key)]],
      );
      const origin = recordOrigin({ rawHeaders: headers });
      assert.deepEqual([origin?.topic, origin?.partition, origin?.offset], [input, 1, Number(key)]);
      assert.deepEqual([origin?.retryCount, origin?.attempts, origin?.exception], [2, 3, 'TypeError']);
    }
    assert.equal(dead.length, 3);
    assert.equal(await committedTotal(services, vars, input), 3);
    assert.equal(await committedTotal(services, vars, again), 6);
  });

  test('a delayed record comes when it is due, not before, and nobody waits for it', async () => {
    const [input, again] = [await services.topic('in'), await services.topic('again')];
    await fill(services, input, 200, { partition: 0 });
    const vars = services.vars();
    await using clients = await openClients(vars, input, { topics: [input, again] });
    const delayMs = 2_500;
    const failedAt = new Map<string, number>();
    const laterBy: number[] = [];
    let firstDelayedAfter = -1;
    let fresh = 0;
    const done = counted(210);
    await startAll(clients, done.signal, { failures: { retryTopics: [{ topic: again, delayMs }] } }, (record) => {
      done.count();
      const origin = recordOrigin(record);
      if (origin === undefined) {
        fresh++;
        if (record.offset % 20 !== 0) return;
        failedAt.set(String(record.key), Date.now());
        throw new TypeError('once');
      }
      assert.equal(origin.topic, input);
      if (firstDelayedAfter < 0) firstDelayedAfter = fresh;
      laterBy.push(Date.now() - failedAt.get(String(record.key))!);
    });
    assert.equal(laterBy.length, 10);
    assert.ok(Math.min(...laterBy) >= delayMs, `${laterBy}`);
    assert.equal(firstDelayedAfter, 200, 'all the others of the partition came before');
    assert.equal(await committedTotal(services, vars, input), 200);
    assert.equal(await committedTotal(services, vars, again), 10);
  });

  test('a failed record of a batch stops nobody: those before are done, it alone is retried or put aside, the rest follows', async () => {
    const [input, output, letters] = [await services.topic('in'), await services.topic('out'), await services.topic('dead')];
    await fill(services, input, 12, { partition: 0 });
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const done = counted(12);
    const calls: string[] = [];
    let thrown = 0;
    const result = await runBatch({
      consumer: clients.consumer,
      producer: clients.producer,
      signal: done.signal,
      handleSignals: false,
      count: 6,
      timeoutMs: 1_000,
      failures: { attempts: 2, backoff: fast, deadLetterTopics: [letters] },
      handler(records) {
        calls.push(records.map(({ offset }) => offset).join(','));
        const outputs = [];
        for (const [index, { offset, key, value }] of records.entries()) {
          if (offset === 2 || (offset === 7 && thrown++ === 0)) {
            if (offset === 2 && calls.length === 2) done.count();
            throw new BatchItemError(index, new RangeError(`at ${offset}`), { outputs });
          }
          outputs.push({ topic: output, partition: 0, key, value });
          if (calls.length > 0) done.count();
        }
        return outputs;
      },
    });
    assert.deepEqual(calls.slice(0, 3), ['0,1,2,3,4,5', '2,3,4,5', '3,4,5']);
    assert.deepEqual([result.consumed, result.produced, result.retried, result.deadLettered], [12, 11, 2, 1]);
    const produced = (await readAll(services, output)).map(({ value }) => Number(value));
    assert.deepEqual(produced, [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const [dead] = await readAll(services, letters);
    assert.deepEqual([String(dead?.value), recordOrigin({ rawHeaders: dead!.headers })?.exception], ['2', 'RangeError']);
    assert.equal(await committedTotal(services, vars, input), 12);
  });

  test('a batch that fails as a whole is tried again as a whole, then every record of it is put aside', async () => {
    const [input, letters] = [await services.topic('in'), await services.topic('dead')];
    await fill(services, input, 6, { partition: 0 });
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const done = counted(3);
    const result = await runBatch({
      consumer: clients.consumer,
      producer: clients.producer,
      signal: done.signal,
      handleSignals: false,
      count: 3,
      timeoutMs: 1_000,
      failures: { attempts: 2, backoff: fast, deadLetterTopics: [letters] },
      handler(records) {
        done.count();
        if (records[0]!.offset === 0) throw new TypeError('the store is full');
      },
    });
    assert.deepEqual([result.consumed, result.retried, result.deadLettered], [6, 1, 3]);
    assert.deepEqual((await readAll(services, letters)).map(({ value }) => Number(value)).toSorted(), [0, 1, 2]);
    assert.equal(await committedTotal(services, vars, input), 6);
  });

  test('an output that failed, and is made again by the retry, holds no offset back', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 3, { partition: 0 });
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const done = counted(3);
    let failed = 0;
    await startAll(clients, done.signal, { failures: { attempts: 3, backoff: fast } }, async ({ offset, value }) => {
      // The mock cluster and Kafka both have 4 partitions.
      const partition = offset === 1 && failed++ === 0 ? 77 : 0;
      await clients.producer.send({ topic: output, partition, value });
      done.count();
    });
    assert.equal(failed, 2);
    assert.deepEqual(
      (await readAll(services, output)).map(({ value }) => Number(value)),
      [0, 1, 2],
    );
    assert.equal(await committedTotal(services, vars, input), 3);
  });

  test('without a place to go a failed record still stops the runner, or is skipped by onError', async () => {
    const input = await services.topic('in');
    await fill(services, input, 3, { partition: 0 });
    const vars = services.vars(shortSession(services.real));
    {
      await using clients = await openClients(vars, input);
      const calls: number[] = [];
      const running = startAll(clients, AbortSignal.timeout(30_000), { failures: { attempts: 3, backoff: fast } }, ({ offset }) => {
        calls.push(offset);
        if (offset === 1) throw new DeliveryError('not of any producer', 0);
      });
      await assert.rejects(running, DeliveryError);
      assert.deepEqual(calls, [0, 1, 1, 1]);
    }
    assert.equal(await committedTotal(services, vars, input), 1);
    await using clients = await openClients(vars, input);
    const done = counted(2);
    const asked: (number | undefined)[] = [];
    const onError = (_: unknown, record: ConsumerRecord | undefined): 'skip' => {
      asked.push(record?.offset);
      return 'skip';
    };
    const result = await startAll(clients, done.signal, { failures: {}, onError }, () => {
      done.count();
      throw new TypeError('never mind');
    });
    assert.deepEqual([result.skipped, asked], [2, [1, 2]]);
    assert.equal(await committedTotal(services, vars, input), 3);
  });

  test('records that the filter leaves out are not decoded, and their offsets advance', async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    await using filling = await createProducer({ vars });
    for (let index = 0; index < 20; index++) {
      const wanted = index % 4 === 0;
      await filling.send({ topic: input, partition: 0, value: wanted ? String(index) : 'no JSON', headers: { wanted: String(wanted) } });
    }
    await using clients = await openClients(vars, input, { valueDeserializer: jsonDeserializer<number>() });
    const done = counted(20);
    const values: unknown[] = [];
    const filter = (record: ConsumerRecord<Bytes, number | null>): boolean => {
      done.count();
      return String(record.header('wanted')) === 'true';
    };
    const result = await startAll(clients, done.signal, { filter }, ({ value }) => values.push(value));
    assert.deepEqual(values, [0, 4, 8, 12, 16]);
    assert.deepEqual([result.consumed, result.filtered, result.skipped], [20, 15, 0]);
    assert.equal(await committedTotal(services, vars, input), 20);
  });

  for (const concurrency of [1, 8]) {
    test(`while a circuit is open nothing is handled, nothing fails, and the probe closes it (concurrency ${concurrency})`, async () => {
      const input = await services.topic('in');
      await fill(services, input, 30, { partition: 0 });
      const vars = services.vars();
      await using clients = await openClients(vars, input);
      const breaker = circuitBreaker(handleAll, { halfOpenAfter: 300, breaker: new ConsecutiveBreaker(3) });
      const done = counted(30);
      let probes = 0;
      let callsWhileDown = 0;
      const isDown = (): boolean => probes < 3;
      const result = await startAll(
        clients,
        done.signal,
        {
          concurrency,
          order: 'none',
          failures: { attempts: 100, backoff: fast },
          circuitBreaker: {
            breaker,
            probeIntervalMs: 40,
            async probe() {
              probes++;
              if (isDown()) throw new TypeError('still down');
            },
          },
        },
        async ({ offset }) => {
          await sleep(1);
          if (offset >= 10 && isDown()) {
            callsWhileDown++;
            throw new TypeError('down');
          }
          done.count();
        },
      );
      assert.equal(probes, 3);
      // On a machine that stalls, the circuit may be half open before it is first looked at.
      assert.ok(callsWhileDown >= 3 && callsWhileDown <= 3 + concurrency, `${callsWhileDown} calls`);
      assert.equal(result.retried, callsWhileDown);
      assert.equal(await committedTotal(services, vars, input), 30);
    });
  }

  test('wrong options are all named at once, and topics without a producer are refused', async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    await using clients = await openClients(vars, input);
    const { consumer } = clients;
    const wrong = { attempts: 0, retries: -1, backoff: { jitter: 2 }, retryTopics: [{ topic: 'a', delayMs: -1 }], deadLetterTopics: ['a'] };
    const options = { consumer, handler: () => undefined, closeClients: false, handleSignals: false };
    await assert.rejects(runAsync({ ...options, failures: wrong }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.faults.length, 5, error.message);
      return true;
    });
    await assert.rejects(runAsync({ ...options, failures: { deadLetterTopics: ['dead'] } }), StateError);
    await assert.rejects(runAsync({ ...options, concurrency: 0 }), ConfigError);
  });
});
