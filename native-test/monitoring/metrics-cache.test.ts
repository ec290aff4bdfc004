import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MetricsManager, MetricsPusher, parseRuntimeVars, startPushingMetrics } from 'rdkafka-toolkit';
import { until } from '../support/until.ts';
import { MonitoringStack } from './monitoring-stack.ts';

/** Extrapolation to the edges of the window adds up to two scrapes' worth: in a window of 20 s and more, a tenth. */
const TOLERANCE = 0.15;

const SERIES = 'messages_consumed{app="orders"}';

function assertNear(value: number | undefined, expected: number, what: string): void {
  assert.ok(value !== undefined && Math.abs(value - expected) <= TOLERANCE * expected, `${what}: expected about ${expected}, got ${value}`);
}

describe('a metrics cache of two pods and a Prometheus that scrapes both', () => {
  test('give the true increase while one pod is down, when it is back, and after the other was away, too', async () => {
    await using stack = await MonitoringStack.start();
    const metricsPusher = new MetricsPusher('pod-0', 'metrics-cache.test', 8080, stack.podPort, { dnsServers: [stack.dns.address] });
    const manager = new MetricsManager({ app: 'orders', job: 'pod-0', metricsPusher });
    await using pushing = startPushingMetrics(manager, 0.5, { vars: parseRuntimeVars({}) });
    /** Waits until each of so many pods shows the count. */
    const scraped = (count: number, pods: number): Promise<unknown> =>
      until(`${count} from ${pods} pods`, async () => {
        const samples = await stack.query(SERIES);
        return samples.length === pods && samples.every(({ value }) => value === count);
      });
    let count = 1_000;
    manager.incMessagesConsumed(count);
    await scraped(count, 2);
    const startedAt = performance.now();
    const window = (): string => `${Math.ceil((performance.now() - startedAt) / 1000) + 2}s`;
    /** The query of the documentation. */
    const increase = async (): Promise<number | undefined> =>
      (await stack.query(`sum by (app) (max without (cache_pod) (increase(${SERIES}[${window()}])))`))[0]?.value;
    const add = async (records: number, pods: number): Promise<void> => {
      manager.incMessagesConsumed(records);
      count += records;
      await scraped(count, pods);
    };
    const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 4_000));

    await add(400, 2);
    await stack.pods[1].signal('SIGKILL');
    await add(300, 1);
    await quiet();
    assertNear(await increase(), 700, 'while the second pod is down');
    const [down] = await stack.query('up{job="metrics-cache", cache_pod=~"127.0.0.2.*"}');
    assert.equal(down?.value, 0);
    assert.ok((pushing.status()?.failures.econnrefused ?? 0) > 0);

    await stack.pods[1].start();
    await add(200, 2);
    await stack.pods[0].signal('SIGKILL');
    await add(100, 1);
    await stack.pods[0].start();
    await scraped(count, 2);
    await quiet();
    assertNear(await increase(), 1_000, 'after both were away');
    // The label tells the two apart: without the maximum over it everything counts twice.
    const [sum] = await stack.query(`sum(increase(${SERIES}[${window()}]))`);
    assert.ok(sum!.value > 1_500, `${sum!.value}`);
    const { metric } = (await stack.query(SERIES))[0]!;
    assert.deepEqual({ job: metric.job, instance: metric.instance }, { job: 'pod-0', instance: 'pod-0' });
    assert.match(metric.cache_pod!, /^127\.0\.0\.[12]:\d+$/);
  });
});
