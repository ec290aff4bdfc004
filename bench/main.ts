import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import cliProgress from 'cli-progress';
import { ConfigError, librdkafka } from 'rdkafka-toolkit';
import { type Broker, fillInput, openBroker } from './broker.ts';
import { contestantName, type Row } from './job.ts';
import { type BenchOptions, parseBenchOptions, USAGE } from './options.ts';
import { formatSettings, formatTable } from './report.ts';
import { planJobs, runJob } from './run.ts';

/** Exit code: 1 when a record was missing or wrong, or a contender failed; 2 for a wrong command line. */
async function main(): Promise<number> {
  const options = parseBenchOptions(process.argv.slice(2), process.env.KAFKA_BOOTSTRAP_SERVERS);
  if (options === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  await using broker = await openBroker(options);
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}`;
  process.stdout.write(`node ${process.version}, librdkafka ${librdkafka.version}, ${machine}, ${broker.kind} broker\n`);
  process.stdout.write(`${formatSettings(options, broker)}\n`);
  const { rows, faults } = await runAll(options, broker);
  process.stdout.write(`${formatTable(rows)}\n`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  return faults.length === 0 ? 0 : 1;
}

async function runAll(options: BenchOptions, broker: Broker): Promise<{ rows: Row[]; faults: string[] }> {
  const rows: Row[] = [];
  const faults: string[] = [];
  const jobs = planJobs(options, broker);
  const bar = process.stderr.isTTY
    ? new cliProgress.SingleBar({ format: '{bar} {value}/{total} {name}', stream: process.stderr, clearOnComplete: true })
    : undefined;
  bar?.start(jobs.length, 0, { name: 'filling the topics' });
  try {
    if (options.modes.some((mode) => !['produce', 'produce-batch', 'idle', 'concurrent'].includes(mode)))
      await fillInput(broker, options.records);
    for (const [done, job] of jobs.entries()) {
      const name = `${job.mode} ${contestantName(job)}, repeat ${job.repeat}`;
      bar?.update(done, { name });
      const outcome = await runJob(job);
      rows.push(outcome.row);
      faults.push(...outcome.faults.map((fault) => `${name}: ${fault}`));
    }
  } finally {
    bar?.stop();
  }
  return { rows, faults };
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof ConfigError || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  process.stderr.write(`${error instanceof Error ? error.message : error}\n${isUsage ? `\n${USAGE}` : ''}`);
  process.exitCode = isUsage ? 2 : 1;
}
