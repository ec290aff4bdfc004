import type { Piscina } from 'piscina';
import type { PackedRecords } from '../binding/packed-records.ts';
import { ClosedError, ConfigError, TimeoutError, WorkerError } from '../errors.ts';
import type { SchemaSource } from '../serde.ts';
import { packSegments } from './lanes.ts';
import { openWorkers, type WorkersSettings } from './open-workers.ts';
import type { PoolTask } from './pool-task.ts';
import type { RunnerSettings } from './record-runner.ts';
import { SchemaService } from './schema-channel.ts';
import { fromThreadError } from './thread-error.ts';
import type { WorkerAnswer, WorkerSettings, WorkerTask } from './worker.ts';

/** Settings of the workers. */
export interface WorkerThreadsSettings extends RunnerSettings, WorkersSettings {
  readonly registry: SchemaSource | undefined;
  /** How long one task may take, in milliseconds; its worker is ended then. */
  readonly taskTimeoutMs: number | undefined;
}

/** What became of a task. */
export interface TaskOutcome {
  /** So many records from the first were handled; `error` is that of the next one. */
  readonly done: number;
  readonly error: unknown;
  readonly outputs: readonly PackedRecords[];
  readonly workMs: number;
}

/** Tasks in a row whose workers ended while they were not under way, from which on that counts as the tasks' failure: the workers cannot start. */
const MOST_IDLE = 100;

/** Piscina's workers, each with the handler module. */
export class WorkerThreads {
  readonly #settings: WorkerThreadsSettings;
  readonly #schemas: SchemaService;
  readonly #pool: Piscina<WorkerTask, WorkerAnswer>;
  #idle = 0;
  #closed = false;

  private constructor(settings: WorkerThreadsSettings, schemas: SchemaService, pool: Piscina<WorkerTask, WorkerAnswer>) {
    this.#settings = settings;
    this.#schemas = schemas;
    this.#pool = pool;
  }

  /**
   * Starts the workers and loads the handler module in one.
   *
   * @throws ConfigError when it cannot be loaded
   */
  static async open(settings: WorkerThreadsSettings): Promise<WorkerThreads> {
    const { handler, recordMaxBytes, sink, produces, registry } = settings;
    const schemas = new SchemaService(registry);
    const workerData: WorkerSettings = { handler, recordMaxBytes, sink, produces, channel: schemas.link };
    const pool = await openWorkers<WorkerTask, WorkerAnswer>(new URL('./worker.js', import.meta.url), workerData, settings);
    const threads = new WorkerThreads(settings, schemas, pool);
    try {
      await threads.#post({ length: 0, bytes: new ArrayBuffer(0), columns: new ArrayBuffer(4), topics: [], progress: sharedCounter() });
      return threads;
    } catch (error) {
      await threads.close();
      const reason = (error instanceof Error ? error.message : String(error)).replace(/^Invalid configuration: /, '');
      throw new ConfigError([reason], { cause: error });
    }
  }

  /** Tasks that wait for a worker. */
  get queued(): number {
    return this.#pool.queueSize;
  }

  /**
   * Handles a task in a worker. Undefined when the worker ended before it began with it, or with its answer after it was done.
   *
   * @throws WorkerError when the worker ended over it, `place` being the record it was at
   * @throws ClosedError when the workers were closed meanwhile
   */
  async run(task: PoolTask): Promise<TaskOutcome | undefined> {
    const { length, bytes, columns, topics } = packSegments(task.segments);
    const progress = sharedCounter();
    try {
      const { done, error, output, elapsedMs } = await this.#post({ length, bytes, columns, topics, progress });
      this.#idle = 0;
      const failed = error === undefined ? undefined : this.#rebuild(task, done, error);
      return { done, error: failed, outputs: output === undefined ? [] : [output], workMs: elapsedMs };
    } catch (error) {
      if (this.#closed) throw new ClosedError('The pool is closed', { cause: error });
      const place = progress[0]!;
      if (place < 0 && ++this.#idle <= MOST_IDLE) return undefined;
      throw this.#died(task, Math.max(0, Math.min(place, length - 1)), error);
    }
  }

  #rebuild(task: PoolTask, place: number, error: Parameters<typeof fromThreadError>[0]): Error {
    const { batch, index } = task.at(place);
    const { topic, partition, offset } = batch.at(index);
    return fromThreadError(error, { topic, partition, offset });
  }

  #died(task: PoolTask, place: number, cause: unknown): WorkerError {
    const { batch, index } = task.at(place);
    const { topic, partition, offset } = batch.at(index);
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new WorkerError(`A worker ended while it handled ${topic} [${partition}] @ ${offset}: ${reason}`, place, {
      cause,
      topic,
      partition,
      offset,
    });
  }

  async #post(task: WorkerTask): Promise<WorkerAnswer> {
    const { taskTimeoutMs } = this.#settings;
    const transferList = [task.bytes, task.columns];
    if (taskTimeoutMs === undefined) return await this.#pool.run(task, { transferList });
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), taskTimeoutMs);
    try {
      return await this.#pool.run(task, { transferList, signal: late.signal });
    } catch (error) {
      throw late.signal.aborted ? new TimeoutError(`its task did not end within ${taskTimeoutMs} ms`, { cause: error }) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Fires the signal of every handler. */
  stop(): void {
    this.#schemas.stop();
  }

  /** Ends the workers, whatever they are at. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#schemas.close();
    await this.#pool.destroy();
  }
}

/** The progress of a task that is not under way. */
function sharedCounter(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4)).fill(-1);
}
