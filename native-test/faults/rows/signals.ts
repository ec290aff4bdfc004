import { awaitInSync } from '../../services/topics.ts';
import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Member } from '../member-process.ts';
import type { Pattern } from '../member-task.ts';
import { Pipeline } from '../pipeline.ts';

const RECORDS = 600;
const SIGNALS: readonly ['SIGTERM', 'SIGINT'] = ['SIGTERM', 'SIGINT'];

/** What a member does when the signal comes. */
interface State {
  readonly name: string;
  readonly pattern: Pattern;
  readonly pauseEvery: number;
  readonly pauseMs: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** Brings the member there. */
  readonly reach: (context: FaultContext, pipeline: Pipeline, member: Member) => Promise<void>;
  readonly twice?: boolean;
}

const handling = (count: number) => (_: FaultContext, pipeline: Pipeline, member: Member) =>
  pipeline.until(member, `it has handled ${count} records`, () => member.handled >= count);

const states: readonly State[] = [
  { name: 'idle', pattern: 'async', pauseEvery: 1_000, pauseMs: 0, reach: (_, pipeline) => pipeline.finish(30_000) },
  { name: 'idle, synchronous', pattern: 'sync', pauseEvery: 1_000, pauseMs: 0, reach: (_, pipeline) => pipeline.finish(30_000) },
  { name: 'in a handler', pattern: 'async', pauseEvery: 1, pauseMs: 20, reach: handling(20) },
  { name: 'mid-batch', pattern: 'batch', pauseEvery: 10, pauseMs: 50, reach: handling(200) },
  {
    name: 'mid-produce',
    pattern: 'async',
    pauseEvery: 100,
    pauseMs: 5,
    environment: { PRODUCER_LINGER_MS: '2000' },
    reach: handling(200),
  },
  { name: 'mid-produce, synchronous', pattern: 'sync', pauseEvery: 100, pauseMs: 1, reach: handling(20) },
  { name: 'mid-rebalance', pattern: 'async', pauseEvery: 20, pauseMs: 20, reach: joinAnother },
  { name: 'twice', pattern: 'async', pauseEvery: 1, pauseMs: 20, reach: handling(20), twice: true },
];

/** The group moves when the other one has asked to join. */
async function joinAnother(context: FaultContext, pipeline: Pipeline, member: Member): Promise<void> {
  await handling(20)(context, pipeline, member);
  await pipeline.start('async');
  await context.sleep(context.random.integer(0, 600));
}

/** The failures of one member that was ended in a state, and of those it left behind. */
async function endIn(state: State, context: FaultContext, pipeline: Pipeline): Promise<string[]> {
  const { name, pattern, pauseEvery, pauseMs, environment = {} } = state;
  const feeding = pipeline.feed(RECORDS);
  const member = await pipeline.start(pattern, { pauseEvery, pauseMs, environment });
  await feeding;
  await state.reach(context, pipeline, member);
  const signal = context.random.pick(SIGNALS);
  member.signal(signal);
  if (state.twice === true) {
    // While it closes: a process on its way out, its work done, has no handler any more.
    await context.sleep(context.random.integer(0, 10));
    member.signal(context.random.pick(SIGNALS));
  }
  const failures = await pipeline.ended(member, `${signal} while ${name}`);
  return [...failures, ...(await pipeline.stopAll())];
}

async function run(context: FaultContext): Promise<Outcome> {
  const count = context.choose(states.length, 100);
  const pipeline = await Pipeline.onReal(context);
  const failures: string[] = [];
  for (let index = 0; index < count; index++) failures.push(...(await endIn(states[index % states.length]!, context, pipeline)));
  await pipeline.start('async');
  await pipeline.finish(60_000);
  failures.push(...(await pipeline.stopAll()));
  const { verdict } = await pipeline.verify();
  return { injected: count, verdict, duplicateBound: 0, failures: [...judge(verdict, 0), ...failures] };
}

/** How long a member may take to end while no broker answers: its deadline, and what Node needs. */
const AWAY_LIMIT_MS = 8_000 + 2_000;

/** No broker answers: they are dead, or stand still with their connections open. */
type Absence = 'dead' | 'silent';

const absences: readonly { readonly absence: Absence; readonly pattern: Pattern }[] = [
  { absence: 'silent', pattern: 'async' },
  { absence: 'dead', pattern: 'batch' },
  { absence: 'silent', pattern: 'sync' },
  { absence: 'dead', pattern: 'async' },
];

/** The failures of a member that was told to end while all brokers were away: cut off in time, with exit code 1 and an error that says so. */
async function endAlone(
  { absence, pattern }: (typeof absences)[number],
  context: FaultContext,
  pipeline: Pipeline,
): Promise<readonly string[]> {
  const { brokers, bootstrapServers } = await context.cluster();
  const feeding = pipeline.feed(RECORDS);
  const member = await pipeline.start(pattern, { pauseEvery: 1, pauseMs: 2 });
  await feeding;
  await handling(pattern === 'sync' ? 20 : 200)(context, pipeline, member);
  await Promise.all(brokers.map((broker) => (absence === 'dead' ? broker.kill() : broker.pause())));
  await context.sleep(context.random.integer(0, 2_000));
  const signal = context.random.pick(SIGNALS);
  member.signal(signal);
  const [failure] = await pipeline.ended(member, `${signal} while the brokers were ${absence}`, AWAY_LIMIT_MS);
  await Promise.all(brokers.map((broker) => (absence === 'dead' ? broker.restart() : broker.resume())));
  await awaitInSync(bootstrapServers, [pipeline.input, pipeline.output]);
  const { code } = await member.ended;
  if (code === 1 && member.stderr.includes('ERR_SHUTDOWN')) return [];
  return [
    failure ?? `Member ${member.task.source} (${pattern}) ended as if its last commit had been taken, while the brokers were ${absence}`,
  ];
}

async function runAlone(context: FaultContext): Promise<Outcome> {
  const count = context.choose(2, 20);
  const pipeline = await Pipeline.onReal(context);
  const failures: string[] = [];
  for (let index = 0; index < count; index++) failures.push(...(await endAlone(absences[index % absences.length]!, context, pipeline)));
  const last = await pipeline.start('async');
  await pipeline.finish(60_000);
  failures.push(...(await pipeline.stop(last)));
  const { verdict, peakRate } = await pipeline.verify();
  const duplicateBound = count * pipeline.duplicatesPerKill('async', peakRate);
  return { injected: count, verdict, duplicateBound, failures: [...judge(verdict, duplicateBound), ...failures] };
}

export const signals: readonly Fault[] = [
  {
    id: '12-signals',
    description: 'SIGTERM and SIGINT to members: idle, handling, mid-batch, mid-produce, mid-rebalance, twice; exit 0 within 10 s',
    limitSeconds: ({ long }) => (long ? 1_200 : 120),
    run,
  },
  {
    id: '12-brokers-away',
    description: 'SIGTERM and SIGINT to a member while all brokers are dead, or silent: exit code 1 within its deadline',
    limitSeconds: ({ long }) => (long ? 1_200 : 150),
    run: runAlone,
  },
];
