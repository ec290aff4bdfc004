import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { AnyHandler, MetricsRecorder } from '../hooks.ts';
import { ConcurrentEngine } from './concurrent.ts';
import { enqueueAutoCommits, synchronousMessageHandling } from './consume.ts';
import { Engine } from './engine.ts';
import { publishCalls } from './handler-events.ts';
import { runLoop } from './run-loop.ts';
import type { RunAsyncOptions, RunBatchOptions, RunRecordOptions, RunResult, RunTransactionOptions } from './run-options.ts';
import { TransactionEngine } from './transaction.ts';

/**
 * The asynchronous single pattern: one record at a time, or `concurrency` of them, offsets committed in the background.
 *
 * Ordering: per partition, or as `order` says; a record that goes to a retry topic leaves it. Guarantee: at least once; after a crash the
 * records since the last commit (`CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS`) come again, none is lost. Fastest of the single-record patterns.
 *
 * @throws the error that stopped it, after everything was closed; ShutdownError when it was told to stop and could not end cleanly in
 * time, so that a process which lets it through exits with code 1
 */
export function runAsync<K, V, H, OK, OV>(options: RunAsyncOptions<K, V, H, OK, OV>): Promise<RunResult> {
  const { concurrency = 1, consumer, order = 'partition' } = options;
  const handler = measured(options);
  if (concurrency !== 1) {
    return runLoop('runAsync', true, options, (stop) => new ConcurrentEngine({ ...options, handler }, stop, { concurrency, order }));
  }
  const done = (record: ConsumerRecord<K, V, H>): void => enqueueAutoCommits(consumer, record);
  return runLoop('runAsync', true, options, (stop) => new Engine(options, stop.signal, (engine) => engine.record(handler, done)));
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
  const done = (): Promise<void> => synchronousMessageHandling({ consumer, producer });
  return runLoop('runSync', false, options, (stop) => new Engine(options, stop.signal, (engine) => engine.record(handler, done)));
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
  return runLoop('runBatch', true, options, (stop) => new Engine(options, stop.signal, (engine) => engine.batch(measuredOptions)));
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

/**
 * Exactly once within Kafka: records are consumed, handled, and their outputs produced together with their offsets in one transaction, many
 * records at a time (`count`, `intervalMs`). Consumers with `isolation.level=read_committed` (the default) see the outputs of committed
 * transactions alone. Side effects of a handler outside Kafka may happen more than once. Needs `CONSUMER_ENABLE_AUTO_COMMIT=false`.
 *
 * Ordering: per partition. Retry topics and dead letters are part of the transaction. A transaction that fails is aborted, and its records
 * are handled again; a producer that timed out or died is replaced. After a crash the transaction under way is aborted when the next
 * producer of the same `transactional.id` starts, or after `transaction.timeout.ms`.
 *
 * @throws TransactionError with kind `fenced` when another process uses the same `transactional.id`
 * @throws the error that stopped it, after everything was closed; ShutdownError when it was told to stop and could not end cleanly in
 * time, so that a process which lets it through exits with code 1
 */
export function runTransaction<K, V, H, OK, OV>(options: RunTransactionOptions<K, V, H, OK, OV>): Promise<RunResult> {
  return runLoop(
    'runTransaction',
    false,
    options,
    (stop) => new TransactionEngine({ ...options, handler: measured(options) }, stop.signal),
  );
}
