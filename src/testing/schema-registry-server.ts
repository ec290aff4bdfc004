import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, SchemaRegistryError } from '../errors.ts';
import { COMPATIBILITY_LEVELS, type CompatibilityLevel, isCompatibilityLevel } from './schema-registry-avro.ts';
import { failure, failures } from './schema-registry-errors.ts';
import { type FaultAction, FaultRules, type SchemaRegistryFault } from './schema-registry-faults.ts';
import { RawSchema, route } from './schema-registry-routes.ts';
import { SchemaRegistryStore } from './schema-registry-store.ts';

const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json';
/** What Confluent's registry consumes. */
const ACCEPTED_TYPES: ReadonlySet<string> = new Set([
  CONTENT_TYPE,
  'application/vnd.schemaregistry+json',
  'application/json',
  'application/octet-stream',
]);
const MAX_BODY_BYTES = 1024 * 1024;

/** Settings of {@link startSchemaRegistry}. */
export interface SchemaRegistryServerOptions {
  /** Address to listen on. @default '127.0.0.1' */
  readonly host?: string;
  /** TCP port; 0 takes a free one. @default 0 */
  readonly port?: number;
  /** Level for subjects that have none of their own. @default 'BACKWARD' */
  readonly compatibility?: CompatibilityLevel;
  /** Credentials every request must bring (HTTP Basic). @default none */
  readonly auth?: { readonly username: string; readonly password: string };
}

/** A running registry. */
export interface SchemaRegistryServer extends AsyncDisposable {
  /** Where it listens, without a trailing slash: what `SCHEMA_REGISTRY_URL` takes. */
  readonly url: string;
  readonly port: number;
  /** Number of requests by `METHOD /path`, the path as sent (percent-encoded, without its query); spoilt and refused ones count too. */
  readonly requests: ReadonlyMap<string, number>;
  /**
   * Spoils the requests that a rule matches; of several rules the one added first decides.
   *
   * @returns A function that removes the rule; calling it again does nothing.
   * @throws ConfigError naming every setting that is wrong.
   */
  fail(rule: SchemaRegistryFault): () => void;
  /** Stops listening and ends every connection, hanging ones too. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a schema registry in this process that speaks Confluent's REST interface and keeps everything in memory: for tests and
 * for running without services. It holds the process open until closed.
 *
 * Avro schemas are parsed and compared by avsc. JSON and PROTOBUF schemas are kept as they come: PROTOBUF is not parsed, and
 * neither is compared under any level (a change of schema type is refused, as it is by Confluent). Left out: contexts, `IMPORT` mode, metadata
 * and rules, and paging. Request bodies are limited to 1 MiB (413).
 *
 * @example
 * ```ts
 * await using registry = await startSchemaRegistry();
 * process.env.SCHEMA_REGISTRY_URL = registry.url;
 * ```
 * @throws ConfigError naming every option that is wrong.
 * @throws SchemaRegistryError when the address cannot be listened on.
 * @see "Schema Registry API Reference" in Confluent's documentation
 */
export async function startSchemaRegistry(options: SchemaRegistryServerOptions = {}): Promise<SchemaRegistryServer> {
  assertValid(options);
  const host = options.host ?? '127.0.0.1';
  const registry = new RegistryServer(options);
  await registry.listen(host, options.port ?? 0);
  return registry;
}

function assertValid({ host, port = 0, compatibility = 'BACKWARD', auth }: SchemaRegistryServerOptions): void {
  const faults: string[] = [];
  if (host === '') faults.push('Expected host to be an address, got ""');
  if (!Number.isInteger(port) || port < 0 || port > 65535) faults.push(`Expected port to be a TCP port from 0 to 65535, got ${port}`);
  if (!isCompatibilityLevel(compatibility)) {
    faults.push(`Expected compatibility to be one of ${COMPATIBILITY_LEVELS.join(', ')}, got ${JSON.stringify(compatibility)}`);
  }
  // RFC 7617: the first colon ends the user name.
  if (auth?.username.includes(':')) faults.push('Expected auth.username to hold no colon');
  if (faults.length > 0) throw new ConfigError(faults);
}

class RegistryServer implements SchemaRegistryServer {
  url = '';
  port = 0;
  readonly requests: Map<string, number> = new Map();
  readonly #store: SchemaRegistryStore;
  readonly #credentials: string | undefined;
  readonly #faults = new FaultRules();
  readonly #closing = new AbortController();
  readonly #server: Server;
  #closed: Promise<void> | undefined;

