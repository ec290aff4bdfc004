import { fork } from 'node:child_process';
import { ToolkitError } from 'rdkafka-toolkit';
import { consumerSettings } from '../src/config/consumer-config.ts';
import { producerSettings } from '../src/config/producer-config.ts';
import { redactConfig } from '../src/config/redact.ts';
import type { FieldCount } from './avro/records.ts';
import { cannotRun, programOf } from './clients.ts';
import { type Contestant, type Job, type JobSettings, type Report, type Row, type RunInfo, varsOf } from './job.ts';
import { hasRate, inputOf, type Mode } from './modes.ts';
import type { Shape } from './shape.ts';
import type { Place } from './topics.ts';

/** A contender that takes longer hangs. */
const RUN_TIMEOUT_MS = 240_000;

/** Partitions of a topic that is made for one run. */
const SINGLE_PARTITIONS = 4;

/** Calls of `batch-timeout` in one run. */
const TIMED_CALLS = 20;

/** A commit is a round trip: so many records take as long as the other modes' do. */
const SYNC_SHARE = 1 / 400;

/** A handler of 20 µs takes long enough with so many. */
const HEAVY_SHARE = 1 / 4;

/** One run to be made. */
export interface PlannedRun extends Contestant {
  readonly mode: Mode;
  readonly shape: Shape;
  readonly rate: number | null;
  readonly repeat: number;
}

/** What is measured, in which order. */
export interface Plan {
  readonly modes: readonly Mode[];
  readonly contestants: readonly Contestant[];
  readonly shapes: readonly Shape[];
  /** Of modes that have one; undefined: those that show most. */
  readonly rates: readonly number[] | undefined;
  readonly repeats: number;
}

/** Every run in the order it is made: repeat after repeat, in each the modes and shapes, in each the clients one after the other. */
export function planRuns({ modes, contestants, shapes, rates, repeats }: Plan): PlannedRun[] {
  const runs: PlannedRun[] = [];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    for (const mode of modes) {
      // Who goes first changes, so that being first is no advantage.
      const inTurn = repeat % 2 === 1 ? contestants : contestants.toReversed();
      for (const shape of shapes) {
        for (const rate of ratesOf(mode, rates)) {
          for (const contestant of inTurn) {
            if (cannotRun(contestant.client, mode, shape.compression) === undefined)
              runs.push({ ...contestant, mode, shape, rate, repeat });
          }
        }
      }
    }
  }
  return runs;
}

function ratesOf(mode: Mode, asked: readonly number[] | undefined): readonly (number | null)[] {
  if (!hasRate(mode)) return [null];
  if (mode === 'batch-timeout') return asked ?? [0, 1, 10, 1_000];
  // No load has no latency.
  return (asked ?? [10, 1_000]).filter((rate) => rate > 0);
}

/** One run done: its row, and what was wrong with it. */
export interface Outcome {
  readonly row: Row;
  readonly faults: readonly string[];
}

/** The topics of runs. */
export interface TopicSource {
  /** Those that the runs of a mode and shape share. */
  of(mode: Mode, shape: Shape): Place;
  /** An empty topic for a single run. */
  single(partitions: number): Promise<string>;
}

/** Where and on what runs are made. */
export interface Bench {
  readonly topics: TopicSource;
  readonly bootstrapServers: string;
  readonly registryUrl: string;
  readonly info: RunInfo;
  /** Of the Avro records. */
  readonly fields: FieldCount;
  /** Whether all records are in the client's memory before the clock starts. */
  readonly prefetched: boolean;
  /** How long a fixed load lasts. */
  readonly loadSeconds: number;
  readonly signal: AbortSignal;
}

/** Makes a run in a fresh process and waits for its end. */
export async function makeRun(run: PlannedRun, number: number, bench: Bench): Promise<Outcome> {
  const place = bench.topics.of(run.mode, run.shape);
  const single = inputOf(run.mode) === 'none' && !run.mode.startsWith('produce');
  const outputTopics = single ? [await bench.topics.single(SINGLE_PARTITIONS)] : place.outputTopics;
  const { client, vars, mode, rate, repeat } = run;
  const records = recordsOf(run, place, bench.loadSeconds);
  const { bootstrapServers, registryUrl, fields, prefetched } = bench;
  const job: Job = {
    ...place.shape,
    client,
    vars,
    mode,
    rate,
    fields,
    prefetched,
    bootstrapServers,
    registryUrl,
    groupId: `bench-${process.pid}-${Date.parse(bench.info.startedAt).toString(36)}-${number}`,
    inputTopics: place.inputTopics,
    outputTopics,
    records,
    partitions: single ? SINGLE_PARTITIONS : place.shape.partitions,
    whole: records === place.shape.records,
  };
  const { faults, config, ...figures } = await report(job, bench.signal);
  const { recordBytes, headers, compression, partitions } = job;
  return {
    row: {
      client,
      vars,
      mode,
      records,
      recordBytes,
      headers,
      compression,
      partitions,
      rate,
      prefetched,
      repeat,
      ...figures,
      config: repeat > 1 ? null : Object.keys(config).length > 0 ? config : librdkafkaSettings(job),
      run: bench.info,
    },
    faults,
  };
}

/** What clients over librdkafka run with: what the toolkit would set. */
function librdkafkaSettings(job: JobSettings): Record<string, unknown> {
  const vars = varsOf(job);
  const consumer = job.mode.startsWith('produce') ? {} : { consumer: redactConfig(consumerSettings(vars)) };
  const produces = !['async', 'iterate', 'sync', 'batch', 'read', 'decode', 'projection', 'pool', 'pool-heavy'].includes(job.mode);
  return { ...consumer, ...(produces ? { producer: redactConfig(producerSettings(vars)) } : {}) };
}

function recordsOf({ client, mode, rate }: PlannedRun, { shape: { records } }: Place, loadSeconds: number): number {
  if (mode === 'sync') return Math.min(records, Math.max(50, Math.round(records * SYNC_SHARE)));
  if (mode === 'pool-heavy') return Math.ceil(records * HEAVY_SHARE);
  if (mode === 'latency') return Math.max(10, Math.round((rate ?? 1) * loadSeconds));
  if (mode === 'batch-timeout') return TIMED_CALLS;
  if (mode === 'concurrent') return Math.min(records, client === 'rdkafka-toolkit' ? 100_000 : 1_000);
  return records;
}

function report(job: Job, signal: AbortSignal): Promise<Report> {
  const { file, environment } = programOf(job.client, job.mode);
  const child = fork(new URL(file, import.meta.url), { timeout: RUN_TIMEOUT_MS, env: { ...process.env, ...environment }, signal });
  return new Promise((resolve, reject) => {
    let answer: { report?: Report; error?: string } | undefined;
    child.once('message', (message) => {
      answer = message as typeof answer;
    });
    child.once('error', reject);
    child.once('exit', (code, ended) => {
      if (answer?.report !== undefined && code === 0) return resolve(answer.report);
      const reason = answer?.error ?? `it ended with ${ended ?? code} without a report`;
      return reject(new ToolkitError('ERR_STATE', `${job.mode} by ${job.client} failed: ${reason}`));
    });
    child.send(job);
  });
}
