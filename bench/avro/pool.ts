import { setTimeout as sleep } from 'node:timers/promises';
import {
  createConsumer,
  createPoolRunner,
  createProducer,
  createSchemaRegistry,
  type PoolRunner,
  type RunPoolOptions,
} from 'rdkafka-toolkit';
import type { ClientName } from '../clients.ts';
import type { Meter } from '../contender.ts';
import { type Job, varsOf } from '../job.ts';
import { inputConfig, prefetch } from '../prefetch.ts';

const LOOK_MS = 2;

type PoolOptions = Pick<RunPoolOptions<unknown, unknown, unknown>, 'handler' | 'mode' | 'concurrency'>;

/** `…-inline` handles on the event loop, `…-pool-<workers>` in workers, any other name is `auto`. */
export function poolOptions(client: ClientName, handler: 'charge' | 'charge-20' | 'heavy' | 'light'): PoolOptions {
  const [, workers] = /-pool-(\d+)$/.exec(client) ?? [];
  const mode = workers !== undefined ? 'pool' : client.endsWith('-inline') ? 'inline' : 'auto';
  return { mode, concurrency: Number(workers ?? 2), handler: new URL(`handlers/${handler}.js`, import.meta.url) };
}

/** Runs a pool over all records of the input and measures from the first to the last that is handled, outputs delivered. */
export async function measurePool(job: Job, meter: Meter, options: PoolOptions): Promise<string[]> {
  const vars = varsOf(job);
  const registry = createSchemaRegistry({ vars });
  const consumer = await createConsumer({ vars, topics: job.inputTopics, config: inputConfig(job) });
  const producer = job.mode === 'pipeline' ? await createProducer({ vars }) : undefined;
  await prefetch(job, consumer);
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
  const ended = pool.run();
  const watch = (async () => {
    while (pool.stats().handledRecords === 0) await sleep(LOOK_MS);
    meter.start(pool.stats().handledRecords);
    while (pool.stats().handledRecords < job.records) await sleep(LOOK_MS);
    await producer?.flush({ timeoutMs: 60_000 });
    meter.stop();
    stop.abort();
  })();
  await Promise.race([ended, watch]);
  const { produced } = await ended;
  meter.note = note(pool);
  await consumer.close();
  await producer?.close();
  // A run on fewer records than there are ends somewhere behind them.
  return producer !== undefined && job.whole && produced !== job.records ? [`${produced} outputs instead of ${job.records}`] : [];
}

function note(pool: PoolRunner): string | null {
  const { mode, switches, micros } = pool.stats();
  if (switches === 0 && micros.inline === undefined) return null;
  const show = (value: number | undefined): string => value?.toFixed(2) ?? '-';
  return `chose ${mode} (inline ${show(micros.inline)} µs, pool ${show(micros.pool)} µs)`;
}
