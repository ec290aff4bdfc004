import { fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { createAvroProducer, createSchemaRegistry, parseRuntimeVars, ToolkitError } from 'rdkafka-toolkit';
import { startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { openBroker } from '../broker.ts';
import { whyMissing } from '../programs.ts';
import { median, pairedRatio } from '../statistics.ts';
import { subjectOf } from './handlers/charge.ts';
import { type AvroJob, type AvroReport, CASES, type Case, CONTENDERS } from './job.ts';
import { type FieldCount, makeTrip, tripSchemas } from './records.ts';

const USAGE = `npm run bench:avro -- [options]
  --cases LIST    of ${CASES.join(',')} (default: all)
  --only LIST     contenders, by name (default: all of a case)
  --fields N      9 or 20 (default 9)
  --records N     (default 200000)
  --repeats R     (default 3)
  --kafka         runs on KAFKA_BOOTSTRAP_SERVERS instead of the embedded mock broker
  --smoke         few records, one repeat: does it work?
`;

/** A contender that takes longer hangs. */
const RUN_TIMEOUT_MS = 240_000;

interface Row extends AvroReport {
  readonly job: AvroJob;
}

const { values: given } = parseArgs({
  options: {
    cases: { type: 'string', default: CASES.join(',') },
    only: { type: 'string' },
    fields: { type: 'string', default: '9' },
    records: { type: 'string' },
    repeats: { type: 'string' },
    kafka: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** All run without compression: KafkaJS has no lz4. */
const VARS = { PRODUCER_COMPRESSION: 'none' };

async function main(): Promise<number> {
  const fields = Number(given.fields) as FieldCount;
  const records = Number(given.records ?? (given.smoke ? 20_000 : 200_000));
  const repeats = Number(given.repeats ?? (given.smoke ? 1 : 3));
  const bootstrapServers = given.kafka ? process.env.KAFKA_BOOTSTRAP_SERVERS : undefined;
  await using broker = await openBroker({ bootstrapServers, topics: 8, headers: [0], modes: [], repeats: 0 });
  await using registry = await startSchemaRegistry();
  const base = { fields, records, bootstrapServers: broker.bootstrapServers, registryUrl: registry.url, vars: VARS };
  const inputs = broker.inputTopics.get(0)!;
  console.log(`node ${process.version}, ${broker.kind} broker, ${records} records of ${fields} fields`);
  console.log(`average value: ${await fill(base, inputs)} bytes`);
  const rows: Row[] = [];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const name of given.cases.split(',') as Case[]) {
      for (const contender of contendersOf(name, repeat)) {
        const groupId = `${inputs[0]}-${name}-${contender}-${repeat}`;
        const job: AvroJob = { ...base, case: name, contender, groupId, inputTopics: inputs, outputTopic: broker.outputTopics[0]! };
        rows.push({ job, ...(await run(job)) });
      }
    }
  }
  console.log(format(rows));
  const faults = rows.flatMap(({ job, faults: found }) => found.map((fault) => `${job.case} ${job.contender}: ${fault}`));
  for (const fault of faults) console.error(fault);
  return faults.length === 0 ? 0 : 1;
}

/** Registers the schema and fills the topics; gives the average size of a value. */
async function fill(
  { fields, records, bootstrapServers, registryUrl }: Pick<AvroJob, 'fields' | 'records' | 'bootstrapServers' | 'registryUrl'>,
  topics: readonly string[],
): Promise<number> {
  const vars = parseRuntimeVars({ ...process.env, KAFKA_BOOTSTRAP_SERVERS: bootstrapServers, SCHEMA_REGISTRY_URL: registryUrl, ...VARS });
  const registry = createSchemaRegistry({ vars });
  const valueSchema = tripSchemas[fields];
  await registry.register(subjectOf(fields), valueSchema.text);
  await using producer = await createAvroProducer({
    vars,
    registry,
    valueSchema,
    // The mock broker answers a fetch with one batch a partition: small batches would make the broker the limit.
    config: { 'linger.ms': 1000, 'batch.num.messages': 2000 },
  });
  const places = topics.length * 4;
  let bytes = 0;
  for (let id = 0; id < records; id++) {
    const value = makeTrip(id, fields);
    if (id < 1_000) bytes += 5 + valueSchema.type.toBuffer(value).length;
    const place = id % places;
    await producer.enqueue({ topic: topics[place >> 2]!, partition: place & 3, key: String(id).padStart(8, '0'), value });
  }
  await producer.flush({ timeoutMs: 60_000 });
  return Math.round(bytes / Math.min(records, 1_000));
}

function contendersOf(name: Case, repeat: number): string[] {
  const wanted = given.only?.split(',');
  const all = CONTENDERS[name].filter((contender) => wanted?.includes(contender) ?? contender !== 'confluent-kafka-python');
  const there = all.filter((contender) => contender !== 'confluent-kafka-python' || whyMissing(contender) === undefined);
  // Who goes first changes, so that being first is no advantage.
  return repeat % 2 === 1 ? there : there.toReversed();
}

function run(job: AvroJob): Promise<AvroReport> {
  const child = fork(new URL('child.js', import.meta.url), { timeout: RUN_TIMEOUT_MS });
  return new Promise((resolve, reject) => {
    let answer: { report?: AvroReport; error?: string } | undefined;
    child.once('message', (message) => {
      answer = message as typeof answer;
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      const failed = `${job.case} ${job.contender} failed: ${answer?.error ?? `it ended with ${signal ?? code} without a report`}`;
      if (answer?.report !== undefined && code === 0) resolve(answer.report);
      else reject(new ToolkitError('ERR_STATE', failed));
    });
    child.send(job);
  });
}

const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** Medians over the repeats; ratios are paired by repeat, to the first contender of the case. */
function format(rows: readonly Row[]): string {
  const table = new Table({
    head: ['case', 'contender', 'records/s', 'CPU µs/record', 'main µs/record', 'records/s ×', 'CPU ×', ''],
    style: { head: [], border: [] },
  });
  const of = (name: Case, contender: string): Row[] => rows.filter(({ job }) => job.case === name && job.contender === contender);
  for (const name of CASES) {
    const there = CONTENDERS[name].filter((contender) => of(name, contender).length > 0);
    const reference = of(name, there[0] ?? '');
    for (const contender of there) {
      const own = of(name, contender);
      const figure = (pick: (row: Row) => number): number => median(own.map(pick));
      const ratio = (pick: (row: Row) => number): string => pairedRatio(own.map(pick), reference.map(pick)).toFixed(2);
      table.push([
        name,
        contender,
        whole.format(figure((row) => row.recordsPerSecond)),
        short.format(figure((row) => row.cpuMicrosPerRecord)),
        own[0]!.mainMicrosPerRecord === undefined ? '' : short.format(figure((row) => row.mainMicrosPerRecord ?? Number.NaN)),
        ratio((row) => row.recordsPerSecond),
        ratio((row) => row.cpuMicrosPerRecord),
        own.at(-1)?.note ?? '',
      ]);
    }
  }
  return table.toString();
}

if (given.help) console.log(USAGE);
else process.exitCode = await main();
