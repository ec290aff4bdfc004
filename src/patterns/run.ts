import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import {
  ClosedError,
  DecodeError,
  IncompatibleEnvironmentError,
  isToolkitError,
  type Leftovers,
  NoMessageError,
  StateError,
} from '../errors.ts';
import type { AnyHandler, MetricsRecorder } from '../hooks.ts';
import type { RecordContext } from '../serde.ts';
import { BatchDecodeError, consumeMessage, consumeMessageBatch, enqueueAutoCommits, synchronousMessageHandling } from './consume.ts';
import { withDeadline } from './handler-deadline.ts';
import { publishCalls } from './handler-events.ts';
import { produceMessage } from './produce.ts';
import { cutOff, endClients, hasLeftovers, StopRequest } from './shutdown.ts';

/** What a handler may give back: records to produce, one, many or none. */
// biome-ignore lint/suspicious/noConfusingVoidType: an async handler without a return statement is a Promise<void>.
export type HandlerResult<OK, OV> = ProducerRecord<OK, OV> | readonly ProducerRecord<OK, OV>[] | undefined | void;

/** What a handler is given beside the record. */
export interface HandlerContext {
  /** Fires when the runner is stopping, or when `handlerTimeoutMs` is over. */
  readonly signal: AbortSignal;
}

/** Handles one record. Its outputs are what it returns, or what it produces itself and awaits. */
export type RecordHandler<K, V, H, OK, OV> = (
  record: ConsumerRecord<K, V, H>,
  context: HandlerContext,
) => HandlerResult<OK, OV> | Promise<HandlerResult<OK, OV>>;

/** Handles a batch as a whole. */
export type BatchHandler<K, V, H, OK, OV> = (
  records: readonly ConsumerRecord<K, V, H>[],
  context: HandlerContext,
) => HandlerResult<OK, OV> | Promise<HandlerResult<OK, OV>>;

/** Options of every runner. */
export interface RunOptions<K, V, H, OK, OV> {
  readonly consumer: Consumer<K, V, H>;
  /** Needed when the handler returns records. */
  readonly producer?: Producer<OK, OV> | undefined;
  readonly metrics?: MetricsRecorder | undefined;
  /** Stops the runner: what is under way is finished, then everything is closed. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Asked when a record cannot be decoded or its handler throws. `'stop'` closes down without it, so that it comes again at the
   * next start; `'skip'` counts it as done. @default 'stop'
   */
  readonly onError?: ((error: unknown, record: ConsumerRecord<K, V, H> | undefined) => 'stop' | 'skip') | undefined;
  /** Stop at SIGTERM and SIGINT; further ones change nothing. @default true */
  readonly handleSignals?: boolean | undefined;
  /** Close consumer and producer at the end. @default true */
  readonly closeClients?: boolean | undefined;
  /**
   * How long one call of the handler may take, in milliseconds. Then its signal fires with a `TimeoutError`, and a second later it is given
   * up; the error goes the way of one it throws (`onError`). What it does after that is not waited for. @default no limit
   */
  readonly handlerTimeoutMs?: number | undefined;
  /**
   * For everything from the request to stop to the closed clients, in milliseconds: handler, flush, commit, leaving the group. A handler
   * that is still at work when a third of it (5 s at most) is left is cut off. @default SHUTDOWN_TIMEOUT_SECONDS
   */
  readonly shutdownTimeoutMs?: number | undefined;
}

/** Options of {@link runBatch}. */
export interface RunBatchOptions<K, V, H, OK, OV> extends RunOptions<K, V, H, OK, OV> {
  readonly handler: BatchHandler<K, V, H, OK, OV>;
  /** Records a batch at most. @default CONSUMER_BATCH_COUNT */
  readonly count?: number | undefined;
  /** How long to wait for a full batch, in milliseconds. @default CONSUMER_BATCH_TIMEOUT_SECONDS */
  readonly timeoutMs?: number | undefined;
}

/** Options of {@link runAsync} and {@link runSync}. */
export interface RunRecordOptions<K, V, H, OK, OV> extends RunOptions<K, V, H, OK, OV> {
  readonly handler: RecordHandler<K, V, H, OK, OV>;
}

/** What a runner did. */
export interface RunResult {
  readonly consumed: number;
  readonly produced: number;
  readonly skipped: number;
  /** What was under way at the end: a record whose handler gave up at the signal; anything, when the clients stay open (`closeClients`). */
  readonly left: Leftovers;
}

