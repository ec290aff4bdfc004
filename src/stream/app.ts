import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TopicPartition } from '../binding/node-rdkafka.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { DeliveryCallback } from '../client/delivery.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import { chooseSource, createConsumer, createProducer, offsetManagerOf } from '../delivery/create-clients.ts';
import type { FailureOptions } from '../delivery/failure-options.ts';
import { ClosedError, ConfigError, isToolkitError, StateError, TransactionError } from '../errors.ts';
import type { MetricsManager } from '../metrics/manager.ts';
import { type MetricsPushing, startPushingMetrics } from '../metrics/start-pushing.ts';
import { enqueueAutoCommits } from '../patterns/consume.ts';
import { Engine } from '../patterns/engine.ts';
import { runTransaction } from '../patterns/run.ts';
import { runLoop } from '../patterns/run-loop.ts';
import type { RunResult } from '../patterns/run-options.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import type { Agent, AgentHandler, AgentInput, AgentOptions, AgentResult, AnyRecord } from './agent.ts';
import { StreamCore, type StreamDriver } from './core.ts';
import { InternalTopics } from './internal-topics.ts';
import { type Recovering, Recovery } from './recovery.ts';
import { Shard, type ShardChange } from './shard.ts';
import { Standby } from './standby.ts';
import { appStatus, type RecentError, type StreamStatus } from './status.ts';
import { memoryStore, type StateStore } from './store.ts';
import type { Table, ValueTableOptions } from './table.ts';
import { type Timer, Timers } from './timers.ts';
import type { StreamTopic, TopicOptions } from './topic.ts';
import type { WindowedTable, WindowedTableOptions } from './windowed-table.ts';

/** What a crash may leave behind. */
export type ProcessingGuarantee = 'at-least-once' | 'exactly-once';

/** Options of {@link StreamAppWrapper}. */
export interface StreamAppOptions {
  /** @default parseRuntimeVars() — the process's environment */
  readonly vars?: RuntimeVars | undefined;
  /**
   * `'at-least-once'`: after a crash records come again, and what they changed in tables is changed again. `'exactly-once'`: tables, outputs and
   * offsets change together in transactions; what is counted is counted once. @default 'at-least-once'
   */
  readonly guarantee?: ProcessingGuarantee | undefined;
  /** Where tables are kept. @default memoryStore() */
  readonly store?: StateStore | undefined;
  /**
   * Keeps copies of the tables' shards that other processes have, so that a partition that comes here is read from where its copy is: each
   * process then holds whole tables. @default false
   */
  readonly standby?: boolean | undefined;
  readonly metrics?: MetricsManager | undefined;
  /** How often metrics are pushed, in seconds, when the manager has a pusher. @default METRICS_PUSH_RATE */
  readonly pushEverySeconds?: number | undefined;
  /**
   * What becomes of records whose agent fails: attempts in place, dead letters. Not retry topics: a record that comes back by one is in another
   * topic, and its tables are not. @default PRODUCE_FAILURE_TOPICS
   */
  readonly failures?: FailureOptions | undefined;
  /** Asked last about a record that failed: `'stop'` ends the app, `'skip'` counts it as done. @default 'stop' */
  readonly onError?: ((error: unknown, record: AnyRecord | undefined) => 'stop' | 'skip') | undefined;
  /** Stops the app. */
  readonly signal?: AbortSignal | undefined;
  /** Stop at SIGTERM and SIGINT. @default true */
  readonly handleSignals?: boolean | undefined;
  /** Under exactly-once: how long a transaction takes records, in milliseconds. @default 100 */
  readonly transactionMs?: number | undefined;
}

/** Events of an app. */
export interface StreamAppEvents {
  /** Partitions came; their tables are being read. */
  assigned: [partitions: readonly TopicPartition[]];
  /** Their tables were read: what came since the stores were written last. */
  recovered: [recovery: { readonly records: number; readonly milliseconds: number; readonly partitions: readonly TopicPartition[] }];
  revoked: [partitions: readonly TopicPartition[]];
  /** An agent, a timer or a client failed. */
  error: [error: unknown];
}

/** Under exactly-once a transaction of a process that died is over after so long: the others wait for it. */
const TRANSACTION_TIMEOUT_MS = 10_000;

