import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ConfigError,
  type Consumer,
  createConsumer,
  createProducer,
  DeliveryError,
  enqueueAutoCommits,
  NoMessageError,
  type Producer,
  parseRuntimeVars,
  type RunAsyncOptions,
  type RunResult,
  type RuntimeVars,
  runAsync,
  runSync,
} from 'rdkafka-toolkit';
import { startMockCluster } from 'rdkafka-toolkit/testing';
import { type Services, startServices } from '../support/services.ts';
import { committedOffsets, fill, readAll } from '../support/topics.ts';
import { until } from '../support/until.ts';

/** No topic of the tests has it. */
const NO_PARTITION = 99;

describe('an offset is not stored', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  /** A topic with records in its first partition. */
  async function input(count: number): Promise<string> {
    const topic = await services.topic('in');
    await fill(services, topic, count, { partition: 0 });
    return topic;
  }

  const committed = async (vars: RuntimeVars, topic: string): Promise<number> => (await committedOffsets(services, vars, topic))[0] ?? 0;

  type Handler = RunAsyncOptions<Buffer | null, Buffer | null, unknown, string, string>['handler'];
  type Options = Partial<Omit<RunAsyncOptions<Buffer | null, Buffer | null, unknown, string, string>, 'handler' | 'consumer'>>;

  async function run(consumer: Consumer, handler: unknown, options: Options = {}): Promise<RunResult | Error> {
    try {
      return await runAsync({ consumer, handleSignals: false, ...options, handler: handler as Handler } as never);
    } catch (error) {
      return error as Error;
    }
  }

  /** A handler that makes three outputs of each record at once. Those of the second record fail at the first attempt. */
  function sendingThree(producer: Producer, out: string): (record: { readonly offset: number }) => Promise<void> {
    let failed = false;
    return async ({ offset }) => {
      const partition = offset === 1 && !failed ? NO_PARTITION : 0;
      failed ||= partition === NO_PARTITION;
      await Promise.all(['a', 'b', 'c'].map((value) => producer.send({ topic: out, partition, value })));
    };
  }

  test('when an output fails that waited in line, unawaited, when its record was done', async () => {
    const [topic, out] = [await input(3), await services.topic('out')];
    const vars = services.vars();
    // As a schema that must be fetched first.
    const valueSerializer = { serialize: (value: string) => Buffer.from(value), prepare: () => sleep(200) };
    const producer = await createProducer({ vars, valueSerializer });
    const consumer = await createConsumer({ vars, topics: [topic], producers: [producer] });
    const record = await consumer.consume();
    const failed: unknown[] = [];
    const queued = producer.enqueue({ topic: out, partition: NO_PARTITION, value: 'x' }, (error) => void failed.push(error));
    enqueueAutoCommits(consumer, record);
    await queued;
    await until('its report is in', () => failed.length > 0);
    await consumer.close();
    await producer.close().catch(() => undefined);
    assert.equal(await committed(vars, topic), 0);
  });

  test('while what must arrive before is on its way, even when the producer is closed first', async () => {
    const topic = await input(3);
    const vars = services.vars();
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [topic] });
    const records = [await consumer.consume(), await consumer.consume()];
    enqueueAutoCommits(consumer, records[0]!);
    // As for a dead letter that has not arrived.
    producer.hold();
    enqueueAutoCommits(consumer, records[1]!);
    await producer.close();
    await consumer.close();
    assert.equal(await committed(vars, topic), 1);
    // Consumers that come later have nothing to do with it.
    await using later = await createConsumer({ vars, topics: [topic] });
    enqueueAutoCommits(later, await later.consume({ timeoutMs: 20_000 }));
    await until('it is committed', async () => (await committed(vars, topic)) === 2);
  });

  test('when a record fails because all is to stop, whatever onError says', async () => {
    const topic = await input(5);
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [topic] });
    const stop = new AbortController();
    const asked: unknown[] = [];
    const onError = (error: unknown): 'skip' => {
      asked.push(error);
      return 'skip';
    };
    const handler = async ({ offset }: { offset: number }, { signal }: { signal: AbortSignal }): Promise<void> => {
      if (offset < 2) return;
      setTimeout(() => stop.abort(), 50);
      // A library that makes an error of its own of the signal.
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('cancelled')), { once: true }));
    };
    const result = (await run(consumer, handler, { onError, signal: stop.signal })) as RunResult;
    assert.deepEqual([asked, result.skipped, result.left?.records], [[], 0, 1]);
    assert.equal(await committed(vars, topic), 2);
  });

  test('when another record is put aside that was told of the failure', async () => {
    const [topic, out, dead] = [await input(3), await services.topic('out'), await services.topic('dead')];
    const vars = services.vars();
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [topic], producers: [producer] });
    const handler = async ({ offset }: { offset: number }): Promise<void> => {
      if (offset === 0) await producer.enqueue({ topic: out, partition: NO_PARTITION, value: 'lost' });
      else {
        await sleep(100);
        await producer.flush();
      }
    };
    const ended = await run(consumer, handler, { producer: producer as never, failures: { deadLetterTopics: [dead] } });
    assert.ok(ended instanceof Error);
    assert.equal(await committed(vars, topic), 0);
  });

  test('for ever when a handler sends many at once, all fail, and the next attempt sends them well', async () => {
    const [topic, out] = [await input(60), await services.topic('out')];
    const vars = services.vars({ CONSUMER_MAX_IN_FLIGHT_RECORDS: '20' });
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [topic], producers: [producer] });
    const stop = new AbortController();
    const sendThree = sendingThree(producer, out);
    let handled = 0;
    const handler = async (record: { offset: number }): Promise<void> => {
      await sendThree(record);
      if (++handled === 60) stop.abort();
    };
    const result = await run(consumer, handler, {
      producer: producer as never,
      failures: { attempts: 2 },
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]),
    });
    assert.ok(!(result instanceof Error), String(result));
    assert.deepEqual([handled, result.retried], [60, 1]);
    assert.equal(await committed(vars, topic), 60);
    assert.equal((await readAll(services, out)).length, 180);
  });

  test('for ever without an error: with many at once, where only the first of several failures can be dealt with, the runner ends', async () => {
    const [topic, out] = [await input(60), await services.topic('out')];
    const vars = services.vars({ CONSUMER_MAX_IN_FLIGHT_RECORDS: '20' });
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [topic], producers: [producer] });
    const ended = await run(consumer, sendingThree(producer, out), {
      producer: producer as never,
      failures: { attempts: 2 },
      concurrency: 4,
      signal: AbortSignal.timeout(20_000),
    });
    assert.ok(ended instanceof DeliveryError, String(ended));
    assert.match(ended.message, /held back and nothing more is taken/);
    assert.equal(await committed(vars, topic), 1);
  });

  test('past records of a batch that came with the end of a partition, where a listener throws', async () => {
    const topic = await input(2);
    const vars = services.vars();
    await using producer = await createProducer({ vars });
    await using consumer = await createConsumer({ vars, topics: [topic], config: { 'enable.partition.eof': true } });
    let ends = 0;
    consumer.on('partitionEof', ({ partition }) => {
      if (partition === 0 && ++ends === 2) throw new RangeError('listener');
    });
    const seen: number[] = [];
    const errors: unknown[] = [];
    const read = async (count: number): Promise<void> => {
      while (seen.length < count) {
        try {
          seen.push((await consumer.consume({ timeoutMs: 500 })).offset);
        } catch (error) {
          if (!(error instanceof NoMessageError)) errors.push(error);
        }
      }
    };
    await read(2);
    await until('the end was told of', () => ends === 1);
    for (let index = 0; index < 3; index++) producer.tryEnqueue({ topic, partition: 0, value: 'x' });
    // Records and the end behind them come in one batch.
    await producer.flush();
    for (const end = performance.now() + 500; performance.now() < end; );
    await read(5);
    await until('the end was told of again', async () => {
      await consumer.consume({ timeoutMs: 50 }).catch((error: unknown) => error instanceof NoMessageError || errors.push(error));
      return ends >= 2;
    });
    await consumer.consume({ timeoutMs: 50 }).catch((error: unknown) => error instanceof NoMessageError || errors.push(error));
    assert.deepEqual(seen, [0, 1, 2, 3, 4]);
    assert.ok(errors.length === 0 || errors.some((error) => error instanceof RangeError), String(errors));
  });

  test('of a record that is not done, and not skipped, where partitions begin at their end', async () => {
    const topic = await input(2);
    const vars = services.vars({ CONSUMER_AUTO_OFFSET_RESET: 'latest' });
    const consumer = await createConsumer({ vars, topics: [topic] });
    await until('it holds the partitions', () => consumer.assignment().length === 4);
    await assert.rejects(consumer.consume({ timeoutMs: 1_000 }), NoMessageError);
    await fill(services, topic, 1, { partition: 0 });
    assert.equal((await consumer.consume()).offset, 2);
    // Should the process die now: the record comes again.
    await until('its offset is committed', async () => {
      await assert.rejects(consumer.consume({ timeoutMs: 100 }), NoMessageError);
      return (await committed(vars, topic)) === 2;
    });
    await consumer.close();
  });

  test('behind records that rest in a retry topic of which nothing is committed, so the runner does not start', async () => {
    const [topic, retry] = [await input(1), await services.topic('retry')];
    const vars = services.vars({ CONSUMER_AUTO_OFFSET_RESET: 'latest' });
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [topic] });
    const failures = { retryTopics: [{ topic: retry, delayMs: 1_000 }] };
    const ended = await run(consumer, () => undefined, { producer: producer as never, failures });
    assert.ok(ended instanceof ConfigError, String(ended));
    assert.match(ended.message, /CONSUMER_AUTO_OFFSET_RESET to be earliest/);
  });

  test('for a partition that a rebalance took before a seek or a pause had its turn: it stays gone', async () => {
    const topic = await services.topic('shared');
    for (const partition of [0, 1, 2, 3]) await fill(services, topic, 2, { partition });
    const vars = services.vars({ CONNECT_TIMEOUT_SECONDS: '5', CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: services.real ? '6' : '2' });
    const stop = new AbortController();
    const read = async (consumer: Consumer): Promise<number> => {
      let got = 0;
      while (!stop.signal.aborted) {
        await consumer.consume({ timeoutMs: 200 }).then(
          () => got++,
          () => undefined,
        );
      }
      return got;
    };
    const first = await createConsumer({ vars, topics: [topic] });
    const reading = [read(first)];
    await until('it holds all', () => first.assignment().length === 4);
    await sleep(500);
    // A seek or a pause is under way whenever the rebalance comes.
    let isRevoked = false;
    first.once('revoked', () => {
      isRevoked = true;
    });
    const asking = (async () => {
      while (!isRevoked) {
        for (const at of first.assignment()) {
          await first.seek({ ...at, offset: 2 }).catch(() => undefined);
          await first.pause([at]).catch(() => undefined);
        }
        await sleep(1);
      }
    })();
    const second = await createConsumer({ vars, topics: [topic] });
    reading.push(read(second));
    await asking;
    await until('both hold their share', () => first.assignment().length === 2 && second.assignment().length === 2);
    await sleep(500);
    assert.deepEqual(first.assignment(), first.handle.assignment(), 'what it thinks it holds and what it holds');
    stop.abort();
    await Promise.all(reading);
    await first.close();
    await second.close();
  });
});

