import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ConfigError,
  consumeMessage,
  createConsumer,
  createProducer,
  parseRuntimeVars,
  type RuntimeVars,
  StateError,
} from 'rdkafka-toolkit';
import { type MockCluster, startMockCluster } from 'rdkafka-toolkit/testing';

const vars = (cluster: MockCluster, extra = {}): RuntimeVars =>
  parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'mock', CONSUMER_STATIC_MEMBERSHIP: 'false', ...extra });

describe('the mock cluster', () => {
  test('creates topics with the partitions asked for', async () => {
    await using cluster = await startMockCluster({ topics: ['four', { name: 'one', partitions: 1 }] });
    await cluster.createTopics([{ name: 'many', partitions: 32 }]);
    await using consumer = await createConsumer({ vars: vars(cluster), topics: ['four', 'one', 'many'] });
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 2_000 }), { code: 'ERR_NO_MESSAGE' });
    const counts = new Map<string, number>();
    for (const { topic } of consumer.assignment()) counts.set(topic, (counts.get(topic) ?? 0) + 1);
    assert.deepEqual(Object.fromEntries(counts), { four: 4, one: 1, many: 32 });
  });

  test('a group waits for members only when told to', async () => {
    const joined = async (groupJoinDelayMs: number): Promise<number> => {
      await using cluster = await startMockCluster({ topics: ['in'], groupJoinDelayMs });
      const start = performance.now();
      await using consumer = await createConsumer({ vars: vars(cluster), topics: ['in'] });
      await new Promise((resolve) =>
        consumer
          .once('assigned', resolve)
          .consume({ timeoutMs: 10_000 })
          .catch(() => undefined),
      );
      return performance.now() - start;
    };
    assert.ok((await joined(2_000)) >= 2_000);
    assert.ok((await joined(0)) < 2_000);
  });

  test('errors that were pushed are retried by the client', async () => {
    await using cluster = await startMockCluster({ topics: ['out'] });
    await using producer = await createProducer({ vars: vars(cluster) });
    await producer.send({ topic: 'out', partition: 0, value: 'a' });
    // Not leader for partition, then a closed connection, then request timed out.
    cluster.pushErrors('produce', [6, -195, 7]);
    assert.equal((await producer.send({ topic: 'out', partition: 0, value: 'b' })).offset, 1);
    cluster.pushErrors('produce', new Array(1000).fill(7));
    cluster.clearErrors('produce');
    assert.equal((await producer.send({ topic: 'out', partition: 0, value: 'c' })).offset, 2);
  });

  test('round-trip time, leader and coordinator can be moved under a running consumer and producer', async () => {
    await using cluster = await startMockCluster({ brokers: 3, topics: [{ name: 'in', partitions: 1 }] });
    await using producer = await createProducer({ vars: vars(cluster) });
    await using consumer = await createConsumer({ vars: vars(cluster), topics: ['in'], producers: [] });
    await producer.send({ topic: 'in', value: '0' });
    assert.equal(String((await consumeMessage(consumer)).value), '0');
    for (const [step, brokerId] of [1, 2, 3].entries()) {
      cluster.moveLeader('in', 0, brokerId);
      cluster.moveCoordinator('group', 'mock', brokerId);
      await producer.send({ topic: 'in', value: `moved ${step}` });
      assert.equal(String((await consumeMessage(consumer, undefined, { timeoutMs: 20_000 })).value), `moved ${step}`);
    }
    for (const brokerId of [1, 2, 3]) cluster.setRoundTripTime(brokerId, 400);
    const start = performance.now();
    await producer.send({ topic: 'in', value: 'slow' });
    assert.ok(performance.now() - start >= 400);
    for (const brokerId of [1, 2, 3]) cluster.setRoundTripTime(brokerId, 0);
    assert.equal(String((await consumeMessage(consumer, undefined, { timeoutMs: 20_000 })).value), 'slow');
  });

  test('refuses what makes no sense, saying what', async () => {
    const cluster = await startMockCluster();
    const wrong: [() => void, RegExp][] = [
      [() => cluster.stopBroker(7), /stop broker 7/],
      [() => cluster.stopBroker(-1), /stop broker -1: Expected a broker id/],
      [() => cluster.setRoundTripTime(1, -5), /round-trip time of broker 1: Expected/],
      [() => cluster.moveLeader('', 0, 1), /move the leader/],
      [() => cluster.moveLeader('in', 0, undefined as unknown as number), /broker from 1 to lead in \[0\], got undefined/],
      [() => cluster.moveCoordinator('nothing' as 'group', 'g', 1), /move the coordinator/],
      [() => cluster.pushErrors('nothing' as 'fetch', [1]), /Expected one of produce, fetch/],
      [() => cluster.pushErrors('fetch', ['x' as unknown as number]), /array of error codes/],
    ];
    for (const [call, message] of wrong) assert.throws(call, (error) => error instanceof StateError && message.test(error.message));
    await assert.rejects(cluster.createTopics([{ name: 'x', partitions: 0 }]), StateError);
    await cluster.close();
    await cluster.close();
    assert.throws(() => cluster.stopBroker(1), /closed/);
    await assert.rejects(
      startMockCluster({ brokers: 0, groupJoinDelayMs: -1 }),
      (error) => error instanceof ConfigError && error.faults.length === 2,
    );
  });
});