/** Errors that the status page shows. */
const RECENT_ERRORS = 20;

type Output = ProducerRecord<unknown, unknown>;
type AppConsumer = Consumer<unknown, unknown>;
type AppProducer = Producer<unknown, unknown>;

/**
 * A stream app: agents that handle records, tables they keep, timers. Declare what it consists of, on an instance or in a subclass, and
 * `run()` it. Processes with the same `APP_NAME` share the partitions, and with them the tables' shards; when one ends, the others take over
 * what it had.
 *
 * Ordering: per partition; one record is handled at a time. Guarantee: by `guarantee`, see there. After a crash a table is what its changelog
 * says.
 *
 * @example
 * const app = new StreamAppWrapper();
 * const words = app.topic<string, string>('words');
 * const counts = app.table<string, number>('counts', { initial: () => 0 });
 * app.agent(words, ({ value }) => {
 *   counts.update(value, (count = 0) => count + 1);
 * });
 * await app.run();
 */
export class StreamAppWrapper extends EventEmitter<StreamAppEvents> {
  readonly vars: RuntimeVars;
  readonly #options: StreamAppOptions;
  /** @internal */
  readonly core: StreamCore;
  readonly #timers: Timers;
  readonly #store: StateStore;
  #consumer: AppConsumer | undefined;
  #producer: AppProducer | undefined;
  #plain: AppProducer | undefined;
  #standby: Standby | undefined;
  #running: Promise<RunResult> | undefined;
  readonly #stop = new AbortController();
  readonly #ending = new AbortController();
  #endingBy: AbortSignal | undefined;
  #failure: unknown;
  readonly #recovering = new Map<string, Promise<void>>();
  readonly #recoveries = new Set<Recovery>();
  /** Which reading a shard is of. */
  readonly #readBy = new WeakMap<Shard, object>();
  #startedAt = 0;
  #recoveredRecords = 0;
  readonly #errors: RecentError[] = [];

  /** @throws ConfigError without an APP_NAME */
  constructor(options: StreamAppOptions = {}) {
    super();
    // An `error` nobody listens for must not throw.
    this.on('error', (error) => {
      this.#errors.push({ at: Date.now(), message: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
      if (this.#errors.length > RECENT_ERRORS) this.#errors.shift();
      this.onError(error);
    });
    this.#options = options;
    this.vars = options.vars ?? parseRuntimeVars();
    if (this.vars.APP_NAME === undefined)
      throw new ConfigError(['Expected APP_NAME to be set: it names the stream app, its group and its topics']);
    this.core = new StreamCore(this.vars.APP_NAME);
    this.#store = options.store ?? memoryStore();
    this.#timers = new Timers((error) => this.#report(error));
  }

  get name(): string {
    return this.core.name;
  }

  get metrics(): MetricsManager | undefined {
    return this.#options.metrics;
  }

  get guarantee(): ProcessingGuarantee {
    return this.#options.guarantee ?? 'at-least-once';
  }

  // What it consists of.

  /** Declares a topic and what it holds: text keys and JSON values by default. One that was declared before is that one. */
  topic<K = string, V = unknown>(name: string, options: TopicOptions<K, V> = {}): StreamTopic<K, V> {
    return this.core.topic<K, V>(name, options);
  }

  /**
   * Declares an agent: a handler of single records, or an `async function*` that asks for its records. Records that it returns or yields are
   * produced; an offset is stored when they are acknowledged.
   */
  agent<K = string, V = unknown>(
    topic: string | StreamTopic<K, V>,
    handler: (input: AgentInput<K, V>) => AgentResult | Promise<AgentResult>,
    options: AgentOptions<K, V> = {},
  ): Agent<K, V> {
    return this.core.agent<K, V>(typeof topic === 'string' ? this.topic<K, V>(topic) : topic, handler as AgentHandler<K, V>, options);
  }

  /** Calls `work` every so many seconds while the app runs; never twice at once. What it throws is an `error`. Tables can be read in it. */
  timer(seconds: number, work: () => void | Promise<void>): void {
    this.#timers.add(seconds, work);
  }

  /** Declares a table, with the changelog `<app>-<name>-changelog`. */
  table<K = string, V = unknown>(name: string, options: ValueTableOptions<K, V> = {}): Table<K, V> {
    return this.core.table<K, V>(name, options);
  }

  /** Declares a table of stretches of time. */
  windowedTable<K = string, I = unknown, A = unknown>(name: string, options: WindowedTableOptions<K, I, A>): WindowedTable<K, I, A> {
    return this.core.windowedTable<K, I, A>(name, options);
  }

  /**
   * Sends a topic's records on under another key, to `<app>-<name>-repartition`, so that those of a key are handled by one process; gives that
   * topic.
   */
  groupBy<K, V, NewK = string>(
    name: string,
    topic: StreamTopic<K, V>,
    keyOf: (record: ConsumerRecord<K, V>) => NewK,
    options: TopicOptions<NewK, V> = {},
  ): StreamTopic<NewK, V> {
    return this.core.groupBy<K, V, NewK>(name, topic, keyOf, options);
  }

  // For subclasses.

  /** Called before the first record. */
  protected onStart(): void | Promise<void> {
    // Nothing by default.
  }

  /** Called when the last record is done, before the clients are closed. */
  protected onStop(): void | Promise<void> {
    // Nothing by default.
  }

  /** Called for each error that is an event `error`. Those of records and clients are counted already. */
  protected onError(_error: unknown): void {
    // Nothing by default.
  }

  #report(error: unknown): void {
    this.metrics?.incMessageErrors(error);
    this.emit('error', error);
  }

