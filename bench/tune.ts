import { parseArgs } from 'node:util';
import { ConfigError, consumeMessageBatch, createConsumer, type Environment, parseRuntimeVars } from 'rdkafka-toolkit';
import { startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { type Broker, openBroker } from './broker.ts';
import { judge } from './compare.ts';
import { runInfo, stopSignal } from './environment.ts';
import type { Mode } from './modes.ts';
import { counts } from './options.ts';
import { RECORD_BYTES_MIN } from './records.ts';
import { formatWhole } from './report.ts';
import { type Bench, makeRun } from './run.ts';
import type { Shape } from './shape.ts';
import { median } from './statistics.ts';
import { type Place, Topics } from './topics.ts';

export const TUNE_USAGE = `npm run bench -- tune [options]
Tries values of the runtime variables that matter, one variable after the other, on the brokers at KAFKA_BOOTSTRAP_SERVERS, and prints the
lines to set with what each won. A value is taken when it is better beyond noise (see compare) twice, in runs of their own.

  --topic NAME     reads this topic of yours (never writes to it), with consumer groups bench-… that are not used again; producing is tried
                   with records of its average size on a topic that is made for it and deleted. Without: only on topics of its own
  --records N      a run (default 400000)
  --partitions N   of its own topics (default 4)
  --repeats R      of every value, at least 5 (default 5)
  --only LIST      variables (default: all)
  --kafka          starts Apache Kafka from its jars where KAFKA_BOOTSTRAP_SERVERS is not set

The variables set already are where it starts from. All variables take a quarter of an hour with the defaults.
`;

/** What is tried; the present value always runs beside it. */
const CANDIDATES: readonly { readonly name: string; readonly side: Side; readonly values: readonly string[] }[] = [
  { name: 'MESSAGE_QUEUE_MAX_MB', side: 'read', values: ['32', '64'] },
  { name: 'MESSAGE_TOTAL_MAX_MB', side: 'read', values: ['8', '32'] },
  { name: 'CONSUMER_FETCH_MAX_PARTITION_MB', side: 'read', values: ['2', '4'] },
  { name: 'CONSUMER_PREFETCH_COUNT', side: 'read', values: ['500', '2000'] },
  { name: 'CONSUMER_FETCH_QUEUE_BACKOFF_MS', side: 'read', values: ['5', '100'] },
  { name: 'CONSUMER_FETCH_MIN_BYTES', side: 'read', values: ['100000'] },
  { name: 'PRODUCER_LINGER_MS', side: 'produce', values: ['1', '20', '50'] },
  { name: 'PRODUCER_BATCH_RECORDS', side: 'produce', values: ['1000', '50000'] },
  { name: 'PRODUCER_BATCH_KB', side: 'produce', values: ['100', '1900'] },
  { name: 'PRODUCER_COMPRESSION', side: 'produce', values: ['none', 'lz4', 'snappy', 'zstd'] },
];

/** The bench's own runs compress as they are told; this is what a service does without the variable. */
const DEFAULT_COMPRESSION = 'lz4';

type Side = 'read' | 'produce';

interface TuneOptions {
  readonly topic: string | undefined;
  readonly shape: Shape;
  readonly repeats: number;
  readonly only: readonly string[];
  readonly bootstrapServers: string | undefined;
  readonly kafka: boolean;
}

function parseTuneOptions(args: readonly string[], bootstrapServers: string | undefined): TuneOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      topic: { type: 'string' },
      records: { type: 'string', default: '400000' },
      partitions: { type: 'string', default: '4' },
      repeats: { type: 'string', default: '5' },
      only: { type: 'string' },
      kafka: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const faults: string[] = [];
  const names = CANDIDATES.map(({ name }) => name);
  const only = values.only?.split(',') ?? names;
  for (const name of only) if (!names.includes(name)) faults.push(`Expected --only to be of ${names.join(', ')}, got "${name}"`);
  if (bootstrapServers === undefined && !values.kafka) {
    faults.push('Expected KAFKA_BOOTSTRAP_SERVERS to be set, or --kafka: what the embedded broker likes is no use to another one');
  }
  if (values.topic !== undefined && bootstrapServers === undefined) faults.push('Expected KAFKA_BOOTSTRAP_SERVERS to be set with --topic');
  const shape: Shape = {
    records: counts('--records', values.records, faults, 1_000)[0]!,
    partitions: counts('--partitions', values.partitions, faults)[0]!,
    recordBytes: 150,
    headers: 0,
    compression: 'none',
  };
  const repeats = counts('--repeats', values.repeats, faults, 5)[0]!;
  if (faults.length > 0) throw new ConfigError(faults);
  return { topic: values.topic, shape, repeats, only, bootstrapServers, kafka: values.kafka };
}

/** One value that was taken. */
interface Win {
  readonly name: string;
  readonly value: string;
  readonly side: Side;
  readonly gain: number;
}

/** Measures throughput of a side under variables, one run. */
type Measure = (side: Side, vars: Environment) => Promise<number>;

