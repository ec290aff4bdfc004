import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Member } from '../member-process.ts';
import { Pipeline } from '../pipeline.ts';

const MEMBERS = 4;
const RECORDS_PER_SECOND = 1_000;

interface Storm {
  /** Of the members that left. */
  readonly failures: readonly string[];
  readonly slowestLeaveMs: number;
}

/** One leaves, one joins, a second apart. */
async function storm(context: FaultContext, pipeline: Pipeline, rebalances: number): Promise<Storm> {
  const leaving = new Map<Member, Promise<string[]>>();
  let slowestLeaveMs = 0;
  const leave = async (member: Member): Promise<string[]> => {
    const start = performance.now();
    const failures = await pipeline.stop(member);
    slowestLeaveMs = Math.max(slowestLeaveMs, performance.now() - start);
    return failures;
  };
  for (let count = 0; count < rebalances; count++) {
    await context.sleep(1_000);
    if (count % 2 === 1) {
      pipeline.launch('async');
      continue;
    }
    const ready = pipeline.members.filter((member) => member.isReady && member.running && !leaving.has(member));
    const left = ready[context.random.integer(0, ready.length - 1)];
    if (left !== undefined) leaving.set(left, leave(left));
  }
  return { failures: (await Promise.all(leaving.values())).flat(), slowestLeaveMs };
}

async function run(context: FaultContext, strategy: 'range' | 'cooperative-sticky'): Promise<Outcome> {
  const rebalances = context.choose(12, 200);
  // librdkafka may end in the midst of a join without a word: the group then waits a session timeout for that member.
  const session = { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '3' };
  const pipeline = await Pipeline.onReal(context, { CONSUMER_ASSIGNMENT_STRATEGY: strategy, ...session });
  await Promise.all(Array.from({ length: MEMBERS }, () => pipeline.start('async')));
  const feeding = pipeline.feed(rebalances * RECORDS_PER_SECOND, { recordsPerSecond: RECORDS_PER_SECOND });
  const [, left] = await Promise.all([feeding, storm(context, pipeline, rebalances)]);
  await pipeline.finish(60_000);
  const stopped = await pipeline.stopAll();
  const { verdict, peakRate } = await pipeline.verify();
  const duplicateBound = rebalances * pipeline.duplicatesPerKill('async', peakRate);
  const changes = pipeline.members.reduce((sum, { assignments, revocations }) => sum + assignments + revocations, 0);
  const notes = [`partitions given or taken ${changes} times`, `slowest leave ${left.slowestLeaveMs.toFixed(0)} ms`];
  const failures = [...judge(verdict, duplicateBound), ...left.failures, ...stopped];
  // A rebalance overtakes the one before, and a sticky one may leave most where they are: but the group must move.
  if (changes < rebalances / 2) failures.push(`Partitions were given or taken ${changes} times in ${rebalances} rebalances`);
  return { injected: rebalances, verdict, duplicateBound, failures, notes };
}

export const rebalanceStorm: readonly Fault[] = (['range', 'cooperative-sticky'] as const).map((strategy) => ({
  id: `3-${strategy === 'range' ? 'eager' : 'cooperative'}`,
  description: `4 members, one leaves or joins every second, ${strategy}`,
  limitSeconds: ({ long }) => (long ? 600 : 90),
  run: (context: FaultContext) => run(context, strategy),
}));
