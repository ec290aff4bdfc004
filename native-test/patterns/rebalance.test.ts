import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Consumer,
  createConsumer,
  createProducer,
  type Producer,
  type RuntimeVars,
  runAsync,
  type ToolkitError,
  type TopicPartition,
} from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { committedTotal, readAll } from '../support/topics.ts';

const RECORDS_AT_LEAST = 5_000;

/** One service of the group: copies its records to the output topic, same partition, and notes what happens to its partitions. */
interface Member {
  readonly consumer: Consumer;
  readonly events: [kind: 'assigned' | 'revoked', partitions: number[]][];
  readonly commitErrors: ToolkitError[];
  handled: number;
  /** Ends it and gives what went wrong. */
  stop(): Promise<unknown>;
}

describe('a rebalance', () => {
  let services: Services;
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  before(async () => {
    process.on('unhandledRejection', onUnhandled);
    services = await startServices();
  });
  after(async () => {
    await services[Symbol.asyncDispose]();
    process.off('unhandledRejection', onUnhandled);
    assert.deepEqual(unhandled, []);
  });

  /** A member learns of a rebalance by its heartbeat, every 3 s by default; the mock waits out the session of one that is late. */
  function groupVars(extra: Readonly<Record<string, string>> = {}): RuntimeVars {
    return services.vars({ RDKAFKA_HEARTBEAT_INTERVAL_MS: '300', CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '6', ...extra });
  }

  async function join(vars: RuntimeVars, input: string, output: string): Promise<Member> {
    const producer = await createProducer({ vars });
    let consumer: Consumer;
    try {
      consumer = await createConsumer({ vars, topics: [input], producers: [producer] });
    } catch (error) {
      await producer.close();
      throw error;
    }
    const stopping = new AbortController();
    const member: Member = {
      consumer,
      events: [],
      commitErrors: [],
      handled: 0,
      stop() {
        stopping.abort();
        return running;
      },
    };
    for (const kind of ['assigned', 'revoked'] as const) {
      consumer.on(kind, (partitions: readonly TopicPartition[]) =>
        member.events.push([kind, partitions.map(({ partition }) => partition).toSorted()]),
      );
    }
    consumer.on('committed', (error) => {
      if (error !== undefined) member.commitErrors.push(error);
    });
    const running = runAsync({
      consumer,
      producer,
      signal: stopping.signal,
      handleSignals: false,
      async handler({ partition, offset, value }) {
        member.handled++;
        if (offset % 20 === 0) await sleep(1);
        return { topic: output, partition, key: String(offset), value };
      },
    }).then(
      () => undefined,
      (error: unknown) => error,
    );
    return member;
  }

  /** Produces to the input topic until it is told to stop, evenly over the partitions; gives the number of records. */
  function feed(producer: Producer, input: string): () => Promise<number> {
    let produced = 0;
    let stopped = false;
    const feeding = (async () => {
      while (!stopped || produced < RECORDS_AT_LEAST) {
        for (let index = 0; index < 20; index++, produced++) {
          await producer.enqueue({ topic: input, partition: produced % 4, value: String(produced) });
        }
        await sleep(10);
      }
      await producer.flush();
      return produced;
    })();
    return () => {
      stopped = true;
      return feeding;
    };
  }

  async function until(what: string, condition: () => boolean, timeoutMs = 30_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!condition()) {
      assert.ok(Date.now() < deadline, `waited ${timeoutMs} ms in vain: ${what}`);
      await sleep(20);
    }
  }

  for (const [strategy, firstGivesUp] of [
    ['range,roundrobin', 4],
    ['cooperative-sticky', 2],
  ] as const) {
    const varsOf = (): RuntimeVars => groupVars({ CONSUMER_ASSIGNMENT_STRATEGY: strategy, CONSUMER_PREFETCH_COUNT: '100' });

    test(`loses nothing and keeps the order of each partition while a member joins and leaves (${strategy})`, async (t) => {
      const [input, output] = [await services.topic('in'), await services.topic('out')];
      const vars = varsOf();
      await using source = await createProducer({ vars });
      const members: Member[] = [];
      let total: number;
      try {
        const first = await join(vars, input, output);
        members.push(first);
        const stopFeeding = feed(source, input);
        await until('the first member handles records', () => first.handled > 500);
        const second = await join(vars, input, output);
        members.push(second);
        await until('both members handle records', () => second.handled > 500 && first.consumer.assignment().length === 2);
        assert.equal(second.consumer.assignment().length, 2);
        assert.equal(await second.stop(), undefined);
        await until('the first member has everything again', () => first.consumer.assignment().length === 4);
        const before = first.handled;
        await until('the first member goes on', () => first.handled > before + 500);
        total = await stopFeeding();
        const inputs = async (): Promise<number> => (await first.consumer.lag()).reduce((sum, { lagRecords }) => sum + lagRecords, 0);
        for (let lag = await inputs(); lag > 0; lag = await inputs()) await sleep(50);
        assert.equal(await first.stop(), undefined);

        const [gained, gaveUp] = [first.events[0], first.events[1]];
        assert.deepEqual(gained, ['assigned', [0, 1, 2, 3]]);
        assert.equal(gaveUp?.[0], 'revoked');
        assert.equal(gaveUp?.[1].length, firstGivesUp);
        assert.equal(second.events.find(([kind, partitions]) => kind === 'assigned' && partitions.length > 0)?.[1].length, 2);
        assert.equal(second.events.at(-1)?.[0], 'revoked');
        for (const { commitErrors, events } of members) t.diagnostic(`${JSON.stringify(events)} ${commitErrors.map(String)}`);
      } finally {
        await Promise.all(members.map((member) => member.stop()));
      }

      assert.ok(total >= RECORDS_AT_LEAST);
      const seen = [0, 1, 2, 3].map(() => new Set<number>());
      let outputs = 0;
      for (const { partition, key } of await readAll(services, output)) {
        const offset = Number(String(key));
        const ofPartition = seen[partition]!;
        outputs++;
        if (ofPartition.has(offset)) continue;
        // Apart from what comes again, each offset follows the one before.
        assert.equal(offset, ofPartition.size, `partition ${partition}`);
        ofPartition.add(offset);
      }
      const distinct = seen.reduce((sum, { size }) => sum + size, 0);
      const duplicates = outputs - distinct;
      t.diagnostic(`${total} records, ${members.map(({ handled }) => handled).join(' + ')} handled, ${duplicates} duplicates`);
      assert.equal(distinct, total);
      assert.equal(await committedTotal(services, vars, input), total);
      // A revoke waits for what is under way and commits it. The mock refuses commits all the while its group rebalances.
      if (services.real) assert.ok(duplicates <= 100, `${duplicates} duplicates`);
    });

    test(`does not keep a close waiting beyond its deadline (${strategy})`, async (t) => {
      const input = await services.topic('in');
      const vars = varsOf();
      await using source = await createProducer({ vars });
      await source.send({ topic: input, value: 'x' });
      const first = await createConsumer({ vars, topics: [input], producers: [] });
      t.after(() => first.close().catch(() => undefined));
      // Handed over and never finished: the revoke waits for it, 5 s.
      await first.consume({ timeoutMs: 20_000 });
      const waiting = [first.consume({ timeoutMs: 20_000 }).catch((error: unknown) => error)];
      const second = await createConsumer({ vars, topics: [input], producers: [] });
      t.after(() => second.close().catch(() => undefined));
      waiting.push(second.consume({ timeoutMs: 20_000 }).catch((error: unknown) => error));
      // The second has asked to join, the first has been told by its heartbeat.
      await sleep(1_000);
      const start = performance.now();
      // What was not finished in time may be reported; it must not take longer.
      await Promise.allSettled([first, second].map((consumer) => consumer.close({ timeoutMs: 1_500 })));
      const tookMs = performance.now() - start;
      t.diagnostic(`closed in ${Math.round(tookMs)} ms`);
      assert.ok(first.closed && second.closed);
      assert.ok(tookMs < 3_500, `${tookMs} ms`);
      await Promise.all(waiting);
    });
  }

  test('does not keep a close waiting that is asked for from the revoked event', async () => {
    const input = await services.topic('in');
    const vars = groupVars();
    await using first = await createConsumer({ vars, topics: [input], producers: [] });
    const idle = (consumer: Consumer): Promise<unknown> => consumer.consume({ timeoutMs: 30_000 }).catch((error: unknown) => error);
    const waiting = [idle(first)];
    await once(first, 'assigned', { signal: AbortSignal.timeout(30_000) });
    const closed = new Promise<void>((resolve, reject) => {
      first.once('revoked', () => void first.close().then(resolve, reject));
    });
    await using second = await createConsumer({ vars, topics: [input], producers: [] });
    waiting.push(idle(second));
    await Promise.race([closed, sleep(30_000, undefined, { ref: false }).then(() => assert.fail('the close hangs'))]);
    await second.close();
    await Promise.all(waiting);
  });

  test('two consumers of one process share a group under one HOSTNAME without fencing each other', async () => {
    const input = await services.topic('in');
    const vars = groupVars({ HOSTNAME: 'pod-0' });
    await using first = await createConsumer({ vars, topics: [input], producers: [] });
    await using second = await createConsumer({ vars, topics: [input], producers: [] });
    const errors: unknown[] = [];
    for (const consumer of [first, second]) consumer.on('clientError', (error) => errors.push(error));
    const stop = new AbortController();
    const failures = [first, second].map(async (consumer) => {
      while (!stop.signal.aborted) {
        await consumer.consume({ timeoutMs: 100 }).catch((error: { code?: string }) => {
          if (error.code !== 'ERR_NO_MESSAGE') errors.push(error);
        });
      }
    });
    try {
      await until('both have a share', () => [first, second].every((consumer) => consumer.assignment().length === 2), 45_000);
      // Long enough for a heartbeat that would be answered with "fenced".
      await sleep(4_000);
    } finally {
      stop.abort();
      await Promise.all(failures);
    }
    assert.deepEqual(errors, []);
    assert.deepEqual([first.assignment().length, second.assignment().length], [2, 2]);
  });
});
