import { setImmediate as immediate } from 'node:timers/promises';
import { type ConsumerRecord, decodeNow } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { BatchOptions, WaitOptions } from '../client/consumer-settings.ts';
import { offsetManagerOf } from '../delivery/create-clients.ts';
import type { FinishedRecord } from '../delivery/offset-manager.ts';
import { DecodeError, IncompatibleEnvironmentError, NoMessageError } from '../errors.ts';
import type { MetricsRecorder } from '../hooks.ts';
import { type AnyConsumer, type AnyProducer, endClients } from './shutdown.ts';

/**
 * The next record, its key and value decoded, counted as consumed.
 *
 * Ordering: per partition. Nothing is stored or committed by it.
 *
 * @throws NoMessageError when none came within `CONSUMER_POLL_TIMEOUT`: pass it to {@link handleNoMessages}
 * @throws DecodeError for a record that cannot be read. It was handed over all the same: pass the error to
 * {@link enqueueAutoCommits} to skip it, or stop to see it again.
 */
export async function consumeMessage<K, V, H>(
  consumer: Consumer<K, V, H>,
  metrics?: MetricsRecorder | undefined,
  options?: WaitOptions | undefined,
): Promise<ConsumerRecord<K, V, H>> {
  const record = consumer.takeBuffered(options?.signal) ?? (await consumer.consume(options));
  metrics?.incMessagesConsumed(1);
  decodeNow(record);
  return record;
}

/**
 * Up to `count` records, waiting for them until `timeoutMs` is over, counted as consumed. Ordering: per partition.
 *
 * @throws NoMessageError when not one came
 * @throws BatchDecodeError when some cannot be read; it carries the good ones and an error for each bad one
 */
export async function consumeMessageBatch<K, V, H>(
  consumer: Consumer<K, V, H>,
  metrics?: MetricsRecorder | undefined,
  options?: BatchOptions | undefined,
): Promise<ConsumerRecord<K, V, H>[]> {
  const records = await consumer.consumeBatch(options);
  metrics?.incMessagesConsumed(records.length);
  const errors: DecodeError[] = [];
  const bad = new Set<ConsumerRecord<K, V, H>>();
  for (const record of records) {
    try {
      decodeNow(record);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      errors.push(error);
      bad.add(record);
    }
  }
  if (errors.length === 0) return records;
  throw new BatchDecodeError(
    records.filter((record) => !bad.has(record)),
    errors,
  );
}

/** Some records of a batch cannot be read. None is lost: the good ones are in `records`, each bad one has its error. */
export class BatchDecodeError<K = unknown, V = unknown, H = unknown> extends DecodeError {
  readonly records: readonly ConsumerRecord<K, V, H>[];
  readonly errors: readonly DecodeError[];

  constructor(records: readonly ConsumerRecord<K, V, H>[], errors: readonly DecodeError[]) {
    const first = errors[0]!;
    const { topic, partition, offset, schemaId } = first;
    super(`${errors.length} of ${records.length + errors.length} records cannot be decoded, the first: ${first.message}`, {
      cause: first,
      topic,
      partition,
      offset,
      schemaId,
    });
    this.records = records;
    this.errors = errors;
  }
}

/**
 * What a loop does with an error of `consumeMessage`: a {@link NoMessageError} gives the producer a turn to take its delivery
 * reports, any other error is thrown on.
 *
 * @throws DeliveryError when an output failed that nobody was told about
 */
export async function handleNoMessages(error: unknown, { producer }: { readonly producer?: AnyProducer | undefined } = {}): Promise<void> {
  if (!(error instanceof NoMessageError)) throw error;
  await immediate();
  producer?.throwIfFailed();
}

/**
 * Marks records as done in the asynchronous single and batch patterns. Their offsets are stored, and committed in the background,
 * once everything produced so far is acknowledged by the brokers: after a crash records may come again, none is lost.
 *
 * @throws IncompatibleEnvironmentError under `CONSUMER_ENABLE_AUTO_COMMIT=false`
 * @throws DeliveryError when an output failed that nobody was told about; offsets behind it are held back for good
 */
