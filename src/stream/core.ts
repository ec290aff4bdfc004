import type { ConsumerRecord } from '../binding/record-batch.ts';
import { ConfigError, StateError } from '../errors.ts';
import type { RecordContext } from '../serde.ts';
import { Agent, type AgentGenerator, type AgentHandler, type AgentHost, type AgentOptions, type AnyRecord, type Output } from './agent.ts';
import type { Shard, ShardChange } from './shard.ts';
import { Table, type TableHost, type TableOptions, type ValueTableOptions } from './table.ts';
import { StreamTopic, TopicCodecs, type TopicOptions } from './topic.ts';
import { Turn } from './turn.ts';
import { WindowedTable, type WindowedTableOptions } from './windowed-table.ts';

/** What drives an app: Kafka, or a test's harness. */
export interface StreamDriver {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `work` after so many milliseconds; gives what takes that back. */
  later(milliseconds: number, work: () => void): () => void;
  /** Produces changes to their tables' changelogs; resolves when they are on their way. */
  change(changes: Iterable<ShardChange>): void | Promise<void>;
  /** Produces what no single record's handling gave back. */
  produce(outputs: readonly Output[]): Promise<void>;
  /** Counts records of a batch as done. */
  finish(records: readonly AnyRecord[]): void;
  /** Something failed that no record is to blame for: the app ends. */
  failed(error: unknown): void;
  /** Resolves when the shards of a record's partition are there; undefined when they are. */
  ready(record: AnyRecord): Promise<void> | undefined;
  /** Whether a record is still this process's. */
  holds(record: RecordContext | undefined): boolean;
}

/** A table as the app keeps it. */
export interface TableDefinition {
  readonly name: string;
  readonly changelog: string;
  /** Undefined: those of all agents. */
  readonly topics: readonly string[] | undefined;
  readonly windowed: WindowedTable<never, never, unknown> | undefined;
}

/** A topic that records go to under another key. */
export interface Repartition {
  readonly topic: string;
  readonly from: string;
}

/**
 * What an app consists of, and what becomes of a record in it, whoever brings it: agents, tables, topics. One record, or one batch of `take`,
 * is handled at a time.
 */
