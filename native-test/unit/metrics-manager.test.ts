import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { describe, test } from 'node:test';
import { Counter, Registry } from 'prom-client';
import {
  ConfigError,
  createMetricsPusher,
  DecodeError,
  isToolkitError,
  MetricsManager,
  type MetricsManagerOptions,
  metricsHandler,
  parseRuntimeVars,
  StateError,
} from 'rdkafka-toolkit';
import { metricDefinitions } from '../../src/metrics/definitions.ts';

function managerOf(options: MetricsManagerOptions = {}): MetricsManager {
  return new MetricsManager({ app: 'orders', job: 'pod-0', ...options });
}

describe('the standard metrics', () => {
  test('count under the names and labels of the original', async () => {
    const manager = managerOf();
    manager.incMessagesConsumed(3);
    manager.incMessagesConsumed();
    manager.incMessagesProduced(2);
    manager.incMessageErrors(new TypeError('no'));
    const text = await manager.text();
    assert.match(text, /^# TYPE messages_consumed counter\nmessages_consumed\{app="orders",job="pod-0"\} 4$/m);
    assert.match(text, /^messages_produced\{app="orders",job="pod-0"\} 2$/m);
    assert.match(text, /^message_errors\{app="orders",job="pod-0",exception="TypeError"\} 1$/m);
  });

  test('are called _total when asked for, in both formats and in pushes alike', async () => {
    const manager = managerOf({ counterNames: 'total', exemplarLabels: () => undefined });
    manager.incMessagesConsumed(1);
    manager.incMessageErrors(new Error('no'));
    for (const format of ['text', 'openmetrics', 'text'] as const) {
      const text = await manager.text(format);
      assert.match(text, /^messages_consumed_total\{.*\} 1$/m);
      assert.match(text, /^message_errors_total\{.*exception="Error"\} 1$/m);
      assert.doesNotMatch(text, /^messages_consumed\{/m);
    }
    assert.doesNotMatch(await manager.snapshot(), /messages_consumed|message_errors/);
  });

  test('tell errors apart by class, whatever was thrown', async () => {
    class PaymentError extends Error {}
    const manager = managerOf();
    const thrown = [
      new PaymentError('x'),
      new PaymentError('y'),
      new DOMException('x', 'AbortError'),
      Object.assign(new Error('x'), { name: 'Named' }),
      'text',
      undefined,
      null,
      new StateError('x'),
    ];
    for (const error of thrown) manager.incMessageErrors(error);
    const counts = [...(await manager.text()).matchAll(/^message_errors\{.*exception="(\w+)"\} (\d+)$/gm)].map(([, name, count]) => [
      name,
      count,
    ]);
    assert.deepEqual(Object.fromEntries(counts), { PaymentError: '2', AbortError: '1', Named: '1', NonError: '3', StateError: '1' });
  });

  test('keep the classes of errors bounded: further ones are counted together', async () => {
    const manager = managerOf({ exceptionsMax: 2 });
    for (const name of ['A', 'B', 'C', 'D', 'A', 'x'.repeat(1_000)]) manager.incMessageErrors(Object.assign(new Error('x'), { name }));
    const text = await manager.text();
    assert.match(text, /exception="A"\} 2$/m);
    assert.match(text, /exception="B"\} 1$/m);
    assert.match(text, /exception="other"\} 3$/m);
    assert.equal(text.match(/exception=/g)?.length, 3);
  });

  test('count records that cannot be decoded, those of a batch each', async () => {
    const manager = managerOf();
    manager.incMessageErrors(new DecodeError('x'));
    manager.incMessageErrors(Object.assign(new DecodeError('x'), { errors: [new DecodeError('a'), new DecodeError('b')] }));
    manager.recordRetried();
    manager.recordDeadLettered();
    const text = await manager.text();
    assert.match(text, /^message_decode_errors\{.*\} 3$/m);
    assert.match(text, /^messages_retried\{.*\} 1$/m);
    assert.match(text, /^messages_dead_lettered\{.*\} 1$/m);
  });

  test('refuse what is no number of records: it would spoil the sum for good', async () => {
    const manager = managerOf();
    for (const count of [-1, Number.NaN]) {
      assert.throws(() => manager.incMessagesConsumed(count), StateError);
      assert.throws(() => manager.incMessagesProduced(count), StateError);
    }
    assert.match(await manager.text(), /^messages_consumed\{.*\} 0$/m);
  });
});

