import { TimeoutError } from 'rdkafka-toolkit';
import { orAborted } from '../../src/abort.ts';
import { deriveSeed, Random } from '../support/random.ts';
import { FaultContext } from './context.ts';
import type { Fault, FaultScale, Outcome } from './fault.ts';
import type { RealCluster } from './real-cluster.ts';

/** How long a fault that is over its time may take to let go. */
const CLEANUP_TIMEOUT_MS = 20_000;

/** One run of a fault. */
export interface FaultRun {
  readonly fault: Fault;
  readonly outcome: Outcome;
  readonly seconds: number;
}

/** Runs a fault within its time. Whatever goes wrong is a failure of its outcome. */
export async function runFault(fault: Fault, cluster: RealCluster, scale: FaultScale, seed: number): Promise<FaultRun> {
  const start = performance.now();
  const limitSeconds = fault.limitSeconds(scale);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(new TimeoutError(`It took more than ${limitSeconds} s`)), limitSeconds * 1_000);
  const context = new FaultContext(new Random(deriveSeed(seed, fault.id)), scale, stop.signal, () => cluster.healthy());
  let outcome: Outcome;
  try {
    outcome = await orAborted(fault.run(context), stop.signal);
  } catch (error) {
    outcome = { injected: 0, failures: [reasonOf(stop.signal.aborted ? stop.signal.reason : error)] };
  } finally {
    clearTimeout(timer);
    // A step that goes on after the fault has failed ends at its next wait.
    stop.abort();
    await orAborted(context.close(), AbortSignal.timeout(CLEANUP_TIMEOUT_MS)).catch(() => undefined);
  }
  return { fault, outcome, seconds: (performance.now() - start) / 1_000 };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
