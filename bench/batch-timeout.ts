import type { Meter } from './contender.ts';
import type { Job } from './job.ts';
import { openLoop } from './load.ts';

/** What each call is given. */
export const CALL_TIMEOUT_MS = 200;

/** What a call may take beyond its timeout. */
const TOLERANCE_MS = 20;

/** More records than come in twice the timeout, so that no call ends by its count. */
export function callCount(rate: number): number {
  return Math.max(20, Math.ceil((rate * 2 * CALL_TIMEOUT_MS) / 1_000));
}

/**
 * Has records sent at `job.rate` and times `job.records` calls that ask for more of them than come within their timeout. The latencies are
 * what the calls took.
 */
export async function measureCalls(job: Job, meter: Meter, ends: { send(): void; call(): Promise<unknown> }): Promise<readonly string[]> {
  let ended = false;
  const rate = job.rate!;
  const load = rate === 0 ? Promise.resolve() : openLoop(rate, () => ended, ends.send);
  // What the first call does once is no matter of its timeout.
  await ends.call();
  let slowestMs = 0;
  let late = 0;
  meter.start(0);
  for (let call = 0; call < job.records; call++) {
    const calledAt = performance.now();
    await ends.call();
    const tookMs = performance.now() - calledAt;
    meter.latency(tookMs);
    slowestMs = Math.max(slowestMs, tookMs);
    if (tookMs > CALL_TIMEOUT_MS + TOLERANCE_MS) late++;
  }
  meter.stop();
  ended = true;
  await load;
  meter.note = `timeout ${CALL_TIMEOUT_MS} ms: ${late} of ${job.records} calls took more than ${TOLERANCE_MS} ms longer, the slowest ${slowestMs.toFixed(1)} ms`;
  return [];
}
