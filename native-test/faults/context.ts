import { setTimeout as sleep } from 'node:timers/promises';
import { TimeoutError } from 'rdkafka-toolkit';
import type { KafkaCluster } from '../services/kafka-cluster.ts';
import type { Random } from '../support/random.ts';
import type { FaultScale } from './fault.ts';

const POLL_MS = 20;

type Cleanup = () => unknown;

/** What a fault is run with. Every wait ends when the fault's time is over. */
export class FaultContext {
  readonly random: Random;
  readonly scale: FaultScale;
  readonly signal: AbortSignal;
  /** The real cluster of three brokers, all of them up. */
  readonly cluster: () => Promise<KafkaCluster>;
  readonly #cleanups: Cleanup[] = [];

  constructor(random: Random, scale: FaultScale, signal: AbortSignal, cluster: () => Promise<KafkaCluster>) {
    this.random = random;
    this.scale = scale;
    this.signal = signal;
    this.cluster = cluster;
  }

  get long(): boolean {
    return this.scale.long;
  }

  /** The first in the short form, the second in the long one. */
  choose<T>(short: T, long: T): T {
    return this.scale.long ? long : short;
  }

  /** Done when the fault is over, whatever its end; the last one first. */
  defer(cleanup: Cleanup): void {
    this.#cleanups.push(cleanup);
  }

  async sleep(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.signal });
  }

  /** @throws TimeoutError when it is not so in time; what `isSo` throws */
  async until(what: string, isSo: () => boolean | Promise<boolean>, timeoutMs: number = 60_000, pollMs: number = POLL_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await isSo())) {
      if (performance.now() >= deadline) throw new TimeoutError(`Not within ${timeoutMs} ms: ${what}`);
      await this.sleep(pollMs);
    }
  }

  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) {
      try {
        await cleanup();
      } catch {
        // What a fault left broken is not another failure.
      }
    }
  }
}
