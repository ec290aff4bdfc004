import { setTimeout as sleep } from 'node:timers/promises';
import type { RecordBatch } from '../binding/record-batch.ts';
import type { RecordSource } from '../binding/record-source.ts';
import { ConnectError, ConsumeError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { Assignment } from './assignment.ts';
import type { ConsumerSettings, OffsetKeeper } from './consumer-settings.ts';

/** Longest time without a poll while nobody asks for records; group membership needs one within `max.poll.interval.ms`. */
const KEEP_ALIVE_MS = 1_000;

/** Polls within one `max.poll.interval.ms` while nobody asks for records: a late timer or two must not cost the membership. */
const KEEP_ALIVE_PER_INTERVAL = 4;

/** Fetches records into the buffer: one fetch at a time, and none beside a rebalance, seek or pause. */
export class Fetcher<K, V, H> {
  readonly #source: RecordSource<K, V, H>;
  readonly #assignment: Assignment<K, V, H>;
  readonly #keeper: OffsetKeeper;
  readonly #settings: Pick<ConsumerSettings<K, V, H>, 'prefetchRecords' | 'maxPollIntervalMs' | 'missingTopics' | 'tokens'>;
  readonly #onTolerated: (error: ConsumeError | ConnectError) => void;
  #fetching: Promise<void> | undefined;
  /** Operations that need the fetching to rest (rebalance, seek, pause), one after the other. */
  #exclusive: Promise<unknown> = Promise.resolve();
  #exclusiveCount = 0;
  #lastPollAt = performance.now();
  #keepAlive: NodeJS.Timeout | undefined;
  #failure: unknown;

  /** @param onTolerated Told of a topic, or a token, that is waited for. */
  constructor(
    source: RecordSource<K, V, H>,
    assignment: Assignment<K, V, H>,
    keeper: OffsetKeeper,
    settings: Pick<ConsumerSettings<K, V, H>, 'prefetchRecords' | 'maxPollIntervalMs' | 'missingTopics' | 'tokens'>,
    onTolerated: (error: ConsumeError | ConnectError) => void,
  ) {
    this.#source = source;
    this.#assignment = assignment;
    this.#keeper = keeper;
    this.#settings = settings;
    this.#onTolerated = onTolerated;
  }

  /** Polls from now on while nobody fetches. */
  start(): void {
    const pollEveryMs = Math.min(KEEP_ALIVE_MS, this.#settings.maxPollIntervalMs / KEEP_ALIVE_PER_INTERVAL);
    // Looked at twice as often: a poll that is not due at one look is at the next.
    this.#keepAlive = setInterval(() => this.#keepPolling(pollEveryMs / 2), pollEveryMs / 2).unref();
  }

  stop(): void {
    clearInterval(this.#keepAlive);
  }

  /** Resolves when what is under way is done, however it ends. */
  async settled(): Promise<void> {
    await Promise.all([this.#exclusive, this.#fetching?.catch(() => undefined)]);
  }

  /** One fetch into the buffer, shared by all who wait. */
  fetch(timeoutMs: number, maxRecords: number = this.#settings.prefetchRecords): Promise<void> {
    return this.#begin(() => this.#source.fetch(maxRecords, timeoutMs));
  }

  #begin(fetch: () => Promise<RecordBatch<K, V, H> | undefined>): Promise<void> {
    this.#fetching ??= this.#fetchOnce(fetch).finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** A fetch nobody waits for, unless one is under way; what goes wrong is raised at the next call. */
  fetchAhead(): void {
    if (this.#fetching !== undefined) return;
    const { prefetchRecords } = this.#settings;
    this.#begin(() => this.#source.fetchAhead(prefetchRecords)).catch((error: unknown) => this.noteFailure(error));
  }

  /** What librdkafka has handed over by now is in the buffer afterwards. */
  finishAhead(): void {
    const batch = this.#source.finishAhead();
    if (batch !== undefined) this.#assignment.buffer.push(batch);
  }

  /** One poll, so that librdkafka's callbacks come through; a record that comes with it is buffered. */
  async poll(): Promise<void> {
    await this.fetch(0, 1).catch((error: unknown) => this.noteFailure(error));
  }

  async #fetchOnce(fetch: () => Promise<RecordBatch<K, V, H> | undefined>): Promise<void> {
    if (this.#exclusiveCount > 0) {
      // Not awaited here: the exclusive operation itself waits for the fetch under way, which is this one.
      await sleep(1);
      return;
    }
    this.#keeper.settle();
    const { buffer } = this.#assignment;
    if (this.#assignment.throttled && buffer.batches === 0) this.#assignment.unthrottle();
    this.#lastPollAt = performance.now();
    const batch = await fetch().catch((error: unknown) => this.#tolerate(error));
    this.#lastPollAt = performance.now();
    if (batch !== undefined) buffer.push(batch);
    await this.#assignment.finishMoves();
  }

  /**
   * Events, no failures: under `missingTopics: 'wait'` a topic that is not there yet, and a token that the brokers refuse, as librdkafka
   * signs in with the next one.
   */
  #tolerate(error: unknown): undefined {
    if (!this.#isAwaited(error)) throw error;
    this.#onTolerated(error);
    return undefined;
  }

  #isAwaited(error: unknown): error is ConsumeError | ConnectError {
    if (error instanceof ConnectError) return error.code === 'ERR_AUTHENTICATION' && this.#settings.tokens !== undefined;
    if (!(error instanceof ConsumeError) || this.#settings.missingTopics !== 'wait') return false;
    return error.kafkaCode === kafkaCodes.unknownTopicOrPartition || error.kafkaCode === kafkaCodes.unknownTopic;
  }

  /** While a handler works nobody fetches, but the group must see polls, and rebalances must be noticed. */
  #keepPolling(dueAfterMs: number): void {
    if (this.#fetching !== undefined || performance.now() - this.#lastPollAt < dueAfterMs) return;
    const { throttled, buffer } = this.#assignment;
    if (!throttled && buffer.records >= this.#settings.prefetchRecords) this.#assignment.throttle();
    void this.poll();
  }

  /** Runs `work` while nothing is fetched. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    this.#exclusiveCount++;
    const before = this.#exclusive;
    const run = (async () => {
      await before.catch(() => undefined);
      await this.#fetching?.catch((error: unknown) => this.noteFailure(error));
      return work();
    })();
    this.#exclusive = run.catch(() => undefined);
    try {
      return await run;
    } finally {
      this.#exclusiveCount--;
    }
  }

  /** Something went wrong while nobody waited: {@link raiseFailure} tells the next who does. */
  noteFailure(error: unknown): void {
    this.#failure ??= error;
  }

  /** @throws what was noted, once */
  raiseFailure(): void {
    if (this.#failure === undefined) return;
    const failure = this.#failure;
    this.#failure = undefined;
    throw failure;
  }
}
