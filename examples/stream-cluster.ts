/**
 * A stream app in three processes, one of which is killed: the others take its partitions and the shards of its table over, and go on counting.
 *
 * Guarantee: exactly once on a real Kafka: what the killed process had not committed is counted by its successors, once. (On the embedded cluster at
 * least once: it forgets the offsets of transactions.) Ordering: per partition. Each process needs a HOSTNAME of its own.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { consumeAllMessages, createConsumer, createProducer, jsonDeserializer, parseRuntimeVars } from 'rdkafka-toolkit';
import { type ProcessingGuarantee, StreamAppWrapper } from 'rdkafka-toolkit/stream';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 6_000;
const KEYS = 40;
const PROCESSES = 3;

/** What a process says now and then. */
interface Progress {
  readonly handled: number;
  readonly partitions: number;
}

/** One of the processes. */
async function member(topic: string, guarantee: ProcessingGuarantee): Promise<void> {
  const app = new StreamAppWrapper({ vars: parseRuntimeVars(), guarantee });
  const counts = app.table<string, number>('counts', { initial: () => 0 });
  const agent = app.agent(topic, ({ key }) => void counts.update(key, (count = 0) => count + 1));
  let partitions = 0;
  app.on('assigned', ({ length }) => {
    partitions += length;
  });
  app.on('revoked', ({ length }) => {
    partitions -= length;
  });
  app.timer(0.05, () => void process.send?.({ handled: agent.handled, partitions } satisfies Progress));
  // A killed parent must leave nobody behind.
  process.on('disconnect', () => process.exit(1));
  await app.run();
  process.disconnect?.();
}

class Member {
  readonly #child: ChildProcess;
  progress: Progress = { handled: 0, partitions: 0 };

  constructor(topic: string, guarantee: ProcessingGuarantee, env: NodeJS.ProcessEnv) {
    this.#child = fork(new URL(import.meta.url), [topic, guarantee], { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (message) => {
      this.progress = message as Progress;
    });
  }

  end(signal: NodeJS.Signals): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.kill(signal);
    return ended;
  }
}

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(90_000)]);
  const until = async (isSo: () => boolean): Promise<void> => {
    while (!isSo()) await sleep(20, undefined, { signal });
  };
  const guarantee = services.embedded ? 'at-least-once' : 'exactly-once';
  const topic = await services.topic('events');
  const vars = services.vars('stream-cluster');
  const name = vars.APP_NAME!;
  await services.ownTopic(`${name}-counts-changelog`);
  const members = Array.from({ length: PROCESSES }, (_, number) => {
    const { KAFKA_BOOTSTRAP_SERVERS: servers } = vars;
    return new Member(topic, guarantee, {
      ...process.env,
      KAFKA_BOOTSTRAP_SERVERS: servers.join(','),
      APP_NAME: name,
      HOSTNAME: `process-${number}`,
      CONSUMER_STATIC_MEMBERSHIP: 'false',
      CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '6',
      CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: '0.5',
      CONSUMER_POLL_TIMEOUT: '1',
    });
  });
  const [victim, ...others] = members as [Member, ...Member[]];
  try {
    await until(() => members.every(({ progress }) => progress.partitions > 0));
    const expected = new Map<string, number>();
    await using producer = await createProducer({ vars });
    for (let index = 0; index < RECORDS; index++) {
      const key = `key-${index % KEYS}`;
      await producer.enqueue({ topic, key, value: '{}' });
      expected.set(key, (expected.get(key) ?? 0) + 1);
      if (index % 100 === 0) await sleep(10);
      if (index === RECORDS / 2) await victim.end('SIGKILL');
    }
    await producer.flush();
    const total = (): number => others.reduce((sum, { progress }) => sum + progress.handled, 0);
    await until(() => others.reduce((sum, { progress }) => sum + progress.partitions, 0) >= 4 && total() > RECORDS / 2);
    await settled(total, signal);
    await Promise.all(others.map((each) => each.end('SIGTERM')));
    const counts = await readTable(services, `${name}-counts-changelog`, signal);
    const wrong = [...expected].filter(([key, count]) => (services.embedded ? (counts.get(key) ?? 0) < count : counts.get(key) !== count));
    return {
      line: `records ${RECORDS}, keys ${counts.size}, one of ${PROCESSES} killed, wrong counts ${wrong.length}`,
      ok: wrong.length === 0,
    };
  } finally {
    for (const each of members) void each.end('SIGKILL');
  }
}

/** Waits until a number has not changed for a while. */
async function settled(of: () => number, signal: AbortSignal): Promise<void> {
  for (let last = -1; last !== of(); ) {
    last = of();
    await sleep(2_000, undefined, { signal });
  }
}

/** The table as its changelog has it. */
async function readTable(services: Services, topic: string, signal: AbortSignal): Promise<Map<string, number>> {
  const vars = services.vars('check');
  await using consumer = await createConsumer({
    vars,
    topics: [topic],
    valueDeserializer: jsonDeserializer<number>(),
    config: { 'enable.partition.eof': true },
  });
  const counts = new Map<string, number>();
  for await (const { key, value } of consumeAllMessages(consumer, { signal })) if (value !== null) counts.set(String(key), value);
  return counts;
}

const [topic, guarantee] = process.argv.slice(2);
if (topic === undefined) await runMain('stream-cluster', main);
else await member(topic, guarantee as ProcessingGuarantee);
