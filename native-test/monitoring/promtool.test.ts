import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MetricsManager } from 'rdkafka-toolkit';
import { metricDefinitions } from '../../src/metrics/definitions.ts';
import { statisticDefinitions } from '../../src/metrics/statistics-metrics.ts';
import { examples } from './monitoring-stack.ts';
import { programNamed } from './programs.ts';

/** Runs promtool in the directory of the examples. */
function promtool(args: readonly string[], input = ''): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(programNamed('promtool'), args, { cwd: fileURLToPath(examples), input, encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

/** A manager that has something to show of everything it counts by itself. */
function busyManager(counterNames: 'plain' | 'total'): MetricsManager {
  const manager = new MetricsManager({ app: 'orders "1"', job: 'pod\\0\n', counterNames, exemplarLabels: () => ({ trace_id: 'a' }) });
  manager.incMessagesConsumed(5);
  manager.incMessageErrors(new RangeError('x'));
  manager.watchPool('decode', { stats: () => ({ queued: 1, running: 2, mode: 'pool' }) });
  manager.wrapHandler((_: number) => undefined)(1);
  manager.wrapHandler((_: readonly number[]) => undefined)([1, 2]);
  manager.pushCounts.failed('timeout');
  return manager;
}

interface Panel {
  readonly type: string;
  readonly targets?: readonly { readonly expr: string }[];
}

describe('promtool', () => {
  test('accepts the metrics, and with _total names finds nothing to say', async () => {
    assert.deepEqual(promtool(['check', 'metrics'], await busyManager('total').text()), { status: 0, output: '' });
  });

  test("says of the original's names only that counters should end in _total", async () => {
    const { status, output } = promtool(['check', 'metrics'], await busyManager('plain').text());
    // 3: it reads them, and has remarks; 1 would be a text that it cannot read.
    assert.equal(status, 3, output);
    const lines = output.trim().split('\n');
    assert.ok(lines.length >= 8, output);
    for (const line of lines) assert.match(line, /^\w+ counter metrics should have "_total" suffix$/);
  });

  test('accepts the configuration and the rules, and their tests pass', () => {
    for (const args of [
      ['check', 'config', 'prometheus.yml'],
      ['check', 'rules', 'rules.yml'],
      ['test', 'rules', 'rules.test.yml'],
    ]) {
      const { status, output } = promtool(args);
      assert.equal(status, 0, output);
      assert.match(output, /SUCCESS/);
    }
  });

  test('accepts every query of the dashboard', () => {
    const directory = mkdtempSync(join(tmpdir(), 'dashboard-'));
    try {
      const rules = dashboardQueries().map((expr, index) => ({
        record: `query:${index}`,
        expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$app', '.*'),
      }));
      const file = join(directory, 'rules.json');
      // JSON is YAML.
      writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
      const { status, output } = promtool(['check', 'rules', file]);
      assert.equal(status, 0, output);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('the dashboard and the rules', () => {
  const known = new Set([...metricDefinitions, ...statisticDefinitions].flatMap(({ name, type }) => exposedNames(name, type)));

  test('ask only for metrics that there are', () => {
    const rules = readFileSync(new URL('rules.yml', examples), 'utf8');
    const expressions = [...dashboardQueries(), ...rules.split('\n').filter((line) => /^ +(expr:|\S*\()|consumer_lag/.test(line))];
    assert.ok(expressions.length > 30, `${expressions.length}`);
    const asked = new Set(expressions.flatMap((expression) => namesIn(expression)));
    for (const name of asked) assert.ok(known.has(name), name);
    for (const name of ['messages_consumed', 'seconds_behind', 'rdkafka_msg_size']) assert.ok(asked.has(name), name);
  });

  test('never sum counters or gauges over the pods of the cache', () => {
    for (const expression of dashboardQueries().filter((each) => !each.includes('up{'))) {
      assert.match(
        expression,
        /max without \(cache_pod\)|max by|max\(|count by \(job, instance\)|sum by \(client_id, broker\) \(1 - /,
        expression,
      );
    }
  });
});

function dashboardQueries(): string[] {
  const { panels } = JSON.parse(readFileSync(new URL('dashboard.json', examples), 'utf8')) as { readonly panels: readonly Panel[] };
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}

function exposedNames(name: string, type: string): string[] {
  return type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
}

/** Names of metrics in an expression: words before a selector or a range, but not functions, labels or what Prometheus adds. */
function namesIn(expression: string): string[] {
  const bare = expression
    .replace(/"[^"]*"/g, '""')
    .replace(/\b(?:by|without|on|group_left|ignoring)\s*\([^)]*\)/g, '')
    .replace(/\{[^}]*\}/g, '{}');
  const words = bare.match(/\b(?:rdkafka|message|messages|consumer|producer|pool|metrics|seconds)_\w+/g) ?? [];
  return words;
}
