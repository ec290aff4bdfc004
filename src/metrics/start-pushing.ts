import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { ConfigError, StateError, TimeoutError, ToolkitError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import type { MetricsManager } from './manager.ts';
import type { PushStatus } from './push-counts.ts';
import type { FromPushThread, PushThreadData, ToPushThread } from './push-messages.ts';
import type { MetricsPusher } from './pusher.ts';

/** How long a thread that ended by itself stays ended. */
const RESTART_MS = 1_000;

/** How much longer than its deadline the thread's last push may take before it is ended. */
const STOP_GRACE_MS = 500;

/** Options of {@link startPushingMetrics}. */
export interface PushingOptions {
  /** `DO_METRICS_PUSHING` and `METRICS_PUSH_RATE`. @default parseRuntimeVars() */
  readonly vars?: RuntimeVars | undefined;
  /**
   * Told what goes wrong besides pods that do not answer, which the metrics show: a custom metric that throws, a thread that ended.
   * @default a process warning
   */
  readonly onError?: ((error: ToolkitError) => void) | undefined;
}

/** Pushing that is under way. */
export interface MetricsPushing extends AsyncDisposable {
  /** False when `DO_METRICS_PUSHING=false` turned it off. */
  readonly active: boolean;
  /** What it did so far; undefined before the first push. */
  status(): PushStatus | undefined;
  /**
   * Pushes the last values to every pod, removes the group where the pusher says so (`deleteOnStop`), and ends. Calling it again
   * gives the same promise. Never rejects: what does not arrive in time is told by `onError`.
   *
   * @param options.timeoutMs for all of it, in milliseconds; default twice the pusher's deadline for a pod
   */
  stop(options?: { readonly timeoutMs?: number | undefined }): Promise<void>;
}

/**
 * Pushes a manager's metrics every so often, from a thread of its own: pushes leave on time whatever the event loop is doing. While it
 * is blocked, counts are those of the moment, all else is as it was last seen (`metrics_snapshot_age_seconds`).
 *
 * The thread keeps no process alive. Stop it before the process ends, so that the last values are pushed.
 *
 * @param everySeconds default `METRICS_PUSH_RATE`
 * @throws ConfigError when the manager has no pusher, or the interval is no number of seconds from 0.1
 * @example
 * await using pushing = startPushingMetrics(metrics, 10);
 */
export function startPushingMetrics(manager: MetricsManager, everySeconds?: number, options: PushingOptions = {}): MetricsPushing {
  const vars = options.vars ?? parseRuntimeVars();
  if (!vars.DO_METRICS_PUSHING) return new NoPushing();
  const seconds = everySeconds ?? vars.METRICS_PUSH_RATE;
  if (!(seconds >= 0.1 && seconds <= 86_400)) {
    throw new ConfigError([`Expected everySeconds to be a number of seconds from 0.1 to 86400, got ${seconds}`]);
  }
  const pusher = manager.metricsPusher;
  if (pusher === undefined) {
    throw new ConfigError([
      'Expected a MetricsManager with a metricsPusher: pass createMetricsPusher(), or set DO_METRICS_PUSHING=false to push nothing',
    ]);
  }
  return new ThreadPushing(manager, pusher, seconds * 1000, options.onError ?? ((error) => process.emitWarning(error)));
}

class NoPushing implements MetricsPushing {
  readonly active = false;

  status(): undefined {
    return undefined;
  }

  async stop(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

class ThreadPushing implements MetricsPushing {
  readonly active = true;
  readonly #manager: MetricsManager;
  readonly #pusher: MetricsPusher;
  readonly #intervalMs: number;
  readonly #onError: (error: ToolkitError) => void;
  #worker: Worker;
  #forgetCounts: () => void = () => undefined;
  #collecting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #onStopped: (inTime: boolean) => void = () => undefined;

  constructor(manager: MetricsManager, pusher: MetricsPusher, intervalMs: number, onError: (error: ToolkitError) => void) {
    this.#manager = manager;
    this.#pusher = pusher;
    this.#intervalMs = intervalMs;
    this.#onError = onError;
    this.#worker = this.#start();
  }

  status(): PushStatus | undefined {
    return this.#manager.pushCounts.status;
  }

  stop({ timeoutMs = 2 * this.#pusher.target.timeoutMs }: { readonly timeoutMs?: number | undefined } = {}): Promise<void> {
    this.#stopped ??= this.#stop(timeoutMs);
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #start(): Worker {
    const { counts, stop } = this.#manager.shareCounts((name, index) => this.#tell({ type: 'exception', name, index }));
    this.#forgetCounts = stop;
    const data: PushThreadData = { target: this.#pusher.target, counts, intervalMs: this.#intervalMs };
    // What the process was started with (a test runner, a loader) does not concern the thread; neither does its environment.
    const worker = new Worker(new URL('./pusher-thread.js', import.meta.url), { workerData: data, execArgv: [], env: {}, name: 'metrics' });
    worker.on('message', (message: FromPushThread) => this.#receive(message));
    worker.once('error', (error) => this.#report('The thread that pushes metrics failed', error));
    worker.once('exit', () => this.#ended());
    worker.unref();
    return worker;
  }

  #tell(message: ToPushThread): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromPushThread): void {
    if (message.type === 'collect') void this.#collect();
    else if (message.status !== undefined) this.#manager.pushCounts.update(message.status);
    if (message.type === 'stopped') this.#onStopped(message.inTime);
  }

  /** One at a time: a collection that takes longer than the interval must not pile up. */
  #collect(): Promise<void> {
    this.#collecting ??= this.#collectOnce().finally(() => {
      this.#collecting = undefined;
    });
    return this.#collecting;
  }

  async #collectOnce(): Promise<void> {
    try {
      this.#tell({ type: 'snapshot', text: await this.#manager.snapshot() });
    } catch (error) {
      this.#report('Cannot collect metrics, and pushes those of before', error);
    }
  }

  #ended(): void {
    this.#forgetCounts();
    this.#onStopped(false);
    if (this.#stopped !== undefined) return;
    // A short while later, so that what ends it each time does not do so without a pause.
    setTimeout(() => {
      if (this.#stopped === undefined) this.#worker = this.#start();
    }, RESTART_MS).unref();
  }

  async #stop(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const worker = this.#worker;
    const stopped = new Promise<boolean>((resolve) => {
      this.#onStopped = resolve;
    });
    worker.ref();
    // A custom metric that never answers must not keep the rest from being pushed.
    await Promise.race([this.#collect(), sleep(timeoutMs / 2, undefined, { ref: false })]);
    this.#tell({ type: 'stop', remove: this.#pusher.deleteOnStop, timeoutMs: Math.max(1, deadline - performance.now()) });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), Math.max(1, deadline - performance.now()) + STOP_GRACE_MS);
    });
    const inTime = await Promise.race([stopped, late]);
    clearTimeout(timer);
    await worker.terminate();
    if (!inTime) this.#onError(new TimeoutError(`The last metrics were not pushed to ${this.#pusher.serviceName} within ${timeoutMs} ms`));
  }

  #report(what: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#onError(error instanceof ToolkitError ? error : new StateError(`${what}: ${reason}`, { cause: error }));
  }
}
