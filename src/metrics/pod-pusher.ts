import type { Agent } from 'node:http';
import type { Resolution } from './pod-addresses.ts';
import { deleteMetrics, type PodFailure, type PodRequest, pushAgent, putMetrics } from './pod-request.ts';
import type { PushCounts } from './push-counts.ts';

/** Longest time a pod that failed is left out, in pushes and in all. */
const BACKOFF_MAX_INTERVALS = 8;
const BACKOFF_MAX_MS = 30_000;

/** Where metrics are pushed to, and in what manner; plain data, so that it can be given to a thread. */
export interface PushTarget {
  readonly host: string;
  readonly podPort: number;
  /** Path of the group on every pod. */
  readonly path: string;
  /** For one pod, in milliseconds. */
  readonly timeoutMs: number;
  /** Pushes under way at once. */
  readonly concurrency: number;
  readonly family: 0 | 4 | 6;
  readonly keepAddressesMs: number;
  readonly dnsServers: readonly string[] | undefined;
}

/** What is known of one pod. */
interface Pod {
  readonly address: string;
  readonly agent: Agent;
  busy: boolean;
  /** To be pushed to once more as soon as it is free. */
  again: boolean;
  failures: number;
  notBefore: number;
}

/** Pushes one text to many pods at once. A pod that hangs or fails holds up no other. */
export class PodPusher {
  readonly #target: PushTarget;
  readonly #counts: PushCounts;
  readonly #intervalMs: number;
  #pods = new Map<string, Pod>();
  readonly #queue: Pod[] = [];
  #running = 0;
  #body: Buffer = Buffer.alloc(0);
  #onIdle: (() => void)[] = [];

  constructor(target: PushTarget, intervalMs: number, counts: PushCounts) {
    this.#target = target;
    this.#intervalMs = intervalMs;
    this.#counts = counts;
  }

  /**
   * Starts a push to every pod that is free and not being left out. `last` leaves none out: one that is busy gets it next. Does not wait
   * for them.
   */
  push({ addresses, failure }: Resolution, body: Buffer, { last = false }: { readonly last?: boolean } = {}): void {
    if (failure !== undefined) this.#counts.failed(failure);
    this.#counts.resolved(addresses.length);
    this.#body = body;
    this.#setPods(addresses);
    const now = performance.now();
    for (const pod of this.#pods.values()) {
      if (pod.busy && last) pod.again = true;
      else if (pod.busy || (!last && now < pod.notBefore)) this.#counts.skipped();
      else {
        pod.busy = true;
        this.#queue.push(pod);
      }
    }
    this.#start();
  }

  /** Resolves when no push is under way. */
  idle(): Promise<void> {
    if (this.#running === 0 && this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Removes the group from every pod. */
  async remove(): Promise<void> {
    const failures = await Promise.all([...this.#pods.values()].map((pod) => deleteMetrics(this.#request(pod))));
    for (const failure of failures) if (failure !== undefined) this.#counts.failed(failure);
  }

  /** Closes the connections. */
  close(): void {
    this.#setPods([]);
  }

  #setPods(addresses: readonly string[]): void {
    const before = this.#pods;
    this.#pods = new Map(
      addresses.map((address) => [
        address,
        before.get(address) ?? { address, agent: pushAgent(), busy: false, again: false, failures: 0, notBefore: 0 },
      ]),
    );
    for (const [address, { agent }] of before) if (!this.#pods.has(address)) agent.destroy();
  }

  #start(): void {
    while (this.#running < this.#target.concurrency) {
      const pod = this.#queue.shift();
      if (pod === undefined) break;
      this.#running++;
      void this.#pushTo(pod);
    }
    if (this.#running > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  async #pushTo(pod: Pod): Promise<void> {
    const startedAt = performance.now();
    const failure = await putMetrics(this.#request(pod), this.#body);
    this.#note(pod, failure, startedAt);
    if (pod.again) this.#queue.push(pod);
    else pod.busy = false;
    pod.again = false;
    this.#running--;
    this.#start();
  }

  /** The first failure leaves none of its next pushes out, each further one twice as many. */
  #note(pod: Pod, failure: PodFailure, startedAt: number): void {
    const now = performance.now();
    if (failure === undefined) {
      pod.failures = 0;
      pod.notBefore = 0;
      this.#counts.accepted((now - startedAt) / 1000);
      return;
    }
    this.#counts.failed(failure);
    const longestMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MAX_INTERVALS * this.#intervalMs);
    pod.notBefore = pod.failures === 0 ? 0 : now + Math.min(longestMs, this.#intervalMs * 2 ** pod.failures) * (0.75 + Math.random() / 4);
    pod.failures++;
  }

  #request({ address, agent }: Pod): PodRequest {
    const { podPort, path, timeoutMs } = this.#target;
    return { address, agent, port: podPort, path, timeoutMs };
  }
}
