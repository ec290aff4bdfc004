import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { ProducerRecord } from '../client/producer.ts';
import { StateError } from '../errors.ts';
import type { StreamTopic } from './topic.ts';
import { Turn } from './turn.ts';

/** What an agent may give back: records to produce; with sinks, values for them. */
// biome-ignore lint/suspicious/noConfusingVoidType: an async handler without a return statement is a Promise<void>.
export type AgentResult = unknown | void;

/** Handles one record. */
export type AgentHandler<K, V> = (record: ConsumerRecord<K, V>) => AgentResult | Promise<AgentResult>;

/** The records of an agent, for `for await`. A record is done when the next one is asked for. */
export interface AgentStream<K, V> extends AsyncIterable<ConsumerRecord<K, V>> {
  /**
   * Records `count` at a time, or as many as came within `withinSeconds` of the first one. All of them are done when the next ones are asked
   * for. Under exactly-once no batch is longer than a transaction.
   */
  take(count: number, withinSeconds: number): AsyncIterable<readonly ConsumerRecord<K, V>[]>;
}

/** Handles a stream of records; what it yields is produced. */
export type AgentGenerator<K, V> = (stream: AgentStream<K, V>) => AsyncGenerator<AgentResult, void, undefined>;

/** Where an agent's values go: a topic, under the record's key; another agent's topic; a function. */
export type Sink<K, V> =
  | { readonly name: string; readonly topic?: undefined }
  | { readonly topic: { readonly name: string } }
  | ((value: unknown, record: ConsumerRecord<K, V>) => void | Promise<void>);

/**
 * What an agent is called with: a handler with the record, an `async function*` with the stream. (TypeScript infers the parameter of a function
 * from one signature only: use what belongs to yours.)
 */
export type AgentInput<K, V> = ConsumerRecord<K, V> & AgentStream<K, V>;

/** Options of an agent. */
export interface AgentOptions<K, V> {
  /** Shown on the status page. @default its topic's name */
  readonly name?: string | undefined;
  /** What it returns or yields are values then, not records. @default none */
  readonly sinks?: readonly Sink<K, V>[] | undefined;
}

/** What an agent asks of its app. */
export interface AgentHost {
  /** What is being handled. */
  readonly turn: Turn | undefined;
  /** Changes of tables belong to this turn from now on, until {@link leave}. One at a time. */
  enter(turn: Turn): void;
  leave(): void;
  /** What a batch of `take` gave: produced, and its records counted as done. */
  finishBatch(turn: Turn, outputs: readonly ProducerRecord<unknown, unknown>[], records: readonly AnyRecord[]): Promise<void>;
  /** A batch of `take` failed: none of its records is done. */
  failed(error: unknown): void;
  /** Calls `work` after so many milliseconds; gives what takes that back. */
  later(milliseconds: number, work: () => void): () => void;
}

export type AnyRecord = ConsumerRecord<unknown, unknown>;
export type Output = ProducerRecord<unknown, unknown>;

/** `held`: the record is not done yet, the agent says when. */
export type Handled = readonly Output[] | 'held';

/** What an agent has done, for metrics and the status page. */
export interface AgentStats {
  readonly name: string;
  readonly topic: string;
  readonly handled: number;
  readonly errors: number;
}

/** An agent at work. */
export class Agent<K = unknown, V = unknown> {
  readonly name: string;
  readonly topic: StreamTopic<K, V>;
  readonly #sinks: readonly Sink<K, V>[];
  readonly #handler: AgentHandler<K, V> | undefined;
  readonly #feed: GeneratorFeed<K, V> | undefined;
  handled = 0;
  errors = 0;

  constructor(topic: StreamTopic<K, V>, handler: AgentHandler<K, V> | AgentGenerator<K, V>, options: AgentOptions<K, V>, host: AgentHost) {
    this.topic = topic;
    this.name = options.name ?? topic.name;
    this.#sinks = options.sinks ?? [];
    if (isGenerator(handler)) this.#feed = new GeneratorFeed(handler, host, (value, record) => this.outputsOf(value, record));
    else this.#handler = handler as AgentHandler<K, V>;
  }

  /** Whether it may gather records for a batch. */
  get gathers(): boolean {
    return this.#feed !== undefined;
  }

  get stats(): AgentStats {
    const { name, topic, handled, errors } = this;
    return { name, topic: topic.name, handled, errors };
  }