  /** @internal For who keeps the time himself. */
  get timers(): readonly Timer[] {
    return this.#timers.all;
  }

  // Running.

  /**
   * Runs until it is stopped: by `stop()`, its signal, SIGTERM or SIGINT. Records under way are finished, offsets committed, partitions given
   * up. Once.
   *
   * @throws the error that stopped it, after everything was closed; ShutdownError as the runners
   */
  run(): Promise<RunResult> {
    if (this.#running !== undefined) throw new StateError(`The stream app ${this.name} runs already, or has run`);
    const faults = retryFaults(this.vars, this.#options.failures);
    if (faults.length > 0) throw new ConfigError(faults);
    if (this.core.agents.length === 0) throw new ConfigError([`Expected the stream app ${this.name} to have an agent`]);
    this.#running = this.#run();
    return this.#running;
  }

  /** Stops it, and waits until it has ended. What it failed by is told by `run()`. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running?.catch(() => undefined);
  }

  async #run(): Promise<RunResult> {
    let pushing: MetricsPushing | undefined;
    try {
      const exactlyOnce = this.guarantee === 'exactly-once';
      await this.#open(exactlyOnce);
      if (this.metrics?.metricsPusher !== undefined)
        pushing = startPushingMetrics(this.metrics, this.#options.pushEverySeconds, { vars: this.vars });
      await this.onStart();
      this.#startedAt = this.core.now();
      this.#timers.start();
      const result = await (exactlyOnce ? this.#runTransactions() : this.#runLoop());
      if (this.#failure !== undefined) throw this.#failure;
      return result;
    } catch (error) {
      throw this.#failure ?? error;
    } finally {
      this.#timers.stop();
      try {
        await this.onStop();
      } finally {
        await this.#close();
        await pushing?.stop();
      }
    }
  }

  async #open(exactlyOnce: boolean): Promise<void> {
    const { codecs } = this.core;
    const config = {
      'enable.auto.commit': !exactlyOnce,
      // Tables that go with several topics want the same partitions of each in one place.
      ...([...this.core.tables.values()].some((table) => this.core.topicsOf(table).length > 1)
        ? { 'partition.assignment.strategy': 'range' }
        : {}),
    };
    this.#plain = await this.#makeProducer({});
    const partitions = await this.#prepareTopics();
    this.core.driver = this.#driver();
    if (this.#options.standby) await this.#openStandby(partitions);
    const consumer = await createConsumer<unknown, unknown>({
      vars: this.vars,
      topics: this.core.topics,
      keyDeserializer: codecs.keyDeserializer,
      valueDeserializer: codecs.valueDeserializer,
      config,
      producers: exactlyOnce ? [] : [this.#plain as unknown as Producer<never, never>],
    });
    this.#consumer = consumer;
    consumer.on('assigned', (partitions) => this.#assigned(partitions));
    consumer.on('revoked', (partitions) => this.#revoked(partitions));
    consumer.on('clientError', (error) => this.emit('error', error));
    offsetManagerOf(consumer).onRevoking(() => void this.core.flush());
    this.metrics?.watchConsumer(consumer);
    this.metrics?.watchProducer(this.#plain);
    if (!exactlyOnce) this.#producer = this.#plain;
    // It may have been assigned partitions before anybody listened.
    const early = consumer.assignment();
    if (early.length > 0) this.#assigned(early);
  }

  /** Gives the partitions of each table. */
  async #prepareTopics(): Promise<ReadonlyMap<string, number>> {
    if (this.core.tables.size === 0 && this.core.repartitions.length === 0) return new Map();
    return await new InternalTopics(this.core, this.vars).prepare();
  }

  /** Until partitions are assigned, all shards are copies. */
  async #openStandby(partitions: ReadonlyMap<string, number>): Promise<void> {
    const standby = new Standby(this.vars, this.#sourceKind, (error) => this.#report(error));
    await standby.start();
    this.#standby = standby;
    for (const { changelog, name } of this.core.tables.values()) {
      for (let partition = 0; partition < (partitions.get(name) ?? 0); partition++)
        standby.give(this.#newShard(name, partition), changelog);
    }
  }

  #newShard(table: string, partition: number): Shard {
    return new Shard(table, partition, this.#store.open(table, partition), this.guarantee === 'exactly-once');
  }

  get #sourceKind(): 'packed' | 'portable' {
    return chooseSource(this.vars.RDKAFKA_TOOLKIT_NATIVE);
  }

  async #makeProducer(config: Readonly<Record<string, string | number>>): Promise<AppProducer> {
    const { keySerializer, valueSerializer } = this.core.codecs;
    const producer = await createProducer<unknown, unknown>({ vars: this.vars, keySerializer, valueSerializer, config });
    producer.on('clientError', (error) => this.emit('error', error));
    return producer;
  }

