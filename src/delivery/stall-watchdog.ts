import type { Consumer } from '../client/consumer.ts';
import type { Stall } from '../client/events.ts';
import type { OffsetManager } from './offset-manager.ts';

/** How often the watchdog looks at most. */
const LOOK_MS = 1_000;

/** A look that comes so much too late means that the event loop was blocked. */
const BLOCKED_MS = 1_000;

export interface WatchdogOptions {
  readonly stallTimeoutMs: number;
  readonly onStall: 'report' | 'rejoin';
}

type WatchedConsumer = Pick<
  Consumer<unknown, unknown, unknown>,
  'closed' | 'emit' | 'lag' | 'once' | 'parked' | 'paused' | 'rejoin' | 'setStall' | 'starved'
>;
type WatchedManager = Pick<OffsetManager, 'awaitsOutputs' | 'handedOver' | 'inFlightRecords' | 'settle'>;

/** Watches a consumer for as long as it is open. */
export function watchForStalls(consumer: WatchedConsumer, manager: WatchedManager, options: WatchdogOptions): void {
  const watchdog = new StallWatchdog(consumer, manager, options);
  const lookMs = Math.min(LOOK_MS, options.stallTimeoutMs / 4);
  let dueAt = performance.now() + lookMs;
  const timer = setInterval(() => {
    const now = performance.now();
    const lateMs = now - dueAt;
    dueAt = now + lookMs;
    if (lateMs >= BLOCKED_MS) watchdog.eventLoopBlocked(lateMs);
    else void watchdog.look(now);
  }, lookMs).unref();
  consumer.once('closed', () => clearInterval(timer));
}

/** Tells a consumer that has nothing to do from one that is stuck, and says where. */
export class StallWatchdog {
  readonly #consumer: WatchedConsumer;
  readonly #manager: WatchedManager;
  readonly #options: WatchdogOptions;
  #progressAt = performance.now();
  #handedOver = 0;
  #inFlight = 0;
  #looking = false;
  #nextLookAt = 0;
  #stalled = false;

  constructor(consumer: WatchedConsumer, manager: WatchedManager, options: WatchdogOptions) {
    this.#consumer = consumer;
    this.#manager = manager;
    this.#options = options;
  }

  /** Nothing could have made progress in that time, so it does not count. */
  eventLoopBlocked(blockedMs: number): void {
    this.#progressAt += blockedMs;
    this.#consumer.emit('eventLoopBlocked', { blockedMs: Math.round(blockedMs) });
  }

  async look(now: number): Promise<void> {
    if (this.#looking || this.#consumer.closed) return;
    if (this.#hasProgress()) {
      this.#progress(now);
      return;
    }
    const { stallTimeoutMs } = this.#options;
    const stalledMs = now - this.#progressAt;
    if (stalledMs < stallTimeoutMs || now < this.#nextLookAt) return;
    // The brokers are asked once a timeout, not at every look.
    this.#nextLookAt = now + stallTimeoutMs;
    this.#looking = true;
    try {
      const stall = await this.#diagnose(Math.round(stalledMs));
      if (stall === undefined) this.#progress(now);
      else if (!this.#stalled && !this.#hasProgress() && !this.#consumer.closed) this.#report(stall);
    } finally {
      this.#looking = false;
    }
  }

  #hasProgress(): boolean {
    // Finished records leave when they are settled, which an idle loop may not do by itself.
    this.#manager.settle();
    return this.#manager.handedOver !== this.#handedOver || this.#manager.inFlightRecords < this.#inFlight;
  }

  #progress(now: number): void {
    this.#progressAt = now;
    this.#nextLookAt = 0;
    this.#handedOver = this.#manager.handedOver;
    this.#inFlight = this.#manager.inFlightRecords;
    if (this.#stalled) this.#consumer.setStall(undefined);
    this.#stalled = false;
  }

  /** Undefined when there is nothing to do. */
  async #diagnose(stalledMs: number): Promise<Stall | undefined> {
    const inFlightRecords = this.#manager.inFlightRecords;
    const lagRecords = await this.#lag();
    if (inFlightRecords > 0) {
      return { reason: this.#manager.awaitsOutputs ? 'outputs' : 'handler', stalledMs, lagRecords, inFlightRecords };
    }
    if (lagRecords === 0) return undefined;
    return { reason: this.#consumer.starved ? 'fetch' : 'handler', stalledMs, lagRecords, inFlightRecords };
  }

  /** Records waiting in the partitions that are assigned and neither paused nor parked; undefined when the brokers do not answer. */
  async #lag(): Promise<number | undefined> {
    try {
      const resting = [...this.#consumer.paused(), ...this.#consumer.parked()];
      const paused = new Set(resting.map(({ topic, partition }) => `${topic}/${partition}`));
      const lags = await this.#consumer.lag();
      return lags
        .filter(({ topic, partition }) => !paused.has(`${topic}/${partition}`))
        .reduce((sum, { lagRecords }) => sum + lagRecords, 0);
    } catch {
      return undefined;
    }
  }

  #report(stall: Stall): void {
    this.#stalled = true;
    this.#consumer.setStall(stall);
    if (this.#options.onStall === 'rejoin' && stall.reason === 'fetch') this.#consumer.rejoin();
  }
}
