import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResourceLimits } from 'node:worker_threads';
import type { PackedRecords } from '../binding/packed-records.ts';
import { Outage } from '../delivery/outage.ts';
import { ClosedError, DecodeError, isToolkitError, WorkerError } from '../errors.ts';
import type { SchemaSource } from '../serde.ts';
import { type AnyBatch, type PoolOrder, splitIntoLanes } from './lanes.ts';
import { ModeChooser, type PoolMode } from './mode-chooser.ts';
import { Lane, type PoolTask } from './pool-task.ts';
import { loadHandler, RecordRunner, type RunnerSettings } from './record-runner.ts';
import { missingRegistry } from './schema-channel.ts';
import { type TaskOutcome, WorkerThreads } from './worker-threads.ts';

/** Settings of a pool, all resolved. */
export interface BatchPoolSettings extends RunnerSettings {
  readonly mode: PoolMode | 'auto';
  readonly workers: number;
  /** Lanes of each worker: while one is handled, the task of another waits in the worker. */
  readonly tasksPerWorker: number;
  readonly order: PoolOrder;
  /** Records a task at most. */
  readonly taskRecords: number;
  readonly taskTimeoutMs: number | undefined;
  readonly resourceLimits: ResourceLimits | undefined;
  readonly registry: SchemaSource | undefined;
}

/** What a pool asks of whoever runs it. */
export interface PoolHooks {
  /** Hands outputs to the producer; resolves when they are in its queue. */
  produce(outputs: PackedRecords): Promise<void>;
  /** Records are done, once everything produced so far is acknowledged. */
  finish(batch: AnyBatch, indexes: Int32Array): void;
  /**
   * Sees to a record that failed for the `attempt`th time: true when it is to be tried again, false when it is dealt with. What it throws
   * ends the pool.
   */
  failed(error: unknown, batch: AnyBatch, index: number, attempt: number): Promise<boolean>;
  /** Whether many more records wait than are taken. */
  behind(): boolean;
}

/** What a pool is doing: plain numbers, for metrics. */
export interface PoolStats {
  /** Where records are handled now; under `mode: 'auto'` what was chosen. */
  readonly mode: PoolMode;
  readonly workers: number;
  /** Records taken and not finished. */
  readonly queuedRecords: number;
  readonly handledRecords: number;
  readonly producedRecords: number;
  /** Failed and dealt with: skipped, or put aside. */
  readonly failedRecords: number;
  readonly decodeErrors: number;
  readonly handlerErrors: number;
  /** Workers that threw, exited, ran out of memory or were ended because they hung. */
  readonly workerFailures: number;
  /** Changes of mode, those for a trial included. */
  readonly switches: number;
  /** What limits the throughput of each mode, in microseconds a record; undefined where it was not measured. */
  readonly micros: { readonly inline: number | undefined; readonly pool: number | undefined };
}

/** Tasks that wait in a lane so that its worker never does, and at most in all for each worker while another lane has too few. */
const TASKS_AHEAD = 1;
const MOST_TASKS_AHEAD = 8;

/** Records of a stretch that is measured for `auto`, at least; or fewer in a far longer one. */
const WINDOW_RECORDS = 1_000;
const SLOW_WINDOW_MS = 1_000;
const SLOW_WINDOW_RECORDS = 100;

/**
 * Handles batches in workers, or inline: order kept in lanes, outputs produced in the order of their records, nothing finished before its
 * outputs are in the producer's queue. A worker that dies costs a second try of its task.
 */
export class BatchPool {
  readonly #settings: BatchPoolSettings;
  readonly #hooks: PoolHooks;
  readonly #chooser: ModeChooser | undefined;
  readonly #stop = new AbortController();
  readonly #failed = new AbortController();
  #mode: PoolMode;
  #threads: WorkerThreads | undefined;
  /** There wherever records may be handled inline. */
  #runner: RecordRunner | undefined;
  #lanes: Lane[] = [];
  #queued = 0;
  #turn = 0;
  #failure: unknown;
  #closed = false;
  #onRoom: (() => void)[] = [];
  readonly #views = new WeakMap<AnyBatch, AnyBatch>();
  /** Records of each batch that are finished. */
  readonly #done = new WeakMap<AnyBatch, number>();
  /** Failures of single records, by their place in their batch. */
  readonly #attempts = new WeakMap<AnyBatch, Map<number, number>>();
  readonly #counts = { handled: 0, produced: 0, failed: 0, decodeErrors: 0, handlerErrors: 0, workerFailures: 0 };
  readonly #outage = new Outage();
  #window = { records: 0, workMs: 0, since: 0, behind: false, loop: performance.eventLoopUtilization() };

