import type { Agent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { SchemaRegistry as KafkajsSchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { getSslContext } from '../config/security.ts';
import { ConfigError, SchemaRegistryError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';

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

/** A schema as the registry holds it. */
export interface RegisteredSchema {
  readonly id: number;
  /** JSON text. */
  readonly text: string;
  /** Texts of the schemas it refers to, each after those it needs itself. */
  readonly references: readonly string[];
}

/** How long an id that the registry does not know is remembered as unknown, in milliseconds. */
const NEGATIVE_CACHE_MS = 5_000;

/** What went wrong with a request: the registry's answer, or no status when there was none. */
interface Failure {
  readonly status: number | undefined;
  readonly body: string;
  readonly reason: string | undefined;
}

/** What of mappersmith's middleware is used; its own types are not exported by the registry client. */
interface HttpRequest {
  enhance(extras: { timeout?: number; headers?: Readonly<Record<string, string>> }): HttpRequest;
}
interface HttpResponse {
  status(): number;
  rawData(): string | null;
  /** The network error, when there was no answer. */
  error(): Error | null | undefined;
  request(): { method(): string; url(): string };
}

/**
 * A schema registry over Confluent's REST API. `@kafkajs/confluent-schema-registry` speaks HTTP; this adds what it lacks:
 * deadlines, one request for many misses of one id, a short memory of unknown ids, and errors that tell an outage from a "no".
 */
export class SchemaRegistryClient {
  /** Without credentials. */
  readonly url: string;
  readonly #client: KafkajsSchemaRegistry;
  readonly #timeoutMs: number;
  readonly #token: string | undefined;
  readonly #known = new Map<number, RegisteredSchema>();
  readonly #unknown = new Map<number, { readonly error: SchemaRegistryError; readonly until: number }>();
  readonly #fetching = new Map<number, Promise<RegisteredSchema>>();
  readonly #ids = new Map<string, Promise<number>>();
  readonly #agent: Agent | undefined;
  /** Path of a schema → what was answered. */
  readonly #answers = new Map<string, string>();
  /** Method and URL → why it failed, until the error is made. */
  readonly #failures = new Map<string, Failure>();

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
    this.#agent = url.protocol === 'https:' ? new HttpsAgent({ keepAlive: true, ...getSslContext(vars) }) : undefined;
    this.#client = new KafkajsSchemaRegistry({
      host: this.url,
      clientId: 'rdkafka-toolkit',
      ...(auth === undefined ? {} : { auth }),
      ...(this.#agent === undefined ? {} : { agent: this.#agent }),
      middlewares: [this.#middleware()],
    });
  }

  /** Gives every request a timeout and keeps what was answered: the client itself hides the text of schemas and the status of errors. */
  #middleware(): NonNullable<ConstructorParameters<typeof KafkajsSchemaRegistry>[0]['middlewares']>[number] {
    const record = (response: HttpResponse): void => {
      const request = response.request();
      const url = request.url();
      const body = response.rawData() ?? '';
      const status = response.status();
      if (status >= 200 && status < 300) {
        const path = /\/(schemas\/ids\/\d+|subjects\/[^/?]+\/versions\/\d+)$/.exec(url)?.[1];
        if (path !== undefined) this.#answers.set(path, body);
        return;
      }
      const network = response.error();
      const failure = { status: network ? undefined : status, body, reason: network?.message };
      this.#failures.set(`${request.method()} ${url}`, failure);
    };
    const extras = {
      timeout: this.#timeoutMs,
      ...(this.#token === undefined ? {} : { headers: { authorization: `Bearer ${this.#token}` } }),
    };
    const middleware = ({ resourceMethod }: { resourceMethod: string }) => ({
      async prepareRequest(next: () => Promise<HttpRequest>): Promise<HttpRequest> {
        // `register` would set the subject's compatibility level when it has none; a 404 for "no level" without asking keeps it out.
        if (resourceMethod === 'config') throw Object.assign(new Error('not asked'), { status: 404 });
        return (await next()).enhance(extras);
      },
      async response(next: () => Promise<HttpResponse>): Promise<HttpResponse> {
        try {
          const response = await next();
          record(response);
          return response;
        } catch (error) {
          if (isHttpResponse(error)) record(error);
          throw error;
        }
      },
    });
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
      await this.#ask(`schema ${id}`, () => this.#client.getSchema(id));
      const parsed = this.#answered(`schemas/ids/${id}`);
      if (parsed.schemaType !== undefined && parsed.schemaType !== 'AVRO') {
        throw new SchemaRegistryError(`Schema ${id} is ${parsed.schemaType}, not AVRO`);
      }
      const references = this.#referencesOf(parsed, new Set());
      const schema: RegisteredSchema = { id, text: parsed.schema, references };
      this.#known.set(id, schema);
      return schema;
    } catch (error) {
      if (error instanceof SchemaRegistryError && !error.retriable) {
        this.#unknown.set(id, { error, until: Date.now() + NEGATIVE_CACHE_MS });
      }
      throw error;
    }
  }

  #answered(path: string): { schema: string; schemaType?: string; references?: readonly { subject: string; version: number }[] } {
    const body = this.#answers.get(path);
    if (body === undefined) throw new SchemaRegistryError(`The schema registry at ${this.url} gave no answer for ${path}`);
    return JSON.parse(body);
  }

  /** Texts of all schemas referred to, deepest first; the client has fetched them already. */
  #referencesOf({ references = [] }: { references?: readonly { subject: string; version: number }[] }, seen: Set<string>): string[] {
    return references.flatMap(({ subject, version }) => {
      const path = `subjects/${encodeURIComponent(subject)}/versions/${version}`;
      if (seen.has(path)) return [];
      seen.add(path);
      const schema = this.#answered(path);
      return [...this.#referencesOf(schema, seen), schema.schema];
    });
  }

  /**
   * The id of a schema under a subject: registers it when it is new there.
   *
   * @throws SchemaRegistryError e.g. status 409 when it is incompatible with the subject's versions
   */
  register(subject: string, text: string): Promise<number> {
    return this.#idOnce(`register ${subject} ${text}`, async () => {
      const options = { subject, compatibility: undefined };
      const answer = await this.#ask(`the registration of a schema for ${subject}`, () =>
        this.#client.register({ type: SchemaType.AVRO, schema: text }, options as never),
      );
      return answer.id;
    });
  }

  /** The id of a schema that is registered under the subject. @throws SchemaRegistryError when it is not */
  lookup(subject: string, text: string): Promise<number> {
    return this.#idOnce(`lookup ${subject} ${text}`, async () => {
      const answer = await this.#ask(`the id of a schema of ${subject}`, () =>
        this.#client.getRegistryIdBySchema(subject, { type: SchemaType.AVRO, schema: text }),
      );
      return answer;
    });
  }

  /** The id of the subject's newest version; asked anew each time. @throws SchemaRegistryError */
  async latest(subject: string): Promise<number> {
    return this.#ask(`the latest schema of ${subject}`, () => this.#client.getLatestSchemaId(subject));
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
  async #ask<T>(what: string, question: () => Promise<T>): Promise<T> {
    const late = new AbortController();
    const deadline = sleep(this.#timeoutMs, undefined, { signal: late.signal }).then(() => {
      const message = `The schema registry at ${this.url} did not answer for ${what} within ${this.#timeoutMs} ms`;
      throw new SchemaRegistryError(message, { retriable: true });
    });
    try {
      return await Promise.race([question(), deadline]);
    } catch (error) {
      throw error instanceof SchemaRegistryError ? error : this.#toError(what, error);
    } finally {
      late.abort();
      deadline.catch(() => undefined);
    }
  }

  #toError(what: string, error: unknown): SchemaRegistryError {
    const { url, message: text = String(error), name } = error as { url?: string; message?: string; name?: string };
    const failure = url === undefined ? undefined : this.#failures.get(url);
    if (url !== undefined) this.#failures.delete(url);
    // The client drops the status of a lookup that found nothing; it throws this class for nothing else.
    const status = failure === undefined && name === 'ConfluentSchemaRegistryError' ? 404 : failure?.status;
    const answered = parseRegistryError(failure?.body);
    const reason = answered.message ?? failure?.reason ?? text.replaceAll(/\/\/[^/@\s]*@/g, '//');
    const unreachable = failure !== undefined && failure.status === undefined;
    const retriable = unreachable || status === 408 || status === 429 || (status ?? 0) >= 500;
    const hint =
      status === 401 || status === 403
        ? ' Check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD.'
        : unreachable
          ? ' Check SCHEMA_REGISTRY_URL and that the registry runs.'
          : '';
    return new SchemaRegistryError(
      `The schema registry at ${this.url} did not give ${what}: ${reason}${status === undefined ? '' : ` (HTTP ${status})`}.${hint}`,
      { status, registryCode: answered.error_code, retriable, cause: error },
    );
  }

  /** Closes kept connections. */
  close(): void {
    this.#agent?.destroy();
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

function parseRegistryError(body: string | undefined): { error_code?: number; message?: string } {
  if (body === undefined || body === '') return {};
  try {
    const parsed = JSON.parse(body) as { error_code?: unknown; message?: unknown };
    return {
      ...(typeof parsed.error_code === 'number' ? { error_code: parsed.error_code } : {}),
      ...(typeof parsed.message === 'string' ? { message: parsed.message } : {}),
    };
  } catch {
    return {};
  }
}

function isHttpResponse(value: unknown): value is HttpResponse {
  return typeof value === 'object' && value !== null && 'rawData' in value && 'status' in value && 'request' in value;
}
