import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import { type ConsumerRecord, decodeNow } from '../binding/record-batch.ts';
import { currentSequence } from '../client/delivery.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import { Outage } from '../delivery/outage.ts';
import { isToolkitError, NoMessageError, StateError, TransactionError } from '../errors.ts';
import type { RecordContext } from '../serde.ts';
import type { Holder } from './aside.ts';
import { BatchItemError } from './batch-item-error.ts';
import { CircuitGate } from './circuit-breaker.ts';
import { enqueueAutoCommits } from './consume.ts';
import { Failures } from './failures.ts';
import { withDeadline } from './handler-deadline.ts';
import { produceMessage } from './produce.ts';
import type { HandlerContext, HandlerResult, RecordHandler, RunBaseOptions, RunBatchOptions, RunResult } from './run-options.ts';

/** What becomes of outputs. */
export type OutputProducer<OK, OV> = Pick<Producer<OK, OV>, 'enqueue' | 'sendRaw' | 'throwIfFailed'> & Partial<Holder>;

/** The loop of a runner, whichever the pattern: takes records, has them handled, and sees to those that fail. */
export class Engine<K, V, H, OK, OV> {
  readonly #options: RunBaseOptions<K, V, H> & { readonly producer?: OutputProducer<OK, OV> | undefined };
  readonly #transactional: boolean;
  /** Handlers are called one after the other. */
  readonly #alone: boolean;
  /** Number of the last record that was produced before the present attempt at a record or batch. */
  #before = 0;
  readonly #context: HandlerContext;
  readonly #wait: { readonly signal: AbortSignal };
  readonly #turn: (engine: Engine<K, V, H, OK, OV>) => Promise<void>;
  readonly #failures: Failures<K, V, H>;
  readonly #circuit: CircuitGate | undefined;
  #consumed = 0;
  #produced = 0;
  #filtered = 0;
  readonly #outage = new Outage();

  constructor(
    options: RunBaseOptions<K, V, H> & { readonly producer?: OutputProducer<OK, OV> | undefined },
    signal: AbortSignal,
    turn: (engine: Engine<K, V, H, OK, OV>) => Promise<void>,
    { transactional = false, alone = true }: { readonly transactional?: boolean; readonly alone?: boolean } = {},
  ) {
    this.#options = options;
    this.#context = { signal };
    this.#wait = { signal };
    this.#turn = turn;
    this.#transactional = transactional;
    this.#alone = alone;
    const { producer } = options;
    const holder = producer?.hold === undefined ? undefined : (producer as Holder);
    this.#failures = new Failures(options, signal, { producer, holder, resend: !transactional });
    this.#circuit = options.circuitBreaker === undefined ? undefined : new CircuitGate(options.circuitBreaker, signal);
  }

  get result(): Omit<RunResult, 'left'> {
    const { skipped, retried, deadLettered } = this.#failures;
    return { consumed: this.#consumed, produced: this.#produced, filtered: this.#filtered, skipped, retried, deadLettered };
  }

  start(): Promise<void> {
    return this.#failures.start();
  }

  turn(): Promise<void> {
    this.#failures.throwIfFailed();
    return this.#turn(this);
  }

  /** Waits for what is under way after the last turn. */
  end(): Promise<void> {
    return this.#failures.settled();
  }

  /** A turn with one record; `done` counts it as finished. */
  async record(handler: RecordHandler<K, V, H, OK, OV>, done: (record: ConsumerRecord<K, V, H>) => void | Promise<void>): Promise<void> {
    const record = this.takeBuffered() ?? (await this.take());
    if (record === undefined) return;
    const handling = this.handle(record, handler);
    if (handling !== undefined) await handling;
    const finishing = done(record);
    if (finishing !== undefined) await finishing;
  }

  /** The next record if it is there already. */
  takeBuffered(): ConsumerRecord<K, V, H> | undefined {
    const record = this.#options.consumer.takeBuffered(this.#wait.signal);
    if (record !== undefined) this.#count(1);
    return record;
  }

  /** The next record; undefined when there is none in this turn. */
  async take(timeoutMs?: number | undefined): Promise<ConsumerRecord<K, V, H> | undefined> {
    const { consumer } = this.#options;
    const options = timeoutMs === undefined ? this.#wait : { ...this.#wait, timeoutMs };
    const record = await this.#tolerant(() => consumer.consume(options));
    if (record !== undefined) this.#count(1);
    return record;
  }

  #count(records: number): void {
    this.#consumed += records;
    this.#options.metrics?.incMessagesConsumed(records);
  }

