import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumerRecord, createConsumer, createProducer, type Order, runAsync } from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { committedTotal, fill, readAll } from '../support/topics.ts';

const RECORDS = 400;
const KEYS = 20;

describe('runAsync with many records at once', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  /** Runs until every record was handled; what they wait for is each other alone. */
  async function handleAll(
    order: Order,
    concurrency: number,
  ): Promise<{ started: ConsumerRecord[]; finished: ConsumerRecord[]; most: number; committed: number; outputs: number }> {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    const vars = services.vars();
    await using filling = await createProducer({ vars });
    for (let index = 0; index < RECORDS; index++) {
      const key = index % KEYS;
      await filling.enqueue({ topic: input, partition: key % 4, key: key === 0 ? null : String(key), value: String(index) });
    }
    await filling.flush();
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [input], producers: [producer] });
    const stop = new AbortController();
    const [started, finished]: ConsumerRecord[][] = [[], []];
    let most = 0;
    await runAsync({
      consumer,
      producer,
      concurrency,
      order,
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(30_000)]),
      handleSignals: false,
      async handler(record) {
        started!.push(record);
        most = Math.max(most, started!.length - finished!.length);
        await sleep((Number(record.value) * 7) % 11);
        finished!.push(record);
        if (finished!.length === RECORDS) setImmediate(() => stop.abort());
        return { topic: output, key: record.key, value: record.value };
      },
    });
    return {
      started: started!,
      finished: finished!,
      most,
      committed: await committedTotal(services, vars, input),
      outputs: (await readAll(services, output)).length,
    };
  }

  /** Whether the records of each group were begun and ended in their order. */
  const inOrder = (records: readonly ConsumerRecord[], groupOf: (record: ConsumerRecord) => unknown): boolean => {
    const last = new Map<unknown, number>();
    return records.every((record) => {
      const group = groupOf(record);
      const before = last.get(group) ?? -1;
      last.set(group, record.offset);
      return record.offset > before;
    });
  };
  const byPartition = ({ partition }: ConsumerRecord): unknown => partition;
  const byKey = ({ key, offset, partition }: ConsumerRecord): unknown => (key === null ? `${partition}@${offset}` : String(key));

  test('keeps the order of each key, and hands over as many as it may', async () => {
    const { started, finished, most, committed, outputs } = await handleAll('key', 16);
    assert.ok(inOrder(started, byKey) && inOrder(finished, byKey));
    assert.ok(!inOrder(finished, byPartition), 'records of other keys overtake');
    assert.deepEqual([most, committed, outputs], [16, RECORDS, RECORDS]);
  });

  test('keeps the order of each partition', async () => {
    const { finished, most, committed, outputs } = await handleAll('partition', 16);
    assert.ok(inOrder(finished, byPartition));
    assert.deepEqual([most, committed, outputs], [4, RECORDS, RECORDS]);
  });

  test('keeps no order where none is asked for', async () => {
    const { finished, most, committed, outputs } = await handleAll('none', 64);
    assert.ok(!inOrder(finished, byKey));
    assert.deepEqual([most, committed, outputs], [64, RECORDS, RECORDS]);
  });

  test('an offset is not stored before those below it are done', async () => {
    const input = await services.topic('in');
    await fill(services, input, 50, { partition: 0 });
    const vars = services.vars();
    const consumer = await createConsumer({ vars, topics: [input] });
    let others = 0;
    const running = runAsync({
      consumer,
      concurrency: 8,
      order: 'none',
      handleSignals: false,
      async handler({ offset }, { signal }) {
        if (offset !== 10) return void others++;
        while (others < 49) await sleep(5, undefined, { signal });
        throw new RangeError('the last one to end fails');
      },
    });
    await assert.rejects(running, RangeError);
    assert.equal(others, 49);
    assert.equal(await committedTotal(services, vars, input), 10);
  });

  test('a revoke waits for what is being handled and not for what only waits its turn; nothing is lost', async () => {
    const input = await services.topic('in');
    await fill(services, input, 200, { partition: 0 });
    const vars = services.vars(services.real ? {} : { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '2' });
    const consumer = await createConsumer({ vars, topics: [input] });
    const stop = new AbortController();
    const handled: number[] = [];
    let revokedMs = -1;
    consumer.on('revoked', () => {
      revokedMs = performance.now() - rejoinedAt;
    });
    let rejoinedAt = 0;
    await runAsync({
      consumer,
      concurrency: 2,
      order: 'none',
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(40_000)]),
      handleSignals: false,
      async handler({ offset }) {
        if (rejoinedAt === 0) {
          rejoinedAt = performance.now();
          setImmediate(() => consumer.rejoin());
        }
        // All that is taken would take 10 seconds.
        await sleep(revokedMs < 0 ? 100 : 1);
        handled.push(offset);
        if (new Set(handled).size === 200) setImmediate(() => stop.abort());
      },
    });
    assert.ok(revokedMs >= 0 && revokedMs < 5_000, `${revokedMs} ms`);
    assert.equal(new Set(handled).size, 200);
    assert.equal(handled.length, 200, 'none was handled twice');
    assert.equal(await committedTotal(services, vars, input), 200);
  });
});
