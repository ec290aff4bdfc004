import { writeFileSync } from 'node:fs';
import { ConfigError } from 'rdkafka-toolkit';
import { type FaultOptions, parseFaultOptions, USAGE } from './options.ts';
import { RealCluster } from './real-cluster.ts';
import { faults } from './registry.ts';
import { formatTable, rowsOf } from './report.ts';
import { type FaultRun, runFault } from './run-fault.ts';

const print = (text: string): void => void process.stdout.write(`${text}\n`);

function printRun({ fault, outcome, seconds }: FaultRun): void {
  const state = outcome.failures.length === 0 ? 'passed' : 'FAILED';
  const notes = outcome.notes?.length ? ` (${outcome.notes.join('; ')})` : '';
  print(`${state} ${fault.id} in ${seconds.toFixed(1)} s${notes}`);
  for (const failure of outcome.failures) print(`  ${failure.replaceAll('\n', '\n    ')}`);
}

async function runAll({ faults: selected, repeat, seed, ...scale }: FaultOptions): Promise<FaultRun[]> {
  const runs: FaultRun[] = [];
  const cluster = new RealCluster();
  try {
    for (let round = 0; round < repeat; round++) {
      for (const fault of selected) {
        print(`${fault.id}: ${fault.description}`);
        const run = await runFault(fault, cluster, scale, seed + round);
        printRun(run);
        runs.push(run);
      }
    }
  } finally {
    await cluster.close();
  }
  return runs;
}

/** The exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseFaultOptions(args, faults);
  if (options === undefined) {
    print(USAGE);
    return 0;
  }
  if (options.list) {
    for (const { id, description } of options.faults) print(`${id.padEnd(18)} ${description}`);
    return 0;
  }
  print(`${options.long ? 'Long' : 'Short'} form, --seed ${options.seed}`);
  const rows = rowsOf(await runAll(options));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
  const failed = rows.filter(({ pass }) => !pass).length;
  print(formatTable(rows));
  if (failed > 0) print(`Again with --seed ${options.seed}`);
  print(`${rows.length - failed} passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage =
    error instanceof ConfigError || (error instanceof TypeError && String(Reflect.get(error, 'code')).startsWith('ERR_PARSE_ARGS'));
  process.stderr.write(isUsage ? `${(error as Error).message}\n\n${USAGE}` : `${error instanceof Error ? error.stack : error}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
// A client that a fault left hanging must not keep the suite from ending.
process.exit();
