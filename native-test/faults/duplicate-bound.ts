import type { RuntimeVars } from 'rdkafka-toolkit';
import type { Pattern } from './member-task.ts';

/** Longest time between two looks at what is finished while records are awaited: a fetch waits so long at most. */
const FETCH_SLICE_SECONDS = 0.2;

/**
 * How many outputs may come twice after one member was killed: what was in flight, and what was finished since the last commit.
 *
 * In flight: records handed over whose outputs the broker has, but whose reports are outstanding: bounded by the producer's queue.
 * Stored once a fetch, so a batch (and the one that was fetched ahead) may be finished and not stored; committed every
 * `CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS`. The synchronous pattern commits every record, transactions repeat none.
 */
export function duplicatesPerKill(pattern: Pattern, vars: RuntimeVars, recordsPerSecond: number): number {
  if (pattern === 'transaction') return 0;
  if (pattern === 'sync') return 1;
  const batch = pattern === 'batch' ? vars.CONSUMER_BATCH_COUNT : 0;
  const window = vars.PRODUCER_QUEUE_MAX_RECORDS + 2 * vars.CONSUMER_PREFETCH_COUNT + batch;
  return window + Math.ceil(recordsPerSecond * (vars.CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS + FETCH_SLICE_SECONDS));
}
