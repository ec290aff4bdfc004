import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { ConfigError } from 'rdkafka-toolkit';
import { type Figure, figuresOf, type Group, groupRows, referenceOf, shapeKey } from './groups.ts';
import { contestantName, type Row } from './job.ts';
import { hasRate } from './modes.ts';
import { describeShape, formatShort } from './report.ts';
import { mannWhitney } from './significance.ts';
import { median } from './statistics.ts';

/** Beyond noise: two lists of repeats as different as these come from one distribution in less than 2 of 100 cases … */
const P_MAX = 0.02;
/** … and the medians differ by more than this share. */
const CHANGE_MIN = 0.03;

export const COMPARE_USAGE: string = `npm run bench -- compare OLD.json NEW.json [options]
Says what changed beyond noise between two files of --json: the medians of the repeats differ by more than ${CHANGE_MIN * 100} %, and so do
the repeats by the two-sided Mann-Whitney test with p < ${P_MAX}. That takes at least 5 repeats on both sides.

  --relative          compares throughput over that of the reference (node-rdkafka) in the same repeat instead of records/s:
                      for files of two machines, or of one that has become slower
  --all               shows what did not change, too
  --fail-on-slower    exits with 1 when something has become worse
`;

/** What became of one figure of one contestant. */
export interface Change {
  readonly what: string;
  readonly client: string;
  readonly figure: Figure | 'ratio';
  readonly before: number;
  readonly after: number;
  readonly p: number;
  readonly verdict: 'better' | 'worse' | 'same' | 'too few repeats';
}

/** With fewer on one side no difference is beyond noise by {@link P_MAX}. */
const REPEATS_MIN = 5;

const HIGHER_IS_BETTER: readonly (Figure | 'ratio')[] = ['recordsPerSecond', 'ratio'];

/** Whether two lists of a figure differ beyond noise, and to which side. */
export function judge(before: readonly number[], after: readonly number[], higherIsBetter: boolean): Pick<Change, 'p' | 'verdict'> {
  if (before.length < REPEATS_MIN || after.length < REPEATS_MIN) return { p: 1, verdict: 'too few repeats' };
  const p = mannWhitney(before, after);
  const change = median(after) / median(before) - 1;
  if (p >= P_MAX || Math.abs(change) <= CHANGE_MIN) return { p, verdict: 'same' };
  return { p, verdict: change > 0 === higherIsBetter ? 'better' : 'worse' };
}

/** What changed from one list of rows to another, for what both have. */
export function compareRows(before: readonly Row[], after: readonly Row[], relative: boolean): Change[] {
  const oldGroups = groupRows(before);
  const newGroups = groupRows(after);
  const key = (row: Row): string => `${shapeKey(row)} ${contestantName(row)}`;
  return newGroups.flatMap((group) => {
    const old = oldGroups.find(([row]) => key(row!) === key(group[0]!));
    if (old === undefined) return [];
    const { mode } = group[0]!;
    const figures: readonly Figure[] = hasRate(mode) ? ['p99Ms', 'cpuMicrosPerRecord'] : ['recordsPerSecond', 'cpuMicrosPerRecord'];
    return figures.flatMap((figure) => {
      const isRatio = relative && figure === 'recordsPerSecond';
      const values = isRatio ? [ratiosOf(old, oldGroups), ratiosOf(group, newGroups)] : [figuresOf(old, figure), figuresOf(group, figure)];
      const [was = [], is = []] = values;
      if (was.length === 0 || is.length === 0) return [];
      const shown = isRatio ? 'ratio' : figure;
      return {
        what: describeShape(group[0]!),
        client: contestantName(group[0]!),
        figure: shown,
        before: median(was),
        after: median(is),
        ...judge(was, is, HIGHER_IS_BETTER.includes(shown)),
      };
    });
  });
}

/** Repeat by repeat; empty where there is nothing to divide by. */
function ratiosOf(group: Group, groups: readonly Group[]): number[] {
  const reference = referenceOf(group, groups);
  if (reference === undefined || reference === group || reference.length !== group.length) return [];
  return group.map((row, index) => row.recordsPerSecond / reference[index]!.recordsPerSecond);
}

/** Exit code: 1 with `--fail-on-slower` when something is worse. */
export async function runCompare(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      relative: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      'fail-on-slower': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(COMPARE_USAGE);
    return 0;
  }
  const [before, after, ...more] = positionals;
  if (before === undefined || after === undefined || more.length > 0) {
    throw new ConfigError([`Expected two files to compare, got ${positionals.length}`]);
  }
  const changes = compareRows(readRows(before), readRows(after), values.relative);
  if (changes.length === 0) throw new ConfigError([`Expected ${before} and ${after} to have a mode, shape and client in common, got none`]);
  process.stdout.write(`${formatChanges(changes, values.all)}\n`);
  return values['fail-on-slower'] && changes.some(({ verdict }) => verdict === 'worse') ? 1 : 0;
}

/**
 * Reads a file of `--json`.
 *
 * @throws ConfigError when it is none
 */
export function readRows(file: string): Row[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new ConfigError([`Cannot read ${file}: ${(error as Error).message}`]);
  }
  const isRows = Array.isArray(parsed) && parsed.length > 0 && parsed.every((row) => typeof (row as Row)?.recordsPerSecond === 'number');
  if (!isRows) throw new ConfigError([`Expected ${file} to be a file of npm run bench -- --json, an array of rows`]);
  return parsed as Row[];
}

function formatChanges(changes: readonly Change[], all: boolean): string {
  const counted = (verdict: Change['verdict']): number => changes.filter((change) => change.verdict === verdict).length;
  const table = new Table({
    head: ['mode', 'client', 'figure', 'before', 'after', 'change', 'p', ''],
    colAligns: ['left', 'left', 'left', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [] },
  });
  const shown = changes.filter(({ verdict }) => all || verdict === 'better' || verdict === 'worse');
  for (const { what, client, figure, before, after, p, verdict } of shown) {
    const change = `${after >= before ? '+' : ''}${((after / before - 1) * 100).toFixed(1)} %`;
    table.push([what, client, figure, formatShort(before), formatShort(after), change, p.toFixed(3), verdict]);
  }
  const few = counted('too few repeats');
  const summary = `${counted('better')} better, ${counted('worse')} worse, ${counted('same')} the same within noise`;
  return [
    ...(shown.length > 0 ? [table.toString()] : []),
    few > 0 ? `${summary}, ${few} with fewer than ${REPEATS_MIN} repeats` : summary,
  ].join('\n');
}
