import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import type { Producer } from '../client/producer.ts';
import { type ErrorCode, isToolkitError, StateError } from '../errors.ts';
import type { MetricsRecorder } from '../hooks.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import { type FailedRecord, originOf, putAside, type RecordOrigin } from './failed-record.ts';
import { type FailureRoute, matches, type ResolvedFailureOptions } from './failure-options.ts';

/** What becomes of a record whose attempt failed. `undecided`: the policy says nothing about it. */
export type FailureDecision =
  | { readonly action: 'attempt'; readonly delayMs: number }
  | { readonly action: 'retry'; readonly topic: string; readonly delayMs: number }
  | { readonly action: 'deadLetter'; readonly topics: readonly string[] }
  | { readonly action: 'skip' | 'stop' | 'undecided' };

/** What a policy works with. */
export interface FailureTools {
  readonly producer?: Pick<Producer<never, never>, 'sendRaw'> | undefined;
  readonly metrics?: MetricsRecorder | undefined;
  /**
   * Whether a record that could not be put aside is sent again until it is. False in a transaction, which is of no use any more after
   * a failed delivery. @default true
   */
  readonly resend?: boolean | undefined;
  /** Told each time a record could not be put aside and is sent again. */
  readonly onResend?: ((failure: unknown) => void) | undefined;
}

/** These say that the service is broken or ending, not that a record is bad. */
const notOfTheRecord: ReadonlySet<ErrorCode> = new Set([
  'ERR_CONFIG',
  'ERR_INCOMPATIBLE_ENVIRONMENT',
  'ERR_CLOSED',
  'ERR_STATE',
  'ERR_FATAL',
]);

/**
 * Decides what becomes of failed records, and puts them aside. Knows nothing of loops, batches or workers: whoever handles records asks
 * it, and goes on when its answer is carried out.
 */
export class FailurePolicy {
  readonly #options: ResolvedFailureOptions;
  readonly #tools: FailureTools;
  readonly #retryTopics: ReadonlySet<string>;

  /** @throws StateError when records may have to be put aside and there is no producer to do it */
  constructor(options: ResolvedFailureOptions, tools: FailureTools) {
    this.#options = options;
    this.#tools = tools;
    this.#retryTopics = new Set(options.retries > 0 ? options.retryTopics.map(({ topic }) => topic) : []);
    const routed = options.routes.some(({ deadLetterTopic }) => deadLetterTopic !== undefined);
    if (tools.producer === undefined && (routed || this.#retryTopics.size > 0 || options.deadLetterTopics.length > 0)) {
      throw new StateError('Retry and dead-letter topics need a producer: pass one to the runner');
    }
  }

  /** The topics that must be consumed for delayed records to come again. */
  get retryTopics(): readonly string[] {
    return [...this.#retryTopics];
  }

  /** Where a record of a retry topic comes from. What other topics' records carry is their own. */
  originOf({ topic, headers }: Pick<FailedRecord, 'topic' | 'headers'>): RecordOrigin | undefined {
    return this.#retryTopics.has(topic) ? originOf(headers) : undefined;
  }

  /** @param attempt How often it was tried here, the failed time included. */
  decide(error: unknown, record: Pick<FailedRecord, 'topic' | 'headers'>, attempt: number): FailureDecision {
    const { attempts, neverRetry, routes, deadLetterTopics } = this.#options;
    if (isToolkitError(error)) {
      if (error.fatal || notOfTheRecord.has(error.code)) return { action: 'undecided' };
      if (error.retriable && this.#isActive) return { action: 'attempt', delayMs: this.#backoff(attempt) };
    }
    const route = routes.find(({ errors }) => matches(error, errors));
    if (route?.action === 'skip' || route?.action === 'stop') return { action: route.action };
    const curable = route?.action !== 'deadLetter' && !matches(error, neverRetry);
    if (curable && attempt < attempts) return { action: 'attempt', delayMs: this.#backoff(attempt) };
    return (curable ? this.#retry(record) : undefined) ?? deadLetter(route, deadLetterTopics);
  }

  get #isActive(): boolean {
    const { attempts, routes, deadLetterTopics } = this.#options;
    return attempts > 1 || routes.length > 0 || deadLetterTopics.length > 0 || this.#retryTopics.size > 0;
  }

  #retry(record: Pick<FailedRecord, 'topic' | 'headers'>): FailureDecision | undefined {
    const { retryTopics, retries } = this.#options;
    const count = this.originOf(record)?.retryCount ?? 0;
    const next = retryTopics[Math.min(count, retryTopics.length - 1)];
    if (next === undefined || count >= retries) return undefined;
    return { action: 'retry', ...next };
  }

  #backoff(attempt: number): number {
    const { initialMs, maxMs, jitter } = this.#options.backoff;
    const fullMs = Math.min(maxMs, initialMs * 2 ** Math.min(attempt - 1, 30));
    return fullMs * (1 - jitter * Math.random());
  }

  /**
   * Puts a record aside as decided. Resolves once the brokers have acknowledged it everywhere: only then its offset may be stored. While
   * they do not, it is sent again and again, and whoever waits makes no progress, which is what pauses the partition.
   *
   * @throws what no further try cures (the record is too large with its headers, the producer is dead), and the signal's reason
   */
  async putAside(
    decision: Extract<FailureDecision, { readonly action: 'retry' | 'deadLetter' }>,
    record: FailedRecord,
    error: unknown,
    attempt: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const origin = this.originOf(record);
    const attempts = (origin?.attempts ?? 0) + attempt;
    const retryCount = origin?.retryCount ?? 0;
    if (decision.action === 'retry') {
      const notBefore = Date.now() + decision.delayMs;
      await this.#send(record, origin, { topic: decision.topic, error, attempts, retryCount: retryCount + 1, notBefore }, signal);
      this.#tools.metrics?.recordRetried?.(error);
      return;
    }
    for (const topic of decision.topics) {
      await this.#send(record, origin, { topic, error, attempts, retryCount, notBefore: undefined }, signal);
    }
    this.#tools.metrics?.recordDeadLettered?.(error);
  }

  async #send(
    record: FailedRecord,
    origin: RecordOrigin | undefined,
    to: Parameters<typeof putAside>[2],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { producer, metrics, onResend, resend = true } = this.#tools;
    for (let attempt = 1; ; attempt++) {
      try {
        // Not given up at the signal: what is on its way would come a second time.
        await producer!.sendRaw(putAside(record, origin, to));
        return;
      } catch (failure) {
        if (!resend || !maySucceedLater(failure)) throw failure;
        metrics?.incMessageErrors(failure);
        onResend?.(failure);
        await orAborted(sleep(this.#backoff(attempt)), signal);
      }
    }
  }
}

function deadLetter(route: FailureRoute | undefined, topics: readonly string[]): FailureDecision {
  const own = route?.deadLetterTopic === undefined ? topics : [route.deadLetterTopic];
  return own.length === 0 ? { action: 'undecided' } : { action: 'deadLetter', topics: own };
}

/** A topic that is missing, full or forbidden may be put right; bytes that are refused stay refused. */
function maySucceedLater(error: unknown): boolean {
  if (!isToolkitError(error) || error.fatal) return false;
  return error.code === 'ERR_QUEUE_FULL' || (error.code === 'ERR_DELIVERY' && error.kafkaCode !== kafkaCodes.messageSizeTooLarge);
}
