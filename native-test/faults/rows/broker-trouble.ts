import { type MockCluster, startMockCluster } from 'rdkafka-toolkit/testing';
import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import { Pipeline } from '../pipeline.ts';

const BROKERS = 3;
const PARTITIONS = 4;
const RECORDS_PER_SECOND = 500;
/** Less than a stall or an outage lasts, so that requests under way are noticed to be late. */
const IMPATIENT = { RDKAFKA_SOCKET_TIMEOUT_MS: '2500', CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '10' } as const;

/** librdkafka reports a broker that does not answer in its log alone, one that is away as an error. */
type Told = 'clientErrors' | 'requestTimeouts';

interface Trouble {
  readonly id: string;
  readonly description: string;
  readonly seconds: (long: boolean) => number;
  /** How often it happened. */
  readonly make: (context: FaultContext, cluster: MockCluster, pipeline: Pipeline, seconds: number) => Promise<number>;
  /** A member must have had this event. */
  readonly mustTell?: Told;
}

const troubles: readonly Trouble[] = [
  {
    id: '4-leaders',
    description: 'partition leaders and the group coordinator move every second (mock)',
    seconds: (long) => (long ? 60 : 8),
    make: moveLeaders,
  },
  {
    id: '4-broker-down',
    description: 'all brokers unreachable (mock)',
    seconds: (long) => (long ? 30 : 10),
    make: takeBrokersDown,
    mustTell: 'clientErrors',
  },
  {
    id: '4-round-trip',
    description: 'every answer 500 ms late (mock)',
    seconds: (long) => (long ? 30 : 6),
    make: slowBrokers,
  },
];

async function moveLeaders(context: FaultContext, cluster: MockCluster, pipeline: Pipeline, seconds: number): Promise<number> {
  let moves = 0;
  for (let second = 0; second < seconds; second++) {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      for (const topic of [pipeline.input, pipeline.output]) {
        cluster.moveLeader(topic, partition, context.random.integer(1, BROKERS));
        moves++;
      }
    }
    if (second % 3 === 2) cluster.moveCoordinator('group', pipeline.vars().APP_NAME!, context.random.integer(1, BROKERS));
    await context.sleep(1_000);
  }
  return moves;
}

async function takeBrokersDown(context: FaultContext, cluster: MockCluster, _: Pipeline, seconds: number): Promise<number> {
  for (let broker = 1; broker <= BROKERS; broker++) cluster.stopBroker(broker);
  await context.sleep(seconds * 1_000);
  for (let broker = 1; broker <= BROKERS; broker++) cluster.startBroker(broker);
  return 1;
}

async function slowBrokers(context: FaultContext, cluster: MockCluster, _: Pipeline, seconds: number): Promise<number> {
  for (let broker = 1; broker <= BROKERS; broker++) cluster.setRoundTripTime(broker, 500);
  await context.sleep(seconds * 1_000);
  for (let broker = 1; broker <= BROKERS; broker++) cluster.setRoundTripTime(broker, 0);
  return 1;
}

async function finishAndJudge(context: FaultContext, pipeline: Pipeline, injected: number, mustTell: Told | undefined): Promise<Outcome> {
  await pipeline.finish(context.choose(60_000, 120_000));
  const stopped = await pipeline.stopAll();
  const { verdict, peakRate } = await pipeline.verify();
  const duplicateBound = injected * pipeline.duplicatesPerKill('async', peakRate);
  const count = (told: Told): number => pipeline.members.reduce((sum, member) => sum + member[told].length, 0);
  const failures = [...judge(verdict, duplicateBound), ...stopped];
  if (mustTell !== undefined && count(mustTell) === 0) failures.push(`No member was told: no ${mustTell}`);
  const notes = [`${count('clientErrors')} clientError events, ${count('requestTimeouts')} log lines of request timeouts`];
  return { injected, verdict, duplicateBound, failures, notes };
}

async function runOnMock(context: FaultContext, { seconds, make, mustTell }: Trouble): Promise<Outcome> {
  const cluster = await startMockCluster({ brokers: BROKERS });
  context.defer(() => cluster.close());
  const pipeline = await Pipeline.onMock(context, cluster, IMPATIENT);
  await pipeline.start('async');
  const length = seconds(context.long);
  const feeding = pipeline.feed((length + 4) * RECORDS_PER_SECOND, { recordsPerSecond: RECORDS_PER_SECOND });
  await context.sleep(2_000);
  const [injected] = await Promise.all([make(context, cluster, pipeline, length), feeding]);
  return finishAndJudge(context, pipeline, injected, mustTell);
}

/** The connections to a broker stay open and nothing is answered. */
async function runStall(context: FaultContext): Promise<Outcome> {
  const seconds = context.choose(6, 30);
  const pipeline = await Pipeline.onReal(context, IMPATIENT);
  const { brokers } = await context.cluster();
  await pipeline.start('async');
  const feeding = pipeline.feed((seconds + 4) * RECORDS_PER_SECOND, { recordsPerSecond: RECORDS_PER_SECOND });
  const stalling = (async () => {
    await context.sleep(2_000);
    const broker = brokers[context.random.integer(0, brokers.length - 1)]!;
    broker.pause();
    await context.sleep(seconds * 1_000);
    broker.resume();
  })();
  await Promise.all([stalling, feeding]);
  return finishAndJudge(context, pipeline, 1, 'requestTimeouts');
}

export const brokerTrouble: readonly Fault[] = [
  ...troubles.map((trouble) => ({
    id: trouble.id,
    description: trouble.description,
    limitSeconds: ({ long }: { readonly long: boolean }) => (long ? 300 : 90),
    run: (context: FaultContext) => runOnMock(context, trouble),
  })),
  {
    id: '4-stall',
    description: 'one of 3 brokers stopped by SIGSTOP, its connections open',
    limitSeconds: ({ long }) => (long ? 300 : 90),
    run: runStall,
  },
];
