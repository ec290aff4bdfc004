import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import type { FailureOptions } from '../delivery/failure-options.ts';
import type { Leftovers } from '../errors.ts';
import type { MetricsRecorder } from '../hooks.ts';
import type { CircuitBreakerOptions } from './circuit-breaker.ts';

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

/** Options of every runner, but for the producer. */
export interface RunBaseOptions<K, V, H> {
  readonly consumer: Consumer<K, V, H>;
  readonly metrics?: MetricsRecorder | undefined;
  /** Stops the runner: what is under way is finished, then everything is closed. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Records for which it says false are not handled and not decoded, their offsets advance all the same. Looks at headers and raw bytes
   * cheaply; a value it asks for is decoded. What it throws goes the way of an error of the handler.
   */
  readonly filter?: ((record: ConsumerRecord<K, V, H>) => boolean) | undefined;
  /** What becomes of records that cannot be decoded or whose handler throws. @default PRODUCE_RETRY_TOPICS, PRODUCE_FAILURE_TOPICS, RETRY_COUNT_MAX */
  readonly failures?: FailureOptions | undefined;
  /** Calls the handler through a circuit breaker: while it is open no record is handled, and none fails. */
  readonly circuitBreaker?: CircuitBreakerOptions | undefined;
  /**
   * Asked last, about a record that cannot be decoded or whose handler throws, when `failures` has no place for it. `'stop'` closes down
   * without it, so that it comes again at the next start; `'skip'` counts it as done. Not asked about what fails while the runner ends: that comes
   * again. @default 'stop'
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

/** Options of every runner. */
export interface RunOptions<K, V, H, OK, OV> extends RunBaseOptions<K, V, H> {
  /** Needed when the handler returns records, and for retry topics and dead letters. */
  readonly producer?: Producer<OK, OV> | undefined;
}

/** Options of `runTransaction`. */
export interface RunTransactionOptions<K, V, H, OK, OV> extends RunBaseOptions<K, V, H> {
  /**
   * Makes the producer, with a `transactional.id` that no other process uses and this one keeps when it starts anew. Called at the start, and
   * whenever the producer must be replaced.
   *
   * @example
   * producer: () => createProducer({ config: { 'transactional.id': `invoices-${process.env.HOSTNAME}` } })
   */
  readonly producer: () => Promise<Producer<OK, OV>>;
  /** Its outputs are what it returns: what it produces by itself is in no transaction. */
  readonly handler: RecordHandler<K, V, H, OK, OV>;
  /** Records a transaction at most. @default 50000 */
  readonly count?: number | undefined;
  /** How long a transaction takes records, in milliseconds. @default 100 */
  readonly intervalMs?: number | undefined;
  /** For each step of a transaction, in milliseconds: start, offsets, commit, abort. @default 30000 */
  readonly stepTimeoutMs?: number | undefined;
  /** Called before a transaction is committed: what it produces or throws is still part of it. */
  readonly onCommitting?: (() => void | Promise<void>) | undefined;
  /** Called when a transaction was committed: the time to make state of one's own durable that it changed. Must not throw. */
  readonly onCommitted?: (() => void) | undefined;
  /** Called when a transaction came to nothing, before its records are handled again: the time to undo such changes. Must not throw. */
  readonly onAborted?: (() => void) | undefined;
}

/** Options of `runBatch`. */
export interface RunBatchOptions<K, V, H, OK, OV> extends RunOptions<K, V, H, OK, OV> {
  readonly handler: BatchHandler<K, V, H, OK, OV>;
  /** Records a batch at most. @default CONSUMER_BATCH_COUNT */
  readonly count?: number | undefined;
  /** How long to wait for a full batch, in milliseconds. @default CONSUMER_BATCH_TIMEOUT_SECONDS */
  readonly timeoutMs?: number | undefined;
}

/** Options of `runAsync` and `runSync`. */
export interface RunRecordOptions<K, V, H, OK, OV> extends RunOptions<K, V, H, OK, OV> {
  readonly handler: RecordHandler<K, V, H, OK, OV>;
}

/** Which records are handled one after the other. */
export type Order = 'partition' | 'key' | 'none';

/** Options of `runAsync`. */
export interface RunAsyncOptions<K, V, H, OK, OV> extends RunRecordOptions<K, V, H, OK, OV> {
  /**
   * Records handled at once. Offsets are stored in order, whatever the order they are done in. What is taken and not begun is bounded to
   * four times as many (1,000 at least). @default 1
   */
  readonly concurrency?: number | undefined;
  /**
   * Which records wait for each other: those of a `partition`, those of a `key`, or `none`. Records without a key wait for nobody under
   * `key`. @default 'partition'
   */
  readonly order?: Order | undefined;
}

/** What a runner did. */
export interface RunResult {
  readonly consumed: number;
  readonly produced: number;
  /** Counted as done although they failed, by `onError` or a route. */
  readonly skipped: number;
  /** Left out by `filter`. */
  readonly filtered: number;
  /** Tried again: in place, or by way of a retry topic. */
  readonly retried: number;
  readonly deadLettered: number;
  /** What was under way at the end: a record whose handler gave up at the signal; anything, when the clients stay open (`closeClients`). */
  readonly left: Leftovers;
}
