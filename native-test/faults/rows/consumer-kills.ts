import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Member } from '../member-process.ts';
import type { Pattern } from '../member-task.ts';
import { Pipeline, type Verified } from '../pipeline.ts';

interface Scale {
  readonly records: number;
  readonly kills: number;
}

/** A synchronous record costs two round trips. */
const SCALES: Readonly<Record<Exclude<Pattern, 'transaction'>, { readonly short: Scale; readonly long: Scale }>> = {
  async: { short: { records: 20_000, kills: 4 }, long: { records: 1_000_000, kills: 50 } },
  batch: { short: { records: 20_000, kills: 4 }, long: { records: 400_000, kills: 20 } },
  sync: { short: { records: 1_200, kills: 4 }, long: { records: 20_000, kills: 20 } },
  unsafe: { short: { records: 20_000, kills: 4 }, long: { records: 100_000, kills: 20 } },
};

/** The same place in the group for each next process, so that it takes over at once. */
const STATIC_MEMBER = { HOSTNAME: 'member' } as const;

/** The outputs of the last second wait for more of their batch while their offsets are committed: a kill loses them. */
const LINGERING = {
  PRODUCER_LINGER_MS: '1500',
  PRODUCER_QUEUE_MAX_RECORDS: '100000',
  CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: '0.1',
} as const;

/** Kills the member whenever it is at a random place in its share of the records; at least a fifth is left for the last one. */
async function killAll(context: FaultContext, pipeline: Pipeline, pattern: Pattern, { records, kills }: Scale): Promise<Member> {
  const start = (): Promise<Member> => pipeline.start(pattern, { environment: STATIC_MEMBER });
  const share = records / kills;
  let member = await start();
  for (let count = 0; count < kills; count++) {
    const goal = context.random.integer(share * 0.2, share * 0.75);
    const running = member;
    await pipeline.until(running, `it has handled ${goal} records`, () => running.handled >= goal);
    await context.sleep(context.random.integer(0, 50));
    await running.kill();
    member = await start();
  }
  return member;
}

async function runKills(
  context: FaultContext,
  pattern: Pattern,
  scale: Scale,
): Promise<Verified & { pipeline: Pipeline; stopped: string[] }> {
  const pipeline = await Pipeline.onReal(context, pattern === 'unsafe' ? LINGERING : {});
  await pipeline.feed(scale.records);
  const last = await killAll(context, pipeline, pattern, scale);
  await pipeline.finish(context.choose(60_000, 600_000));
  const stopped = await pipeline.stop(last);
  return { ...(await pipeline.verify()), pipeline, stopped };
}

async function runPattern(context: FaultContext, pattern: 'async' | 'batch' | 'sync'): Promise<Outcome> {
  const scale = context.choose(SCALES[pattern].short, SCALES[pattern].long);
  const { pipeline, verdict, peakRate, stopped } = await runKills(context, pattern, scale);
  const perKill = pipeline.duplicatesPerKill(pattern, peakRate);
  const duplicateBound = perKill * scale.kills;
  const failures = [...judge(verdict, duplicateBound), ...stopped];
  const worst = verdict.duplicatesOfWorstSource;
  if (worst > perKill) failures.push(`A kill brought ${worst} duplicates, more than ${perKill}`);
  const notes = [`worst kill ${worst} of ${perKill} duplicates`, `${peakRate} records/s at most`];
  return { injected: scale.kills, verdict, duplicateBound, failures, notes };
}

async function runControl(context: FaultContext): Promise<Outcome> {
  const scale = context.choose(SCALES.unsafe.short, SCALES.unsafe.long);
  const { verdict } = await runKills(context, 'unsafe', scale);
  const failures = verdict.lost === 0 ? ['The unsafe variant lost nothing: this fault would not notice a loss'] : [];
  if (verdict.unknown > 0) failures.push(`${verdict.unknown} outputs belong to no input`);
  return { injected: scale.kills, verdict, failures, notes: ['negative control: must lose records'] };
}

const description = (pattern: Pattern): string => `kill -9 of a consumer process at random moments, ${pattern} pattern`;

export const consumerKills: readonly Fault[] = [
  ...(['async', 'batch', 'sync'] as const).map((pattern) => ({
    id: `2-${pattern}`,
    description: description(pattern),
    limitSeconds: ({ long }: { readonly long: boolean }) => (long ? 1_800 : 90),
    run: (context: FaultContext) => runPattern(context, pattern),
  })),
  {
    id: '2-control',
    description: `${description('unsafe')}: offsets stored without waiting for the outputs; it must be caught losing records`,
    limitSeconds: ({ long }) => (long ? 600 : 90),
    run: runControl,
  },
];
