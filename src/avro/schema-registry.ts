import { Agent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { SchemaRegistry as KafkajsSchemaRegistry } from '@kafkajs/confluent-schema-registry';
import { getSslContext } from '../config/security.ts';
import { ConfigError, SchemaRegistryError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import type { RegisteredSchema, SchemaReference, SchemaSource } from '../serde.ts';
import { boundAnswers } from './bound-answers.ts';

/** Options of {@link createSchemaRegistry}; what is left out comes from the runtime variables. */
export interface SchemaRegistryOptions {
  /** @default parseRuntimeVars() — the process's environment */
  readonly vars?: RuntimeVars | undefined;
  /** @default SCHEMA_REGISTRY_URL */
  readonly url?: string | undefined;
  /** Basic authentication. @default SCHEMA_REGISTRY_USERNAME, SCHEMA_REGISTRY_PASSWORD */
  readonly auth?: { readonly username: string; readonly password: string } | undefined;
  /** Bearer authentication, instead of `auth`. @default SCHEMA_REGISTRY_TOKEN */
  readonly token?: string | undefined;
  /** For one answer, retries included, in milliseconds. @default SCHEMA_REGISTRY_TIMEOUT_SECONDS */
  readonly timeoutMs?: number | undefined;
}

/** How long an id that the registry does not know is remembered as unknown, in milliseconds. */
const NEGATIVE_CACHE_MS = 5_000;

/** An answer beyond this is cut off: a schema of 1 MB, the most that is taken, is less than this as JSON within JSON. */
const ANSWER_MAX_BYTES = 8 * 1_048_576;

/** What of mappersmith's middleware is used; its own types are not exported by the registry client. */
interface HttpRequest {
  enhance(extras: { timeout?: number; headers?: Readonly<Record<string, string>> }): HttpRequest;
}
interface HttpResponse {
  data(): unknown;
  status(): number;
}

/** The client's REST calls. Used bare: its `register` insists on names and on a level of its own, its caches hide what was answered. */
interface RegistryApi {
  readonly Schema: { find(path: { id: number }): Promise<HttpResponse> };
  readonly Subject: Readonly<
    Record<'version' | 'latestVersion' | 'register' | 'registered' | 'compatible', (request: object) => Promise<HttpResponse>>
  >;
}

interface SchemaAnswer {
  readonly schema: string;
  readonly schemaType?: string;
  readonly references?: readonly { readonly subject: string; readonly version: number }[];
}

/**
 * A schema registry over Confluent's REST API. `@kafkajs/confluent-schema-registry` speaks HTTP; this adds what it lacks:
 * deadlines, one request for many misses of one id, a short memory of unknown ids, and errors that tell an outage from a "no".
 */
export class SchemaRegistryClient implements SchemaSource {
  /** Without credentials. */
  readonly url: string;
  readonly #api: RegistryApi;
  readonly #timeoutMs: number;
  readonly #token: string | undefined;
  readonly #known = new Map<number, RegisteredSchema>();
  readonly #unknown = new Map<number, { readonly error: SchemaRegistryError; readonly until: number }>();
  readonly #fetching = new Map<number, Promise<RegisteredSchema>>();
  readonly #ids = new Map<string, Promise<number>>();
  readonly #agent: Agent;

  constructor(options: SchemaRegistryOptions = {}) {
    const vars = options.vars ?? parseRuntimeVars();
    const given = options.url ?? vars.SCHEMA_REGISTRY_URL;
    const url = parseUrl(given);
    const { username, password } = url;
    url.username = '';
    url.password = '';
    this.url = url.href.replace(/\/+$/, '');
    this.#timeoutMs = options.timeoutMs ?? vars.SCHEMA_REGISTRY_TIMEOUT_SECONDS * 1000;
    const auth =
      options.auth ??
      (username !== ''
        ? { username: decodeURIComponent(username), password: decodeURIComponent(password) }
        : vars.SCHEMA_REGISTRY_USERNAME !== undefined
          ? { username: vars.SCHEMA_REGISTRY_USERNAME, password: vars.SCHEMA_REGISTRY_PASSWORD ?? '' }
          : undefined);
    this.#token = auth === undefined ? (options.token ?? vars.SCHEMA_REGISTRY_TOKEN) : undefined;
    const agent = url.protocol === 'https:' ? new HttpsAgent({ keepAlive: true, ...getSslContext(vars) }) : new Agent({ keepAlive: true });
    this.#agent = boundAnswers(agent, ANSWER_MAX_BYTES);
    const client = new KafkajsSchemaRegistry({
      host: this.url,
      clientId: 'rdkafka-toolkit',
      ...(auth === undefined ? {} : { auth }),
      agent: this.#agent,
      middlewares: [this.#middleware()],
    });
    this.#api = (client as unknown as { readonly api: RegistryApi }).api;
  }

  /** Gives every request a timeout and the token. */
  #middleware(): NonNullable<ConstructorParameters<typeof KafkajsSchemaRegistry>[0]['middlewares']>[number] {
    const extras = {
      timeout: this.#timeoutMs,
      ...(this.#token === undefined ? {} : { headers: { authorization: `Bearer ${this.#token}` } }),
    };
    const middleware = () => ({
      async prepareRequest(next: () => Promise<HttpRequest>): Promise<HttpRequest> {
        return (await next()).enhance(extras);
      },
    });
    // The client's types want all of mappersmith's middleware signature, which they do not export.
    return middleware as never;
  }

  /** The schema of that id if it is known already. */
  peek(id: number): RegisteredSchema | undefined {
    return this.#known.get(id);
  }

  /** The error of an id the registry said it does not know, while that is remembered. */
  peekUnknown(id: number): SchemaRegistryError | undefined {
    const entry = this.#unknown.get(id);
    return entry !== undefined && entry.until > Date.now() ? entry.error : undefined;
  }

  /**
   * The schema of that id; asked for once however many wait.
   *
   * @throws SchemaRegistryError retriable for an outage, not retriable for an unknown id
   */
  schema(id: number): Promise<RegisteredSchema> {
    const known = this.#known.get(id);
    if (known !== undefined) return Promise.resolve(known);
    const unknown = this.peekUnknown(id);
    if (unknown !== undefined) return Promise.reject(unknown);
    let fetching = this.#fetching.get(id);
    if (fetching === undefined) {
      fetching = this.#fetchSchema(id).finally(() => this.#fetching.delete(id));
      this.#fetching.set(id, fetching);
    }
    return fetching;
  }

  async #fetchSchema(id: number): Promise<RegisteredSchema> {
    try {
      const parsed = (await this.#ask(`schema ${id}`, () => this.#api.Schema.find({ id }), isSchemaAnswer)) as SchemaAnswer;
      if (parsed.schemaType !== undefined && parsed.schemaType !== 'AVRO') {
        throw new SchemaRegistryError(`Schema ${id} is ${parsed.schemaType}, not AVRO`);
      }
      const references = await this.#referencesOf(parsed, new Set());
      const schema: RegisteredSchema = { id, text: parsed.schema, references };
      this.#known.set(id, schema);
      return schema;
    } catch (error) {
      if (error instanceof SchemaRegistryError && !error.retriable && error.status !== 401 && error.status !== 403) {
        this.#unknown.set(id, { error, until: Date.now() + NEGATIVE_CACHE_MS });
      }
      throw error;
    }
  }

  /** Texts of all schemas referred to, deepest first. */
  async #referencesOf({ references = [] }: SchemaAnswer, seen: Set<string>): Promise<string[]> {
    const texts: string[] = [];
    for (const { subject, version } of references) {
      const what = `version ${version} of ${subject}`;
      if (seen.has(what)) continue;
      seen.add(what);
      const schema = (await this.#ask(what, () => this.#api.Subject.version({ subject, version }), isSchemaAnswer)) as SchemaAnswer;
      texts.push(...(await this.#referencesOf(schema, seen)), schema.schema);
    }
    return texts;
  }

  /**
   * The id of a schema under a subject: registers it when it is new there.
   *
   * @throws SchemaRegistryError e.g. status 409 when it is incompatible with the subject's versions
   */
  register(subject: string, text: string, references: readonly SchemaReference[] = []): Promise<number> {
    const what = `the registration of a schema for ${subject}`;
    const body = schemaBody(text, references);
    return this.#idOnce(`register ${subject} ${JSON.stringify(body)}`, () =>
      this.#askId(what, () => this.#api.Subject.register({ subject, body })),
    );
  }

  /** The id of a schema that is registered under the subject. @throws SchemaRegistryError when it is not */
  lookup(subject: string, text: string, references: readonly SchemaReference[] = []): Promise<number> {
    const what = `the id of a schema of ${subject}`;
    const body = schemaBody(text, references);
    return this.#idOnce(`lookup ${subject} ${JSON.stringify(body)}`, () =>
      this.#askId(what, () => this.#api.Subject.registered({ subject, body })),
    );
  }

  /**
   * Whether a schema may become the subject's next version, by the subject's compatibility level. A subject without versions takes any.
   *
   * @throws SchemaRegistryError when the registry does not say
   */
  async isCompatible(subject: string, text: string, references: readonly SchemaReference[] = []): Promise<boolean> {
    const body = schemaBody(text, references);
    const what = `whether a schema fits ${subject}`;
    try {
      const answer = await this.#ask(what, () => this.#api.Subject.compatible({ subject, body }), saysCompatible);
      return (answer as { is_compatible: boolean }).is_compatible;
    } catch (error) {
      if (error instanceof SchemaRegistryError && error.status === 404) return true;
      throw error;
    }
  }

  /**
   * Fetches the newest schema of each subject ahead of the first record. Subjects without versions are left out.
   *
   * @throws SchemaRegistryError for anything else
   */
  async preload(subjects: readonly string[]): Promise<readonly RegisteredSchema[]> {
    const loaded = await Promise.all(
      subjects.map(async (subject) => {
        try {
          return [await this.schema(await this.latest(subject))];
        } catch (error) {
          if (error instanceof SchemaRegistryError && error.status === 404) return [];
          throw error;
        }
      }),
    );
    return loaded.flat();
  }

  /** The id of the subject's newest version; asked anew each time. @throws SchemaRegistryError */
  async latest(subject: string): Promise<number> {
    return this.#askId(`the latest schema of ${subject}`, () => this.#api.Subject.latestVersion({ subject }));
  }

  async #askId(what: string, question: () => Promise<HttpResponse>): Promise<number> {
    return ((await this.#ask(what, question, hasId)) as { id: number }).id;
  }

  /** Failures are not remembered: the next call asks again. */
  #idOnce(key: string, ask: () => Promise<number>): Promise<number> {
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = ask();
      id.catch(() => this.#ids.delete(key));
      this.#ids.set(key, id);
    }
    return id;
  }

  /** One question with its deadline. */
  async #ask(what: string, question: () => Promise<HttpResponse>, isWhole: (data: unknown) => boolean): Promise<unknown> {
    const late = new AbortController();
    const deadline = sleep(this.#timeoutMs, undefined, { signal: late.signal }).then(() => {
      const message = `The schema registry at ${this.url} did not answer for ${what} within ${this.#timeoutMs} ms`;
      throw new SchemaRegistryError(message, { retriable: true });
    });
    try {
      const answer = await Promise.race([question(), deadline]);
      const status = answer.status();
      const data = answer.data();
      if (status < 300 && isWhole(data)) return data;
      // Where it points to is not configured by anybody, and must not see the credentials.
      const instead = status < 300 ? 'something else' : `a redirect (HTTP ${status}), which is not followed`;
      throw new SchemaRegistryError(`The schema registry at ${this.url} did not give ${what}, but ${instead}. Check SCHEMA_REGISTRY_URL.`, {
        status: status < 300 ? undefined : status,
        retriable: true,
      });
    } catch (error) {
      throw error instanceof SchemaRegistryError ? error : this.#toError(what, error);
    } finally {
      late.abort();
      deadline.catch(() => undefined);
    }
  }

  #toError(what: string, error: unknown): SchemaRegistryError {
    const { status: given, message = String(error) } = error as { status?: number; message?: string };
    // The client makes one text of its name, the registry's message, and, for a request without an answer, a status 400.
    const text = message.replace(/^rdkafka-toolkit - /, '').replaceAll(/\/\/[^/@\s]*@/g, '//');
    const unreachable = given === 400 && text.startsWith('Error, status 400: ');
    const status = unreachable ? undefined : given;
    const reason = text.replace(/^Error, status \d+: /, '');
    const registryCode = /error code: (\d{5})/.exec(reason)?.[1];
    const retriable = unreachable || status === 408 || status === 429 || (status ?? 0) >= 500;
    const hint =
      status === 401 || status === 403
        ? ' Check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD.'
        : unreachable
          ? ' Check SCHEMA_REGISTRY_URL and that the registry runs.'
          : '';
    return new SchemaRegistryError(
      `The schema registry at ${this.url} did not give ${what}: ${reason}${status === undefined ? '' : ` (HTTP ${status})`}.${hint}`,
      { status, registryCode: registryCode === undefined ? undefined : Number(registryCode), retriable, cause: error },
    );
  }

  /** Closes kept connections. */
  close(): void {
    this.#agent.destroy();
  }
}

