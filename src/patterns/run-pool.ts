import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResourceLimits } from 'node:worker_threads';
import { orAborted } from '../abort.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { BatchRange } from '../client/consumer-settings.ts';
import type { Producer } from '../client/producer.ts';
import { offsetManagerOf } from '../delivery/create-clients.ts';
import type { OffsetManager } from '../delivery/offset-manager.ts';
import { Outage } from '../delivery/outage.ts';
import { ConfigError, isToolkitError, NoMessageError } from '../errors.ts';
import type { MetricsRecorder } from '../hooks.ts';
import { BatchPool, type PoolStats } from '../pool/batch-pool.ts';
import type { PoolOrder } from '../pool/lanes.ts';
import type { PoolMode } from '../pool/mode-chooser.ts';
import type { SchemaSource } from '../serde.ts';
import { Failures } from './failures.ts';
import { type Loop, runLoop } from './run-loop.ts';
import type { RunOptions, RunResult } from './run-options.ts';

/** Options of {@link runPool}. */
export interface RunPoolOptions<K, V, H>
  extends Omit<RunOptions<K, V, H, never, never>, 'producer' | 'handlerTimeoutMs' | 'filter' | 'circuitBreaker'> {
  /**
   * URL of the handler module, `new URL('./handler.js', import.meta.url)`: a compiled file whose default export is made by
   * `definePoolHandler`. It decodes and encodes; the consumer and the producer of the runner move bytes.
   */
  readonly handler: URL;
  /** Needed when the handler returns records, and for retry topics and dead letters. */
  readonly producer?: Producer<never, never> | undefined;
  /** Where the module's Avro schemas come from. Workers reach it through the main thread, each schema once. */
  readonly registry?: SchemaSource | undefined;
  /**
   * `'pool'`: in workers; `'inline'`: on the main thread; `'auto'`: what is better on the live stream, measured anew now and then. Its workers
   * are there while it handles inline, too.
   * @default 'auto'
   */
  readonly mode?: PoolMode | 'auto' | undefined;
  /** Workers, each handling one record at a time. @default the machine's cores, less one for the main thread (at least one) */
  readonly concurrency?: number | undefined;
  /**
   * Which records are handled one after the other: those of a partition, those with the same key, or none. Under `key` records without a key keep
   * the order of their partition (in `runAsync` they wait for nobody). @default 'partition'
   */
  readonly order?: PoolOrder | undefined;
  /** Records that go to a worker at once, at most. @default 1000 */
  readonly taskRecords?: number | undefined;
  /**
   * How long a worker may take for such a task, in milliseconds. Then it is ended, and the task tried again; the record it hung at is told
   * apart. Inline nothing can be ended. @default no limit
   */
  readonly taskTimeoutMs?: number | undefined;
  /** Memory of a worker; one that exceeds it is replaced. @default Node's own */
  readonly resourceLimits?: ResourceLimits | undefined;
}

/** A pool that runs, or is about to. */
export interface PoolRunner {
  /** What it is doing now. */
  stats(): PoolStats;
  /** Runs it until it is stopped. Once. @throws as {@link runPool} */
  run(): Promise<RunResult>;
}

/**
 * The asynchronous pattern with the handler in worker threads: whole batches go to a worker by transfer, are decoded, handled and encoded
 * there, and the outputs come back packed and are produced without an object for each.
 *
 * Ordering: per partition (or key, by `order`), outputs included. Guarantee: at least once; an offset is stored when the outputs of its
 * record are acknowledged. A worker that throws, exits, runs out of memory or hangs costs a second try of the task it was at, never an
 * acknowledgement; a record that ends it twice fails with a `WorkerError`, which goes the way of an error of the handler (`failures`,
 * `onError`). After a crash of the process the records since the
 * last commit come again. When it is told to stop, tasks under way are finished; records that wait behind them come again.
 *
 * @throws the error that stopped it, after everything was closed; ShutdownError as `runAsync`
 * @example
 * await runPool({ consumer, producer, registry, handler: new URL('./handler.js', import.meta.url) });
 */
export function runPool<K, V, H>(options: RunPoolOptions<K, V, H>): Promise<RunResult> {
  return createPoolRunner(options).run();
}

/**
 * As {@link runPool}, with a handle to ask what it is doing.
 *
 * @throws ConfigError for options that cannot be
 */
export function createPoolRunner<K, V, H>(options: RunPoolOptions<K, V, H>): PoolRunner {
  const { concurrency = Math.max(1, availableParallelism() - 1), taskRecords = 1_000, taskTimeoutMs } = options;
  const faults = [
    ...countFault('concurrency', concurrency),
    ...countFault('taskRecords', taskRecords),
    ...(taskTimeoutMs === undefined ? [] : countFault('taskTimeoutMs', taskTimeoutMs)),
  ];
  if (faults.length > 0) throw new ConfigError(faults);
  return new Runner(options, concurrency, taskRecords);
}

function countFault(name: string, value: number): string[] {
  return Number.isInteger(value) && value > 0 ? [] : [`Expected ${name} to be a whole number above 0, got ${value}`];
}

class Runner<K, V, H> implements PoolRunner {
  readonly #options: RunPoolOptions<K, V, H>;
  readonly #pool: BatchPool;
  /** Set when it runs. */
  #failures: Failures<K, V, H> | undefined;

