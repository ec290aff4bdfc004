import { startMockCluster } from 'rdkafka-toolkit/testing';
import { ScriptProcess } from '../child-process.ts';
import type { FaultContext } from '../context.ts';
import type { CycleReport } from '../cycles.ts';
import type { Fault, Outcome } from '../fault.ts';

async function run(context: FaultContext): Promise<Outcome> {
  const cycles = context.choose(30, 1_000);
  const topic = 'cycles';
  const cluster = await startMockCluster({ topics: [topic] });
  context.defer(() => cluster.close());
  let report: CycleReport = { cycles: 0, unsettled: 0, unexpected: [] };
  const task = { topic, cycles, seed: context.random.integer(0, 2 ** 31) };
  const environment = { KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'cycles' };
  const child = new ScriptProcess<CycleReport>('./cycles.js', task, environment, (message) => {
    report = message;
  });
  context.defer(() => child.kill());
  await context.until('the cycles end', () => !child.running, context.choose(90_000, 1_800_000));
  const { code, signal } = await child.ended;
  const failures = [...report.unexpected];
  if (code !== 0) failures.push(`The process ended with ${signal ?? `code ${code}`}: ${child.stderr}`);
  if (report.cycles !== cycles) failures.push(`${report.cycles} of ${cycles} cycles were made`);
  if (report.unsettled > 0) failures.push(`${report.unsettled} promises never settled`);
  return { injected: cycles, failures };
}

export const openClose: readonly Fault[] = [
  {
    id: '13-open-close',
    description: 'connect, consume, produce, close in the midst of it, twice at once: no crash, no promise left (mock)',
    limitSeconds: ({ long }) => (long ? 1_900 : 100),
    run,
  },
];