test('synchronous runners go on when the range assignor takes all partitions away and gives some back', async () => {
  await using cluster = await startMockCluster({ topics: [{ name: 'in', partitions: 2 }, 'out'] });
  const env = {
    APP_NAME: 'synchronous',
    KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers,
    CONSUMER_ENABLE_AUTO_COMMIT: 'false',
    CONSUMER_ASSIGNMENT_STRATEGY: 'range',
    CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '2',
  };
  const vars = parseRuntimeVars(env);
  {
    await using producer = await createProducer({ vars });
    for (let index = 0; index < 800; index++) await producer.enqueue({ topic: 'in', partition: index % 2, value: 'x' });
  }
  const member = async (): Promise<{ stop: () => Promise<unknown> }> => {
    const [producer, consumer] = [await createProducer({ vars }), await createConsumer({ vars, topics: ['in'] })];
    const stop = new AbortController();
    const handler = async (): Promise<{ topic: string; value: string }> => {
      await sleep(5);
      return { topic: 'out', value: 'x' };
    };
    const running = runSync({ consumer, producer, handleSignals: false, signal: stop.signal, handler }).then(
      () => undefined,
      (error: DeliveryError) => error.message,
    );
    return {
      stop: () => {
        stop.abort();
        return running;
      },
    };
  };
  const first = await member();
  await sleep(1_500);
  for (let round = 0; round < 2; round++) {
    const second = await member();
    await sleep(2_000);
    assert.equal(await second.stop(), undefined);
    await sleep(1_000);
  }
  assert.equal(await first.stop(), undefined);
});
