import type { Broker } from '../../services/kafka-cluster.ts';
import { awaitInSync } from '../../services/topics.ts';
import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Pattern } from '../member-task.ts';
import { Pipeline } from '../pipeline.ts';

/** How long a broker takes to be killed, noticed, restarted and in sync again, about. */
const SECONDS_PER_KILL = 13;

async function kill(context: FaultContext, broker: Broker, pipeline: Pipeline): Promise<void> {
  await context.sleep(context.random.integer(500, 2_000));
  await broker.kill();
  await context.sleep(context.random.integer(0, 3_000));
  await broker.restart();
  const { bootstrapServers } = await context.cluster();
  await awaitInSync(bootstrapServers, [pipeline.input, pipeline.output]);
}

/** Starts a member, and the next one whenever it ends because no broker answered for an output: as an orchestrator does. */
async function keepRunning(pipeline: Pipeline, pattern: Pattern, onRestart: () => void): Promise<void> {
  const member = await pipeline.start(pattern, { pauseMs: 5 });
  void member.ended.then(({ code }) => {
    if (code !== 1 || !member.stderr.includes('no broker has answered for it')) return;
    onRestart();
    keepRunning(pipeline, pattern, onRestart).catch(() => undefined);
  });
}

async function run(context: FaultContext): Promise<Outcome> {
  const kills = context.choose(3, 20);
  const records = context.choose(60_000, 1_000_000);
  const pipeline = await Pipeline.onReal(context);
  const { brokers } = await context.cluster();
  let restarts = 0;
  await Promise.all((['async', 'batch'] as const).map((pattern) => keepRunning(pipeline, pattern, () => void restarts++)));
  const feeding = pipeline.feed(records, { recordsPerSecond: records / (kills * SECONDS_PER_KILL) });
  const killing = (async () => {
    const first = context.random.integer(0, brokers.length - 1);
    for (let count = 0; count < kills; count++) await kill(context, brokers[(first + count) % brokers.length]!, pipeline);
  })();
  await Promise.all([feeding, killing]);
  await pipeline.finish(120_000);
  const stopped = await pipeline.stopAll();
  const { verdict, peakRate } = await pipeline.verify();
  const perKill = pipeline.duplicatesPerKill('async', peakRate) + pipeline.duplicatesPerKill('batch', peakRate);
  const duplicateBound = (kills + restarts) * perKill;
  const notes = restarts === 0 ? [] : [`${restarts} times an output that no broker answered for ended a member`];
  return { injected: kills, verdict, duplicateBound, failures: [...judge(verdict, duplicateBound), ...stopped], notes };
}

export const brokerKills: readonly Fault[] = [
  {
    id: '1-broker-kills',
    description: 'rolling kill -9 and restart of 3 brokers, while a producer feeds a group of two members',
    limitSeconds: ({ long }) => (long ? 1_800 : 150),
    run,
  },
];