/**
 * A client of the schema registry at `SCHEMA_REGISTRY_URL`, with its credentials and TLS files. Connects on first use.
 *
 * @throws ConfigError when the URL is missing or no URL
 */
export function createSchemaRegistry(options: SchemaRegistryOptions = {}): SchemaRegistryClient {
  return new SchemaRegistryClient(options);
}

function parseUrl(text: string | undefined): URL {
  if (text === undefined || text === '')
    throw new ConfigError(['Expected SCHEMA_REGISTRY_URL to be set (or url to be passed): Avro needs a schema registry']);
  try {
    const url = new URL(text);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  } catch {
    // Falls through: the text itself is not quoted, it may hold a password.
  }
  throw new ConfigError(['Expected SCHEMA_REGISTRY_URL to be an http:// or https:// URL']);
}

function schemaBody(schema: string, references: readonly SchemaReference[]): object {
  return references.length === 0 ? { schema } : { schema, references };
}

function saysCompatible(data: unknown): boolean {
  return typeof (data as { is_compatible?: unknown } | null)?.is_compatible === 'boolean';
}

function isSchemaAnswer(data: unknown): boolean {
  return typeof (data as SchemaAnswer | null)?.schema === 'string';
}

function hasId(data: unknown): boolean {
  return typeof (data as { id?: unknown } | null)?.id === 'number';
}