export class StreamCore implements AgentHost, TableHost {
  readonly name: string;
  readonly codecs: TopicCodecs = new TopicCodecs();
  readonly agents: Agent[] = [];
  readonly tables: Map<string, TableDefinition> = new Map();
  readonly repartitions: Repartition[] = [];
  readonly #shards = new Map<string, Map<number, Shard>>();
  readonly #byTopic = new Map<string, Agent[]>();
  /** Set when it starts. */
  driver: StreamDriver | undefined;
  #turn: Turn | undefined;
  #onIdle: (() => void)[] = [];
  #wasHeld = false;
  /** Whether an agent may have a batch that waits for its turn. */
  #gathers = false;
  #lastTopic: string | undefined;
  #lastAgents: readonly Agent[] | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get turn(): Turn | undefined {
    return this.#turn;
  }

  get #driver(): StreamDriver {
    if (this.driver === undefined) throw new StateError(`The stream app ${this.name} does not run`);
    return this.driver;
  }

  // What it consists of.

  topic<K, V>(name: string, options: TopicOptions<K, V> = {}): StreamTopic<K, V> {
    const known = this.codecs.find(name);
    if (known !== undefined && Object.keys(options).length === 0) return known as StreamTopic<K, V>;
    const topic = new StreamTopic<K, V>(name, options);
    this.codecs.add(topic as StreamTopic<never, never>);
    return topic;
  }

  agent<K, V>(topic: StreamTopic<K, V>, handler: AgentHandler<K, V> | AgentGenerator<K, V>, options: AgentOptions<K, V> = {}): Agent<K, V> {
    if (this.driver !== undefined) throw new StateError(`Agents of ${this.name} must be declared before it starts`);
    const agent = new Agent<K, V>(topic, handler, options, this);
    this.codecs.add(topic as StreamTopic<never, never>);
    this.agents.push(agent as unknown as Agent);
    this.#gathers ||= agent.gathers;
    const same = this.#byTopic.get(topic.name);
    if (same === undefined) this.#byTopic.set(topic.name, [agent as unknown as Agent]);
    else same.push(agent as unknown as Agent);
    return agent;
  }

  table<K, V>(name: string, options: ValueTableOptions<K, V>): Table<K, V> {
    const table = new Table<K, V>(name, this, options);
    this.#define(name, options, undefined);
    return table;
  }

  windowedTable<K, I, A>(name: string, options: WindowedTableOptions<K, I, A>): WindowedTable<K, I, A> {
    const table = new WindowedTable<K, I, A>(name, this, options);
    this.#define(name, options, table as unknown as WindowedTable<never, never, unknown>);
    return table;
  }

  #define(
    name: string,
    { topics }: TableOptions<never> | (object & { topics?: TableOptions<never>['topics'] }),
    windowed: TableDefinition['windowed'],
  ): void {
    if (!/^[\w.-]+$/.test(name))
      throw new ConfigError([`Expected the name of a table to have letters, digits, ".", "_" and "-" only, got "${name}"`]);
    if (this.tables.has(name)) throw new ConfigError([`Expected one table called ${name}`]);
    const names = topics?.map((topic) => (typeof topic === 'string' ? topic : topic.name));
    this.tables.set(name, { name, changelog: `${this.name}-${name}-changelog`, topics: names, windowed });
  }

  groupBy<K, V, NewK>(
    name: string,
    from: StreamTopic<K, V>,
    keyOf: (record: ConsumerRecord<K, V>) => NewK,
    options: TopicOptions<NewK, V>,
  ): StreamTopic<NewK, V> {
    const to = this.topic<NewK, V>(`${this.name}-${name}-repartition`, {
      valueDeserializer: from.valueDeserializer,
      valueSerializer: from.valueSerializer,
      ...options,
    });
    this.repartitions.push({ topic: to.name, from: from.name });
    this.agent(
      from,
      (record: ConsumerRecord<K, V>) => {
        const { timestamp, value } = record;
        return { topic: to.name, key: keyOf(record), value, ...(timestamp > 0 ? { timestamp } : {}) };
      },
      { name: `group by ${name}` },
    );
    return to;
  }

  /** What it reads from. */
  get topics(): string[] {
    return [...this.#byTopic.keys()];
  }

  /** The topics whose partitions a table goes with. */
  topicsOf({ topics }: TableDefinition): readonly string[] {
    return topics ?? this.topics;
  }

  /** The tables that go with a topic's partitions. */
  tablesOf(topic: string): TableDefinition[] {
    return [...this.tables.values()].filter((table) => this.topicsOf(table).includes(topic));
  }

  // What tables and agents ask.

  now(): number {
    return this.#driver.now();
  }

  later(milliseconds: number, work: () => void): () => void {
    return this.#driver.later(milliseconds, work);
  }

  failed(error: unknown): void {
    this.#driver.failed(error);
  }

  checkTopic(table: string, topic: string): void {
    const definition = this.tables.get(table)!;
    if (this.topicsOf(definition).includes(topic)) return;
    throw new StateError(
      `Table ${table} goes with ${this.topicsOf(definition).join(', ')}, and was written by an agent of ${topic}: pass it in topics`,
    );
  }

  shard(table: string, partition: number): Shard | undefined {
    return this.#shards.get(table)?.get(partition);
  }

  *shards(table: string): IterableIterator<Shard> {
    const shards = this.#shards.get(table);
    if (shards !== undefined) yield* shards.values();
  }

  *allShards(): IterableIterator<Shard> {
    for (const shards of this.#shards.values()) yield* shards.values();
  }

  addShard(shard: Shard): void {
    let shards = this.#shards.get(shard.table);
    if (shards === undefined) {
      shards = new Map();
      this.#shards.set(shard.table, shards);
    }
    shards.set(shard.partition, shard);
  }

  removeShard({ table, partition }: Shard): void {
    this.#shards.get(table)?.delete(partition);
  }

  // What becomes of a record.

  enter(turn: Turn): void {
    this.#turn = turn;
  }

  leave(): void {
    this.#turn = undefined;
    if (this.#onIdle.length > 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    if (this.#gathers && this.#turn === undefined) for (const agent of this.agents) agent.poke();
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Whether the record handled last is not done yet: an agent has it in a batch, and says when. */
  takeHeld(): boolean {
    const held = this.#wasHeld;
    this.#wasHeld = false;
    return held;
  }

  /** Handles a record by all agents of its topic; gives what is to be produced. Nothing is to be waited for in most cases. */
  dispatch(record: AnyRecord): readonly Output[] | undefined | Promise<readonly Output[] | undefined> {
    const { topic } = record;
    // Records come in runs of one topic.
    if (topic !== this.#lastTopic) {
      this.#lastTopic = topic;
      this.#lastAgents = this.#byTopic.get(topic);
    }
    const agents = this.#lastAgents;
    if (agents === undefined) return undefined;
    if (this.#turn === undefined && agents.length === 1 && this.#driver.ready(record) === undefined) {
      return this.#handleAtOnce(agents[0]!, record);
    }
    return this.#handle(agents, record);
  }

  /** The common case without a promise: an agent that waits for nothing. */
  #handleAtOnce(agent: Agent, record: AnyRecord): readonly Output[] | undefined | Promise<readonly Output[] | undefined> {
    const turn = new Turn(record);
    this.enter(turn);
    let outputs: ReturnType<Agent['handle']>;
    try {
      outputs = agent.handle(record);
    } catch (error) {
      throw this.#undone(turn, agent, error);
    }
    if (!(outputs instanceof Promise) && !turn.changed) {
      this.leave();
      return outputs === 'held' ? undefined : outputs;
    }
    return this.#finishTurn(turn, agent, outputs);
  }

  async #finishTurn(turn: Turn, agent: Agent, pending: ReturnType<Agent['handle']>): Promise<readonly Output[] | undefined> {
    try {
      const outputs = await pending;
      if (outputs === 'held') this.#wasHeld = true;
      return await this.#close(turn, outputs === 'held' ? undefined : outputs);
    } catch (error) {
      return this.#failed(turn, agent, error);
    } finally {
      if (this.#turn === turn) this.leave();
    }
  }

  /**
   * Gives the outputs of a turn, or, where it has changed tables, produces them with its changes: what cannot be produced fails the record while
   * its changes can still be taken back.
   */
  async #close(turn: Turn, outputs: readonly Output[] | undefined): Promise<readonly Output[] | undefined> {
    if (!turn.changed) return outputs;
    if (outputs !== undefined && outputs.length > 0) await this.#driver.produce(outputs);
    await this.#driver.change(turn.changes());
    return undefined;
  }

  /** Whoever has the partition now handles the record: what goes wrong with it here concerns nobody. */
  #failed(turn: Turn, agent: Agent, error: unknown): undefined {
    const failure = this.#undone(turn, agent, error);
    if (this.#driver.holds(turn.record)) throw failure;
    return undefined;
  }

  #undone(turn: Turn, agent: Agent, error: unknown): unknown {
    turn.undo();
    agent.errors++;
    if (this.#turn === turn) this.leave();
    return error;
  }

  async #handle(agents: readonly Agent[], record: AnyRecord): Promise<readonly Output[] | undefined> {
    for (let ready = this.#driver.ready(record); ready !== undefined; ready = this.#driver.ready(record)) await ready;
    while (this.#turn !== undefined) await this.#idle();
    if (!this.#driver.holds(record)) return undefined;
    // One turn for all of them: when one fails, none has changed anything.
    const turn = new Turn(record);
    this.enter(turn);
    const all: Output[] = [];
    let held = false;
    let current = agents[0]!;
    try {
      for (const agent of agents) {
        current = agent;
        const outputs = await agent.handle(record);
        if (outputs === 'held') held = true;
        else if (outputs !== undefined) all.push(...outputs);
      }
      const outputs = await this.#close(turn, all);
      this.#wasHeld = held;
      return outputs;
    } catch (error) {
      return this.#failed(turn, current, error);
    } finally {
      if (this.#turn === turn) this.leave();
    }
  }

  async finishBatch(turn: Turn, outputs: readonly Output[], records: readonly AnyRecord[]): Promise<void> {
    if (outputs.length > 0) await this.#driver.produce(outputs);
    if (turn.changed) await this.#driver.change(turn.changes());
    this.#driver.finish(records);
  }

  /** Hands over all that agents have gathered, and waits until it is done. */
  async flush(): Promise<void> {
    for (const agent of this.agents) await agent.flush();
  }

  /** Forgets it: those records come again. */
  drop(): void {
    for (const agent of this.agents) agent.drop();
  }
}
