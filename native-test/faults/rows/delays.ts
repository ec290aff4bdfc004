import { recordOrigin } from 'rdkafka-toolkit';
import { startMockCluster } from 'rdkafka-toolkit/testing';
import type { FaultContext } from '../context.ts';
import { DELAY_MS, isDelayed } from '../failing-handler.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import type { Member } from '../member-process.ts';
import { Pipeline } from '../pipeline.ts';
import { numberOf, parseOutput } from '../records.ts';

/** The next process of a killed one joins when the group has noticed, and a mock group is slow to change by nearly a session. */
const SESSION = { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '2', RDKAFKA_HEARTBEAT_INTERVAL_MS: '300' } as const;
const RECORDS_PER_SECOND = 1_000;

/** By how much nine of ten delayed records may come late on a busy machine while nobody is killed. */
const LATE_MAX_MS = 1_000;
/** A record is due so long after it failed; it gets its timestamp when it is sent, a turn or two of the event loop later. */
const LEAD_MAX_MS = 500;
const CALM_RECORDS = 1_400;
/** Of 200 keys: numbers below are those of the calm. */
const CALM_NUMBERS = CALM_RECORDS / 200;

/** When the delayed records came out of the retry topic, and in which order. */
async function delayFaults(pipeline: Pipeline): Promise<{ readonly failures: string[]; readonly notes: string[] }> {
  let early = 0;
  let short = 0;
  const dueAt = new Map<string, number>();
  await pipeline.read(`${pipeline.output}-again`, (record) => {
    const name = `${record.key}/${numberOf(record.value)}`;
    const { notBefore = Number.NaN } = recordOrigin(record) ?? {};
    // One that went there twice, because of a kill, is due at the first time.
    if (!dueAt.has(name)) dueAt.set(name, notBefore);
    if (!(notBefore >= record.timestamp + DELAY_MS - LEAD_MAX_MS)) short++;
  });
  const lates: number[] = [];
  const highest = new Map<number, number>();
  let disordered = 0;
  const seen = new Set<string>();
  await pipeline.read(pipeline.output, (record) => {
    const { key, number } = parseOutput(record);
    const name = `${key}/${number}`;
    if (!isDelayed(number) || seen.has(name)) return;
    seen.add(name);
    const lateMs = record.timestamp - (dueAt.get(name) ?? Number.NaN);
    if (!(lateMs >= 0)) early++;
    if (number < CALM_NUMBERS) lates.push(lateMs);
    if (number < (highest.get(key) ?? -1)) disordered++;
    highest.set(key, Math.max(number, highest.get(key) ?? -1));
  });
  const sorted = lates.toSorted((a, b) => a - b);
  const late = sorted[Math.floor(sorted.length * 0.9)] ?? Number.NaN;
  const failures: string[] = [];
  if (sorted.length === 0) failures.push('No record was delayed: nothing was tested');
  if (early > 0) failures.push(`${early} records came before they were due`);
  if (short > 0) failures.push(`${short} records are due too early`);
  if (disordered > 0) failures.push(`${disordered} delayed records came after later ones of their key`);
  // Those that a kill left parked wait for the next process, too.
  if (!(late <= LATE_MAX_MS)) failures.push(`A tenth of the delayed records came more than ${late} ms late`);
  return {
    failures,
    notes: [
      `${seen.size} delayed; without kills half of them at most ${Math.round(sorted[sorted.length >> 1] ?? Number.NaN)} ms late, nine of ten ${Math.round(late)} ms`,
    ],
  };
}

async function run(context: FaultContext): Promise<Outcome> {
  const kills = context.choose(1, 20);
  const cluster = await startMockCluster({ brokers: 3 });
  context.defer(() => cluster.close());
  const pipeline = await Pipeline.onMock(context, cluster, SESSION);
  await cluster.createTopics([`${pipeline.output}-again`]);
  const start = (): Promise<Member> => pipeline.start('async', { failing: 'delayed' });
  let member = await start();
  await pipeline.feed(CALM_RECORDS, { recordsPerSecond: RECORDS_PER_SECOND });
  await context.sleep(DELAY_MS + LATE_MAX_MS);
  const feeding = pipeline.feed((kills + 1) * RECORDS_PER_SECOND, { recordsPerSecond: RECORDS_PER_SECOND });
  for (let kill = 0; kill < kills; kill++) {
    // In the midst of the rest of what failed first.
    const running = member;
    const goal = running.handled + 500;
    await pipeline.until(running, 'it has handled 500 more records', () => running.handled >= goal);
    await context.sleep(context.random.integer(0, DELAY_MS));
    await running.kill();
    member = await start();
  }
  await feeding;
  await pipeline.finish(60_000);
  // What rests is committed in its own topic; its outputs tell.
  await context
    .until('the delayed records are handled', async () => (await pipeline.verify()).verdict.lost === 0, 30_000, 500)
    .catch(() => undefined);
  const stopped = await pipeline.stop(member);
  const { verdict, peakRate } = await pipeline.verify();
  const delay = await delayFaults(pipeline);
  // Of the retry topic as of the input.
  const duplicateBound = 2 * kills * pipeline.duplicatesPerKill('async', peakRate);
  return {
    injected: kills,
    verdict,
    duplicateBound,
    failures: [...judge({ ...verdict, outOfOrder: 0 }, duplicateBound), ...stopped, ...delay.failures],
    notes: delay.notes,
  };
}

export const delays: readonly Fault[] = [
  {
    id: '19-delays',
    description: 'a third of the records goes by way of a retry topic, and the process is killed while they rest (mock)',
    limitSeconds: ({ long }) => (long ? 600 : 90),
    run,
  },
];