describe('a metrics manager', () => {
  test('takes app and job from the runtime variables; the machine gives the job, and a missing app is told', () => {
    const vars = parseRuntimeVars({ APP_NAME: 'orders', HOSTNAME: 'pod-1' });
    const { app, job } = new MetricsManager({ vars });
    assert.deepEqual({ app, job }, { app: 'orders', job: 'pod-1' });
    assert.throws(
      () => new MetricsManager({ vars: parseRuntimeVars({}) }),
      (error: unknown) => error instanceof ConfigError && error.faults.length === 1 && /APP_NAME/.test(error.message),
    );
    assert.equal(new MetricsManager({ vars: parseRuntimeVars({ APP_NAME: 'orders' }) }).job, hostname());
    assert.throws(() => createMetricsPusher(parseRuntimeVars({})), /METRICS_SERVICE_NAME/);
    assert.equal(createMetricsPusher(parseRuntimeVars({ DO_METRICS_PUSHING: 'false' })), undefined);
    const pusher = createMetricsPusher(parseRuntimeVars({ HOSTNAME: 'pod-1', METRICS_SERVICE_NAME: 'cache', METRICS_POD_PORT: '9099' }))!;
    assert.deepEqual([pusher.job, pusher.serviceName, pusher.servicePort, pusher.podPort], ['pod-1', 'cache', 8080, 9099]);
  });

  test("adds to a registry of the service's own, whose metrics and labels stay as they are", async () => {
    const registry = new Registry();
    registry.setDefaultLabels({ region: 'eu' });
    new Counter({ name: 'own', help: 'Help.', registers: [registry] }).inc(5);
    const manager = managerOf({ registry });
    manager.incMessagesConsumed(1);
    for (const text of [await registry.metrics(), await manager.text()]) {
      assert.match(text, /^own\{region="eu"\} 5$/m);
      assert.match(text, /^messages_consumed\{app="orders",job="pod-0",region="eu"\} 1$/m);
    }
  });

  test('makes custom metrics with the labels of the service, and tells names that are taken', async () => {
    const manager = managerOf();
    manager.counter({ name: 'forms', help: 'Help.', labelNames: ['kind'] }).inc({ kind: 'a' });
    manager.gauge({ name: 'open_forms', help: 'Help.' }).set(2);
    manager.histogram({ name: 'form_bytes', help: 'Help.', buckets: [10] }).observe(3);
    const text = await manager.text();
    assert.match(text, /^forms\{kind="a",app="orders",job="pod-0"\} 1$/m);
    assert.match(text, /^open_forms\{app="orders",job="pod-0"\} 2$/m);
    assert.match(text, /^form_bytes_bucket\{le="10",app="orders",job="pod-0"\} 1$/m);
    assert.throws(() => manager.gauge({ name: 'forms', help: 'Help.' }), ConfigError);
    assert.throws(() => manager.counter({ name: 'no good', help: 'Help.' }), ConfigError);
    assert.throws(() => managerOf({ registry: manager.registry }), ConfigError);
  });

  test('shows pools by name until they are no longer watched', async () => {
    const manager = managerOf();
    const forget = manager.watchPool('decode', { stats: () => ({ queued: 3, running: 2, mode: 'inline' }) });
    manager.watchPool('other', { stats: () => ({ queued: 0, running: 1 }) });
    const text = await manager.text();
    assert.match(text, /^pool_queued\{app="orders",job="pod-0",pool="decode"\} 3$/m);
    assert.match(text, /^pool_running\{.*pool="other"\} 1$/m);
    assert.match(text, /^pool_mode\{.*pool="decode",mode="inline"\} 1$/m);
    forget();
    assert.doesNotMatch(await manager.text(), /pool="decode"/);
  });

  test('shows nothing of what it does not know', async () => {
    const text = await managerOf().text();
    assert.doesNotMatch(text, /consumer_|producer_|pool_|metrics_push|rdkafka_|seconds_behind|handler/);
  });

  test('documents each of its metrics', () => {
    const notes = readFileSync(new URL('../../../binding-notes/metrics.md', import.meta.url), 'utf8');
    for (const { name, labels } of metricDefinitions) {
      const row = notes.split('\n').find((line) => line.startsWith('|') && line.includes(`\`${name}\``));
      assert.ok(row !== undefined, name);
      for (const label of labels) assert.ok(row.includes(`\`${label}\``), `${name} ${label}`);
    }
  });

  test('has names and help that Prometheus takes, each name once', () => {
    const names = metricDefinitions.map(({ name }) => name);
    assert.deepEqual(names, [...new Set(names)]);
    for (const { name, help, labels } of metricDefinitions) {
      assert.match(name, /^[a-z][a-z0-9_]*$/);
      assert.match(help, /\.$/);
      for (const label of labels) assert.doesNotMatch(label, /^(app|job|le|quantile)$/);
    }
  });
});