/**
 * The asynchronous single pattern: one record at a time, offsets committed in the background.
 *
 * Ordering: per partition. Guarantee: at least once; after a crash the records since the last commit
 * (`CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS`) come again, none is lost. Fastest of the single-record patterns.
 *
 * @throws the error that stopped it, after everything was closed; ShutdownError when it was told to stop and could not end cleanly in
 * time, so that a process which lets it through exits with code 1
 */
export function runAsync<K, V, H, OK, OV>(options: RunRecordOptions<K, V, H, OK, OV>): Promise<RunResult> {
  const handler = measured(options);
  return run('runAsync', true, options, (engine) => engine.record(handler, (record) => enqueueAutoCommits(options.consumer, record)));
}

/**
 * The synchronous single pattern: each record's outputs delivered and its offset committed before the next is taken.
 *
 * Ordering: per partition. Guarantee: at least once, with at most one record in doubt after a crash. Slow: two round trips a record.
 *
 * @throws the error that stopped it, after everything was closed; ShutdownError when it was told to stop and could not end cleanly in
 * time, so that a process which lets it through exits with code 1
 */
export function runSync<K, V, H, OK, OV>(options: RunRecordOptions<K, V, H, OK, OV>): Promise<RunResult> {
  const { consumer, producer } = options;
  const handler = measured(options);
  return run('runSync', false, options, (engine) => engine.record(handler, () => synchronousMessageHandling({ consumer, producer })));
}

/**
 * The synchronous batch pattern: `count` records at once (a bulk upload), offsets committed in the background a batch at a time.
 *
 * Ordering: per partition. Guarantee: at least once; after a crash the batches since the last commit come again.
 *
 * @throws the error that stopped it, after everything was closed; ShutdownError when it was told to stop and could not end cleanly in
 * time, so that a process which lets it through exits with code 1
 */
export function runBatch<K, V, H, OK, OV>(options: RunBatchOptions<K, V, H, OK, OV>): Promise<RunResult> {
  const measuredOptions = { ...options, handler: measured(options) };
  return run('runBatch', true, options, (engine) => engine.batch(measuredOptions));
}

/** The handler as metrics and subscribers of its calls want it called. */
function measured<Handler extends AnyHandler>({
  handler,
  metrics,
}: {
  readonly handler: Handler;
  readonly metrics?: MetricsRecorder | undefined;
}): Handler {
  const published = publishCalls(handler);
  return metrics?.wrapHandler?.(published) ?? published;
}

async function run<K, V, H, OK, OV>(
  name: string,
  autoCommit: boolean,
  options: RunOptions<K, V, H, OK, OV>,
  turn: (engine: Engine<K, V, H, OK, OV>) => Promise<void>,
): Promise<RunResult> {
  const { consumer, closeClients = true } = options;
  const stop = new StopRequest({ ...options, timeoutMs: options.shutdownTimeoutMs ?? consumer.shutdownTimeoutMs });
  const engine = new Engine(options, stop.signal);
  let failure: unknown;
  let wasCut = false;
  try {
    if (consumer.autoCommit !== autoCommit) throw wrongAutoCommit(name, consumer.autoCommit);
    const loop = (async () => {
      while (!stop.signal.aborted && !consumer.closed) await turn(engine);
    })();
    // A loop that is cut off settles late or never; what it says then concerns nobody.
    loop.catch(() => undefined);
    wasCut = await Promise.race([loop.then(() => false), stop.cut.then(() => true)]);
  } catch (error) {
    if (!((stop.signal.aborted || consumer.closed) && isStopReason(error, stop.signal))) failure = error;
  }
  const ended = await endClients(options, closeClients, stop.remainingMs);
  stop.release();
  const cut = wasCut || (stop.signal.aborted && ended.failure !== undefined && hasLeftovers(ended.left));
  failure ??= cut ? cutOff(name, stop, ended) : ended.failure;
  if (failure !== undefined) throw failure;
  return { ...engine.result, left: ended.left };
}

function wrongAutoCommit(name: string, made: boolean): IncompatibleEnvironmentError {
  const message = `${name} needs CONSUMER_ENABLE_AUTO_COMMIT=${!made}, and the consumer was made with ${made}.`;
  return new IncompatibleEnvironmentError('CONSUMER_ENABLE_AUTO_COMMIT', message);
}

/** Whether an error only says that the work was stopped. */
function isStopReason(error: unknown, { reason }: AbortSignal): boolean {
  if (error instanceof ClosedError) return true;
  // What waits by node:timers/promises rejects with an AbortError of its own, the reason as its cause.
  return reason !== undefined && [error, (error as { cause?: unknown }).cause].includes(reason);
}

