import { setTimeout as sleep } from 'node:timers/promises';
import {
  createConsumer,
  createPoolRunner,
  createProducer,
  createSchemaRegistry,
  type PoolRunner,
  type RunPoolOptions,
} from 'rdkafka-toolkit';
import { Clock } from '../clock.ts';
import type { AvroJob, AvroReport } from '../job.ts';
import { varsOf } from './decode.ts';

const LOOK_MS = 2;

type PoolOptions = Pick<RunPoolOptions<unknown, unknown, unknown>, 'handler' | 'mode' | 'concurrency'>;

/** `inline`, `pool-<workers>` or `auto`. */
export function poolOptions(contender: string, handler: string): PoolOptions {
  const [, workers] = /pool-(\d+)$/.exec(contender) ?? [];
  const mode = workers !== undefined ? 'pool' : contender.endsWith('inline') ? 'inline' : 'auto';
  return { mode, concurrency: Number(workers ?? 2), handler: new URL(`../handlers/${handler}.js`, import.meta.url) };
}

/** Runs a pool over all records of the input and measures from the first to the last that is handled, outputs delivered. */
export async function measurePool(job: AvroJob, options: PoolOptions, produces: boolean): Promise<AvroReport> {
  const vars = varsOf(job);
  const registry = createSchemaRegistry({ vars });
  const consumer = await createConsumer({ vars, topics: job.inputTopics });
  const producer = produces ? await createProducer({ vars }) : undefined;
  const stop = new AbortController();
  const pool = createPoolRunner({
    consumer,
    producer,
    registry,
    ...options,
    handleSignals: false,
    closeClients: false,
    signal: stop.signal,
  });
  const clock = new Clock();
  const ended = pool.run();
  const watch = (async () => {
    while (pool.stats().handledRecords === 0) await sleep(LOOK_MS);
    clock.start(pool.stats().handledRecords);
    while (pool.stats().handledRecords < job.records) await sleep(LOOK_MS);
    await producer?.flush({ timeoutMs: 60_000 });
    clock.stop();
    stop.abort();
  })();
  await Promise.race([ended, watch]);
  const { produced } = await ended;
  await consumer.close();
  await producer?.close();
  const faults = produces && produced !== job.records ? [`${produced} outputs instead of ${job.records}`] : [];
  return clock.report(job.records, faults, note(pool));
}

function note(pool: PoolRunner): string | undefined {
  const { mode, switches, micros } = pool.stats();
  if (switches === 0 && micros.inline === undefined) return undefined;
  const show = (value: number | undefined): string => value?.toFixed(2) ?? '-';
  return `chose ${mode} (inline ${show(micros.inline)} µs, pool ${show(micros.pool)} µs)`;
}

export function poolCase(job: AvroJob): Promise<AvroReport> {
  return measurePool(job, poolOptions(job.contender, job.case === 'pool-heavy' ? 'heavy' : 'light'), false);
}
