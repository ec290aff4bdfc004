import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer } from 'rdkafka-toolkit';
import type { Job } from './job.ts';

/** Room for all records of a run in librdkafka's queue. */
const QUEUE_FOR_ALL = { 'queued.max.messages.kbytes': 2_097_151, 'queued.min.messages': 10_000_000 } as const;

/** All is there when the process has not grown by this within that time. librdkafka's own count stands behind the records in its queue. */
const STILL_BYTES = 1_048_576;
const STILL_MS = 1_000;

/** What a consumer of the input is configured with beside the runtime variables. */
export function inputConfig({ prefetched }: Job): Readonly<Record<string, number>> {
  return prefetched ? QUEUE_FOR_ALL : {};
}

/**
 * Under `--prefetched`, waits until all records of a run are in librdkafka's memory and the broker is idle. Nothing is taken meanwhile: a consumer
 * that was asked once and then not any more stops librdkafka when its buffer is full, which drops what it holds.
 */
export async function prefetch<K, V, H>(job: Job, consumer: Consumer<K, V, H>): Promise<void> {
  if (!job.prefetched) return;
  while (consumer.assignment().length === 0) await sleep(STILL_MS);
  for (let before = 0, now = process.memoryUsage.rss(); now - before > STILL_BYTES; ) {
    await sleep(STILL_MS);
    before = now;
    now = process.memoryUsage.rss();
  }
}
