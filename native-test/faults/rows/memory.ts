import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { FaultContext } from '../context.ts';
import type { Fault, Outcome } from '../fault.ts';
import { judge } from '../judge.ts';
import { Pipeline } from '../pipeline.ts';
import { slopePerHour } from '../statistics.ts';

const MEGABYTE = 1_048_576;
const RECORD_BYTES = 1_000_000;
const PREFETCH_RECORDS = 8;
/** What the process takes beside the budgets: V8 collects buffers when they have grown by 64 MB; its heap, and malloc's arenas. */
const RUNTIME_BYTES = 112 * MEGABYTE;
const SOAK_RECORDS_PER_SECOND = 500;
const SAMPLE_MS = 10_000;
/** A JSON object a line. */
const SAMPLES_FILE = '.cache/16-soak.jsonl';
/** Caches, pools, malloc's arenas and the heap grow to their size in the first part of a soak: two hours showed an hour of it. */
const WARM_UP_SHARE = 0.5;
const SLOPE_LIMIT_BYTES_PER_HOUR = MEGABYTE;

/**
 * The consumer's queue, a fetch of each broker on its way (and once more while it is unpacked), and three batches: the one in hand, the
 * one that was fetched ahead, and one that waits for the garbage collector.
 */
function memoryBudget(pipeline: Pipeline, brokers: number): number {
  const { MESSAGE_QUEUE_MAX_MB, MESSAGE_TOTAL_MAX_MB } = pipeline.vars();
  const fetches = 2 * brokers * MESSAGE_TOTAL_MAX_MB;
  return (MESSAGE_QUEUE_MAX_MB + fetches) * MEGABYTE + 3 * PREFETCH_RECORDS * RECORD_BYTES + RUNTIME_BYTES;
}

const inMegabytes = (bytes: number): string => `${(bytes / MEGABYTE).toFixed(1)} MB`;

async function runSlowConsumer(context: FaultContext): Promise<Outcome> {
  const records = context.choose(320, 1_500);
  const pipeline = await Pipeline.onReal(context, { CONSUMER_PREFETCH_COUNT: String(PREFETCH_RECORDS) });
  const { brokers } = await context.cluster();
  await pipeline.feed(records, { filling: randomBytes(RECORD_BYTES - 10) });
  const member = await pipeline.start('async', { pauseEvery: 1, pauseMs: 25 });
  await pipeline.finish(context.choose(60_000, 300_000));
  const grown = member.peakRssBytes - member.readyRssBytes;
  const budget = memoryBudget(pipeline, brokers.length);
  const stopped = await pipeline.stopAll();
  const { verdict } = await pipeline.verify();
  const failures = [...judge(verdict, 0), ...stopped];
  if (grown > budget) failures.push(`The process grew by ${inMegabytes(grown)}, more than ${inMegabytes(budget)}`);
  const notes = [`grew by ${inMegabytes(grown)} of ${inMegabytes(budget)} over ${inMegabytes(records * RECORD_BYTES)} of records`];
  return { injected: 1, verdict, duplicateBound: 0, failures, notes };
}

/** Where memory may grow: V8's heap, the buffers outside of it that V8 knows of, and all else: malloc, stacks, code. */
const MEMORY_KINDS = {
  rss: ({ rss }) => rss,
  'live heap': ({ heapUsed }) => heapUsed,
  heap: ({ heapTotal }) => heapTotal,
  buffers: ({ external }) => external,
  'all else': ({ rss, heapTotal, external }) => rss - heapTotal - external,
} as const satisfies Record<string, (memory: NodeJS.MemoryUsage) => number>;

interface MemorySample {
  readonly atMs: number;
  readonly memory: NodeJS.MemoryUsage;
}

const growthPerHour = (samples: readonly MemorySample[], bytesOf: (memory: NodeJS.MemoryUsage) => number): number =>
  slopePerHour(samples.map(({ atMs, memory }) => ({ atMs, value: bytesOf(memory) })));

async function runSoak(context: FaultContext): Promise<Outcome> {
  const seconds = context.scale.soakMinutes * 60;
  const pipeline = await Pipeline.onReal(context);
  const member = await pipeline.start('async');
  const samples: MemorySample[] = [];
  const sampling = setInterval(() => {
    if (member.memory !== undefined) samples.push({ atMs: performance.now(), memory: member.memory });
  }, SAMPLE_MS);
  context.defer(() => clearInterval(sampling));
  await pipeline.feed(seconds * SOAK_RECORDS_PER_SECOND, { recordsPerSecond: SOAK_RECORDS_PER_SECOND });
  clearInterval(sampling);
  await pipeline.finish(60_000);
  const stopped = await pipeline.stopAll();
  const { verdict } = await pipeline.verify();
  writeFileSync(SAMPLES_FILE, samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
  const warm = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
  const slope = growthPerHour(warm, MEMORY_KINDS.rss);
  const failures = [...judge(verdict, 0), ...stopped];
  if (slope >= SLOPE_LIMIT_BYTES_PER_HOUR) failures.push(`Memory grows by ${inMegabytes(slope)} an hour`);
  const growths = Object.entries(MEMORY_KINDS).map(([kind, bytesOf]) => `${kind} ${inMegabytes(growthPerHour(warm, bytesOf))}`);
  const notes = [
    `an hour, over ${context.scale.soakMinutes} minutes: ${growths.join(', ')}`,
    `${inMegabytes(warm.at(-1)?.memory.rss ?? 0)} at the end`,
    `samples: ${SAMPLES_FILE}`,
  ];
  return { injected: 1, verdict, duplicateBound: 0, failures, notes };
}

export const memory: readonly Fault[] = [
  {
    id: '16-slow-consumer',
    description: 'a consumer far slower than a topic of 1 MB records: memory within the configured budgets',
    limitSeconds: ({ long }) => (long ? 600 : 100),
    run: runSlowConsumer,
  },
  {
    id: '16-soak',
    description: 'memory of a member that works for --soak-minutes: slope below 1 MB an hour after warm-up',
    limitSeconds: ({ soakMinutes }) => soakMinutes * 60 + 600,
    short: false,
    run: runSoak,
  },
];