  /** @internal Handles a record; undefined without an output, at once where nothing is to be waited for. */
  handle(record: ConsumerRecord<K, V>): Handled | undefined | Promise<Handled | undefined> {
    this.handled++;
    if (this.#feed !== undefined) return this.#feed.handle(record);
    const result = this.#handler!(record);
    if (result instanceof Promise) return result.then((value) => this.outputsOf(value, record));
    return result === undefined ? undefined : this.outputsOf(result, record);
  }

  /** @internal What a result means: records, or values for the sinks. */
  outputsOf(result: AgentResult, record: ConsumerRecord<K, V> | undefined): readonly Output[] | undefined | Promise<readonly Output[]> {
    if (result === undefined) return undefined;
    if (this.#sinks.length > 0) return this.#sink(result, record);
    const outputs = (Array.isArray(result) ? result : [result]) as readonly Output[];
    for (const output of outputs) {
      if (typeof output?.topic === 'string') continue;
      throw new StateError(`Agent ${this.name} gave back something that is no record: { topic, key, value } is, or give it sinks`);
    }
    return outputs;
  }

  async #sink(value: unknown, record: ConsumerRecord<K, V> | undefined): Promise<readonly Output[]> {
    if (record === undefined)
      throw new StateError(`Agent ${this.name}: what a batch of take yields has no single record: yield records instead`);
    const outputs: Output[] = [];
    for (const sink of this.#sinks) {
      if (typeof sink === 'function') await sink(value, record);
      else outputs.push({ topic: sink.topic === undefined ? sink.name : sink.topic.name, key: record.key, value });
    }
    return outputs;
  }

  /** Called when a turn is over: the time for a batch that waits. */
  poke(): void {
    this.#feed?.giveBatch();
  }

  /** Hands over what `take` has gathered, and waits until it is done. */
  async flush(): Promise<void> {
    await this.#feed?.flush();
  }

  /** Forgets what `take` has gathered: those records come again. */
  drop(): void {
    this.#feed?.drop();
  }
}

function isGenerator<K, V>(handler: AgentHandler<K, V> | AgentGenerator<K, V>): handler is AgentGenerator<K, V> {
  return Object.prototype.toString.call(handler) === '[object AsyncGeneratorFunction]';
}

/** A record that a generator is given, until it asks for the next one. */
interface Given<K, V> {
  readonly record: ConsumerRecord<K, V>;
  readonly outputs: Output[];
  resolve(outputs: readonly Output[]): void;
  reject(error: unknown): void;
}

/** A batch that a generator is given, until it asks for the next one. */
interface Batch {
  readonly records: readonly AnyRecord[];
  readonly outputs: Output[];
  readonly turn: Turn;
}

type OutputsOf<K, V> = Agent<K, V>['outputsOf'];

interface Taking {
  readonly count: number;
  readonly withinMs: number;
}

/**
 * Between the app, which hands records over one by one, and a generator, which asks for them. A generator that throws fails the record it
 * was at and starts anew with the next one; one that returns does so, too.
 */
class GeneratorFeed<K, V> {
  readonly #make: AgentGenerator<K, V>;
  readonly #host: AgentHost;
  readonly #outputsOf: OutputsOf<K, V>;
  #running = false;
  #asked: ((result: IteratorResult<ConsumerRecord<K, V>>) => void) | undefined;
  #given: Given<K, V> | undefined;
  #waiting: Given<K, V> | undefined;
  #taking: Taking | undefined;
  #askedBatch: ((result: IteratorResult<readonly ConsumerRecord<K, V>[]>) => void) | undefined;
  #batch: Batch | undefined;
  #gathered: ConsumerRecord<K, V>[] = [];
  #isDue = false;
  #stopTimer: (() => void) | undefined;
  #onChange: (() => void)[] = [];

  constructor(make: AgentGenerator<K, V>, host: AgentHost, outputsOf: OutputsOf<K, V>) {
    this.#make = make;
    this.#host = host;
    this.#outputsOf = outputsOf;
  }

  async handle(record: ConsumerRecord<K, V>): Promise<Handled> {
    if (!this.#running) void this.#start();
    // It runs up to its first question, which says how it wants its records.
    while (this.#running && this.#asked === undefined && this.#taking === undefined) await this.#change();
    if (!this.#running) throw new StateError('An agent ended before it asked for a record');
    if (this.#taking !== undefined) return this.#gather(record, this.#taking);
    return await new Promise<readonly Output[]>((resolve, reject) => {
      this.#waiting = { record, outputs: [], resolve, reject };
      this.#give();
    });
  }

  #give(): void {
    const given = this.#waiting;
    const asked = this.#asked;
    if (given === undefined || asked === undefined) return;
    this.#waiting = undefined;
    this.#asked = undefined;
    this.#given = given;
    asked({ done: false, value: given.record });
  }

  /** Takes it whether there is room in a batch or not: how many records wait is bounded by what the consumer hands over unfinished. */
  #gather(record: ConsumerRecord<K, V>, taking: Taking): 'held' {
    this.#gathered.push(record);
    if (this.#gathered.length === 1) this.#startTimer(taking);
    this.giveBatch();
    return 'held';
  }

  #startTimer({ withinMs }: Taking): void {
    this.#stopTimer = this.#host.later(withinMs, () => {
      this.#isDue = true;
      this.giveBatch();
    });
  }