/** One turn of a runner's loop, whichever the pattern. */
class Engine<K, V, H, OK, OV> {
  readonly #options: RunOptions<K, V, H, OK, OV>;
  readonly #context: HandlerContext;
  readonly #wait: { readonly signal: AbortSignal };
  #consumed = 0;
  #produced = 0;
  #skipped = 0;
  #outageMs = 0;

  constructor(options: RunOptions<K, V, H, OK, OV>, signal: AbortSignal) {
    this.#options = options;
    this.#context = { signal };
    this.#wait = { signal };
  }

  get result(): Omit<RunResult, 'left'> {
    return { consumed: this.#consumed, produced: this.#produced, skipped: this.#skipped };
  }

  async record(handler: RecordHandler<K, V, H, OK, OV>, done: (record: ConsumerRecord<K, V, H>) => void | Promise<void>): Promise<void> {
    const { consumer, metrics } = this.#options;
    const taken = await this.#take(() => consumeMessage(consumer, metrics, this.#wait), done);
    if (taken === undefined) return;
    this.#consumed++;
    try {
      const result = this.#handle(taken, taken, handler);
      await this.#produce(result instanceof Promise ? await result : result);
    } catch (error) {
      this.#decide(error, taken, 1);
    }
    const finishing = done(taken);
    if (finishing !== undefined) await finishing;
  }

  async batch({ handler, count, timeoutMs }: RunBatchOptions<K, V, H, OK, OV>): Promise<void> {
    const { consumer, metrics } = this.#options;
    let bad: BatchDecodeError<K, V, H> | undefined;
    const records = await this.#take(async () => {
      try {
        return await consumeMessageBatch(consumer, metrics, { ...this.#wait, count, timeoutMs });
      } catch (error) {
        if (!(error instanceof BatchDecodeError)) throw error;
        for (const each of error.errors) this.#decide(each, undefined, 1);
        bad = error as BatchDecodeError<K, V, H>;
        return bad.records;
      }
    });
    if (records === undefined) return;
    this.#consumed += records.length + (bad?.errors.length ?? 0);
    try {
      if (records.length > 0) await this.#produce(await this.#handle(records[0]!, records, handler));
    } catch (error) {
      this.#decide(error, records[0], records.length);
    }
    enqueueAutoCommits(consumer, bad ?? records);
  }

  /** Calls the handler with a record or a batch; `first` is what an error is about. */
  #handle<I, T>(first: RecordContext, input: I, handler: (input: I, context: HandlerContext) => T | Promise<T>): T | Promise<T> {
    const { handlerTimeoutMs } = this.#options;
    if (handlerTimeoutMs === undefined) return handler(input, this.#context);
    return withDeadline(first, (context) => handler(input, context), handlerTimeoutMs, this.#context.signal);
  }

  /** Undefined when there is nothing to handle in this turn. */
  async #take<T>(consume: () => Promise<T>, skip?: (record: ConsumerRecord<K, V, H>) => void | Promise<void>): Promise<T | undefined> {
    try {
      const taken = await consume();
      this.#outageMs = 0;
      return taken;
    } catch (error) {
      if (error instanceof NoMessageError) {
        this.#options.producer?.throwIfFailed();
        return undefined;
      }
      if (error instanceof DecodeError && skip !== undefined) {
        this.#consumed++;
        this.#decide(error, undefined, 1);
        await skip({ topic: error.topic, partition: error.partition, offset: error.offset } as ConsumerRecord<K, V, H>);
        return undefined;
      }
      if (isToolkitError(error) && error.retriable && !error.fatal) {
        // An outage (broker, registry): nothing was taken, so the same record is asked for again.
        this.#options.metrics?.incMessageErrors(error);
        this.#outageMs = Math.min(5_000, Math.max(100, this.#outageMs * 2));
        await orAborted(sleep(this.#outageMs), this.#wait.signal);
        return undefined;
      }
      throw error;
    }
  }

  async #produce(result: HandlerResult<OK, OV>): Promise<void> {
    if (result === undefined) return;
    const { producer, metrics } = this.#options;
    if (producer === undefined) throw new StateError('The handler returned records to produce, but the runner was given no producer');
    for (const record of isMany(result) ? result : [result]) {
      await produceMessage(producer, record, metrics, record.value);
      this.#produced++;
    }
  }

  #decide(error: unknown, record: ConsumerRecord<K, V, H> | undefined, count: number): void {
    const { metrics, onError } = this.#options;
    metrics?.incMessageErrors(error);
    if (onError?.(error, record) !== 'skip') throw error;
    this.#skipped += count;
  }
}

function isMany<OK, OV>(result: ProducerRecord<OK, OV> | readonly ProducerRecord<OK, OV>[]): result is readonly ProducerRecord<OK, OV>[] {
  return Array.isArray(result);
}
