import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import {
  ConfigError,
  MetricsManager,
  MetricsPusher,
  type MetricsPusherOptions,
  parseRuntimeVars,
  startPushingMetrics,
} from 'rdkafka-toolkit';
import { DnsServer } from '../support/dns-server.ts';
import { FakePod } from '../support/fake-pod.ts';
import { FakePodThread } from '../support/fake-pod-thread.ts';
import { until } from '../support/until.ts';

const vars = parseRuntimeVars({});

function managerFor(port: number, options: MetricsPusherOptions & { readonly host?: string } = {}): MetricsManager {
  const metricsPusher = new MetricsPusher('pod-0', options.host ?? '127.0.0.1', 8080, port, options);
  return new MetricsManager({ app: 'orders', job: 'pod-0', metricsPusher });
}

/** Value of the first line of a metric, NaN when there is none. */
function valueIn(text: string, name: string): number {
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}

function block(milliseconds: number, work: () => void): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end) work();
}

describe('pushing metrics', () => {
  test('goes on while a handler blocks the event loop for seconds, with counts of the moment', async () => {
    await using pod = await FakePodThread.start();
    const manager = managerFor(pod.port);
    const gauge = manager.gauge({ name: 'seen_before', help: 'Help.' });
    gauge.set(1);
    await using pushing = startPushingMetrics(manager, 0.2, { vars });
    await until('a first push', () => pushing.status()?.pushes);
    const from = performance.timeOrigin + performance.now();
    let failed = false;
    block(3_000, () => {
      manager.incMessagesConsumed(1);
      if (!failed) manager.incMessageErrors(new RangeError('while blocked'));
      failed = true;
    });
    const to = performance.timeOrigin + performance.now();
    const calls = (await pod.calls()).filter(({ at }) => at > from + 300 && at < to);
    assert.ok(calls.length >= 3, `${calls.length} pushes in 3 s`);
    const counts = calls.map(({ body }) => valueIn(body, 'messages_consumed'));
    for (const [index, count] of counts.entries()) assert.ok(count > (counts[index - 1] ?? 0), counts.join(', '));
    for (const { body } of calls) {
      assert.match(body, /^message_errors\{app="orders",job="pod-0",exception="RangeError"\} 1$/m);
      assert.equal(valueIn(body, 'seen_before'), 1);
    }
    // What cannot be asked for meanwhile says how old it is.
    assert.ok(valueIn(calls.at(-1)!.body, 'metrics_snapshot_age_seconds') > 0.5);
  });

  test('carries all that the registry has, each metric once, and tells of itself', async () => {
    await using pod = await FakePod.start('127.0.0.1', 0);
    const manager = managerFor(pod.port);
    manager.counter({ name: 'forms', help: 'Help.', labelNames: ['kind'] }).inc({ kind: 'order' }, 2);
    manager.incMessagesConsumed(7);
    await using pushing = startPushingMetrics(manager, 0.1, { vars });
    await until('three pushes', () => pod.pushes.length >= 3);
    const body = pod.pushes.at(-1)!;
    assert.match(body, /^forms\{kind="order",app="orders",job="pod-0"\} 2$/m);
    assert.equal(valueIn(body, 'messages_consumed'), 7);
    assert.equal(valueIn(body, 'metrics_push_targets'), 1);
    assert.ok(valueIn(body, 'metrics_pushes') >= 2);
    assert.ok(valueIn(body, 'metrics_push_last_success_timestamp_seconds') > 1_700_000_000);
    const types = body.match(/^# TYPE \S+/gm)!;
    assert.deepEqual(types, [...new Set(types)]);
    const scraped = await manager.text();
    assert.ok(valueIn(scraped, 'metrics_pushes') >= 1, scraped);
    assert.equal(pushing.active, true);
  });

  test('stops with one more push of the last values, and removes the group when told to', async () => {
    for (const deleteOnStop of [false, true]) {
      await using pod = await FakePod.start('127.0.0.1', 0);
      const manager = managerFor(pod.port, { deleteOnStop });
      const pushing = startPushingMetrics(manager, 3_600, { vars });
      manager.incMessagesConsumed(3);
      manager.gauge({ name: 'last', help: 'Help.' }).set(9);
      await pushing.stop();
      await pushing.stop();
      assert.deepEqual(
        pod.calls.map(({ method }) => method),
        deleteOnStop ? ['PUT', 'DELETE'] : ['PUT'],
      );
      assert.equal(valueIn(pod.pushes[0]!, 'messages_consumed'), 3);
      assert.equal(valueIn(pod.pushes[0]!, 'last'), 9);
    }
  });

  test('stops with the counts although a custom metric never answers', async () => {
    await using pod = await FakePod.start('127.0.0.1', 0);
    const manager = managerFor(pod.port);
    manager.gauge({ name: 'stuck', help: 'Help.', collect: () => new Promise<void>(() => undefined) });
    const pushing = startPushingMetrics(manager, 3_600, { vars });
    manager.incMessagesConsumed(3);
    await pushing.stop({ timeoutMs: 2_000 });
    assert.equal(valueIn(pod.pushes[0]!, 'messages_consumed'), 3);
  });

  test('stops by its deadline when a pod hangs, and says so', async () => {
    await using pod = await FakePod.start('127.0.0.1', 0, 'hang');
    const errors: string[] = [];
    const pushing = startPushingMetrics(managerFor(pod.port, { timeoutMs: 60_000 }), 3_600, {
      vars,
      onError: ({ code }) => errors.push(code),
    });
    await pushing.stop({ timeoutMs: 200 });
    assert.equal(pod.calls.length, 1);
    assert.deepEqual(errors, ['ERR_TIMEOUT']);
  });

  test('follows the service when its pods change', async () => {
    await using first = await FakePod.start('127.0.0.1', 0);
    await using second = await FakePod.start('127.0.0.2', first.port);
    await using dns = await DnsServer.start({ a: ['127.0.0.1'] });
    const manager = managerFor(first.port, { host: 'metrics.test', dnsServers: [dns.address], family: 4 });
    await using _pushing = startPushingMetrics(manager, 0.1, { vars });
    await until('a push to the first pod', () => first.pushes.length >= 1);
    assert.equal(second.pushes.length, 0);
    dns.answers = { a: ['127.0.0.1', '127.0.0.2'] };
    await until('a push to the second pod', () => second.pushes.length >= 1);
    dns.answers = { code: 2 };
    const before = first.pushes.length;
    await until('pushes to both while the DNS fails', () => first.pushes.length > before + 2 && second.pushes.length >= 3);
    const failures = await until('the failed resolutions to be counted', () => {
      const count = valueIn(first.pushes.at(-1)!, 'metrics_push_failures');
      return count >= 1 && count;
    });
    assert.ok(failures >= 1);
  });

  test('reaches a pod by IPv6', async (context) => {
    let pod: FakePod;
    try {
      pod = await FakePod.start('::1', 0);
    } catch {
      context.skip('no IPv6 loopback here');
      return;
    }
    await using _pod = pod;
    await using dns = await DnsServer.start({ aaaa: ['::1'] });
    const manager = managerFor(pod.port, { host: 'metrics.test', dnsServers: [dns.address] });
    await using _pushing = startPushingMetrics(manager, 0.1, { vars });
    await until('a push', () => pod.pushes.length >= 1);
  });

  test('goes on with the values of before when a custom metric throws, which is told', async () => {
    await using pod = await FakePod.start('127.0.0.1', 0);
    const errors: string[] = [];
    const manager = managerFor(pod.port);
    manager.gauge({ name: 'steady', help: 'Help.' }).set(4);
    let broken = false;
    manager.gauge({
      name: 'fragile',
      help: 'Help.',
      collect() {
        if (broken) throw new RangeError('no value');
        this.set(1);
      },
    });
    await using _pushing = startPushingMetrics(manager, 0.1, { vars, onError: ({ message }) => errors.push(message) });
    await until('a push with both', () => pod.pushes.some((body) => valueIn(body, 'fragile') === 1));
    broken = true;
    manager.incMessagesProduced(5);
    await until('a push of the new count', () => pod.pushes.some((body) => valueIn(body, 'messages_produced') === 5));
    assert.equal(valueIn(pod.pushes.at(-1)!, 'steady'), 4);
    await until('the error', () => errors.length > 0);
    assert.match(errors[0]!, /Cannot collect metrics.*no value/);
  });

  test('is off under DO_METRICS_PUSHING=false, with or without a pusher', async () => {
    const off = { vars: parseRuntimeVars({ DO_METRICS_PUSHING: 'false' }) };
    await using pod = await FakePod.start('127.0.0.1', 0);
    for (const manager of [managerFor(pod.port), new MetricsManager({ app: 'a', job: 'j' })]) {
      const pushing = startPushingMetrics(manager, 0.1, off);
      assert.equal(pushing.active, false);
      await pushing.stop();
      assert.equal(pushing.status(), undefined);
    }
    assert.equal(pod.calls.length, 0);
  });

  test('needs a pusher and an interval', () => {
    assert.throws(() => startPushingMetrics(new MetricsManager({ app: 'a', job: 'j' }), 10, { vars }), /metricsPusher.*DO_METRICS_PUSHING/);
    for (const seconds of [0, -1, Number.NaN, 1e9]) {
      assert.throws(() => startPushingMetrics(managerFor(9091), seconds, { vars }), ConfigError);
    }
  });

  test('keeps no process alive', async () => {
    await using pod = await FakePod.start('127.0.0.1', 0);
    const script = `
      import { MetricsManager, MetricsPusher, parseRuntimeVars, startPushingMetrics } from 'rdkafka-toolkit';
      const metricsPusher = new MetricsPusher('j', '127.0.0.1', 1, ${pod.port});
      startPushingMetrics(new MetricsManager({ app: 'a', job: 'j', metricsPusher }), 0.1, { vars: parseRuntimeVars({}) });
      setTimeout(() => {}, 500);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'inherit'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.once('exit', (...how) => resolve(how)));
    clearTimeout(timer);
    assert.deepEqual([code, signal], [0, null]);
  });
});

describe('a metrics pusher', () => {
  test('tells every fault of its arguments at once', () => {
    assert.throws(
      () => new MetricsPusher('', 'http://cache/', 0, 70_000, { timeoutMs: -1, concurrency: 0, dnsServers: ['no address'] }),
      (error: unknown) => error instanceof ConfigError && error.faults.length === 7,
    );
  });

  test('pushes a text by hand and tells how it went', async () => {
    await using pod = await FakePod.start('127.0.0.1', 0);
    const pusher = new MetricsPusher('j/1', '127.0.0.1', 8080, pod.port, { instance: 'i' });
    const { pushes, failures } = await pusher.push('a 1\n');
    assert.deepEqual({ pushes, failures, bodies: pod.pushes }, { pushes: 1, failures: {}, bodies: ['a 1\n'] });
    assert.match(pod.calls[0]!.path, /^\/metrics\/job@base64\/[\w-]+\/instance\/i$/);
    pod.behaviour = 500;
    assert.deepEqual((await pusher.push('a 1\n')).failures, { http_500: 1 });
  });
});
