import { type ClientName, ownReference } from './clients.ts';
import { contestantName, type Row } from './job.ts';
import type { Mode } from './modes.ts';
import { median, pairedRatio } from './statistics.ts';

/** Modes that are compared with the toolkit in another one. */
const REFERENCE_MODES: Partial<Record<Mode, Mode>> = { projection: 'decode' };

/** The repeats of one contestant in one mode and shape, in the order of their numbers. */
export type Group = readonly Row[];

/** Figures of a row that can be compared. */
export type Figure =
  | 'recordsPerSecond'
  | 'cpuMicrosPerRecord'
  | 'mainMicrosPerRecord'
  | 'eventLoopUtilization'
  | 'p50Ms'
  | 'p99Ms'
  | 'rssMb';

/** What tells what a row was measured on, without who was measured. Records and bytes of Avro runs follow from the others. */
export function shapeKey({ mode, records, recordBytes, headers, compression, partitions, rate, prefetched }: Row): string {
  // One at a time or many at once: such references take fewer records.
  const count = ownReference(mode) === undefined ? records : 0;
  return [mode, count, recordBytes, headers, compression, partitions, rate ?? '', prefetched ? 'prefetched' : ''].join(' ');
}

/** Rows by contestant, mode and shape, in the order they came. */
export function groupRows(rows: readonly Row[]): Group[] {
  const byName = new Map<string, Row[]>();
  for (const row of rows) {
    const name = `${shapeKey(row)} ${contestantName(row)}`;
    const group = byName.get(name);
    if (group === undefined) byName.set(name, [row]);
    else group.push(row);
  }
  return [...byName.values()].map((group) => group.toSorted((a, b) => a.repeat - b.repeat));
}

/** The figures of a group's repeats; empty where there are none. */
export function figuresOf(group: Group, figure: Figure): number[] {
  return group.flatMap((row) => row[figure] ?? []);
}

/** Median of a figure; undefined where there is none. */
export function medianOf(group: Group, figure: Figure): number | undefined {
  const values = figuresOf(group, figure);
  return values.length === 0 ? undefined : median(values);
}

/**
 * Who the others of a mode are compared with: the toolkit in the mode that it belongs to, where that was measured; the mode's own reference, else
 * node-rdkafka, else the toolkit with its defaults.
 */
export function referenceOf(group: Group, groups: readonly Group[]): Group | undefined {
  const row = group[0]!;
  const named = (name: ClientName, mode: Mode): Group | undefined => {
    const key = shapeKey({ ...row, mode });
    return groups.find(([other]) => contestantName(other!) === name && shapeKey(other!) === key);
  };
  const elsewhere = REFERENCE_MODES[row.mode];
  const own = ownReference(row.mode);
  return (
    (elsewhere && named('rdkafka-toolkit', elsewhere)) ??
    (own === undefined ? (named('node-rdkafka', row.mode) ?? named('rdkafka-toolkit', row.mode)) : named(own, row.mode))
  );
}

/** What a ratio is called after. */
export function referenceName(row: Row, reference: Row): string {
  return row.mode === reference.mode ? contestantName(reference) : `${contestantName(reference)}, ${reference.mode}`;
}

/** Throughput over the reference's in the same repeats; undefined without a reference, or where repeats are missing. */
export function ratioToReference(group: Group, groups: readonly Group[]): number | undefined {
  const reference = referenceOf(group, groups);
  if (reference === undefined || reference.length !== group.length) return undefined;
  return pairedRatio(figuresOf(group, 'recordsPerSecond'), figuresOf(reference, 'recordsPerSecond'));
}
