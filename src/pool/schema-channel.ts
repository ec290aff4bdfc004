import { randomUUID } from 'node:crypto';
import { BroadcastChannel } from 'node:worker_threads';
import { ConfigError, SchemaRegistryError } from '../errors.ts';
import type { RegisteredSchema, SchemaReference, SchemaSource } from '../serde.ts';
import { fromThreadError, type ThreadError, toThreadError } from './thread-error.ts';

/** What a worker asks the main thread. */
type Question =
  | { readonly ask: 'schema'; readonly key: string; readonly id: number }
  | {
      readonly ask: 'register' | 'lookup';
      readonly key: string;
      readonly subject: string;
      readonly text: string;
      readonly references: readonly SchemaReference[];
    };

/** What the main thread says, to all workers: what one asked for, the others need as well. */
type Message =
  | { readonly key: string; readonly schema?: RegisteredSchema; readonly id?: number; readonly error?: ThreadError }
  | { readonly stop: true };

/** What a worker opens its end with. */
export interface SchemaLink {
  /** Name of the channel. */
  readonly name: string;
  /** 1 once handlers are to end: a worker that starts later has missed the message. Shared memory. */
  readonly stopped: Int32Array;
}

/** How long an unknown id is remembered as such in a worker, in milliseconds: as in the client. */
const NEGATIVE_CACHE_MS = 5_000;

/** The main thread's end: answers from its registry client, and tells when to stop. */
export class SchemaService {
  readonly link: SchemaLink = { name: `rdkafka-toolkit-${randomUUID()}`, stopped: new Int32Array(new SharedArrayBuffer(4)) };
  readonly #registry: SchemaSource | undefined;
  readonly #channel: BroadcastChannel;

  constructor(registry: SchemaSource | undefined) {
    this.#registry = registry;
    this.#channel = new BroadcastChannel(this.link.name);
    this.#channel.onmessage = (event: unknown) => void this.#answer((event as { data: Question }).data);
    this.#channel.unref();
  }

  async #answer(question: Question): Promise<void> {
    const { key } = question;
    try {
      const registry = required(this.#registry);
      if (question.ask === 'schema') this.#say({ key, schema: await registry.schema(question.id) });
      else this.#say({ key, id: await registry[question.ask](question.subject, question.text, question.references) });
    } catch (error) {
      this.#say({ key, error: toThreadError(error) });
    }
  }

  #say(message: Message): void {
    try {
      this.#channel.postMessage(message);
    } catch {
      // Closed meanwhile: nobody waits any more.
    }
  }

  /** Handlers are to end. */
  stop(): void {
    Atomics.store(this.link.stopped, 0, 1);
    this.#say({ stop: true });
  }

  close(): void {
    this.#channel.close();
  }
}

function required(registry: SchemaSource | undefined): SchemaSource {
  if (registry !== undefined) return registry;
  throw new ConfigError(['Expected a registry to be passed to the pool: its handler module uses Avro']);
}

/** A registry for an environment that has none: every call says so. */
export function missingRegistry(): SchemaSource {
  const fail = (): never => required(undefined) as never;
  return { peek: () => undefined, peekUnknown: () => undefined, schema: fail, register: fail, lookup: fail };
}

/** A worker's end: the main thread's registry, each schema asked for once. */
export class RemoteSchemas implements SchemaSource {
  readonly #channel: BroadcastChannel;
  readonly #stop = new AbortController();
  readonly #known = new Map<number, RegisteredSchema>();
  readonly #unknown = new Map<number, { readonly error: SchemaRegistryError; readonly until: number }>();
  readonly #asked = new Map<string, { readonly promise: Promise<unknown>; settle(value: unknown, error: Error | undefined): void }>();
  readonly #ids = new Map<string, number>();

  constructor({ name, stopped }: SchemaLink) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = (event: unknown) => this.#take((event as { data: Message | Question }).data);
    this.#channel.unref();
    // Said before the channel was open, or by a message that comes.
    if (Atomics.load(stopped, 0) === 1) this.#stop.abort();
  }

  /** Fires when handlers are to end. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  #take(message: Message | Question): void {
    // Of another worker, for the main thread.
    if ('ask' in message) return;
    if ('stop' in message) {
      this.#stop.abort();
      return;
    }
    const { key, schema, id, error } = message;
    if (schema !== undefined) this.#known.set(schema.id, schema);
    if (id !== undefined) this.#ids.set(key, id);
    const waiting = this.#asked.get(key);
    if (waiting === undefined) return;
    this.#asked.delete(key);
    waiting.settle(schema ?? id, error === undefined ? undefined : fromThreadError(error));
  }

  #ask<T>(question: Question): Promise<T> {
    const { key } = question;
    const asked = this.#asked.get(key);
    if (asked !== undefined) return asked.promise as Promise<T>;
    let settle: (value: unknown, error: Error | undefined) => void = () => undefined;
    const promise = new Promise<unknown>((resolve, reject) => {
      settle = (value, error) => (error === undefined ? resolve(value) : reject(error));
    });
    this.#asked.set(key, { promise, settle });
    this.#channel.postMessage(question);
    return promise as Promise<T>;
  }

  peek(id: number): RegisteredSchema | undefined {
    return this.#known.get(id);
  }

  peekUnknown(id: number): SchemaRegistryError | undefined {
    const entry = this.#unknown.get(id);
    return entry !== undefined && entry.until > Date.now() ? entry.error : undefined;
  }

  async schema(id: number): Promise<RegisteredSchema> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    try {
      return await this.#ask<RegisteredSchema>({ ask: 'schema', key: `schema ${id}`, id });
    } catch (error) {
      // As in the client: a "no" is remembered for a moment, an outage is not.
      if (error instanceof SchemaRegistryError && !error.retriable && error.status !== 401 && error.status !== 403) {
        this.#unknown.set(id, { error, until: Date.now() + NEGATIVE_CACHE_MS });
      }
      throw error;
    }
  }

  register(subject: string, text: string, references: readonly SchemaReference[] = []): Promise<number> {
    return this.#id('register', subject, text, references);
  }

  lookup(subject: string, text: string, references: readonly SchemaReference[] = []): Promise<number> {
    return this.#id('lookup', subject, text, references);
  }

  async #id(ask: 'register' | 'lookup', subject: string, text: string, references: readonly SchemaReference[]): Promise<number> {
    const key = `${ask} ${subject} ${text} ${JSON.stringify(references)}`;
    return this.#ids.get(key) ?? this.#ask<number>({ ask, key, subject, text, references });
  }
}
