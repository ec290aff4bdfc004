import Table from 'cli-table3';
import { consumerSettings } from '../src/config/consumer-config.ts';
import { type RoutedConfig, routeConfig } from '../src/config/librdkafka-config.ts';
import { producerSettings } from '../src/config/producer-config.ts';
import { redactConfig } from '../src/config/redact.ts';
import type { Broker } from './broker.ts';
import { contestantName, type Mode, ownReference, type Row, varsOf } from './job.ts';
import type { BenchOptions } from './options.ts';
import { pairedRatio, summarize } from './statistics.ts';

/** What the others are compared with: raw node-rdkafka; where that is not measured, the toolkit with its defaults. */
function referenceOf(rows: readonly Row[]): string {
  return rows.some(({ client }) => client === 'node-rdkafka') ? 'node-rdkafka' : 'rdkafka-toolkit';
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** Medians over the repeats, a line for each mode and client. */
export function formatTable(rows: readonly Row[]): string {
  const reference = referenceOf(rows);
  const table = new Table({
    head: ['mode', 'client', 'records', 'records/s', '±', 'CPU µs/record', 'p50 / p99 ms', 'RSS MB', `× ${reference}`],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  for (const group of groups(rows)) {
    const { mode, records, headers, p50Ms } = group[0]!;
    const rate = summarize(group.map((row) => row.recordsPerSecond));
    table.push([
      headers === 0 ? mode : `${mode}, ${headers} headers`,
      contestantName(group[0]!),
      whole.format(records),
      whole.format(rate.median),
      `${whole.format(rate.spread * 100)} %`,
      short.format(summarize(group.map((row) => row.cpuMicrosPerRecord)).median),
      p50Ms === null ? '' : `${short.format(medianOf(group, 'p50Ms'))} / ${short.format(medianOf(group, 'p99Ms'))}`,
      whole.format(medianOf(group, 'rssMb')),
      formatRatio(group, rows, reference),
    ]);
  }
  return table.toString();
}

function groups(rows: readonly Row[]): Row[][] {
  const byName = new Map<string, Row[]>();
  for (const row of rows) {
    const name = `${row.mode} ${row.headers} ${contestantName(row)}`;
    byName.set(name, [...(byName.get(name) ?? []), row]);
  }
  return [...byName.values()].map((group) => group.toSorted((a, b) => a.repeat - b.repeat));
}

function medianOf(group: readonly Row[], figure: 'p50Ms' | 'p99Ms' | 'rssMb'): number {
  return summarize(group.map((row) => row[figure] ?? Number.NaN)).median;
}

function formatRatio(group: readonly Row[], rows: readonly Row[], reference: string): string {
  const { mode, headers } = group[0]!;
  const comparable = rows.filter((row) => row.headers === headers);
  const ratio = ratioToReference(comparable, mode, contestantName(group[0]!), ownReference(mode) ?? reference);
  if (ratio === undefined) return '';
  const own = ownReference(mode);
  return own === undefined ? ratio.toFixed(2) : `${ratio.toFixed(2)} (× ${own.replace('rdkafka-toolkit-', '')})`;
}

/** Throughput over the reference's in the same repeats; undefined without a reference. */
export function ratioToReference(rows: readonly Row[], mode: Mode, name: string, referenceName: string): number | undefined {
  const rates = (name: string): number[] =>
    rows
      .filter((row) => row.mode === mode && contestantName(row) === name)
      .toSorted((a, b) => a.repeat - b.repeat)
      .map((row) => row.recordsPerSecond);
  const reference = rates(referenceName);
  return reference.length === 0 ? undefined : pairedRatio(rates(name), reference);
}

/** The librdkafka settings all clients run with. */
export function formatSettings({ modes }: BenchOptions, { bootstrapServers }: Broker): string {
  const vars = varsOf({ client: 'rdkafka-toolkit', mode: modes[0] ?? 'async', vars: {}, bootstrapServers, groupId: 'bench' });
  const lines: string[] = [];
  if (modes.some((mode) => !mode.startsWith('produce'))) lines.push(`consumer ${show(routeConfig('consumer', consumerSettings(vars)))}`);
  if (modes.some((mode) => mode.startsWith('produce') || mode === 'pipeline'))
    lines.push(`producer ${show(routeConfig('producer', producerSettings(vars)))}`);
  return lines.join('\n');
}

function show(config: RoutedConfig): string {
  return JSON.stringify({ global: redactConfig(config.global), topic: redactConfig(config.topic) });
}
