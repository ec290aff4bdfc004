import { setTimeout as sleep } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { renderFamilies } from './exposition.ts';
import { countFamilies, type SharedCounts } from './live-counts.ts';
import { PodAddresses } from './pod-addresses.ts';
import { PodPusher } from './pod-pusher.ts';
import { PushCounts } from './push-counts.ts';
import type { FromPushThread, PushThreadData, ToPushThread } from './push-messages.ts';

/**
 * The thread that pushes, so that pushes leave while the event loop of the service is blocked. It must not load node-rdkafka, which
 * works in one thread only: its imports are few on purpose.
 */

/** How long a push waits for fresh values and for addresses, at most half its interval: a blocked service and a dead DNS do not delay it. */
const WAIT_MAX_MS = 500;

/** Ticks come up to this share early or late, so that a fleet that started at once does not push at once for ever. */
const JITTER = 0.1;

class PushLoop {
  readonly #port: MessagePort;
  readonly #intervalMs: number;
  readonly #counts: SharedCounts;
  readonly #exceptions: string[];
  readonly #addresses: PodAddresses;
  readonly #pushCounts = new PushCounts();
  readonly #pods: PodPusher;
  #snapshot = '';
  #snapshotAt = performance.now();
  #onSnapshot: () => void = () => undefined;
  #stopping = false;
  #wake = new AbortController();

  constructor(port: MessagePort, { target, counts, intervalMs }: PushThreadData) {
    this.#port = port;
    this.#intervalMs = intervalMs;
    this.#exceptions = [...counts.exceptions];
    this.#counts = { ...counts, exceptions: this.#exceptions };
    this.#addresses = new PodAddresses(target);
    this.#pods = new PodPusher(target, intervalMs, this.#pushCounts);
    port.on('message', (message: ToPushThread) => this.#receive(message));
  }

  #receive(message: ToPushThread): void {
    switch (message.type) {
      case 'snapshot':
        this.#snapshot = message.text;
        this.#snapshotAt = performance.now();
        this.#onSnapshot();
        break;
      case 'exception':
        this.#exceptions[message.index] = message.name;
        break;
      case 'stop':
        this.#stopping = true;
        this.#wake.abort();
        void this.#finish(message.remove, message.timeoutMs);
        break;
    }
  }

  /** Ticks follow one another; pushes of a tick may outlast it, those to one pod never overlap. */
  async run(): Promise<void> {
    await this.#pause(this.#intervalMs * Math.random());
    while (!this.#stopping) {
      const startedAt = performance.now();
      await this.#freshSnapshot();
      if (this.#stopping) return;
      const resolution = await this.#addresses.resolveSoon(this.#waitMs);
      if (this.#stopping) return;
      this.#pods.push(resolution, this.#body());
      this.#tell({ type: 'status', status: this.#pushCounts.status! });
      const wanted = this.#intervalMs * (1 + JITTER * (2 * Math.random() - 1));
      await this.#pause(Math.max(1, wanted - (performance.now() - startedAt)));
    }
  }

  get #waitMs(): number {
    return Math.min(WAIT_MAX_MS, this.#intervalMs / 2);
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#wake.signal }).catch(() => undefined);
  }

  async #freshSnapshot(): Promise<void> {
    const arrived = new Promise<void>((resolve) => {
      this.#onSnapshot = resolve;
    });
    this.#tell({ type: 'collect' });
    await Promise.race([arrived, this.#pause(this.#waitMs)]);
  }

  /** The counts as they are now, the pushing's own, and the rest as it was last told. */
  #body(): Buffer {
    this.#pushCounts.snapshotAge((performance.now() - this.#snapshotAt) / 1000);
    const { labels, counterNames } = this.#counts;
    const own = [...countFamilies(this.#counts), ...this.#pushCounts.families(labels, counterNames)];
    return Buffer.from(renderFamilies(own, 'text') + this.#snapshot, 'utf8');
  }

  async #finish(remove: boolean, timeoutMs: number): Promise<void> {
    const deadline = sleep(timeoutMs, false);
    const work = async (): Promise<boolean> => {
      const resolution = await this.#addresses.resolveSoon(this.#waitMs);
      this.#pods.push(resolution, this.#body(), { last: true });
      await this.#pods.idle();
      if (remove) await this.#pods.remove();
      return true;
    };
    const inTime = await Promise.race([work(), deadline]);
    this.#tell({ type: 'stopped', status: this.#pushCounts.status, inTime });
    this.#pods.close();
  }

  #tell(message: FromPushThread): void {
    this.#port.postMessage(message);
  }
}

// In a worker thread there is always a parent; without one this file does nothing.
if (parentPort !== null) await new PushLoop(parentPort, workerData as PushThreadData).run();