/** Exit code 0: also when no value is better, which is an answer. */
export async function runTune(args: readonly string[]): Promise<number> {
  const options = parseTuneOptions(args, process.env.KAFKA_BOOTSTRAP_SERVERS || undefined);
  if (options === undefined) {
    process.stdout.write(TUNE_USAGE);
    return 0;
  }
  await using broker = await openBroker(options);
  await using registry = await startSchemaRegistry();
  const found = await lookAt(options, broker);
  const own: Mode[] = found === undefined ? ['batch', 'produce'] : ['produce'];
  const shape = found === undefined ? options.shape : { ...options.shape, recordBytes: found.shape.recordBytes };
  const topics = new Topics(broker, { modes: own, shapes: [shape], topics: 1, fields: 9, registryUrl: registry.url });
  await topics.prepare();
  const target: Bench = {
    topics: { of: (mode, given) => (mode === 'read' ? found! : topics.of(mode, given)), single: (partitions) => topics.single(partitions) },
    bootstrapServers: broker.bootstrapServers,
    registryUrl: registry.url,
    info: runInfo(['rdkafka-toolkit'], broker),
    fields: 9,
    prefetched: false,
    loadSeconds: 1,
    signal: stopSignal(),
  };
  let number = 0;
  const measure: Measure = async (side, vars) => {
    const mode = side === 'produce' ? 'produce' : found === undefined ? 'batch' : 'read';
    const present = { PRODUCER_COMPRESSION: process.env.PRODUCER_COMPRESSION ?? DEFAULT_COMPRESSION, ...vars };
    const run = { client: 'rdkafka-toolkit', vars: present, mode, shape, rate: null, repeat: 1 } as const;
    const { row, faults } = await makeRun(run, number++, target);
    if (faults.length > 0) throw new ConfigError(faults);
    return row.recordsPerSecond;
  };
  const wins = await sweepAll(options, measure);
  process.stdout.write(formatWins(wins));
  return 0;
}

/** How many records the user's topic has, and how large they are on average. */
async function lookAt({ topic, shape }: TuneOptions, { bootstrapServers }: Broker): Promise<Place | undefined> {
  if (topic === undefined) return undefined;
  const name = `bench-${process.pid}-${Date.now().toString(36)}`;
  const vars = parseRuntimeVars({
    ...process.env,
    KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
    APP_NAME: name,
    CONSUMER_STATIC_MEMBERSHIP: 'false',
    CONSUMER_AUTO_OFFSET_RESET: 'earliest',
    CONSUMER_ENABLE_AUTO_COMMIT: 'true',
  });
  await using consumer = await createConsumer({ vars, topics: [topic] });
  const records = await consumeMessageBatch(consumer, undefined, { count: 1_000, timeoutMs: 30_000 });
  const bytes = records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0);
  const recordBytes = Math.max(RECORD_BYTES_MIN, Math.round(bytes / records.length));
  process.stdout.write(`${topic}: records of ${formatWhole(recordBytes)} bytes on average\n`);
  return { shape: { ...shape, recordBytes }, inputTopics: [topic], outputTopics: [] };
}

/** One variable after the other; what is taken stays for those that follow. */
async function sweepAll({ only, repeats }: TuneOptions, measure: Measure): Promise<Win[]> {
  const wins: Win[] = [];
  for (const { name, side, values } of CANDIDATES) {
    if (!only.includes(name)) continue;
    const taken = Object.fromEntries(wins.filter((win) => win.side === side).map((win) => [win.name, win.value]));
    const present = process.env[name] ?? (name === 'PRODUCER_COMPRESSION' ? DEFAULT_COMPRESSION : undefined);
    const win = await tryValues({
      name,
      side,
      taken,
      repeats,
      measure,
      values: values.filter((value) => value !== present),
    });
    if (win !== undefined) wins.push(win);
  }
  return wins;
}

interface Trial {
  readonly name: string;
  readonly side: Side;
  readonly values: readonly string[];
  readonly taken: Environment;
  readonly repeats: number;
  readonly measure: Measure;
}

/** The best of the values, when it beats the present one beyond noise, and does so again. */
async function tryValues(trial: Trial): Promise<Win | undefined> {
  const { name, side, values } = trial;
  const first = await inTurns(trial, values);
  const present = first.get(undefined)!;
  const better = values
    .filter((value) => judge(present, first.get(value)!, true).verdict === 'better')
    .toSorted((a, b) => median(first.get(b)!) - median(first.get(a)!));
  const shown = values.map((value) => `${value}: ${(median(first.get(value)!) / median(present)).toFixed(2)}`).join(' · ');
  process.stdout.write(`${name} (${side}, ${formatWhole(median(present))} records/s as it is)  ${shown}\n`);
  const [value] = better;
  if (value === undefined) return undefined;
  const again = await inTurns(trial, [value]);
  const gain = median(again.get(value)!) / median(again.get(undefined)!) - 1;
  const holds = judge(again.get(undefined)!, again.get(value)!, true).verdict === 'better';
  process.stdout.write(`  ${value} again: ${(gain + 1).toFixed(2)}, ${holds ? 'taken' : 'within noise, not taken'}\n`);
  return holds ? { name, value, side, gain } : undefined;
}

/** Throughput of the present value (undefined) and of each other, by turns. */
async function inTurns(
  { name, side, taken, repeats, measure }: Trial,
  values: readonly string[],
): Promise<Map<string | undefined, number[]>> {
  const all = [undefined, ...values];
  const rates = new Map<string | undefined, number[]>(all.map((value) => [value, []]));
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const value of repeat % 2 === 0 ? all : all.toReversed()) {
      rates.get(value)!.push(await measure(side, value === undefined ? taken : { ...taken, [name]: value }));
    }
  }
  return rates;
}

function formatWins(wins: readonly Win[]): string {
  if (wins.length === 0) return 'No value is better than the present ones beyond noise: leave them.\n';
  const lines = wins.map(({ name, value, side, gain }) => `${name}=${value}  # ${side}: +${(gain * 100).toFixed(0)} % records/s`);
  return `\n${lines.join('\n')}\n`;
}
