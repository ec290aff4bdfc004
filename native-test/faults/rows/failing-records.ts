import { type MockCluster, startMockCluster } from 'rdkafka-toolkit/testing';
import { committedOffsets } from '../../support/topics.ts';
import type { FaultContext } from '../context.ts';
import { endsAsDeadLetter } from '../failing-handler.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Member } from '../member-process.ts';
import type { Failing, Pattern } from '../member-task.ts';
import { Pipeline } from '../pipeline.ts';
import { numberOf } from '../records.ts';

const PARTITIONS = 4;
const GOOD_RECORDS = 1_800;
/** The next process of a killed one joins when the group has noticed, and a mock group is slow to change by nearly a session. */
const SESSION = { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '2', RDKAFKA_HEARTBEAT_INTERVAL_MS: '300' } as const;

/** As in the control of row 2: what is not acknowledged when the kill comes is lost. */
const LINGERING = {
  PRODUCER_LINGER_MS: '1500',
  PRODUCER_QUEUE_MAX_RECORDS: '100000',
  CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: '0.1',
} as const;

async function open(
  context: FaultContext,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ cluster: MockCluster; pipeline: Pipeline }> {
  const cluster = await startMockCluster({ brokers: 3 });
  context.defer(() => cluster.close());
  const pipeline = await Pipeline.onMock(context, cluster, { ...SESSION, ...environment });
  await cluster.createTopics([`${pipeline.output}-dead`]);
  return { cluster, pipeline };
}

/** Dead letters that should be none, or that are not the input byte for byte. */
async function wrongDeadLetters(pipeline: Pipeline, failing: Failing): Promise<string[]> {
  let wrong = 0;
  let count = 0;
  await pipeline.read(`${pipeline.output}-dead`, ({ key, value }) => {
    count++;
    const isInput = key !== null && value?.toString('latin1').endsWith(` ${'.'.repeat(80)}`) === true;
    if (!isInput || !endsAsDeadLetter(failing, numberOf(value))) wrong++;
  });
  if (count === 0) return ['There is no dead letter: nothing was tested'];
  return wrong === 0 ? [] : [`${wrong} dead letters are not what failed`];
}

/** Order is not judged: a dead letter is in another topic than the outputs of its key. */
async function runKills(context: FaultContext, pattern: Pattern, failing: Failing): Promise<Outcome> {
  const unsafe = pattern === 'unsafe';
  const kills = context.choose(1, 20);
  const records = 2_000 + kills * context.choose(1_000, 4_000);
  const { pipeline } = await open(context, unsafe ? LINGERING : {});
  await pipeline.feed(records);
  const start = (): Promise<Member> => pipeline.start(pattern, { failing });
  let member = await start();
  for (let kill = 0; kill < kills; kill++) {
    const goal = context.random.integer(300, 1_200);
    const running = member;
    await pipeline.until(running, `it has handled ${goal} records`, () => running.handled >= goal);
    await running.kill();
    member = await start();
  }
  await pipeline.finish(context.choose(60_000, 600_000));
  const stopped = await pipeline.stop(member);
  const { verdict, peakRate } = await pipeline.verify({ deadLetters: true });
  if (unsafe) {
    const failures = verdict.lost === 0 ? ['The unsafe variant lost nothing: this fault would not notice a loss'] : [];
    return { injected: kills, verdict, failures, notes: ['negative control: must lose records'] };
  }
  // Each attempt that comes again may make a dead letter again.
  const duplicateBound = kills * pipeline.duplicatesPerKill('async', peakRate);
  const failures = [...judge({ ...verdict, outOfOrder: 0 }, duplicateBound), ...stopped, ...(await wrongDeadLetters(pipeline, failing))];
  return { injected: kills, verdict, duplicateBound, failures };
}

/** The leader of the dead letters is away: its partitions' records wait, and nothing behind them is committed. */
async function runTopicDown(context: FaultContext): Promise<Outcome> {
  const { cluster, pipeline } = await open(context, {
    PRODUCER_DELIVERY_TIMEOUT_SECONDS: '1',
    PRODUCER_LINGER_MS: '0',
    RDKAFKA_SOCKET_TIMEOUT_MS: '1000',
    CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '6',
  });
  cluster.moveCoordinator('group', pipeline.vars().APP_NAME!, 1);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (const topic of [pipeline.input, pipeline.output]) cluster.moveLeader(topic, partition, 1);
    cluster.moveLeader(`${pipeline.output}-dead`, partition, 3);
  }
  await pipeline.feed(GOOD_RECORDS + 200);
  cluster.stopBroker(3);
  const member = await pipeline.start('async', { failing: 'poison' });
  await pipeline.until(member, 'it has handled something', () => member.handled > 0);
  await context.sleep(context.choose(2_000, 30_000));
  const committed = await committedOffsets({ bootstrapServers: cluster.bootstrapServers }, pipeline.vars(), pipeline.input);
  const committedWhileDown = committed.reduce<number>((sum, offset) => sum + (offset ?? 0), 0);
  cluster.startBroker(3);
  await pipeline.finish(60_000);
  const stopped = await pipeline.stop(member);
  const { verdict, peakRate } = await pipeline.verify({ deadLetters: true });
  const duplicateBound = pipeline.duplicatesPerKill('async', peakRate);
  const failures = [...judge({ ...verdict, outOfOrder: 0 }, duplicateBound), ...stopped, ...(await wrongDeadLetters(pipeline, 'poison'))];
  // Of 200 keys with 10 records each, the last one is poison.
  if (committedWhileDown > GOOD_RECORDS)
    failures.push(`${committedWhileDown} offsets were committed while the dead letters were not there`);
  return { injected: 1, verdict, duplicateBound, failures, notes: [`${committedWhileDown} committed while it was down`] };
}

const limitSeconds = ({ long }: { readonly long: boolean }): number => (long ? 900 : 90);

export const failingRecords: readonly Fault[] = [
  {
    id: '8-failing',
    description: 'the handler throws once, always, text, or hangs, and its process is killed (mock)',
    limitSeconds,
    run: (context) => runKills(context, 'async', 'failing'),
  },
  {
    id: '8-control',
    description: 'dead letters that nobody waits for, under kills: they must be caught missing (mock)',
    limitSeconds,
    run: (context) => runKills(context, 'unsafe', 'letters'),
  },
  {
    id: '9-topic-down',
    description: 'a tenth of the records cannot be decoded, and the dead-letter topic is away (mock)',
    limitSeconds,
    run: runTopicDown,
  },
  {
    id: '9-poison',
    description: 'a tenth of the records cannot be decoded, and the process is killed (mock)',
    limitSeconds,
    run: (context) => runKills(context, 'async', 'poison'),
  },
];