describe('a measured handler', () => {
  test('gives what the handler gives, and throws what it throws', async () => {
    const manager = managerOf();
    const context = { signal: new AbortController().signal };
    const calls: unknown[][] = [];
    const record = manager.wrapHandler((input: number, given: typeof context) => {
      calls.push([input, given]);
      return input * 2;
    });
    assert.equal(record(21, context), 42);
    assert.deepEqual(calls, [[21, context]]);
    const failure = new RangeError('no');
    const throws = manager.wrapHandler((_: number) => {
      throw failure;
    });
    for (let call = 0; call < 100; call++) assert.throws(() => throws(1), failure);
    const rejects = manager.wrapHandler(async (_: number) => Promise.reject(failure));
    for (let call = 0; call < 100; call++) await assert.rejects(rejects(1), failure);
    assert.equal(await manager.wrapHandler(async (input: number) => input)(5), 5);
  });

  test('is timed at its first call, at a share of short ones, and at every slow one; batches with their size', async () => {
    const manager = managerOf();
    const count = async (): Promise<number> => Number(/^message_handler_seconds_count\{.*\} (\d+)$/m.exec(await manager.text())?.[1]);
    let slow = false;
    const handler = manager.wrapHandler((_: number) => {
      const end = performance.now() + (slow ? 2 : 0);
      while (performance.now() < end);
    });
    handler(1);
    assert.equal(await count(), 1);
    for (let call = 0; call < 640; call++) handler(1);
    const short = await count();
    assert.ok(short >= 10 && short < 640, `${short} of 641`);
    slow = true;
    for (let call = 0; call < 64 + 10; call++) handler(1);
    assert.ok((await count()) >= short + 10);
    const batches = manager.wrapHandler((records: readonly number[]) => records.length);
    for (let call = 0; call < 5; call++) batches([1, 2, 3]);
    const text = await manager.text();
    assert.match(text, /^message_batch_records_sum\{.*\} 15$/m);
    assert.match(text, /^message_batch_records_bucket\{.*le="5"\} 5$/m);
  });
});

describe('the handler of scrapes', () => {
  async function scrape(manager: MetricsManager, init: RequestInit = {}): Promise<{ status: number; type: string | null; body: string }> {
    const server = createServer(metricsHandler(manager));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    try {
      const response = await fetch(`http://127.0.0.1:${port}/metrics`, init);
      return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }
  const openmetrics = { headers: { accept: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5' } };

  test('answers in the text format, and in OpenMetrics with exemplars when there are some', async () => {
    const manager = managerOf({ exemplarLabels: () => ({ trace_id: 'abc' }) });
    manager.wrapHandler((_: number) => undefined)(1);
    const plain = await scrape(manager);
    assert.deepEqual([plain.status, plain.type], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    assert.doesNotMatch(plain.body, /trace_id|EOF/);
    const open = await scrape(manager, openmetrics);
    assert.match(open.type!, /^application\/openmetrics-text/);
    assert.match(open.body, /^message_handler_seconds_bucket\{.*\} 1 # \{trace_id="abc"\} /m);
    assert.match(open.body, /\n# EOF\n$/);
    // Without exemplars OpenMetrics has nothing to give that the text format has not, and counters keep their type.
    assert.match((await scrape(managerOf(), openmetrics)).type!, /^text\/plain/);
  });

  test('answers 405 to other methods and 500, without reasons, when metrics cannot be collected', async () => {
    const manager = managerOf();
    assert.equal((await scrape(manager, { method: 'POST' })).status, 405);
    assert.deepEqual(await scrape(manager, { method: 'HEAD' }).then(({ status, body }) => [status, body]), [200, '']);
    manager.gauge({
      name: 'broken',
      help: 'Help.',
      collect() {
        throw new RangeError('secret');
      },
    });
    const { status, body } = await scrape(manager);
    assert.equal(status, 500);
    assert.doesNotMatch(body, /secret/);
    await assert.rejects(manager.text(), (error: unknown) => !isToolkitError(error));
  });
});