  constructor(options: RunPoolOptions<K, V, H>, workers: number, taskRecords: number) {
    const { consumer, producer, metrics } = options;
    this.#options = options;
    const manager = offsetManagerOf(consumer);
    this.#pool = new BatchPool(
      {
        handler: options.handler.href,
        recordMaxBytes: producer?.recordMaxBytes ?? 0,
        sink: producer?.sink ?? 'packed',
        produces: producer !== undefined,
        mode: options.mode ?? 'auto',
        workers,
        // One that waits behind another would lose of its time.
        tasksPerWorker: options.taskTimeoutMs === undefined ? 2 : 1,
        order: options.order ?? 'partition',
        taskRecords,
        taskTimeoutMs: options.taskTimeoutMs,
        resourceLimits: options.resourceLimits,
        registry: options.registry,
      },
      {
        produce: async (outputs) => {
          await producer!.enqueuePacked(outputs);
          metrics?.incMessagesProduced(outputs.length);
        },
        finish: (batch, indexes) => manager.finishOf(batch, indexes),
        behind: () => isBehind(consumer, manager),
        failed: (error, batch, index, attempt) => this.#failures!.failed(error, batch.at(index) as ConsumerRecord<K, V, H>, attempt),
      },
    );
  }

  stats(): PoolStats {
    return this.#pool.stats();
  }

  run(): Promise<RunResult> {
    const { producer } = this.#options;
    return runLoop('runPool', true, this.#options, ({ signal }) => {
      this.#failures = new Failures(this.#options, signal, { producer, holder: producer });
      return new PoolLoop(this.#options, this.#pool, this.#failures, signal);
    });
  }
}

/** Records of a partition that wait, by what librdkafka was told with its last fetch, from which on its consumer is behind. */
const BEHIND_RECORDS = 10_000;

function isBehind({ handle }: Pick<Consumer, 'handle'>, manager: OffsetManager): boolean {
  return manager.progress().some(({ lastOffset, partition, topic }) => {
    const end = handle.knownEnd({ topic, partition });
    return end !== undefined && lastOffset >= 0 && end - lastOffset > BEHIND_RECORDS;
  });
}

/** Takes what is ready of a batch in each turn, and hands it to the pool. */
class PoolLoop<K, V, H> implements Loop {
  readonly #consumer: Consumer<K, V, H>;
  readonly #metrics: MetricsRecorder | undefined;
  readonly #pool: BatchPool;
  readonly #failures: Failures<K, V, H>;
  readonly #signal: AbortSignal;
  /** Fires at the request to stop, and when the pool has ended by itself. */
  readonly #ended: AbortSignal;
  readonly #outage = new Outage();
  #consumed = 0;
  /** Still true at the end, the start or a turn failed. */
  #midTurn = false;

  constructor({ consumer, metrics }: RunPoolOptions<K, V, H>, pool: BatchPool, failures: Failures<K, V, H>, signal: AbortSignal) {
    this.#consumer = consumer;
    this.#metrics = metrics;
    this.#pool = pool;
    this.#failures = failures;
    this.#signal = signal;
    this.#ended = AbortSignal.any([signal, pool.failed]);
  }

  get result(): Omit<RunResult, 'left'> {
    const { producedRecords } = this.#pool.stats();
    const { retried, deadLettered, skipped } = this.#failures;
    return { consumed: this.#consumed, produced: producedRecords, skipped, filtered: 0, retried, deadLettered };
  }

  async start(): Promise<void> {
    this.#midTurn = true;
    this.#signal.addEventListener('abort', this.#onStop, { once: true });
    await Promise.all([this.#pool.start(), this.#failures.start()]);
    this.#midTurn = false;
  }

  readonly #onStop = (): void => this.#pool.stop();

  async turn(): Promise<void> {
    this.#midTurn = true;
    const range = await this.#take();
    this.#pool.throwIfEnded();
    offsetManagerOf(this.#consumer).throwIfFailed();
    this.#failures.throwIfFailed();
    if (range !== undefined) {
      const records = range.to - range.from;
      this.#consumed += records;
      this.#metrics?.incMessagesConsumed(records);
      await this.#pool.submit(range.batch as BatchRange<unknown, unknown, unknown>['batch'], range.from, range.to);
    }
    this.#midTurn = false;
  }

  /** Undefined when there is nothing to handle in this turn. */
  async #take(): Promise<BatchRange<K, V, H> | undefined> {
    try {
      const range = await this.#consumer.consumeRange({ signal: this.#ended, timeoutMs: TAKE_MS });
      this.#outage.over();
      return range;
    } catch (error) {
      if (error instanceof NoMessageError || this.#ended.aborted) return undefined;
      if (!isToolkitError(error) || !error.retriable || error.fatal) throw error;
      // An outage of the brokers: nothing was taken.
      this.#metrics?.incMessageErrors(error);
      await orAborted(sleep(this.#outage.next()), this.#ended).catch(() => undefined);
      return undefined;
    }
  }

  /** What waits in the pool is finished, unless a failure ends it. */
  async end(): Promise<void> {
    try {
      if (this.#midTurn) return;
      await this.#pool.drain();
      await this.#failures.settled();
    } finally {
      this.#signal.removeEventListener('abort', this.#onStop);
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

/** How often a runner without records looks whether its outputs failed, or it has ended. */
const TAKE_MS = 1_000;
