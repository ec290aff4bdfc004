import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createConsumer, createProducer, MetricsManager, runAsync, runBatch } from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { fill } from '../support/topics.ts';
import { until } from '../support/until.ts';

const RECORDS = 200;

/** The lines of one metric: its labels and value. */
function linesOf(text: string, name: string): { readonly labels: string; readonly value: number }[] {
  return [...text.matchAll(new RegExp(`^${name}\\{(.*)\\} (\\S+)$`, 'gm'))].map(([, labels, value]) => ({
    labels: labels!,
    value: Number(value),
  }));
}

function sumOf(text: string, name: string): number {
  return linesOf(text, name).reduce((sum, { value }) => sum + value, 0);
}

describe('the metrics of a service', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('count what a runner consumes, produces and skips, and show where its clients are', async () => {
    const input = await services.topic('in');
    const output = await services.topic('out');
    await fill(services, input, RECORDS);
    const vars = services.vars({ STATISTICS_INTERVAL_SECONDS: '1', APP_NAME: `metrics-${Date.now()}` });
    const manager = new MetricsManager({ app: 'orders', job: 'pod-0' });
    const consumer = await createConsumer({ vars, topics: [input] });
    const producer = await createProducer({ vars });
    manager.watchConsumer(consumer);
    manager.watchConsumer(consumer);
    manager.watchProducer(producer);
    const stop = new AbortController();
    let handled = 0;
    const running = runAsync({
      consumer,
      producer,
      metrics: manager,
      signal: stop.signal,
      handler: ({ key, value }) => {
        if (++handled === 5) throw new RangeError('one bad record');
        return { topic: output, key, value };
      },
      onError: () => 'skip',
    });
    await until('every record handled, and reports of librdkafka of a quiet consumer', async () => {
      const text = await manager.text();
      return handled === RECORDS && sumOf(text, 'rdkafka_rxmsgs') >= RECORDS && sumOf(text, 'rdkafka_txmsgs') >= RECORDS - 1;
    });
    await until('the offsets to be committed', async () => {
      const lags = linesOf(await manager.text(), 'rdkafka_topic_partition_consumer_lag');
      return lags.length > 0 && lags.every(({ value }) => value === 0);
    });
    const text = await manager.text();
    assert.equal(sumOf(text, 'messages_consumed'), RECORDS);
    assert.equal(sumOf(text, 'messages_produced'), RECORDS - 1);
    assert.match(text, /^message_errors\{app="orders",job="pod-0",exception="RangeError"\} 1$/m);
    assert.equal(sumOf(text, 'consumer_records'), RECORDS);
    assert.equal(linesOf(text, 'consumer_records').length, 4);
    for (const name of ['consumer_lag_records', 'seconds_behind']) {
      assert.ok(linesOf(text, name).length > 0, name);
      assert.equal(sumOf(text, name), 0, name);
    }
    assert.equal(sumOf(text, 'consumer_assigned_partitions'), 4);
    assert.ok(linesOf(text, 'consumer_rebalances').some(({ labels, value }) => /event="assigned"/.test(labels) && value >= 1));
    assert.equal(sumOf(text, 'producer_delivery_errors'), 0);
    assert.ok(sumOf(text, 'message_handler_seconds_count') >= 1);
    assert.ok(linesOf(text, 'rdkafka_broker_state').some(({ labels, value }) => /type="producer"/.test(labels) && value === 1));
    assert.ok(sumOf(text, 'rdkafka_broker_rtt_avg_seconds') < 60, 'in seconds');
    for (const { labels } of linesOf(text, 'rdkafka_topic_partition_consumer_lag')) assert.match(labels, new RegExp(`topic="${input}"`));
    assert.doesNotMatch(text, /partition="-1"/);
    stop.abort();
    await running;
    const closed = await manager.text();
    // Counts stay; what only an open client can tell is gone.
    assert.equal(sumOf(closed, 'messages_consumed'), RECORDS);
    assert.doesNotMatch(closed, /rdkafka_|consumer_lag|seconds_behind/);
  });

  test('show how far behind a consumer is while records wait', async () => {
    const input = await services.topic('in');
    await fill(services, input, RECORDS, { partition: 0 });
    const manager = new MetricsManager({ app: 'orders', job: 'pod-0' });
    await using consumer = await createConsumer({ vars: services.vars({ CONSUMER_PREFETCH_COUNT: '10' }), topics: [input] });
    manager.watchConsumer(consumer);
    for (let count = 0; count < 20; count++) await consumer.consume({ timeoutMs: 30_000 });
    const text = await manager.text();
    assert.equal(sumOf(text, 'consumer_lag_records'), RECORDS - 20);
    assert.ok(sumOf(text, 'seconds_behind') > 0);
    assert.equal(sumOf(text, 'consumer_records'), 20);
    assert.ok(sumOf(text, 'consumer_in_flight_records') >= 20);
  });

  test('time batches and count their records', async () => {
    const input = await services.topic('in');
    await fill(services, input, RECORDS);
    const manager = new MetricsManager({ app: 'orders', job: 'pod-0' });
    const consumer = await createConsumer({ vars: services.vars(), topics: [input] });
    const stop = new AbortController();
    let handled = 0;
    await runBatch({
      consumer,
      metrics: manager,
      count: 50,
      timeoutMs: 500,
      signal: stop.signal,
      handler: (records) => {
        handled += records.length;
        if (handled === RECORDS) stop.abort();
      },
    });
    const text = await manager.text();
    assert.equal(sumOf(text, 'message_batch_records_sum'), RECORDS);
    assert.equal(sumOf(text, 'message_handler_seconds_count'), sumOf(text, 'message_batch_records_count'));
    assert.equal(sumOf(text, 'messages_consumed'), RECORDS);
  });
});
