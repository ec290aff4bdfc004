import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, test } from 'node:test';
import type { Statistics } from 'rdkafka-toolkit';
import { renderFamilies } from '../../src/metrics/exposition.ts';
import { StatisticsMetrics } from '../../src/metrics/statistics-metrics.ts';

const window = (avg: number, cnt = 1): Record<string, number> => ({ min: 0, max: avg * 2, avg, p99: avg, cnt });

/** What of a report matters here; the rest of its fields are left out, as by another version of librdkafka. */
function report(changes: { readonly partitions?: readonly number[]; readonly lag?: number } = {}): Statistics {
  const { partitions = [0, 1], lag = 5 } = changes;
  const statistics = {
    name: 'orders#consumer-1',
    client_id: 'orders',
    type: 'consumer',
    replyq: 2,
    rx: 10,
    rxmsgs: 100,
    brokers: {
      'b:9092/1': {
        name: 'b:9092/1',
        nodeid: 1,
        source: 'learned',
        state: 'UP',
        stateage: 2_500_000,
        tx: 4,
        rtt: window(1_500),
        throttle: window(250),
      },
      'b:9092/2': { name: 'b:9092/2', nodeid: 2, source: 'learned', state: 'DOWN', stateage: 0, tx: 4, rtt: window(0, 0) },
      ':0/internal': { name: ':0/internal', nodeid: -1, source: 'internal', state: 'UP', tx: 9 },
      'seed:9092/bootstrap': { name: 'seed:9092/bootstrap', nodeid: -1, source: 'configured', state: 'INIT', tx: 0 },
    },
    topics: {
      t: {
        topic: 't',
        partitions: Object.fromEntries(
          [-1, ...partitions].map((partition) => [
            partition,
            { partition, consumer_lag: lag, hi_offset: 42, committed_offset: -1001, rxmsgs: 7 },
          ]),
        ),
      },
    },
    cgrp: { rebalance_age: 1_500, rebalance_cnt: 3, assignment_size: 2 },
  };
  return statistics as unknown as Statistics;
}

function watched(assigned: { partitions: readonly number[] }, partitionsMax = 1_000): { client: EventEmitter; text: () => string } {
  const metrics = new StatisticsMetrics(partitionsMax);
  const client = new EventEmitter();
  metrics.watch(client, () => assigned.partitions.map((partition) => ({ topic: 't', partition })));
  return { client, text: () => renderFamilies(metrics.families({ app: 'a' }), 'text') };
}

describe("metrics of librdkafka's statistics", () => {
  test('have the names of the exporters there are, times in seconds', () => {
    const { client, text } = watched({ partitions: [0, 1] });
    assert.equal(text(), '');
    client.emit('statistics', report());
    const lines = text();
    assert.match(
      lines,
      /^rdkafka_topic_partition_consumer_lag\{app="a",client_id="orders",client="orders#consumer-1",type="consumer",topic="t",partition="0"\} 5$/m,
    );
    assert.match(lines, /^rdkafka_broker_rtt_avg_seconds\{.*broker="b:9092\/1"\} 0\.0015$/m);
    assert.match(lines, /^rdkafka_broker_throttle_max_seconds\{.*\} 0\.5$/m);
    assert.match(lines, /^rdkafka_broker_stateage_seconds\{.*broker="b:9092\/1"\} 2\.5$/m);
    assert.match(lines, /^rdkafka_cgrp_rebalance_age_seconds\{.*\} 1\.5$/m);
    assert.match(lines, /^# TYPE rdkafka_rxmsgs counter\nrdkafka_rxmsgs\{.*\} 100$/m);
    assert.match(lines, /^rdkafka_broker_state\{.*broker="b:9092\/2"\} 0$/m);
  });

  test('leave out what is not known: -1 and -1001, empty windows, fields that are not there', () => {
    const { client, text } = watched({ partitions: [0, 1] });
    client.emit('statistics', report({ lag: -1 }));
    assert.doesNotMatch(text(), /consumer_lag|committed_offset|NaN|undefined/);
    assert.doesNotMatch(text(), /rtt.*b:9092\/2/);
    assert.match(text(), /^rdkafka_topic_partition_hi_offset/m);
  });

  test('leave out brokers never talked to, internal ones, and the partition of records without one', () => {
    const { client, text } = watched({ partitions: [-1, 0] });
    client.emit('statistics', report());
    assert.doesNotMatch(text(), /internal|seed|partition="-1"/);
  });

  test('end with the assignment of a partition and with the client', () => {
    const assigned = { partitions: [0, 1] };
    const { client, text } = watched(assigned);
    client.emit('statistics', report());
    assert.match(text(), /partition="1"/);
    assigned.partitions = [0];
    assert.doesNotMatch(text(), /partition="1"/);
    client.emit('closed');
    assert.equal(text(), '');
  });

  test('are bounded in partitions', () => {
    const partitions = Array.from({ length: 50 }, (_, index) => index);
    const { client, text } = watched({ partitions }, 10);
    client.emit('statistics', report({ partitions }));
    assert.equal(text().match(/^rdkafka_topic_partition_consumer_lag\{/gm)?.length, 10);
  });
});
