import { randomUUID } from 'node:crypto';
import { consumeAllMessages, createConsumer, createProducer, parseRuntimeVars, type RuntimeVars } from 'rdkafka-toolkit';
import { createTopics } from '../../services/topics.ts';
import { committedOffsets } from '../../support/topics.ts';
import { ScriptProcess } from '../child-process.ts';
import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { StreamMessage, StreamTask } from '../stream-member.ts';

const PARTITIONS = 4;
const PROCESSES = 3;
/** What the table must be read with, in records a second, over all processes. */
const RECOVERY_RATE = 100_000;

/** How often the table is read at the end: longer than a transaction may be open. */
const READS = 5;

/** A process of the app. */
class StreamMember {
  readonly process: ScriptProcess<StreamMessage>;
  partitions = 0;
  handled = 0;
  readonly recoveries: { readonly records: number; readonly milliseconds: number }[] = [];
  readonly errors: string[] = [];

  constructor(task: StreamTask, environment: Readonly<Record<string, string>>) {
    this.process = new ScriptProcess<StreamMessage>('./stream-member.js', task, environment, (message) => this.#hear(message));
  }

  #hear(message: StreamMessage): void {
    if (message.kind === 'partitions') this.partitions = message.count;
    else if (message.kind === 'handled') this.handled = message.count;
    else if (message.kind === 'recovered') this.recoveries.push(message);
    else this.errors.push(message.message);
  }
}

/** Puts a table of so many keys into a changelog, each 0. */
async function fillChangelog(vars: RuntimeVars, topic: string, keys: number): Promise<void> {
  await using producer = await createProducer({ vars });
  for (let from = 0; from < keys; from += 1_000) {
    const records = Array.from({ length: Math.min(1_000, keys - from) }, (_, index) => ({ topic, key: `key-${from + index}`, value: '0' }));
    await producer.enqueueBatch(records);
  }
  await producer.flush({ timeoutMs: 120_000 });
}

/** Counts of keys that were counted at all, as the changelog has them; and how many keys there are. */
async function readTable(
  vars: RuntimeVars,
  topic: string,
): Promise<{ readonly counts: ReadonlyMap<string, number>; readonly keys: number }> {
  await using consumer = await createConsumer({ vars, topics: [topic], config: { 'enable.partition.eof': true } });
  const all = new Map<string, number>();
  for await (const { key, value } of consumeAllMessages(consumer)) all.set(String(key), Number(value));
  return { counts: new Map([...all].filter(([, count]) => count > 0)), keys: all.size };
}

