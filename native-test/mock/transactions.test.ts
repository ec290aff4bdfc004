import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createConsumer, createProducer, nativeStatus, parseRuntimeVars, runTransaction, TransactionError } from 'rdkafka-toolkit';
import { type MockCluster, startMockCluster } from 'rdkafka-toolkit/testing';

const RECORDS = 30;

/** Runs until every record was handled and `mayEnd`; what went wrong meanwhile. */
async function runUnder(cluster: MockCluster, trouble: (handled: number) => void, mayEnd: (errors: readonly unknown[]) => boolean) {
  const vars = parseRuntimeVars({
    KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers,
    APP_NAME: 'transactions',
    CONSUMER_ENABLE_AUTO_COMMIT: 'false',
    CONSUMER_POLL_TIMEOUT: '1',
  });
  {
    await using filling = await createProducer({ vars });
    for (let index = 0; index < RECORDS; index++) await filling.send({ topic: 'in', partition: 0, value: String(index) });
  }
  const stop = new AbortController();
  const errors: unknown[] = [];
  const last = new Set<number>();
  let made = 0;
  let handled = 0;
  const consumer = await createConsumer({ vars, topics: ['in'] });
  const metrics = {
    incMessagesConsumed: () => undefined,
    incMessagesProduced: () => undefined,
    incMessageErrors: (error: unknown) => void errors.push(error),
  };
  const ending = setInterval(() => {
    if (last.size === RECORDS && mayEnd(errors)) stop.abort();
  }, 50);
  try {
    await runTransaction({
      consumer,
      metrics,
      producer() {
        made++;
        return createProducer({ vars, config: { 'transactional.id': 'mine' } });
      },
      stepTimeoutMs: 2_000,
      intervalMs: 50,
      count: 10,
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(40_000)]),
      handleSignals: false,
      handler({ offset, value }) {
        trouble(handled++);
        last.add(offset);
        return { topic: 'out', value };
      },
    });
  } finally {
    clearInterval(ending);
  }
  const kinds = errors.map((error) => (error instanceof TransactionError ? error.kind : String(error)));
  return { kinds, made, handled, records: last.size };
}

describe('a transaction', { skip: !nativeStatus().available || process.env.RDKAFKA_TOOLKIT_NATIVE === 'off' }, () => {
  test('that must be aborted is, by the same producer, and its records are handled again', async () => {
    await using cluster = await startMockCluster({ topics: ['in', 'out'] });
    const { kinds, made, handled, records } = await runUnder(
      cluster,
      // Topic authorization failed: librdkafka says that it requires an abort.
      (count) => count === 3 && cluster.pushErrors('addPartitionsToTxn', [29]),
      (errors) => errors.length > 0,
    );
    assert.deepEqual([...new Set(kinds)], ['abortable']);
    assert.deepEqual([made, records], [1, RECORDS]);
    assert.ok(handled > RECORDS, `${handled} calls`);
  });

  test('whose end is not known gets another producer, and goes on', async () => {
    await using cluster = await startMockCluster({ topics: ['in', 'out'] });
    let slow: NodeJS.Timeout | undefined;
    const { kinds, made, records } = await runUnder(
      cluster,
      (count) => {
        if (count !== 3) return;
        cluster.setRoundTripTime(1, 4_000);
        slow = setTimeout(() => cluster.setRoundTripTime(1, 0), 5_000);
      },
      (errors) => errors.length > 0,
    );
    clearTimeout(slow);
    assert.equal(kinds[0], 'timedOut', kinds.join(', '));
    assert.ok(made >= 2, `${made} producers`);
    assert.equal(records, RECORDS);
  });
});
