import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MetricsManager, MetricsPusher, parseRuntimeVars, startPushingMetrics } from 'rdkafka-toolkit';
import { until } from '../support/until.ts';
import { MonitoringStack } from './monitoring-stack.ts';

/** Prometheus extrapolates to the edges of the window: two scrapes' worth of it, which the growing window makes small. */
const TOLERANCE = 0.1;

const SERIES = 'messages_consumed{app="orders"}';

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
    const window = (): string => `${Math.floor((performance.now() - startedAt) / 1000) + 1}s`;
    /**
     * Waits until the query of the documentation gives about the true increase since the start. What was counted too much or too little would
     * stay so: the window grows, its start and the true value do not change.
     */
    const showsIncrease = async (expected: number, when: string): Promise<void> => {
      let found: number | undefined;
      const isNear = async (): Promise<boolean> => {
        const [increase] = await stack.query(`sum by (app) (max without (cache_pod) (increase(${SERIES}[${window()}])))`);
        found = increase?.value;
        return found !== undefined && Math.abs(found - expected) <= TOLERANCE * expected;
      };
      await until(`an increase of ${expected} ${when}`, isNear, 60_000).catch((error: Error) =>
        assert.fail(`${error.message}, got ${found}`),
      );
    };
    const add = async (records: number, pods: number): Promise<void> => {
      manager.incMessagesConsumed(records);
      count += records;
      await scraped(count, pods);
    };

    await add(400, 2);
    await stack.pods[1].signal('SIGKILL');
    await add(300, 1);
    await showsIncrease(700, 'while the second pod is down');
    const [down] = await stack.query('up{job="metrics-cache", cache_pod=~"127.0.0.2.*"}');
    assert.equal(down?.value, 0);
    assert.ok((pushing.status()?.failures.econnrefused ?? 0) > 0);

    await stack.pods[1].start();
    await add(200, 2);
    await stack.pods[0].signal('SIGKILL');
    await add(100, 1);
    await stack.pods[0].start();
    await scraped(count, 2);
    await showsIncrease(1_000, 'after both were away');
    // The label tells the two apart: without the maximum over it everything counts twice.
    const [sum] = await stack.query(`sum(increase(${SERIES}[${window()}]))`);
    assert.ok(sum!.value > 1_500, `${sum!.value}`);
    const { metric } = (await stack.query(SERIES))[0]!;
    assert.deepEqual({ job: metric.job, instance: metric.instance }, { job: 'pod-0', instance: 'pod-0' });
    assert.match(metric.cache_pod!, /^127\.0\.0\.[12]:\d+$/);
  });
});
