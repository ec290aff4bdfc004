import { EventEmitter } from 'node:events';
import type { TopicPartition } from '../binding/node-rdkafka.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import { createConsumer, offsetManagerOf } from '../delivery/create-clients.ts';
import { ConfigError, StateError } from '../errors.ts';
import type { MetricsManager } from '../metrics/manager.ts';
import { type MetricsPushing, startPushingMetrics } from '../metrics/start-pushing.ts';
import { enqueueAutoCommits } from '../patterns/consume.ts';
import { Engine } from '../patterns/engine.ts';
import { runTransaction } from '../patterns/run.ts';
import { runLoop } from '../patterns/run-loop.ts';
import type { RunResult } from '../patterns/run-options.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import type { Agent, AgentHandler, AgentInput, AgentOptions, AgentResult, AnyRecord, Output } from './agent.ts';
import { type ProcessingGuarantee, retryFaults, type StreamAppEvents, type StreamAppOptions } from './app-options.ts';
import { StreamCore, type StreamDriver } from './core.ts';
import { InternalTopics } from './internal-topics.ts';
import { Outputs } from './outputs.ts';
import { appStatus, type RecentError, type StreamStatus } from './status.ts';
import { memoryStore } from './store.ts';
import type { Table, ValueTableOptions } from './table.ts';
import { TableShards } from './table-shards.ts';
import { type Timer, Timers } from './timers.ts';
import type { StreamTopic, TopicOptions } from './topic.ts';
import type { WindowedTable, WindowedTableOptions } from './windowed-table.ts';

/** Errors that the status page shows. */
const RECENT_ERRORS = 20;

type AppConsumer = Consumer<unknown, unknown>;

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
  readonly #shards: TableShards;
  readonly #outputs: Outputs;
  #consumer: AppConsumer | undefined;
  #running: Promise<RunResult> | undefined;
  readonly #stop = new AbortController();
  #failure: unknown;
  #startedAt = 0;
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
    this.#timers = new Timers((error) => this.#report(error));
    const transactional = this.guarantee === 'exactly-once';
    this.#shards = new TableShards(this.core, this.vars, options.store ?? memoryStore(), {
      transactional,
      stopping: this.#stop.signal,
      onRecovered: (recovery) => this.emit('recovered', recovery),
      onError: (error) => this.#report(error),
      onFailed: (error) => this.#fail(error),
    });
    this.#outputs = new Outputs(this.core, this.vars, {
      transactional,
      metrics: options.metrics,
      onClientError: (error) => this.emit('error', error),
      onFailed: (error) => this.#fail(error),
    });
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
    const producer = await this.#outputs.open();
    const partitions = await this.#prepareTopics();
    this.core.driver = this.#driver();
    if (this.#options.standby) await this.#shards.openStandby(partitions);
    const consumer = await createConsumer<unknown, unknown>({
      vars: this.vars,
      topics: this.core.topics,
      keyDeserializer: codecs.keyDeserializer,
      valueDeserializer: codecs.valueDeserializer,
      config,
      producers: exactlyOnce ? [] : [producer as unknown as Producer<never, never>],
    });
    this.#consumer = consumer;
    consumer.on('assigned', (partitions) => this.#assigned(partitions));
    consumer.on('revoked', (partitions) => this.#revoked(partitions));
    consumer.on('clientError', (error) => this.emit('error', error));
    offsetManagerOf(consumer).onRevoking(() => void this.core.flush());
    this.metrics?.watchConsumer(consumer);
    this.metrics?.watchProducer(producer);
    // It may have been assigned partitions before anybody listened.
    const early = consumer.assignment();
    if (early.length > 0) this.#assigned(early);
  }

  /** Gives the partitions of each table. */
  async #prepareTopics(): Promise<ReadonlyMap<string, number>> {
    if (this.core.tables.size === 0 && this.core.repartitions.length === 0) return new Map();
    return await new InternalTopics(this.core, this.vars).prepare();
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

  readonly #handler = (record: AnyRecord): readonly Output[] | undefined | Promise<readonly Output[] | undefined> =>
    this.core.dispatch(record);

  #runLoop(): Promise<RunResult> {
    const options = { ...this.#runnerOptions, producer: this.#outputs.producer };
    const consumer = this.#consumer!;
    const done = (record: AnyRecord): void => {
      if (!this.core.takeHeld()) enqueueAutoCommits(consumer, record);
    };
    return runLoop('StreamAppWrapper', true, options, (stop) => {
      this.#shards.endWith(stop.signal);
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
      producer: () => this.#outputs.openTransactional(),
      handler: (record: AnyRecord, { signal }) => {
        this.#shards.endWith(signal);
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
    await this.#shards.closeRecoveries();
    await this.#consumer?.close().catch(() => undefined);
    await this.#shards.closeShards();
    await this.#outputs.close();
    this.#shards.closeStore();
  }

  #assigned(partitions: readonly TopicPartition[]): void {
    try {
      this.#shards.assigned(partitions);
      this.emit('assigned', partitions);
    } catch (error) {
      // A store that does not open; a listener that throws.
      this.#fail(error);
    }
  }

  #revoked(partitions: readonly TopicPartition[]): void {
    this.#shards.revoked(partitions);
    this.emit('revoked', partitions);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#report(error);
    this.#stop.abort();
    this.#shards.end();
  }

  // What the core asks.

  #driver(): StreamDriver {
    return {
      now: () => Date.now(),
      later(milliseconds, work) {
        const timer = setTimeout(work, milliseconds);
        return () => clearTimeout(timer);
      },
      change: (changes) => this.#outputs.change(changes),
      produce: (outputs) => this.#outputs.produce(outputs),
      finish: (records) => {
        if (this.guarantee === 'at-least-once') enqueueAutoCommits(this.#consumer!, records);
      },
      failed: (error) => this.#fail(error),
      holds: (record) => record !== undefined && offsetManagerOf(this.#consumer!).holds(record),
      ready: this.#shards.ready,
    };
  }

  /**
   * Produces a record outside of an agent: in a timer, a route. Resolves when it is acknowledged. Agents return or yield their records.
   *
   * @throws as `Producer.send`; StateError when the app does not run
   */
  async send<K, V>(topic: StreamTopic<K, V>, record: Omit<ProducerRecord<K, V>, 'topic'>): Promise<void> {
    await this.#outputs.send(topic, record);
  }

  /** What it is doing, for a status page. */
  async status(): Promise<StreamStatus> {
    return appStatus(this.core, {
      guarantee: this.guarantee,
      startedAt: this.#startedAt,
      consumer: this.#consumer?.closed === false ? this.#consumer : undefined,
      recoveredRecords: this.#shards.recoveredRecords,
      errors: this.#errors,
      standbyShards: this.#shards.copies,
    });
  }
}