  constructor(settings: BatchPoolSettings, hooks: PoolHooks) {
    this.#settings = settings;
    this.#hooks = hooks;
    // On a single core workers would only take turns with the main thread.
    const auto = settings.mode === 'auto' && availableParallelism() > 1;
    this.#chooser = auto ? new ModeChooser(settings.workers) : undefined;
    this.#mode = settings.mode === 'pool' ? 'pool' : 'inline';
  }

  /** Loads the handler module where it will run: under `auto` in both places. @throws ConfigError when it cannot be */
  async start(): Promise<void> {
    if (this.#mode === 'inline') this.#runner = await this.#loadRunner();
    if (this.#mode === 'pool' || this.#chooser !== undefined) this.#threads = await this.#openThreads();
    this.#openLanes();
    this.#window.since = performance.now();
  }

  stats(): PoolStats {
    const { handled, produced, failed, decodeErrors, handlerErrors, workerFailures } = this.#counts;
    return {
      mode: this.#mode,
      workers: this.#settings.workers,
      queuedRecords: this.#queued,
      handledRecords: handled,
      producedRecords: produced,
      failedRecords: failed,
      decodeErrors,
      handlerErrors,
      workerFailures,
      switches: this.#chooser?.switches ?? 0,
      micros: this.#chooser?.micros ?? { inline: undefined, pool: undefined },
    };
  }

  async #openThreads(): Promise<WorkerThreads> {
    const threads = await WorkerThreads.open(this.#settings);
    if (!this.#closed) return threads;
    await threads.close();
    throw new ClosedError('The pool is closed');
  }

  async #loadRunner(): Promise<RecordRunner> {
    const registry = this.#settings.registry ?? missingRegistry();
    return new RecordRunner(await loadHandler(this.#settings.handler, { registry }), this.#settings);
  }

  #openLanes(): void {
    const { tasksPerWorker, workers } = this.#settings;
    const count = this.#mode === 'pool' ? workers * tasksPerWorker : 1;
    this.#lanes = Array.from({ length: count }, () => new Lane());
  }

  /**
   * Takes records `from … to - 1`. Resolves when there is room for more.
   *
   * @throws what ended the pool
   */
  async submit(batch: AnyBatch, from: number, to: number): Promise<void> {
    this.throwIfEnded();
    await this.#followChooser();
    this.#queued += to - from;
    const split = splitIntoLanes(batch, from, to, this.#lanes.length, this.#settings.order, this.#turn++);
    for (const [number, indexes] of split.entries()) {
      if (indexes === undefined) continue;
      const lane = this.#lanes[number]!;
      lane.push({ batch, indexes });
      lane.running ??= this.#work(lane);
    }
    while (!this.#hasRoom && this.#failure === undefined && !this.#closed) await this.#nextRoom();
    this.throwIfEnded();
  }

  /** Records of one partition come together: while they fill one lane, more are taken for the others. */
  get #hasRoom(): boolean {
    if (this.#mode === 'inline') return this.#queued === 0;
    const { taskRecords, workers } = this.#settings;
    if (this.#queued >= workers * taskRecords * MOST_TASKS_AHEAD) return false;
    return this.#lanes.some(({ waiting }) => waiting < taskRecords * TASKS_AHEAD);
  }

  #nextRoom(): Promise<void> {
    return new Promise((resolve) => this.#onRoom.push(resolve));
  }

  #tellRoom(): void {
    const waiting = this.#onRoom;
    this.#onRoom = [];
    for (const resolve of waiting) resolve();
  }

  /** Fires when the pool has ended by itself: {@link throwIfEnded} says why. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Throws what ended the pool, if anything. */
  throwIfEnded(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closed) throw new ClosedError('The pool is closed');
  }

  /** Waits until everything taken is finished. @throws what ended the pool */
  async drain(): Promise<void> {
    while (this.#queued > 0 && this.#failure === undefined && !this.#closed) await this.#nextRoom();
    this.throwIfEnded();
  }

  /** Under `auto`, closes a stretch of records and goes on in the mode that is best. */
  async #followChooser(): Promise<void> {
    const chooser = this.#chooser;
    if (chooser === undefined) return;
    if (chooser.mode === this.#mode && !this.#closeWindow(chooser)) return;
    if (chooser.mode !== this.#mode) {
      // Records of a partition must not be under way in both.
      await this.drain();
      this.#mode = chooser.mode;
      this.#openLanes();
    }
    const behind = this.#hooks.behind();
    this.#window = { records: 0, workMs: 0, since: performance.now(), behind, loop: performance.eventLoopUtilization() };
  }

  /** Tells the chooser of the stretch of records; false while it is too short. */
  #closeWindow(chooser: ModeChooser): boolean {
    const { behind, loop, records, since, workMs } = this.#window;
    const elapsedMs = performance.now() - since;
    const enough = elapsedMs >= chooser.windowMs && records >= WINDOW_RECORDS;
    if (!enough && !(elapsedMs >= SLOW_WINDOW_MS && records >= SLOW_WINDOW_RECORDS)) return false;
    const { active } = performance.eventLoopUtilization(loop);
    chooser.observe({ records, mainMs: active, workMs, elapsedMs: behind && this.#hooks.behind() ? elapsedMs : undefined });
    return true;
  }

  /** Works on a lane until it is empty. Its outputs are produced while the next task is handled already, in order. */
  async #work(lane: Lane): Promise<void> {
    let settling: Promise<void> = Promise.resolve();
    try {
      for (let task = lane.take(this.#settings.taskRecords); task !== undefined; task = lane.take(this.#settings.taskRecords)) {
        const outcome = await this.#run(lane, task);
        await settling;
        if (outcome === undefined) continue;
        settling = this.#settle(task, outcome);
        // Nobody waits for it in this turn; its failure shows at the next.
        settling.catch(() => undefined);
        if (outcome.done < task.length) {
          await settling;
          await this.#goOn(lane, task, outcome);
        }
      }
      await settling;
    } catch (error) {
      this.#end(error);
    } finally {
      lane.running = undefined;
      this.#tellRoom();
      // What came after the last look was left to this loop.
      if (!lane.empty && this.#failure === undefined && !this.#closed) lane.running = this.#work(lane);
    }
  }

  /** The pool ends by itself. */
  #end(error: unknown): void {
    this.#failure ??= error;
    this.#failed.abort();
  }

  /** Undefined when a worker died over the task: it is back in its lane, whole or in parts. */
  async #run(lane: Lane, task: PoolTask): Promise<TaskOutcome | undefined> {
    if (this.#closed) throw new ClosedError('The pool is closed');
    if (this.#mode === 'inline') return this.#runInline(task);
    try {
      const outcome = await this.#threads!.run(task);
      if (outcome === undefined) this.#putBack(lane, task);
      return outcome;
    } catch (error) {
      if (!(error instanceof WorkerError)) throw error;
      this.#counts.workerFailures++;
      await this.#retry(lane, task, error);
      return undefined;
    }
  }

  /** A second time as a whole; then the record that was under way apart, so that it alone can be to blame. */
  async #retry(lane: Lane, task: PoolTask, error: WorkerError): Promise<void> {
    if (this.#stop.signal.aborted) {
      this.#putBack(lane, task);
      return;
    }
    const failures = task.failures + 1;
    if (failures < 2) this.#putBack(lane, task.slice(0, task.length, failures));
    else if (task.length > 1) {
      const { place } = error;
      this.#putBack(lane, task.slice(0, place), task.slice(place, place + 1, 1), task.slice(place + 1, task.length));
    } else this.#putBack(lane, await this.#recordFailed(task, 0, error));
  }

  async #runInline(task: PoolTask): Promise<TaskOutcome> {
    const runner = this.#runner!;
    const startedAt = performance.now();
    const outputs: PackedRecords[] = [];
    let done = 0;
    let error: unknown;
    for (const { batch, indexes } of task.segments) {
      const outcome = await runner.run(this.#viewOf(batch, runner), indexes, { signal: this.#stop.signal });
      if (outcome.output !== undefined) outputs.push(outcome.output);
      done += outcome.done;
      error = outcome.error;
      if (outcome.done < indexes.length) break;
    }
    return { done, error, outputs, workMs: performance.now() - startedAt };
  }

  /** The batch as the handler sees it. */
  #viewOf(batch: AnyBatch, runner: RecordRunner): AnyBatch {
    let view = this.#views.get(batch);
    if (view === undefined) {
      view = batch.withDecoders(runner.decoders);
      this.#views.set(batch, view);
    }
    return view;
  }

  /** Produces a task's outputs, then counts its records as done. */
  async #settle(task: PoolTask, { done, outputs, workMs }: TaskOutcome): Promise<void> {
    this.#window.workMs += workMs;
    for (const output of outputs) {
      await this.#hooks.produce(output);
      this.#counts.produced += output.length;
    }
    this.#counts.handled += done;
    this.#finish(task.slice(0, done));
  }

  #finish(task: PoolTask | undefined): void {
    if (task === undefined) return;
    for (const { batch, indexes } of task.segments) {
      this.#hooks.finish(batch, indexes);
      this.#freeWhenDone(batch, indexes.length);
    }
    this.#queued -= task.length;
    this.#window.records += task.length;
    this.#tellRoom();
  }

  /** Workers got copies: a batch that is done is free, unless a handler on this thread or a failure's listener has seen records of it. */
  #freeWhenDone(batch: AnyBatch, records: number): void {
    const done = (this.#done.get(batch) ?? 0) + records;
    this.#done.set(batch, done);
    if (done === batch.length && !this.#views.has(batch) && !this.#attempts.has(batch)) batch.free();
  }

  /** After a record that failed: waits for an outage to pass, or decides on the record; then the rest follows. */
  async #goOn(lane: Lane, task: PoolTask, { done, error }: TaskOutcome): Promise<void> {
    // What fails while everything ends may fail because of that: it comes again.
    if (this.#stop.signal.aborted) {
      this.#putBack(lane, task.slice(done, task.length));
      return;
    }
    if (isToolkitError(error) && error.retriable && !error.fatal) {
      // Nothing was taken by it: the same record is tried again.
      const restMs = this.#outage.next();
      this.#putBack(lane, task.slice(done, task.length));
      await sleep(restMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      return;
    }
    this.#outage.over();
    if (error instanceof DecodeError) this.#counts.decodeErrors++;
    else this.#counts.handlerErrors++;
    const again = await this.#recordFailed(task, done, error);
    this.#putBack(lane, again, task.slice(done + 1, task.length));
  }

  /** What is left of a task, unless the pool is to stop: then it comes again. */
  #putBack(lane: Lane, ...tasks: readonly (PoolTask | undefined)[]): void {
    if (!this.#stop.signal.aborted) {
      lane.putBack(...tasks);
      return;
    }
    for (const task of tasks) this.#queued -= task?.length ?? 0;
    this.#tellRoom();
  }

  /** Gives the record back when it is to be tried again. */
  async #recordFailed(task: PoolTask, place: number, error: unknown): Promise<PoolTask | undefined> {
    const { batch, index } = task.at(place);
    if (await this.#hooks.failed(error, batch, index, this.#countAttempt(batch, index))) return task.slice(place, place + 1);
    this.#counts.failed++;
    this.#finish(task.slice(place, place + 1));
    return undefined;
  }

  /** How often a record has failed, this time included. */
  #countAttempt(batch: AnyBatch, index: number): number {
    let failed = this.#attempts.get(batch);
    if (failed === undefined) {
      failed = new Map();
      this.#attempts.set(batch, failed);
    }
    const attempt = (failed.get(index) ?? 0) + 1;
    failed.set(index, attempt);
    return attempt;
  }

  /** Fires the signal of every handler, and leaves what waits in the lanes. */
  stop(): void {
    this.#stop.abort();
    this.#threads?.stop();
    for (const lane of this.#lanes) this.#queued -= lane.clear();
    this.#tellRoom();
  }

  /** Ends the workers, whatever they are at. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stop.abort();
    this.#tellRoom();
    await this.#threads?.close();
  }
}