  /** Hands a batch over if there is one, it is asked for, and nothing else is being handled. */
  giveBatch(): void {
    const asked = this.#askedBatch;
    const isFull = this.#gathered.length >= (this.#taking?.count ?? Number.POSITIVE_INFINITY);
    // Another turn is under way: at its end it is asked again.
    if (asked === undefined || this.#gathered.length === 0 || !(isFull || this.#isDue) || this.#host.turn !== undefined) return;
    const records = this.#gathered.splice(0, this.#taking!.count);
    this.#isDue = false;
    this.#stopTimer?.();
    if (this.#gathered.length > 0) this.#startTimer(this.#taking!);
    this.#askedBatch = undefined;
    this.#batch = { records: records as readonly AnyRecord[], outputs: [], turn: new Turn(undefined) };
    this.#host.enter(this.#batch.turn);
    this.#tellChange();
    asked({ done: false, value: records });
  }

  /** Hands over what is gathered, however little, and waits until it is done. */
  async flush(): Promise<void> {
    while (this.#gathered.length > 0 || this.#batch !== undefined) {
      this.#isDue = this.#gathered.length > 0;
      this.giveBatch();
      if (this.#gathered.length > 0 || this.#batch !== undefined) await this.#change();
    }
  }

  drop(): void {
    this.#gathered = [];
    this.#isDue = false;
    this.#stopTimer?.();
    this.#tellChange();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve));
  }

  #tellChange(): void {
    for (const resolve of this.#onChange.splice(0)) resolve();
  }

  async #start(): Promise<void> {
    this.#running = true;
    try {
      for await (const value of this.#make(this.#stream())) await this.#add(value);
      await this.#done();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#running = false;
      this.#asked = undefined;
      this.#askedBatch = undefined;
      this.#tellChange();
    }
    if (this.#waiting !== undefined) void this.#start();
  }

  async #add(value: AgentResult): Promise<void> {
    const outputs = await this.#outputsOf(value, this.#given?.record);
    if (outputs !== undefined) (this.#batch ?? this.#given)?.outputs.push(...outputs);
  }

  /** What was given is done. */
  async #done(): Promise<void> {
    const given = this.#given;
    this.#given = undefined;
    given?.resolve(given.outputs);
    const batch = this.#batch;
    if (batch === undefined) return;
    await this.#host.finishBatch(batch.turn, batch.outputs, batch.records);
    this.#batch = undefined;
    this.#host.leave();
    this.#tellChange();
  }

  #fail(error: unknown): void {
    const given = this.#given ?? this.#waiting;
    this.#given = undefined;
    this.#waiting = undefined;
    given?.reject(error);
    const batch = this.#batch;
    this.#batch = undefined;
    batch?.turn.undo();
    if (batch !== undefined) this.#host.leave();
    if (given === undefined) this.#host.failed(error);
  }

  #stream(): AgentStream<K, V> {
    const next = async (): Promise<IteratorResult<ConsumerRecord<K, V>>> => {
      await this.#done();
      return await new Promise((resolve) => {
        this.#asked = resolve;
        this.#tellChange();
        this.#give();
      });
    };
    const nextBatch = async (): Promise<IteratorResult<readonly ConsumerRecord<K, V>[]>> => {
      await this.#done();
      return await new Promise((resolve) => {
        this.#askedBatch = resolve;
        this.giveBatch();
      });
    };
    return {
      [Symbol.asyncIterator]: () => ({ next }),
      take: (count, withinSeconds) => {
        if (!(Number.isInteger(count) && count > 0 && withinSeconds > 0)) {
          throw new StateError(`Expected take(count, withinSeconds) to be given numbers above 0, got ${count} and ${withinSeconds}`);
        }
        this.#taking = { count, withinMs: withinSeconds * 1000 };
        this.#tellChange();
        return { [Symbol.asyncIterator]: () => ({ next: nextBatch }) };
      },
    };
  }
}
