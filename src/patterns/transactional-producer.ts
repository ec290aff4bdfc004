import { setImmediate as immediate } from 'node:timers/promises';
import type { TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import type { Delivery } from '../client/delivery.ts';
import type { Producer } from '../client/producer.ts';
import { isToolkitError, StateError, TransactionError } from '../errors.ts';
import type { OutputProducer } from './engine.ts';
import type { AnyConsumer } from './shutdown.ts';

/** How long a producer that is given up may take to let go. */
const DISCARD_TIMEOUT_MS = 1_000;

/** What is left to do after a failure. */
export type AfterFailure = 'abort' | 'replace' | 'stop';

/** One transaction after the other, by a producer that is replaced when it is of no use any more. */
export class TransactionalProducer<OK, OV> implements OutputProducer<OK, OV> {
  readonly #make: () => Promise<Producer<OK, OV>>;
  readonly #stepTimeoutMs: number;
  #producer: Producer<OK, OV> | undefined;
  #begunAt = 0;

  constructor(make: () => Promise<Producer<OK, OV>>, stepTimeoutMs: number) {
    this.#make = make;
    this.#stepTimeoutMs = stepTimeoutMs;
  }

  /** The present producer, undefined before the first. */
  get current(): Producer<OK, OV> | undefined {
    return this.#producer;
  }

  get #open(): Producer<OK, OV> {
    if (this.#producer === undefined) throw new StateError('The transactional producer has not started');
    return this.#producer;
  }

  enqueue(...args: Parameters<Producer<OK, OV>['enqueue']>): Promise<Delivery> {
    return this.#open.enqueue(...args);
  }

  sendRaw(...args: Parameters<Producer<OK, OV>['sendRaw']>): ReturnType<Producer<OK, OV>['sendRaw']> {
    return this.#open.sendRaw(...args);
  }

  throwIfFailed(since?: number): void {
    this.#producer?.throwIfFailed(since);
  }

  /**
   * Makes a producer in place of the present one, which is given up. What that one left open is aborted, or committed when its commit had
   * got that far: only then this resolves.
   *
   * @throws StateError when the new one has no `transactional.id`
   */
  async renew(): Promise<void> {
    const old = this.#producer;
    this.#producer = undefined;
    // What it could not deliver belongs to a transaction without effect.
    await old?.close({ timeoutMs: DISCARD_TIMEOUT_MS }).catch(() => undefined);
    const producer = await this.#make();
    this.#producer = producer;
    if (producer.transactionTimeoutMs === undefined) {
      throw new StateError("Expected a producer with a transactional.id: config: { 'transactional.id': … }, the same at each start");
    }
    await this.#step(() => producer.transactions.init(this.#stepTimeoutMs));
  }

  async begin(): Promise<void> {
    this.#begunAt = performance.now();
    await this.#open.transactions.begin();
  }

  /**
   * Commits the outputs, all of which must be delivered, and the offsets with them.
   *
   * @param isOurs False once one of the partitions was given up: the group's generation, which the offsets are checked by, may be that of a
   * later assignment then
   */
  async commit(consumer: AnyConsumer, offsets: readonly TopicPartitionOffset[], isOurs: () => boolean): Promise<void> {
    const producer = this.#open;
    const { transactions } = producer;
    // Both go on at once, and both must be over before anything else is done.
    const [flushed, sent] = await Promise.allSettled([
      producer.flush({ timeoutMs: this.#stepTimeoutMs }),
      this.#step(() => transactions.sendOffsets(offsets, consumer.handle, this.#stepTimeoutMs)),
    ]);
    if (sent.status === 'rejected') throw sent.reason;
    if (flushed.status === 'rejected') throw flushed.reason;
    if (!isOurs()) throw new TransactionError('A partition was given up before its transaction was committed', 'abortable');
    await this.#step(() => transactions.commit(this.#stepTimeoutMs));
  }

  /** Ends the transaction without effect. */
  async abort(): Promise<void> {
    const producer = this.#open;
    await this.#step(() => producer.transactions.abort(this.#stepTimeoutMs));
    const deadline = performance.now() + this.#stepTimeoutMs;
    while (producer.inFlight > 0 && performance.now() < deadline) await immediate();
    producer.forgetFailures();
  }

  /** librdkafka says by `retriable` that the very same call may be made again. */
  async #step(call: () => Promise<void>): Promise<void> {
    const deadline = performance.now() + this.#stepTimeoutMs;
    for (;;) {
      try {
        await call();
        return;
      } catch (error) {
        const again = error instanceof TransactionError && error.kind === 'retriable' && performance.now() < deadline;
        if (!again) throw error;
      }
    }
  }

  /** A transaction that outlived its time-out is fenced by the broker as if by another producer: that is no reason to stop. */
  afterFailure(error: unknown): AfterFailure {
    const outlived = performance.now() - this.#begunAt >= (this.#producer?.transactionTimeoutMs ?? 0);
    if (error instanceof TransactionError) {
      if (error.kind === 'abortable') return 'abort';
      return error.kind === 'fenced' && !outlived ? 'stop' : 'replace';
    }
    return isToolkitError(error) && error.fatal ? 'replace' : 'abort';
  }
}
