import Table from 'cli-table3';
import { figuresOf, type Group, groupRows, medianOf, ratioToReference, referenceName, referenceOf } from './groups.ts';
import { contestantName, type Row } from './job.ts';
import { hasRate } from './modes.ts';
import type { Gate } from './options.ts';
import { summarize } from './statistics.ts';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** Three digits, or nothing. */
export function formatShort(value: number | undefined): string {
  return value === undefined ? '' : short.format(value);
}

/** Whole, with separators. */
export function formatWhole(value: number): string {
  return whole.format(value);
}

/** What a row was measured on, in words: the mode and what is not the default. */
export function describeShape({ mode, recordBytes, headers, compression, rate, partitions, prefetched }: Row): string {
  const parts: string[] = [mode];
  if (rate !== null) parts.push(`${whole.format(rate)}/s`);
  else parts.push(`${whole.format(recordBytes)} B`, `${partitions} p`);
  if (headers > 0) parts.push(`${headers} headers`);
  if (compression !== 'none') parts.push(compression);
  if (prefetched) parts.push('prefetched');
  return parts.join(', ');
}

/** Medians over the repeats, a line for each mode, shape and client. */
export function formatTable(rows: readonly Row[]): string {
  const groups = groupRows(rows);
  const table = new Table({
    head: ['mode', 'client', 'records', 'records/s', '±', 'CPU µs/record', 'loop busy', 'p50 / p99 ms', 'RSS MB', '× records/s of'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  for (const group of groups) table.push(formatGroup(group, groups));
  return table.toString();
}

function formatGroup(group: Group, groups: readonly Group[]): string[] {
  const row = group[0]!;
  const rate = summarize(figuresOf(group, 'recordsPerSecond'));
  const busy = medianOf(group, 'eventLoopUtilization');
  const p50 = medianOf(group, 'p50Ms');
  // Calls are not records.
  const isTimed = row.mode === 'batch-timeout';
  return [
    describeShape(row),
    contestantName(row),
    isTimed ? '' : whole.format(row.records),
    isTimed ? '' : whole.format(rate.median),
    isTimed ? '' : `${whole.format(rate.spread * 100)} %`,
    isTimed ? '' : formatShort(medianOf(group, 'cpuMicrosPerRecord')),
    busy === undefined ? '' : `${whole.format(busy * 100)} %`,
    p50 === undefined ? '' : `${short.format(p50)} / ${formatShort(medianOf(group, 'p99Ms'))}`,
    formatWhole(medianOf(group, 'rssMb') ?? Number.NaN),
    hasRate(row.mode) ? '' : formatRatio(group, groups),
  ];
}

function formatRatio(group: Group, groups: readonly Group[]): string {
  const ratio = ratioToReference(group, groups);
  const reference = referenceOf(group, groups)?.[0];
  return ratio === undefined || reference === undefined ? '' : `${ratio.toFixed(2)} ${referenceName(group[0]!, reference)}`;
}

/** What contestants have to say about their runs, a line each. */
export function formatNotes(rows: readonly Row[]): string[] {
  return rows.flatMap((row) =>
    row.note === null ? [] : [`${describeShape(row)}, ${contestantName(row)}, repeat ${row.repeat}: ${row.note}`],
  );
}

/** The settings of every contestant in every mode, the same ones once. */
export function formatSettings(rows: readonly Row[]): string[] {
  const byConfig = new Map<string, string[]>();
  for (const row of rows) {
    if (row.config === null) continue;
    for (const [kind, settings] of Object.entries(row.config)) {
      const text = `${kind} ${JSON.stringify(settings, (key, value) => (/^(group\.id|bootstrap\.servers|client\.id)$/.test(key) ? undefined : value))}`;
      const names = byConfig.get(text) ?? [];
      byConfig.set(text, [...names, `${row.mode} by ${contestantName(row)}`]);
    }
  }
  return [...byConfig].map(([text, names]) => `${[...new Set(names)].join(', ')}:\n  ${text}`);
}

/** The wall clock is everybody's on a shared machine: of a gate's ratio it must show only this share. */
const WALL_CLOCK_SHARE = 1 / 3;

/** What is wrong with the ratios that were asked for; empty when all are reached. */
export function gateFaults(rows: readonly Row[], gates: readonly Gate[]): string[] {
  const groups = groupRows(rows);
  return gates.flatMap(({ mode, ratio }) => {
    const own = groups.filter(([row]) => row!.mode === mode && contestantName(row!) === 'rdkafka-toolkit');
    if (own.length === 0) return [`gate ${mode}: it was not measured`];
    return own.flatMap((group) => {
      const reference = referenceOf(group, groups);
      if (reference === undefined || reference === group) return [`gate ${mode}: it was measured without its reference`];
      const cpu = (medianOf(reference, 'cpuMicrosPerRecord') ?? Number.NaN) / (medianOf(group, 'cpuMicrosPerRecord') ?? Number.NaN);
      const speed = ratioToReference(group, groups) ?? Number.NaN;
      if (cpu >= ratio && speed >= ratio * WALL_CLOCK_SHARE) return [];
      const reached = `CPU ${cpu.toFixed(2)} ×, records/s ${speed.toFixed(2)} ×`;
      return [
        `gate ${describeShape(group[0]!)}: ${reached} better than ${referenceName(group[0]!, reference[0]!)} where ${ratio} × is asked`,
      ];
    });
  });
}
