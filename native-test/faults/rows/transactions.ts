import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Member } from '../member-process.ts';
import { Pipeline } from '../pipeline.ts';

/** The same member and the same `transactional.id` for each next process. */
const STATIC_MEMBER = { HOSTNAME: 'member' } as const;

async function run(context: FaultContext): Promise<Outcome> {
  const { records, kills } = context.choose({ records: 6_000, kills: 3 }, { records: 100_000, kills: 20 });
  const pipeline = await Pipeline.onReal(context);
  await pipeline.feed(records);
  const start = (): Promise<Member> => pipeline.start('transaction', { environment: STATIC_MEMBER });
  const share = records / kills;
  let member = await start();
  for (let kill = 0; kill < kills; kill++) {
    const goal = context.random.integer(share * 0.2, share * 0.75);
    const running = member;
    await pipeline.until(running, `it has handled ${goal} records`, () => running.handled >= goal);
    await context.sleep(context.random.integer(0, 150));
    await running.kill();
    member = await start();
  }
  await pipeline.finish(context.choose(60_000, 600_000));
  const stopped = await pipeline.stop(member);
  const { verdict } = await pipeline.verify();
  const uncommitted = await pipeline.verify({ isolation: 'read_uncommitted' });
  const failures = [...judge(verdict, 0), ...stopped];
  // Negative control: kills did hit open transactions, and a reader that does not tell them apart sees their outputs.
  if (uncommitted.verdict.duplicates === 0) failures.push('No kill hit an open transaction: this fault would not notice a duplicate');
  const notes = [`read_uncommitted: ${uncommitted.verdict.duplicates} duplicates`];
  return { injected: kills, verdict, duplicateBound: 0, failures, notes };
}

export const transactions: readonly Fault[] = [
  {
    id: '17-transactions',
    description: 'kill -9 of a transactional process at random moments; read_committed readers see each output once',
    limitSeconds: ({ long }) => (long ? 900 : 90),
    run,
  },
];