async function run(context: FaultContext): Promise<Outcome> {
  const { bootstrapServers } = await context.cluster();
  const keys = context.choose(300_000, 1_000_000);
  const records = context.choose(12_000, 200_000);
  const app = `stream-${randomUUID().slice(0, 8)}`;
  const [input, changelog] = [`${app}-in`, `${app}-counts-changelog`];
  const environment = {
    KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
    APP_NAME: app,
    CONSUMER_STATIC_MEMBERSHIP: 'false',
    CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '6',
    CONSUMER_POLL_TIMEOUT: '1',
    RDKAFKA_RECONNECT_BACKOFF_MAX_MS: '1000',
  };
  const varsOf = (name: string): RuntimeVars => parseRuntimeVars({ ...environment, APP_NAME: name });
  await createTopics(bootstrapServers, [
    { topic: input, partitions: PARTITIONS, replicationFactor: 3 },
    { topic: changelog, partitions: PARTITIONS, replicationFactor: 3, config: { 'cleanup.policy': 'compact' } },
  ]);
  await fillChangelog(varsOf(`${app}-fill`), changelog, keys);
  const members: StreamMember[] = [];
  const start = (): void => {
    const member = new StreamMember({ topic: input }, { ...environment, HOSTNAME: `pod-${members.length}` });
    members.push(member);
    context.defer(() => member.process.kill());
  };
  const isOver = (): StreamMember | undefined => members.find(({ process }) => !process.running);

  // The first one reads the whole table by itself: that is the rate.
  start();
  const [first] = members as [StreamMember];
  const read = (): number => first.recoveries.reduce((sum, recovery) => sum + recovery.records, 0);
  await context.until('the table is read', () => read() >= keys || isOver() !== undefined, 60_000);
  const milliseconds = first.recoveries.reduce((sum, recovery) => sum + recovery.milliseconds, 0);
  const rate = (read() / milliseconds) * 1_000;
  for (let count = 1; count < PROCESSES; count++) start();
  await context.until('all have partitions', () => members.every(({ partitions }) => partitions > 0) || isOver() !== undefined, 60_000);

  const expected = new Map<string, number>();
  const ends = new Map<number, number>();
  const producer = await createProducer({ vars: varsOf(`${app}-feed`) });
  context.defer(() => producer.close({ timeoutMs: 1_000 }));
  const victim = context.random.integer(0, PROCESSES - 1);
  for (let index = 0; index < records; index++) {
    const key = `key-${context.random.integer(0, keys - 1)}`;
    await producer.enqueue({ topic: input, key, value: '{}' }, (error, metadata) => {
      if (error !== undefined) return;
      expected.set(key, (expected.get(key) ?? 0) + 1);
      ends.set(metadata!.partition, Math.max(ends.get(metadata!.partition) ?? 0, metadata!.offset + 1));
    });
    if (index % 200 === 0) await context.sleep(20);
    if (index === Math.floor(records / 2)) await members[victim]!.process.kill();
  }
  await producer.flush({ timeoutMs: 60_000 });
  const vars = varsOf(app);
  const isCommitted = async (): Promise<boolean> => {
    const committed = await committedOffsets({ bootstrapServers }, vars, input).catch(() => []);
    return [...ends].every(([partition, end]) => (committed[partition] ?? 0) >= end);
  };
  await context.until('every record is committed', isCommitted, 90_000, 300);
  const failures: string[] = [];
  for (const [number, { errors, process }] of members.entries()) {
    if (number === victim) continue;
    process.signal('SIGTERM');
    const { code } = await process.ended;
    if (code !== 0) failures.push(`Process ${number} ended with code ${code}: ${process.stderr} ${errors.join('; ')}`);
  }
  // Behind what the killed process left open nothing is to be read until the brokers have given it up.
  let reads = 0;
  let table = await readTable(varsOf(`${app}-check-0`), changelog);
  const total = (of: ReadonlyMap<string, number>): number => [...of.values()].reduce((sum, count) => sum + count, 0);
  while (total(table.counts) < total(expected) && reads < READS) {
    await context.sleep(3_000);
    table = await readTable(varsOf(`${app}-check-${++reads}`), changelog);
  }
  const { counts, keys: found } = table;
  const differing = [...new Set([...expected.keys(), ...counts.keys()])].filter((key) => counts.get(key) !== expected.get(key));
  const lacking = (key: string): number => Math.max(0, (expected.get(key) ?? 0) - (counts.get(key) ?? 0));
  const surplus = (key: string): number => Math.max(0, (counts.get(key) ?? 0) - (expected.get(key) ?? 0));
  const verdict = {
    records: total(expected),
    outputs: total(counts),
    lost: differing.reduce((sum, key) => sum + lacking(key), 0),
    duplicates: differing.reduce((sum, key) => sum + surplus(key), 0),
    duplicatesOfWorstSource: 0,
    outOfOrder: 0,
    unknown: 0,
    samples: differing.slice(0, 5).map((key) => `${key}: ${counts.get(key)} instead of ${expected.get(key)}`),
  };
  failures.push(...judge(verdict, 0));
  if (found !== keys) failures.push(`The table has ${found} keys instead of ${keys}`);
  if (rate < RECOVERY_RATE) failures.push(`The table was read with ${Math.round(rate)} records a second`);
  const notes = [`${keys} keys read with ${Math.round(rate).toLocaleString('en')} records a second`];
  return { injected: 1, verdict, duplicateBound: 0, failures, notes };
}

export const streamCluster: readonly Fault[] = [
  {
    id: '21-stream-cluster',
    description: 'a stream app with a large table in three processes, one of them killed: counts as an independent recount has them',
    limitSeconds: ({ long }) => (long ? 600 : 150),
    run,
  },
];
