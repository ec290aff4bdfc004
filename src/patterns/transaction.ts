import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import type { TopicPartition, TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import { partitionKey } from '../client/record-buffer.ts';
import { offsetManagerOf } from '../delivery/create-clients.ts';
import { DeliveryError, isToolkitError, TransactionError } from '../errors.ts';
import { Engine } from './engine.ts';
import type { RunTransactionOptions } from './run-options.ts';
import { TransactionalProducer } from './transactional-producer.ts';

const COUNT = 50_000;
const INTERVAL_MS = 100;
const STEP_TIMEOUT_MS = 30_000;

/** Rest after a transaction that failed, doubled each time. */
const BACKOFF_MS = 50;
const BACKOFF_MAX_MS = 5_000;

/** What a transaction has consumed of a partition. */
interface Consumed extends TopicPartition {
  readonly first: ConsumerRecord<unknown, unknown, unknown>;
  next: number;
}

/** The loop of a runner whose turn is a transaction. */
export class TransactionEngine<K, V, H, OK, OV> extends Engine<K, V, H, OK, OV> {
  readonly #options: RunTransactionOptions<K, V, H, OK, OV>;
  readonly #producer: TransactionalProducer<OK, OV>;
  readonly #signal: AbortSignal;
  /** By topic index and partition. */
  #consumed = new Map<number, Consumed>();
  #failedInARow = 0;

  constructor(options: RunTransactionOptions<K, V, H, OK, OV>, signal: AbortSignal) {
    const producer = new TransactionalProducer(options.producer, options.stepTimeoutMs ?? STEP_TIMEOUT_MS);
    super({ ...options, producer }, signal, () => this.#transaction(), { transactional: true });
    this.#options = options;
    this.#producer = producer;
    this.#signal = signal;
  }

  get producer(): TransactionalProducer<OK, OV>['current'] {
    return this.#producer.current;
  }

  override async start(): Promise<void> {
    await this.#producer.renew();
    await super.start();
  }

  async #transaction(): Promise<void> {
    const first = this.takeBuffered() ?? (await this.take());
    if (first === undefined) return;
    this.#consumed = new Map();
    this.#note(first);
    try {
      await this.#producer.begin();
      await this.#fill(first);
      await this.#options.onCommitting?.();
      await this.#producer.commit(this.#options.consumer, this.#offsets(), () => this.#isOurs());
    } catch (error) {
      await this.#undo(ofTheTransaction(error));
      return;
    }
    this.#finish();
  }

  /** Handles records until there are enough, or the time is over. */
  async #fill(first: ConsumerRecord<K, V, H>): Promise<void> {
    const { handler, count = COUNT, intervalMs = INTERVAL_MS } = this.#options;
    const endAt = performance.now() + intervalMs;
    let record: ConsumerRecord<K, V, H> | undefined = first;
    for (let taken = 1; record !== undefined; taken++) {
      const handling = this.handle(record, handler);
      if (handling !== undefined) await handling;
      const remainingMs = endAt - performance.now();
      if (taken >= count || remainingMs <= 0 || this.#signal.aborted) return;
      record = this.takeBuffered() ?? (await this.#takeWithin(remainingMs));
      if (record !== undefined) this.#note(record);
    }
  }

  /** Undefined, too, when it is time to stop: what was handled is committed. */
  async #takeWithin(timeoutMs: number): Promise<ConsumerRecord<K, V, H> | undefined> {
    try {
      return await this.take(timeoutMs);
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      throw error;
    }
  }

  #note(record: ConsumerRecord<K, V, H>): void {
    const { batch, index } = record;
    const partition = batch.partitions[index]!;
    const next = batch.offsets[index]! + 1;
    const key = partitionKey(batch.topicIndexes[index]!, partition);
    const consumed = this.#consumed.get(key);
    if (consumed === undefined) this.#consumed.set(key, { topic: record.topic, partition, first: record, next });
    else consumed.next = next;
  }

  #offsets(): TopicPartitionOffset[] {
    return [...this.#consumed.values()].map(({ topic, partition, next }) => ({ topic, partition, offset: next }));
  }

  #isOurs(): boolean {
    const manager = offsetManagerOf(this.#options.consumer);
    return [...this.#consumed.values()].every(({ first }) => manager.holds(first));
  }

  #finish(): void {
    this.#failedInARow = 0;
    this.#options.onCommitted?.();
    offsetManagerOf(this.#options.consumer).finishAll();
  }

  /**
   * Ends a transaction that failed, and goes back to its first records.
   *
   * @throws what stops the runner: the error of a record that nobody wants, or that another process took the `transactional.id` over
   */
  async #undo(error: unknown): Promise<void> {
    const outcome = await this.#end(error);
    if (outcome === 'unknown' && (await this.#isCommitted())) {
      this.#finish();
      return;
    }
    this.#options.onAborted?.();
    await this.#rewind();
    const cause = stopping(error);
    if (cause !== undefined) throw cause.error;
    this.#report(error);
    const restMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(this.#failedInARow++, 10));
    await orAborted(sleep(restMs), this.#signal);
  }

  async #end(error: unknown): Promise<'aborted' | 'unknown'> {
    let failure = error;
    let next = this.#producer.afterFailure(error);
    if (next === 'abort') {
      try {
        await this.#producer.abort();
        return 'aborted';
      } catch (abortError) {
        failure = abortError;
        next = this.#producer.afterFailure(abortError) === 'stop' ? 'stop' : 'replace';
      }
    }
    if (next === 'stop') throw failure;
    await this.#replace();
    return 'unknown';
  }

  /** For as long as it takes: until then the transaction has no end. */
  async #replace(): Promise<void> {
    for (let failed = 0; ; failed++) {
      try {
        await this.#producer.renew();
        return;
      } catch (error) {
        const hopeless = !isToolkitError(error) || !error.retriable || (error instanceof TransactionError && error.kind === 'fenced');
        if (hopeless) throw error;
        this.#report(error);
        await orAborted(sleep(Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(failed, 10))), this.#signal);
      }
    }
  }

  /** What is tried again for as long as it takes must not be silent. */
  #report(error: unknown): void {
    const { consumer, metrics } = this.#options;
    metrics?.incMessageErrors(error);
    if (isToolkitError(error)) consumer.emit('clientError', error);
  }

  /** Whether a transaction whose commit was not answered took place. The group's offsets are stable once a new producer has started. */
  async #isCommitted(): Promise<boolean> {
    const offsets = this.#offsets();
    const committed = await this.#options.consumer.committed(offsets);
    return offsets.every(({ offset }, index) => (committed[index] ?? -1) >= offset);
  }

  /** Partitions that a rebalance took away meanwhile go on from their committed offsets, wherever they are. */
  async #rewind(): Promise<void> {
    const { consumer } = this.#options;
    // A rebalance under way does not wait for them.
    offsetManagerOf(consumer).abandon([...this.#consumed.values()].map(({ first }) => first));
    for (const { topic, partition, first } of this.#consumed.values()) {
      const isOurs = (): boolean => consumer.assignment().some((at) => at.topic === topic && at.partition === partition);
      if (consumer.closed || !isOurs()) continue;
      try {
        await consumer.seek({ topic, partition, offset: first.offset });
      } catch (error) {
        if (!consumer.closed && isOurs()) throw error;
      }
    }
  }
}

/** An output that was not delivered, be it that librdkafka purged it when the transaction had to be aborted, is the transaction's failure. */
function ofTheTransaction(error: unknown): unknown {
  if (!(error instanceof DeliveryError) || error.fatal) return error;
  const { kafkaCode, message, topic, partition } = error;
  return new TransactionError(`The transaction must be aborted: ${message}`, 'abortable', { cause: error, kafkaCode, topic, partition });
}

/** What the failure of a transaction ends the runner with; undefined when its records are handled again. */
function stopping(error: unknown): { readonly error: unknown } | undefined {
  if (error instanceof TransactionError) return error.retriable || error.fatal ? undefined : { error: error.cause };
  const mayPass = isToolkitError(error) && (error.fatal || (error.code === 'ERR_TIMEOUT' && error.retriable));
  return mayPass ? undefined : { error };
}
