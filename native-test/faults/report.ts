import Table from 'cli-table3';
import type { FaultRun } from './run-fault.ts';

/** All runs of one fault, as `--json` writes it. */
export interface FaultRow {
  readonly fault: string;
  readonly runs: number;
  /** Kills, signals, rebalances, cycles. */
  readonly injected: number;
  /** Inputs that were acknowledged. */
  readonly records: number;
  readonly lost: number;
  readonly duplicates: number;
  /** Null where duplicates are not judged. */
  readonly duplicateBound: number | null;
  readonly outOfOrder: number;
  readonly seconds: number;
  readonly pass: boolean;
  readonly failures: readonly string[];
  readonly notes: readonly string[];
}

/** A row for each fault, its runs added up. */
export function rowsOf(runs: readonly FaultRun[]): FaultRow[] {
  const byFault = new Map<string, FaultRun[]>();
  for (const run of runs) byFault.set(run.fault.id, [...(byFault.get(run.fault.id) ?? []), run]);
  return [...byFault].map(([fault, group]) => rowOf(fault, group));
}

function rowOf(fault: string, runs: readonly FaultRun[]): FaultRow {
  const sum = (figure: (run: FaultRun) => number | undefined): number => runs.reduce((total, run) => total + (figure(run) ?? 0), 0);
  const bounds = runs.filter(({ outcome }) => outcome.duplicateBound !== undefined);
  const failures = runs.flatMap(({ outcome }) => outcome.failures);
  return {
    fault,
    runs: runs.length,
    injected: sum(({ outcome }) => outcome.injected),
    records: sum(({ outcome }) => outcome.verdict?.records),
    lost: sum(({ outcome }) => outcome.verdict?.lost),
    duplicates: sum(({ outcome }) => outcome.verdict?.duplicates),
    duplicateBound: bounds.length === 0 ? null : sum(({ outcome }) => outcome.duplicateBound),
    outOfOrder: sum(({ outcome }) => outcome.verdict?.outOfOrder),
    seconds: Math.round(sum(({ seconds }) => seconds) * 10) / 10,
    pass: failures.length === 0,
    failures,
    notes: runs.flatMap(({ outcome }) => outcome.notes ?? []),
  };
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function formatTable(rows: readonly FaultRow[]): string {
  const table = new Table({
    head: ['fault', 'runs', 'injected', 'records', 'lost', 'duplicates', 'bound', 'out of order', 'seconds', ''],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [] },
  });
  for (const row of rows) {
    const figures = [row.runs, row.injected, row.records, row.lost, row.duplicates].map((figure) => whole.format(figure));
    const bound = row.duplicateBound === null ? '' : whole.format(row.duplicateBound);
    const state = row.pass ? 'passed' : 'FAILED';
    table.push([row.fault, ...figures, bound, whole.format(row.outOfOrder), row.seconds.toFixed(1), state]);
  }
  return table.toString();
}
