/** What parts of the toolkit cost by themselves, in nanoseconds: `npm run bench:micro`, `-- --filter TEXT` for some of them. */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { Bench } from 'tinybench';
import { addBatchTasks } from './batches.ts';
import { addCodecTasks } from './codec.ts';
import { addMetricsTasks } from './metrics.ts';
import { ROUND } from './round.ts';
import { addTrackerTasks } from './tracker.ts';

const NANOS_PER_MS = 1e6;

const { values } = parseArgs({ options: { filter: { type: 'string', default: '' }, time: { type: 'string', default: '500' } } });

await using registry = await startSchemaRegistry();
const bench = new Bench({ time: Number(values.time), warmupTime: 200 });
await addCodecTasks(bench, registry.url);
addTrackerTasks(bench);
addBatchTasks(bench);
addMetricsTasks(bench);
for (const { name } of bench.tasks) if (!name.includes(values.filter)) bench.remove(name);
await bench.run();

const table = new Table({
  head: ['what', 'ns, median', 'ns, mean', '±', 'samples'],
  colAligns: ['left', 'right', 'right', 'right', 'right'],
  style: { head: [], border: [] },
});
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
for (const { name, result } of bench.tasks) {
  if (!('latency' in result)) throw new RangeError(`${name} has no result`, { cause: result });
  const { p50, mean, rme, samplesCount } = result.latency;
  table.push([
    name,
    short.format((p50 * NANOS_PER_MS) / ROUND),
    short.format((mean * NANOS_PER_MS) / ROUND),
    `${short.format(rme)} %`,
    String(samplesCount),
  ]);
}
process.stdout.write(`node ${process.version}, nanoseconds a call or record\n${table.toString()}\n`);