export function enqueueAutoCommits(consumer: AnyConsumer, records: FinishedRecord | DecodeError | readonly FinishedRecord[]): void {
  if (!consumer.autoCommit) {
    throw new IncompatibleEnvironmentError(
      'CONSUMER_ENABLE_AUTO_COMMIT',
      'enqueueAutoCommits needs CONSUMER_ENABLE_AUTO_COMMIT=true: with false nothing would ever be committed. ' +
        'Set it to true, or use synchronousMessageHandling.',
    );
  }
  const manager = offsetManagerOf(consumer);
  manager.throwIfFailed();
  if (records instanceof BatchDecodeError) {
    for (const record of records.records) manager.finish(record);
    for (const error of records.errors) manager.finish(placeOf(error));
  } else if (records instanceof DecodeError) manager.finish(placeOf(records));
  else if (isList(records)) manager.finishMany(records);
  else manager.finish(records);
}

function isList(records: FinishedRecord | readonly FinishedRecord[]): records is readonly FinishedRecord[] {
  return Array.isArray(records);
}

function placeOf({ topic, partition, offset }: DecodeError): FinishedRecord {
  if (topic === undefined || partition === undefined || offset === undefined) {
    throw new TypeError('This DecodeError does not say which record it is about');
  }
  return { topic, partition, offset };
}

/** What a synchronous turn needs. */
export interface SynchronousOptions {
  readonly consumer: AnyConsumer;
  /** Left out by services that only consume. */
  readonly producer?: AnyProducer | undefined;
  /** For flush and commit together, in milliseconds. @default 30000 */
  readonly timeoutMs?: number | undefined;
}

/**
 * Ends a turn of the synchronous pattern: every output delivered, then every record handed over committed, and the broker's
 * answer waited for, without blocking the event loop. After a crash at most the record under way is in doubt.
 *
 * @throws IncompatibleEnvironmentError under `CONSUMER_ENABLE_AUTO_COMMIT=true`
 * @throws DeliveryError | TimeoutError when an output is not known to be delivered: nothing is committed
 * @throws CommitError when the broker refused the commit: the record comes again
 */
export async function synchronousMessageHandling({ consumer, producer, timeoutMs = 30_000 }: SynchronousOptions): Promise<void> {
  if (consumer.autoCommit) {
    throw new IncompatibleEnvironmentError(
      'CONSUMER_ENABLE_AUTO_COMMIT',
      'synchronousMessageHandling needs CONSUMER_ENABLE_AUTO_COMMIT=false: it commits by itself. Set it to false, or use enqueueAutoCommits.',
    );
  }
  const deadline = performance.now() + timeoutMs;
  const manager = offsetManagerOf(consumer);
  await producer?.flush({ timeoutMs });
  const failure = producer === undefined ? undefined : manager.failureOf(producer);
  if (failure !== undefined) throw failure;
  manager.finishAll();
  await manager.commit(Math.max(1, deadline - performance.now()));
}

/** What to close; either may be left out. */
export interface CleanupOptions {
  readonly producer?: AnyProducer | undefined;
  readonly consumer?: AnyConsumer | undefined;
  /** For everything together, in milliseconds. @default SHUTDOWN_TIMEOUT_SECONDS for each */
  readonly timeoutMs?: number | undefined;
}

/**
 * Ends a service in the only safe order: flush the producer, commit what that finished, close the consumer, close the producer.
 * For a `finally`; may be called twice. Closes everything, then throws the first thing that went wrong.
 */
export async function shutdownCleanup({ producer, consumer, timeoutMs }: CleanupOptions): Promise<void> {
  const { failure } = await endClients({ consumer, producer }, true, timeoutMs);
  if (failure !== undefined) throw failure;
}
