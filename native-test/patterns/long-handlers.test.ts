import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConsumerEvents,
  createConsumer,
  createProducer,
  isToolkitError,
  type RunOptions,
  runAsync,
  runBatch,
  ShutdownError,
  TimeoutError,
  type ToolkitError,
} from 'rdkafka-toolkit';
import { CountingMetrics, noFailures, type Services, startServices } from '../support/services.ts';
import { committedTotal, fill } from '../support/topics.ts';

type Clients = Pick<RunOptions<Buffer | null, Buffer | null, never, never, never>, 'handleSignals'>;
const quiet: Clients = { handleSignals: false };
const forever = new Promise<never>(() => undefined);
const maxPoll = { 'max.poll.interval.ms': 3_000, 'session.timeout.ms': 3_000, 'heartbeat.interval.ms': 500 };

describe('handlers that take long', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('one slower than max.poll.interval.ms keeps its partitions, whichever way it waits', async () => {
    const topic = await services.topic('slow');
    await fill(services, topic, 3, { partition: 1 });
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [topic], config: maxPoll });
    const revoked: unknown[] = [];
    const stop = new AbortController();
    const result = await runAsync({
      ...quiet,
      consumer,
      signal: stop.signal,
      async handler({ offset }) {
        if (offset === 0) consumer.on('revoked', (_, how) => !consumer.closed && revoked.push(how));
        await sleep(offset === 1 ? 7_000 : 0);
        if (offset === 2) stop.abort();
      },
    });
    assert.deepEqual([result.consumed, revoked], [3, []]);
    assert.equal(await committedTotal(services, vars, topic), 3);
  });

  test('one that blocks the event loop beyond it loses them, is told so, joins again, and no record is lost', async () => {
    const topic = await services.topic('blocked');
    await fill(services, topic, 6, { partition: 0 });
    const vars = services.vars({ CONSUMER_STALL_TIMEOUT_SECONDS: '30' });
    const consumer = await createConsumer({ vars, topics: [topic], config: maxPoll });
    const revoked: boolean[] = [];
    const blocked: number[] = [];
    consumer.on('revoked', (_, { lost }) => !consumer.closed && revoked.push(lost));
    consumer.on('eventLoopBlocked', ({ blockedMs }) => blocked.push(blockedMs));
    const stop = new AbortController();
    const offsets: number[] = [];
    const metrics = new CountingMetrics();
    await runAsync({
      ...quiet,
      consumer,
      metrics,
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(60_000)]),
      async handler({ offset }) {
        const again = offsets.includes(2);
        if (offset === 2 && !again) for (const end = Date.now() + 6_000; Date.now() < end; );
        offsets.push(offset);
        // Time to notice, before what is buffered is done.
        await sleep(again ? 0 : 600);
        if (offset === 5) stop.abort();
      },
    });
    // Without the addon lost partitions look like revoked ones.
    assert.deepEqual(revoked, [consumer.source === 'packed']);
    assert.deepEqual(
      metrics.errors.map((error) => (error as ToolkitError).kafkaCode),
      [-147],
    );
    assert.ok(blocked.length > 0 && blocked[0]! >= 4_000, String(blocked));
    assert.deepEqual([...new Set(offsets)], [0, 1, 2, 3, 4, 5]);
    assert.equal(await committedTotal(services, vars, topic), 6);
  });

  for (const runner of ['runAsync', 'runBatch'] as const) {
    test(`${runner} aborts one at its deadline, and asks onError about it`, async () => {
      const topic = await services.topic('late');
      await fill(services, topic, 4, { partition: 0 });
      const vars = services.vars();
      const consumer = await createConsumer({ vars, topics: [topic] });
      const stop = new AbortController();
      const reasons: unknown[] = [];
      const errors: unknown[] = [];
      const handle = async (offset: number, signal: AbortSignal): Promise<void> => {
        if (offset === 3) stop.abort();
        if (offset === 1) {
          // Honours the signal.
          await once(signal, 'abort');
          reasons.push(signal.reason);
          signal.throwIfAborted();
        }
        // Does not.
        if (offset === 2) await forever;
      };
      const options = {
        ...quiet,
        consumer,
        signal: stop.signal,
        handlerTimeoutMs: 200,
        onError(error: unknown): 'skip' {
          errors.push(error);
          return 'skip';
        },
      };
      const result =
        runner === 'runAsync'
          ? await runAsync({ ...options, handler: ({ offset }, { signal }) => handle(offset, signal) })
          : await runBatch({ ...options, count: 1, timeoutMs: 1_000, handler: ([record], { signal }) => handle(record!.offset, signal) });
      assert.deepEqual(result, { consumed: 4, produced: 0, skipped: 2, ...noFailures, left: { records: 0, outputs: 0 } });
      assert.equal(reasons[0], errors[0]);
      assert.equal(errors.length, 2);
      for (const [index, error] of errors.entries()) {
        assert.ok(error instanceof TimeoutError);
        assert.deepEqual([error.topic, error.partition, error.offset, error.retriable], [topic, 0, index + 1, false]);
        assert.match(error.message, new RegExp(`handler of ${topic} \\[0\\] @ ${index + 1} did not end within 200 ms`));
      }
      assert.equal(await committedTotal(services, vars, topic), 4);
    });
  }

  test('one that never ends is cut off at the deadline of the shutdown, and the error says what was left', async () => {
    const [input, output] = [await services.topic('cut'), await services.topic('out')];
    await fill(services, input, 5, { partition: 0 });
    const vars = services.vars();
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [input], producers: [producer] });
    const stop = new AbortController();
    let stoppedAt = 0;
    const error = await runAsync({
      ...quiet,
      consumer,
      producer,
      signal: stop.signal,
      shutdownTimeoutMs: 3_000,
      handler({ offset, value }) {
        if (offset < 3) return { topic: output, value };
        setTimeout(() => {
          stoppedAt = performance.now();
          stop.abort();
        }, 50);
        return forever;
      },
    }).catch((reason: unknown) => reason);
    assert.ok(performance.now() - stoppedAt < 3_500);
    assert.ok(error instanceof ShutdownError && isToolkitError(error));
    assert.deepEqual([error.code, error.left], ['ERR_SHUTDOWN', { records: 1, outputs: 0 }]);
    assert.match(error.message, /runAsync was stopped by its signal and did not end cleanly within 3000 ms: 1 records were not finished/);
    assert.ok(consumer.closed && producer.closed);
    assert.equal(await committedTotal(services, vars, input), 3);
  });

  test('a consumer whose application takes nothing says so, and is well again once it does', async () => {
    const topic = await services.topic('stall');
    await fill(services, topic, 10);
    const vars = services.vars({ CONSUMER_STALL_TIMEOUT_SECONDS: '1' });
    await using consumer = await createConsumer({ vars, topics: [topic] });
    assert.deepEqual(consumer.health(), { status: 'ok', stall: undefined });
    const first = await consumer.consume();
    const [stall] = (await once(consumer, 'stalled')) as ConsumerEvents['stalled'];
    assert.deepEqual([stall.reason, stall.inFlightRecords, consumer.health().status], ['handler', 1, 'stalled']);
    assert.ok(first.offset >= 0 && stall.stalledMs >= 1_000);
    await consumer.consume();
    const deadline = Date.now() + 5_000;
    while (consumer.health().status !== 'ok' && Date.now() < deadline) await sleep(50);
    assert.equal(consumer.health().status, 'ok');
    await consumer.close();
    assert.equal(consumer.health().status, 'closed');
  });

  test('a consumer that leaves and joins again goes on where it was', async () => {
    const topic = await services.topic('rejoin');
    await fill(services, topic, 100);
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [topic] });
    const stop = new AbortController();
    const seen = new Set<string>();
    let assignments = 0;
    consumer.on('assigned', (partitions) => {
      if (partitions.length > 0) assignments++;
    });
    await runAsync({
      ...quiet,
      consumer,
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(60_000)]),
      async handler({ partition, offset }) {
        await sleep(10);
        const place = `${partition}/${offset}`;
        assert.ok(!seen.has(place), place);
        seen.add(place);
        if (seen.size === 40) consumer.rejoin();
        if (seen.size === 100) stop.abort();
      },
    });
    assert.deepEqual([seen.size, assignments], [100, 2]);
    assert.equal(await committedTotal(services, vars, topic), 100);
  });
});
