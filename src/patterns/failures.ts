import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import { failureVarsOf, offsetManagerOf } from '../delivery/create-clients.ts';
import { type FailedRecord, originOf } from '../delivery/failed-record.ts';
import { resolveFailureOptions } from '../delivery/failure-options.ts';
import { type FailureDecision, FailurePolicy, type FailureTools } from '../delivery/failure-policy.ts';
import { ClosedError, ConfigError, DeliveryError, TransactionError } from '../errors.ts';
import { AsideQueue, type Holder } from './aside.ts';
import type { RunBaseOptions } from './run-options.ts';

/** Whether an error only says that the work was stopped. */
export function isStopReason(error: unknown, { reason }: AbortSignal): boolean {
  if (error instanceof ClosedError) return true;
  // What waits by node:timers/promises rejects with an AbortError of its own, the reason as its cause.
  return reason !== undefined && [error, (error as { cause?: unknown } | null)?.cause].includes(reason);
}

type Decided = Exclude<FailureDecision, { readonly action: 'undecided' }>;
type PutAsideDecision = Extract<FailureDecision, { readonly action: 'retry' | 'deadLetter' }>;

/** What a runner does with records that failed: the policy's decisions carried out, and `onError` asked about the rest. */
export class Failures<K, V, H> {
  readonly #options: RunBaseOptions<K, V, H>;
  readonly #policy: FailurePolicy;
  readonly #signal: AbortSignal;
  /** Undefined where a turn ends with a commit: there every record waits until it is put aside. */
  readonly #aside: AsideQueue | undefined;
  skipped = 0;
  retried = 0;
  deadLettered = 0;

  /** @throws ConfigError for wrong `failures`; StateError when they need a producer */
  constructor(
    options: RunBaseOptions<K, V, H>,
    signal: AbortSignal,
    outlet: Pick<FailureTools, 'producer' | 'resend'> & { readonly holder: Holder | undefined },
  ) {
    const { consumer, failures = {}, metrics } = options;
    const { holder, producer, resend } = outlet;
    this.#options = options;
    this.#signal = signal;
    this.#aside = holder === undefined || !consumer.autoCommit ? undefined : new AsideQueue(holder, (error) => this.#isStop(error));
    const onResend = (): void => this.#aside?.trouble();
    this.#policy = new FailurePolicy(resolveFailureOptions(failures, failureVarsOf(consumer)), { producer, metrics, resend, onResend });
  }

  /** @throws what kept a record from being put aside for good */
  throwIfFailed(): void {
    this.#aside?.throwIfFailed();
  }

  /** Waits for the records on their way to retry and dead-letter topics. */
  async settled(): Promise<void> {
    await this.#aside?.settled();
  }

  #isStop(error: unknown): boolean {
    return (this.#signal.aborted || this.#options.consumer.closed) && isStopReason(error, this.#signal);
  }

  /**
   * Has the consumer take delayed records back when they are due.
   *
   * @throws ConfigError when the consumer would skip those of a retry topic of which nothing is committed yet
   */
  async start(): Promise<void> {
    const topics = new Set(this.#policy.retryTopics);
    if (topics.size === 0) return;
    if (offsetManagerOf(this.#options.consumer).startsAtEnd) {
      throw new ConfigError([
        'Expected CONSUMER_AUTO_OFFSET_RESET to be earliest with retry topics: records that rest in one before anybody has committed there would be skipped',
      ]);
    }
    await this.#options.consumer.alsoConsume(
      [...topics],
      (batch, index) =>
        topics.has(batch.topics[batch.topicIndexes[index]!]!) ? (originOf(batch.at(index).rawHeaders)?.notBefore ?? 0) : 0,
      this.#signal,
    );
  }

  /**
   * Sees to a record that failed for the `attempt`th time. True when it is to be tried again now; false when it is dealt with, so that its
   * offset may be stored.
   *
   * @param since What was produced after this number is its handler's alone; undefined where others were at work meanwhile
   * @throws the error when nobody wants it; what kept the record from being put aside; the signal's reason
   */
  async failed(error: unknown, record: ConsumerRecord<K, V, H>, attempt: number, since?: number): Promise<boolean> {
    const decision = this.#decide(error, record, attempt);
    if (decision !== undefined) return this.#carryOut(decision, error, record, attempt, since);
    this.#ask(error, record, 1, since);
    return false;
  }

  /** As {@link failed} for a batch as a whole. */
  async batchFailed(error: unknown, records: readonly ConsumerRecord<K, V, H>[], attempt: number, since?: number): Promise<boolean> {
    const decision = this.#decide(error, records[0]!, attempt);
    if (decision === undefined) {
      this.#ask(error, records[0], records.length, since);
      return false;
    }
    if (decision.action === 'attempt') return this.#carryOut(decision, error, records[0]!, attempt, since);
    for (const record of records) {
      // Records of retry topics have retries of their own behind them.
      const own = this.#policy.decide(error, { topic: record.topic, headers: record.rawHeaders }, attempt);
      if (own.action === 'undecided') this.#ask(error, record, 1, since);
      else await this.#carryOut(own, error, record, attempt, since);
    }
    return false;
  }

  /** Undefined when it is left to `onError`: the policy has no place for it. */
  #decide(error: unknown, record: ConsumerRecord<K, V, H>, attempt: number): Decided | undefined {
    const { metrics } = this.#options;
    if (this.#isStop(error)) throw error;
    // The transaction is at an end: all of its records come again.
    if (error instanceof TransactionError) throw error;
    metrics?.incMessageErrors(error);
    // What fails while everything ends may fail because of that: the record is nobody's to skip or put aside, it comes again.
    if (this.#signal.aborted) throw this.#signal.reason;
    const decision = this.#policy.decide(error, { topic: record.topic, headers: record.rawHeaders }, attempt);
    return decision.action === 'undecided' ? undefined : decision;
  }

  async #carryOut(
    decision: Decided,
    error: unknown,
    record: ConsumerRecord<K, V, H>,
    attempt: number,
    since: number | undefined,
  ): Promise<boolean> {
    // Now: what is produced later, e.g. to a dead-letter topic, is not the handler's.
    if (decision.action !== 'stop') this.#forgive(error, since);
    switch (decision.action) {
      case 'stop':
        throw error;
      case 'skip':
        this.skipped++;
        break;
      case 'attempt':
        this.retried++;
        this.#options.metrics?.recordRetried?.(error);
        await orAborted(sleep(decision.delayMs), this.#signal);
        break;
      case 'retry':
      case 'deadLetter':
        await this.#putAside(decision, error, record.detach(), attempt);
    }
    return decision.action === 'attempt';
  }

  async #putAside(decision: PutAsideDecision, error: unknown, record: FailedRecord, attempt: number): Promise<void> {
    const send = async (): Promise<void> => {
      await this.#policy.putAside(decision, record, error, attempt, this.#signal);
      if (decision.action === 'retry') this.retried++;
      else this.deadLettered++;
    };
    await (this.#aside === undefined ? send() : this.#aside.add(send));
  }

  /** An output that failed is made again with its record, or put aside with it; and so are all others that its handler was told of. */
  #forgive(error: unknown, since: number | undefined): void {
    const manager = offsetManagerOf(this.#options.consumer);
    if (error instanceof DeliveryError) manager.forgive(error);
    if (since !== undefined) manager.pardon(since);
  }

  #ask(error: unknown, record: ConsumerRecord<K, V, H> | undefined, count: number, since: number | undefined): void {
    if (this.#options.onError?.(error, record) !== 'skip') throw error;
    this.#forgive(error, since);
    this.skipped += count;
  }
}
