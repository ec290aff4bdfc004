import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import { Pipeline } from '../pipeline.ts';

const RECORDS_PER_SECOND = 1_000;
const CONCURRENCY = 64;
/** So few that two records of a key are often handled at once where nothing forbids it. */
const KEYS = 10;
const SESSION = { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '3' } as const;

/** Members come and go every second and a half while each handles many records at once. */
async function run(context: FaultContext): Promise<Outcome> {
  const rebalances = context.choose(3, 100);
  const pipeline = await Pipeline.onReal(context, SESSION, KEYS);
  const control = await Pipeline.onReal(context, SESSION, KEYS);
  const options = { concurrency: CONCURRENCY, order: 'key', pauseMs: 0 } as const;
  await Promise.all([
    pipeline.start('async', options),
    pipeline.start('async', options),
    control.start('async', { ...options, order: 'none' }),
  ]);
  const feeding = Promise.all([
    pipeline.feed((rebalances * 1.5 + 1) * RECORDS_PER_SECOND, { recordsPerSecond: RECORDS_PER_SECOND }),
    control.feed(2_000, { recordsPerSecond: RECORDS_PER_SECOND }),
  ]);
  const left: string[] = [];
  for (let count = 0; count < rebalances; count++) {
    await context.sleep(1_500);
    const running = pipeline.members.filter((member) => member.running && member.isReady);
    const leaves = running[context.random.integer(0, running.length - 1)];
    if (count % 2 === 0) await pipeline.start('async', options);
    else if (leaves !== undefined) left.push(...(await pipeline.stop(leaves)));
  }
  await feeding;
  await Promise.all([pipeline.finish(60_000), control.finish(60_000)]);
  const stopped = [...(await pipeline.stopAll()), ...(await control.stopAll())];
  const { verdict, peakRate } = await pipeline.verify();
  const uncontrolled = await control.verify();
  const duplicateBound = rebalances * pipeline.duplicatesPerKill('async', peakRate);
  const failures = [...judge(verdict, duplicateBound), ...left, ...stopped];
  // Negative control.
  if (uncontrolled.verdict.outOfOrder === 0) failures.push("order: 'none' kept every order: this fault would not notice a loss of order");
  if (uncontrolled.verdict.lost > 0) failures.push(`${uncontrolled.verdict.lost} records are lost under order: 'none'`);
  return {
    injected: rebalances,
    verdict,
    duplicateBound,
    failures,
    notes: [`order: 'none': ${uncontrolled.verdict.outOfOrder} out of order`],
  };
}

export const keyOrder: readonly Fault[] = [
  {
    id: '3-key-order',
    description: `${CONCURRENCY} records at once in order of their keys, members come and go; beside it a member in no order`,
    limitSeconds: ({ long }) => (long ? 600 : 90),
    run,
  },
];
