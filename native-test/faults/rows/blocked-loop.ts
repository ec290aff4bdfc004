import { startMockCluster } from 'rdkafka-toolkit/testing';
import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import { Pipeline } from '../pipeline.ts';

const RECORDS_PER_SECOND = 500;
const SESSION_TIMEOUT_SECONDS = 4;

async function run(context: FaultContext): Promise<Outcome> {
  const blockedSeconds = context.choose(8, 30);
  const cluster = await startMockCluster();
  context.defer(() => cluster.close());
  const pipeline = await Pipeline.onMock(context, cluster, { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: String(SESSION_TIMEOUT_SECONDS) });
  const member = await pipeline.start('async');
  const feeding = pipeline.feed(RECORDS_PER_SECOND * (blockedSeconds + 4), { recordsPerSecond: RECORDS_PER_SECOND });
  await pipeline.until(member, 'it works', () => member.handled >= RECORDS_PER_SECOND);
  member.block(blockedSeconds * 1_000);
  await context.sleep(1_000);
  const before = member.handled;
  await context.sleep(blockedSeconds * 1_000 - 1_500);
  const failures = member.handled === before ? [] : ['The event loop was not blocked'];
  await feeding;
  await pipeline.finish(60_000);
  if (member.revocations > 0) failures.push(`The group took partitions away ${member.revocations} times`);
  failures.push(...(await pipeline.stopAll()));
  const { verdict } = await pipeline.verify();
  return { injected: 1, verdict, duplicateBound: 0, failures: [...judge(verdict, 0), ...failures] };
}

export const blockedLoop: readonly Fault[] = [
  {
    id: '15-blocked-loop',
    description: `event loop blocked for longer than the session timeout of ${SESSION_TIMEOUT_SECONDS} s (mock)`,
    limitSeconds: ({ long }) => (long ? 150 : 90),
    run,
  },
];