  constructor({ compatibility = 'BACKWARD', auth }: SchemaRegistryServerOptions) {
    this.#store = new SchemaRegistryStore(compatibility);
    this.#credentials = auth && `${auth.username}:${auth.password}`;
    this.#server = createServer((request, response) => {
      // A rejection means that the client went away or that close() cut in: nobody is left to answer.
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const onError = (cause: Error) =>
        reject(new SchemaRegistryError(`Starting the schema registry on ${host}:${port} failed: ${cause.message}`, { cause }));
      this.#server.once('error', onError);
      this.#server.listen(port, host, () => {
        this.#server.off('error', onError);
        resolve();
      });
    });
    this.port = (this.#server.address() as AddressInfo).port;
    this.url = `http://${host.includes(':') ? `[${host}]` : host}:${this.port}`;
  }

  fail(rule: SchemaRegistryFault): () => void {
    return this.#faults.add(rule);
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#closing.abort();
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? 'GET';
    const [path = '/', query = ''] = splitOnce(request.url ?? '/', '?');
    const name = `${method} ${path}`;
    this.requests.set(name, (this.requests.get(name) ?? 0) + 1);
    const fault = this.#faults.take(name);
    if (fault !== undefined && (await this.#spoil(fault, response))) return;
    try {
      this.#authorize(request, response);
      const routed = route(method, path, new URLSearchParams(query));
      if ('error' in routed) {
        if (routed.allow !== undefined) response.setHeader('allow', routed.allow);
        throw routed.error;
      }
      const body = method === 'POST' || method === 'PUT' ? await readJson(request) : undefined;
      const result = routed.run(this.#store, body);
      send(response, 200, result instanceof RawSchema ? result.text : JSON.stringify(result));
    } catch (error) {
      if (request.errored !== null || response.destroyed) throw error;
      const { status, registryCode, message } = error instanceof SchemaRegistryError ? error : failure(50001, String(error), error);
      send(response, status ?? 500, JSON.stringify({ error_code: registryCode, message }));
    }
  }

  /** True when the request is dealt with. */
  async #spoil(fault: FaultAction, response: ServerResponse): Promise<boolean> {
    if (fault.delayMs > 0) await sleep(fault.delayMs, undefined, { signal: this.#closing.signal });
    if (fault.hang) return true;
    if (fault.reply === undefined) return false;
    send(response, fault.reply.status, fault.reply.body);
    return true;
  }

  #authorize(request: IncomingMessage, response: ServerResponse): void {
    if (this.#credentials === undefined) return;
    const [, encoded = ''] = /^basic +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (Buffer.from(encoded, 'base64').toString() === this.#credentials) return;
    response.setHeader('www-authenticate', 'Basic realm="SchemaRegistry"');
    throw failures.unauthorized();
  }
}

function send(response: ServerResponse, status: number, body: string): void {
  // 204 and 304 have no body by definition; node would leave the client out of step.
  const isEmpty = status === 204 || status === 304;
  response.writeHead(status, isEmpty ? {} : { 'content-type': CONTENT_TYPE, 'content-length': Buffer.byteLength(body) });
  response.end(isEmpty ? undefined : body);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const type = request.headers['content-type'];
  if (type !== undefined && !ACCEPTED_TYPES.has(splitOnce(type, ';')[0]!.trim().toLowerCase())) throw failures.unsupportedMediaType();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    // Read to the end even so: a client that is still sending would see a reset instead of the answer.
    if (sizeBytes <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  if (sizeBytes > MAX_BODY_BYTES) throw failures.tooLarge(MAX_BODY_BYTES);
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (error) {
    throw failures.badRequest(`Malformed JSON in the request body: ${(error as Error).message}`, error);
  }
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