  /** Filters, decodes and handles a record, and sees to it when that fails. Undefined when it is done already. */
  handle(record: ConsumerRecord<K, V, H>, handler: RecordHandler<K, V, H, OK, OV>): Promise<void> | undefined {
    this.#before = currentSequence();
    try {
      if (!this.#passes(record)) return undefined;
      decodeNow(record);
      const result = this.#call(record, record, handler);
      return result === undefined ? undefined : this.#finishHandling(record, handler, result);
    } catch (error) {
      return this.#again(record, error, () => this.#attempt(record, handler)).then(() => undefined);
    }
  }

  #passes(record: ConsumerRecord<K, V, H>): boolean {
    const { filter } = this.#options;
    if (filter === undefined || filter(record)) return true;
    this.#filtered++;
    return false;
  }

  async #finishHandling(
    record: ConsumerRecord<K, V, H>,
    handler: RecordHandler<K, V, H, OK, OV>,
    result: HandlerResult<OK, OV> | Promise<HandlerResult<OK, OV>>,
  ): Promise<void> {
    try {
      await this.#produce(result instanceof Promise ? await result : result);
    } catch (error) {
      await this.#again(record, error, () => this.#attempt(record, handler));
    }
  }

  async #attempt(record: ConsumerRecord<K, V, H>, handler: RecordHandler<K, V, H, OK, OV>): Promise<void> {
    this.#before = currentSequence();
    decodeNow(record);
    await this.#produce(await this.#call(record, record, handler));
  }

  /** Tries a record that failed until it succeeds (true) or is dealt with (false). */
  async #again(record: ConsumerRecord<K, V, H>, thrown: unknown, attempt: () => void | Promise<void>): Promise<boolean> {
    let error = thrown;
    for (let failed = 1; await this.#failures.failed(error, record, failed, this.#since); failed++) {
      try {
        await attempt();
        return true;
      } catch (next) {
        error = next;
      }
    }
    return false;
  }

  /** What was produced after this number is the present handler's; undefined where others are at work beside it. */
  get #since(): number | undefined {
    return this.#alone ? this.#before : undefined;
  }

  /** A turn with a batch. */
  async batch({ handler, count, timeoutMs }: RunBatchOptions<K, V, H, OK, OV>): Promise<void> {
    const { consumer } = this.#options;
    const records = await this.#tolerant(() => consumer.consumeBatch({ ...this.#wait, count, timeoutMs }));
    if (records === undefined) return;
    this.#count(records.length);
    this.#before = currentSequence();
    let pending = await this.#readable(records);
    for (let attempt = 1; pending.length > 0; ) {
      this.#before = currentSequence();
      try {
        await this.#produce(await this.#call(pending[0]!, pending, handler));
        break;
      } catch (error) {
        const item = itemOf<OK, OV>(error, pending.length);
        if (item === undefined) {
          if (!(await this.#failures.batchFailed(error, pending, attempt++, this.#since))) break;
          continue;
        }
        if (item.index > 0) {
          await this.#produce(item.outputs);
          enqueueAutoCommits(consumer, pending.slice(0, item.index));
          pending = pending.slice(item.index);
          attempt = 1;
        }
        // What was produced may be of the records before it.
        if (await this.#failures.failed(item.cause, pending[0]!, attempt++)) continue;
        enqueueAutoCommits(consumer, pending[0]!);
        pending = pending.slice(1);
        attempt = 1;
      }
    }
    // A record that is finished already is not finished again.
    enqueueAutoCommits(consumer, records);
  }

  /** Those that pass the filter and can be decoded. */
  async #readable(records: readonly ConsumerRecord<K, V, H>[]): Promise<readonly ConsumerRecord<K, V, H>[]> {
    const good: ConsumerRecord<K, V, H>[] = [];
    for (const record of records) {
      try {
        if (!this.#passes(record)) continue;
        decodeNow(record);
      } catch (error) {
        if (!(await this.#again(record, error, () => decodeNow(record)))) continue;
      }
      good.push(record);
    }
    return good.length === records.length ? records : good;
  }

  /** Calls the handler with a record or a batch; `first` is what an error is about. */
  #call<I, T>(first: RecordContext, input: I, handler: (input: I, context: HandlerContext) => T | Promise<T>): T | Promise<T> {
    if (this.#circuit === undefined) return this.#callOnce(first, input, handler);
    return this.#circuit.call(() => this.#callOnce(first, input, handler));
  }

  #callOnce<I, T>(first: RecordContext, input: I, handler: (input: I, context: HandlerContext) => T | Promise<T>): T | Promise<T> {
    const { handlerTimeoutMs } = this.#options;
    if (handlerTimeoutMs === undefined) return handler(input, this.#context);
    return withDeadline(first, (context) => handler(input, context), handlerTimeoutMs, this.#context.signal);
  }

  /** Undefined when nothing came, or could be had, in this turn. */
  async #tolerant<T>(consume: () => Promise<T>): Promise<T | undefined> {
    try {
      const taken = await consume();
      this.#outage.over();
      return taken;
    } catch (error) {
      if (error instanceof NoMessageError) {
        this.#options.producer?.throwIfFailed();
        return undefined;
      }
      if (isToolkitError(error) && error.retriable && !error.fatal) {
        // An outage (broker, registry): nothing was taken, so the same record is asked for again.
        this.#options.metrics?.incMessageErrors(error);
        await orAborted(sleep(this.#outage.next()), this.#wait.signal);
        return undefined;
      }
      throw error;
    }
  }

  async #produce(result: HandlerResult<OK, OV>): Promise<void> {
    if (result === undefined) return;
    const { producer, metrics } = this.#options;
    if (producer === undefined) throw new StateError('The handler returned records to produce, but the runner was given no producer');
    let queued = 0;
    for (const record of isMany(result) ? result : [result]) {
      try {
        await produceMessage(producer, record, metrics, record.value);
      } catch (error) {
        throw this.#transactional ? brokenTransaction(error, queued) : error;
      }
      queued++;
      this.#produced++;
    }
  }
}

/**
 * What cannot be encoded is the record's own failure as long as none of its outputs are in the transaction. Else the transaction cannot
 * go on, as half of a record's outputs would be in it.
 */
function brokenTransaction(error: unknown, queued: number): unknown {
  const ofTheRecord = isToolkitError(error) && (error.code === 'ERR_ENCODE' || error.code === 'ERR_TOO_LARGE');
  if (ofTheRecord && queued === 0) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new TransactionError(`An output did not get into the transaction: ${reason}`, 'abortable', {
    cause: error,
    retriable: !ofTheRecord,
  });
}

function isMany<OK, OV>(result: ProducerRecord<OK, OV> | readonly ProducerRecord<OK, OV>[]): result is readonly ProducerRecord<OK, OV>[] {
  return Array.isArray(result);
}

/** The failure of one record; undefined when the batch failed as a whole. */
function itemOf<OK, OV>(error: unknown, length: number): BatchItemError<OK, OV> | undefined {
  if (!(error instanceof BatchItemError)) return undefined;
  return Number.isInteger(error.index) && error.index >= 0 && error.index < length ? (error as BatchItemError<OK, OV>) : undefined;
}