  async #makeTransactional(): Promise<AppProducer> {
    const id = `${this.name}-${this.vars.HOSTNAME ?? process.pid}`;
    this.#producer = await this.#makeProducer({ 'transactional.id': id, 'transaction.timeout.ms': TRANSACTION_TIMEOUT_MS });
    return this.#producer;
  }

  get #runnerOptions() {
    const { failures, handleSignals, metrics, onError } = this.#options;
    const signals = [this.#stop.signal, ...(this.#options.signal === undefined ? [] : [this.#options.signal])];
    return {
      consumer: this.#consumer!,
      metrics,
      failures,
      handleSignals,
      signal: AbortSignal.any(signals),
      onError: (error: unknown, record: AnyRecord | undefined) => {
        this.emit('error', error);
        return onError?.(error, record) ?? 'stop';
      },
    };
  }

  /** Readings of changelogs end with whatever stops the app. */
  #endWith(signal: AbortSignal): void {
    if (this.#endingBy === signal) return;
    this.#endingBy = signal;
    if (signal.aborted) this.#ending.abort();
    else signal.addEventListener('abort', () => this.#ending.abort(), { once: true });
  }

  readonly #handler = (record: AnyRecord): readonly Output[] | undefined | Promise<readonly Output[] | undefined> =>
    this.core.dispatch(record);

  #runLoop(): Promise<RunResult> {
    const options = { ...this.#runnerOptions, producer: this.#producer! };
    const consumer = this.#consumer!;
    const done = (record: AnyRecord): void => {
      if (!this.core.takeHeld()) enqueueAutoCommits(consumer, record);
    };
    return runLoop('StreamAppWrapper', true, options, (stop) => {
      this.#endWith(stop.signal);
      const engine = new Engine(options, stop.signal, (turning) => turning.record(this.#handler, done));
      const end = async (): Promise<void> => {
        if (this.#failure === undefined) await this.core.flush();
        await engine.end();
      };
      return {
        start: () => engine.start(),
        turn: () => engine.turn(),
        end,
        get result() {
          return engine.result;
        },
      };
    });
  }

  #runTransactions(): Promise<RunResult> {
    return runTransaction({
      ...this.#runnerOptions,
      producer: () => this.#makeTransactional(),
      handler: (record: AnyRecord, { signal }) => {
        this.#endWith(signal);
        return this.#handler(record);
      },
      intervalMs: this.#options.transactionMs,
      onCommitting: async () => {
        await this.core.flush();
        // A batch that failed is not committed with the others.
        if (this.#failure !== undefined) throw this.#failure;
      },
      onCommitted: () => {
        for (const shard of this.core.allShards()) shard.commit();
      },
      onAborted: () => {
        this.core.drop();
        for (const shard of this.core.allShards()) shard.abort();
      },
    });
  }

  async #close(): Promise<void> {
    for (const recovery of this.#recoveries) await recovery.close();
    await this.#consumer?.close().catch(() => undefined);
    for (const shard of this.core.allShards()) shard.close();
    await this.#standby?.close();
    await this.#plain?.close().catch(() => undefined);
    this.#store.close();
  }

  // Partitions come and go.

  #assigned(partitions: readonly TopicPartition[]): void {
    const shards: Recovering[] = [];
    try {
      for (const { topic, partition } of partitions) {
        for (const { name, changelog } of this.core.tablesOf(topic)) {
          if (this.core.shard(name, partition) !== undefined) continue;
          const shard = this.#standby?.take(changelog, partition) ?? this.#newShard(name, partition);
          this.core.addShard(shard);
          shards.push({ shard, changelog });
        }
      }
      if (shards.length > 0) this.#recover(shards, partitions);
      this.emit('assigned', partitions);
    } catch (error) {
      // A store that does not open; a listener that throws.
      this.#fail(error);
    }
  }

  #recover(shards: readonly Recovering[], partitions: readonly TopicPartition[]): void {
    // What was given up since is not this reading's any more, were it to come back in the meantime.
    const token = {};
    for (const { shard } of shards) this.#readBy.set(shard, token);
    const isOurs = (shard: Shard): boolean => this.#readBy.get(shard) === token;
    const work = this.#recoverOnce(shards, partitions, isOurs).catch((error: unknown) => {
      // Given up because they were: others have them now.
      if (!this.#ending.signal.aborted && shards.some(({ shard }) => isOurs(shard))) this.#fail(error);
      // No record is handled on a table that was read in part: a runner that stops leaves it undone.
      throw new ClosedError('The tables of a partition were not read', { cause: error });
    });
    for (const { shard } of shards) {
      const key = `${shard.table}/${shard.partition}`;
      const mine = work.then(() => {
        if (this.#recovering.get(key) === mine) this.#recovering.delete(key);
      });
      // It may be that nobody waits for it.
      mine.catch(() => undefined);
      this.#recovering.set(key, mine);
    }
  }

  async #recoverOnce(
    shards: readonly Recovering[],
    partitions: readonly TopicPartition[],
    isOurs: (shard: Shard) => boolean,
  ): Promise<void> {
    const { signal } = this.#ending;
    for (let attempt = 0; ; attempt++) {
      const recovery = new Recovery(this.vars, this.#sourceKind);
      this.#recoveries.add(recovery);
      try {
        await recovery.connect(signal);
        const { milliseconds, records } = await recovery.run(shards, signal, isOurs);
        for (const { shard } of shards) if (isOurs(shard)) shard.recovered = true;
        this.#recoveredRecords += records;
        this.emit('recovered', { records, milliseconds, partitions });
        return;
      } catch (error) {
        if (!isToolkitError(error) || !error.retriable || signal.aborted) throw error;
        this.#report(error);
        await sleep(Math.min(5_000, 100 * 2 ** attempt), undefined, { signal });
      } finally {
        this.#recoveries.delete(recovery);
        await recovery.close();
      }
    }
  }

  #revoked(partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      for (const { changelog, name } of this.core.tablesOf(topic)) {
        const shard = this.core.shard(name, partition);
        if (shard !== undefined) this.#giveUp(shard, changelog);
      }
    }
    this.emit('revoked', partitions);
  }

  /** Others have it from now on. */
  #giveUp(shard: Shard, changelog: string): void {
    this.core.removeShard(shard);
    this.#recovering.delete(`${shard.table}/${shard.partition}`);
    this.#readBy.delete(shard);
    if (this.#standby === undefined || this.#stop.signal.aborted) {
      shard.close();
      return;
    }
    shard.rest();
    this.#standby.give(shard, changelog);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#report(error);
    this.#stop.abort();
    this.#ending.abort();
  }

  // What the core asks.

  #driver(): StreamDriver {
    return {
      now: () => Date.now(),
      later(milliseconds, work) {
        const timer = setTimeout(work, milliseconds);
        return () => clearTimeout(timer);
      },
      change: (changes) => this.#change(changes),
      produce: async (outputs) => {
        let queued = 0;
        for (const output of outputs) {
          await this.#enqueue(output, queued++ > 0);
          this.metrics?.incMessagesProduced(1);
        }
      },
      finish: (records) => {
        if (this.guarantee === 'at-least-once') enqueueAutoCommits(this.#consumer!, records);
      },
      failed: (error) => this.#fail(error),
      holds: (record) => record !== undefined && offsetManagerOf(this.#consumer!).holds(record),
      ready: (record) => (this.#recovering.size === 0 ? undefined : this.#ready(record)),
    };
  }

  /** Undefined when nothing of the partition is being read. */
  #ready({ topic, partition }: AnyRecord): Promise<void> | undefined {
    const pending = this.core.tablesOf(topic).flatMap(({ name }) => this.#recovering.get(`${name}/${partition}`) ?? []);
    return pending.length === 0 ? undefined : Promise.all(pending).then(() => undefined);
  }

  async #change(changes: Iterable<ShardChange>): Promise<void> {
    for (const change of changes) {
      const { shard, key, value } = change;
      const topic = this.core.tables.get(shard.table)!.changelog;
      // Outputs of the record, if it has any, are before it.
      await this.#enqueue({ topic, partition: shard.partition, key: Buffer.from(key, 'latin1'), value }, true, (error, metadata) => {
        if (error === undefined) shard.acknowledged(change, metadata!.offset);
        // In a transaction it fails by itself, and is tried again.
        else if (this.guarantee === 'at-least-once') this.#fail(error);
      });
    }
  }

  /** What does not get into a transaction that has other parts of its record already is the transaction's failure. */
  async #enqueue(record: Output, isPart: boolean, onDelivery?: DeliveryCallback): Promise<void> {
    try {
      await this.#producer!.enqueue(record, onDelivery);
    } catch (error) {
      if (!isPart || this.guarantee === 'at-least-once') throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new TransactionError(`A record for ${record.topic} did not get into the transaction: ${reason}`, 'abortable', {
        cause: error,
        retriable: isToolkitError(error) && error.retriable,
      });
    }
  }

  /**
   * Produces a record outside of an agent: in a timer, a route. Resolves when it is acknowledged. Agents return or yield their records.
   *
   * @throws as `Producer.send`; StateError when the app does not run
   */
  async send<K, V>(topic: StreamTopic<K, V>, record: Omit<ProducerRecord<K, V>, 'topic'>): Promise<void> {
    if (this.#plain === undefined || this.#plain.closed) throw new StateError(`The stream app ${this.name} does not run`);
    this.core.codecs.add(topic as StreamTopic<never, never>);
    await (await this.#plain.enqueue({ ...record, topic: topic.name } as Output)).delivered;
    this.metrics?.incMessagesProduced(1);
  }

  /** What it is doing, for a status page. */
  async status(): Promise<StreamStatus> {
    return appStatus(this.core, {
      guarantee: this.guarantee,
      startedAt: this.#startedAt,
      consumer: this.#consumer?.closed === false ? this.#consumer : undefined,
      recoveredRecords: this.#recoveredRecords,
      errors: this.#errors,
      standbyShards: this.#standby?.size ?? 0,
    });
  }
}

function retryFaults(vars: RuntimeVars, failures: FailureOptions | undefined): string[] {
  const byOptions = (failures?.retryTopics?.length ?? 0) > 0;
  const byVars =
    failures?.retryTopics === undefined && vars.PRODUCE_RETRY_TOPICS.length > 0 && (failures?.retries ?? vars.RETRY_COUNT_MAX) > 0;
  if (!byOptions && !byVars) return [];
  const what = byOptions ? 'failures.retryTopics' : 'PRODUCE_RETRY_TOPICS';
  return [
    `Expected no retry topics for a stream app (${what}): a record that comes back by one has left its topic and tables. Use failures.attempts`,
  ];
}
