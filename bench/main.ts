import { writeFileSync } from 'node:fs';
import cliProgress from 'cli-progress';
import { ConfigError, isToolkitError } from 'rdkafka-toolkit';
import { startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { type Broker, openBroker } from './broker.ts';
import { COMPARE_USAGE, runCompare } from './compare.ts';
import { runInfo, stopSignal } from './environment.ts';
import { contestantName, type Row, type RunInfo } from './job.ts';
import { type BenchOptions, parseBenchOptions, USAGE } from './options.ts';
import { describeShape, formatNotes, formatSettings, formatTable, gateFaults } from './report.ts';
import { type Bench, makeRun, planRuns } from './run.ts';
import { Topics } from './topics.ts';
import { runTune, TUNE_USAGE } from './tune.ts';

/** Exit code: 1 when a record was missing or wrong, a contender failed or a gate was not reached; 2 for a wrong command line. */
async function bench(args: readonly string[]): Promise<number> {
  const options = parseBenchOptions(args, process.env.KAFKA_BOOTSTRAP_SERVERS);
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  for (const line of options.leftOut) process.stdout.write(`${line}\n`);
  await using broker = await openBroker(options.broker);
  const info = runInfo(
    options.contestants.map(({ client }) => client),
    broker,
  );
  process.stdout.write(`${info.machine}, ${broker.kind} broker, ${Object.entries(info.versions).flat().join(' ')}\n`);
  const { rows, faults } = await runAll(options, broker, info);
  process.stdout.write(`${formatTable(rows)}\n`);
  for (const line of formatNotes(rows)) process.stdout.write(`${line}\n`);
  if (options.verbose) process.stdout.write(`${formatSettings(rows).join('\n')}\n`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 1)}\n`);
  if (options.html !== undefined) {
    // Only then: plots take a second to load.
    const { htmlReport } = await import('./html.ts');
    writeFileSync(options.html, await htmlReport(rows));
  }
  const wrong = [...faults, ...gateFaults(rows, options.gates)];
  for (const fault of wrong) process.stderr.write(`${fault}\n`);
  return wrong.length === 0 ? 0 : 1;
}

async function runAll(options: BenchOptions, broker: Broker, info: RunInfo): Promise<{ rows: Row[]; faults: string[] }> {
  await using registry = await startSchemaRegistry();
  const rows: Row[] = [];
  const faults: string[] = [];
  const runs = planRuns(options);
  const topics = new Topics(broker, { ...options, registryUrl: registry.url });
  const { bootstrapServers } = broker;
  const { loadSeconds, fields, prefetched } = options;
  const target: Bench = {
    topics,
    bootstrapServers,
    registryUrl: registry.url,
    info,
    fields,
    prefetched,
    loadSeconds,
    signal: stopSignal(),
  };
  const bar = process.stderr.isTTY
    ? new cliProgress.SingleBar({ format: '{bar} {value}/{total} {name}', stream: process.stderr, clearOnComplete: true })
    : undefined;
  bar?.start(runs.length, 0, { name: 'filling the topics' });
  try {
    await topics.prepare();
    for (const [number, run] of runs.entries()) {
      bar?.update(number, { name: `${run.mode} ${contestantName(run)}, repeat ${run.repeat}` });
      try {
        const { row, faults: found } = await makeRun(run, number, target);
        rows.push(row);
        faults.push(...found.map((fault) => `${describeShape(row)}, ${contestantName(row)}, repeat ${row.repeat}: ${fault}`));
      } catch (error) {
        // One contender that cannot run is no reason to lose what the others showed.
        if (target.signal.aborted || !isToolkitError(error)) throw error;
        faults.push(error.message);
      }
    }
  } finally {
    bar?.stop();
  }
  return { rows, faults };
}

function main([command, ...rest]: readonly string[]): Promise<number> {
  if (command === 'compare') return runCompare(rest);
  if (command === 'tune') return runTune(rest);
  return bench(process.argv.slice(2));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof ConfigError || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  const usage = { compare: COMPARE_USAGE, tune: TUNE_USAGE }[process.argv[2] ?? ''] ?? USAGE;
  // A broker that does not end well must not hide what went wrong before.
  const first = error instanceof Error && 'suppressed' in error ? error.suppressed : error;
  process.stderr.write(`${first instanceof Error ? first.message : first}\n${isUsage ? `\n${usage}` : ''}`);
  process.exitCode = isUsage ? 2 : 1;
}
