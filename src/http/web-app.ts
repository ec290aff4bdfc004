import type { ServerResponse } from 'node:http';
import type { RecordMetadata } from '../client/delivery.ts';
import type { Producer } from '../client/producer.ts';
import { ConfigError, EncodeError } from '../errors.ts';
import { type Health, type HealthOptions, health } from '../metrics/health.ts';
import type { MetricsManager } from '../metrics/manager.ts';
import { type MetricsHandler, metricsHandler } from '../metrics/metrics-handler.ts';
import { type AnyProducer, endClients } from '../patterns/shutdown.ts';
import type { HeadersInput } from '../serde.ts';
import { type ProblemAnswer, problemOf } from './problem.ts';
import { RecordGate } from './record-gate.ts';

/**
 * What an application's context holds, for those who want its type: declare it once.
 *
 * @example
 * declare module 'rdkafka-toolkit/fastify' {
 *   interface KafkaTypes {
 *     producer: Producer<string, Order>;
 *   }
 * }
 */
// biome-ignore lint/suspicious/noEmptyInterface: users merge their own members into it.
export interface KafkaTypes {}

/** The application's producer: as {@link KafkaTypes} says, else one of any key and value. */
export type AppProducer = KafkaTypes extends { readonly producer: infer P extends AnyProducer } ? P : AnyProducer;

/** Where the probes and the metrics are; false: nowhere. */
export interface WebPaths {
  /** @default '/metrics' */
  readonly metrics?: string | false | undefined;
  /** @default '/live' */
  readonly live?: string | false | undefined;
  /** @default '/ready' */
  readonly ready?: string | false | undefined;
}

/** What a web app is made with, whichever the framework. */
export interface WebAppOptions {
  /** The producer, or what makes it when the app starts. The app closes it. */
  readonly producer: AnyProducer | (() => Promise<AnyProducer>);
  /** Counts produced records and errors, and is served at `/metrics`. */
  readonly metrics: MetricsManager;
  /** What the probes look at beside the producer. */
  readonly health?: HealthOptions | undefined;
  readonly paths?: WebPaths | undefined;
  /** For flushing and closing the producer once the last request is answered, in milliseconds. @default SHUTDOWN_TIMEOUT_SECONDS */
  readonly closeTimeoutMs?: number | undefined;
  /** What the `Retry-After` of a 503 says. @default 5 */
  readonly retryAfterSeconds?: number | undefined;
}

/** How a route makes a record of a request. */
export interface ProduceRouteOptions<Request, K, V> {
  /** @default the application's own */
  readonly producer?: Producer<K, V> | undefined;
  readonly topic: string | ((request: Request) => string);
  /** @default the request's parsed body */
  readonly value?: ((request: Request) => V | Promise<V>) | undefined;
  /** @default none: the partitioner spreads the records */
  readonly key?: ((request: Request) => K | Promise<K>) | undefined;
  readonly headers?: ((request: Request) => HeadersInput) | undefined;
  /** From the request to the broker's acknowledgement, in milliseconds; then the answer is 503. @default 10000 */
  readonly timeoutMs?: number | undefined;
  /** Requests of the app that may wait for room in the producer's queue; more are answered with 503 at once. @default 1000 */
  readonly maxWaiting?: number | undefined;
}

/**
 * What the app's context holds: the producer, the metrics, the probes. Made by the plugin of a framework.
 */
export class WebApp {
  readonly producer: AppProducer;
  readonly metrics: MetricsManager;
  /** What `/live` and `/ready` answer from. */
  readonly health: Health;
  readonly #gates = new WeakMap<object, RecordGate<never, never>>();
  readonly #closeTimeoutMs: number | undefined;
  readonly #retryAfterSeconds: number;
  #closing = false;
  #closed: Promise<void> | undefined;

  private constructor(options: WebAppOptions, producer: AnyProducer) {
    const { closeTimeoutMs, metrics, retryAfterSeconds = 5 } = options;
    this.producer = producer as AppProducer;
    this.metrics = metrics;
    this.#closeTimeoutMs = closeTimeoutMs;
    this.#retryAfterSeconds = retryAfterSeconds;
    this.health = health({ ...options.health, producers: [producer, ...(options.health?.producers ?? [])] });
  }

  /** @internal Makes the producer where it is to be made. */
  static async open(options: WebAppOptions): Promise<WebApp> {
    const { producer, retryAfterSeconds = 5 } = options;
    if (!(retryAfterSeconds >= 0)) throw new ConfigError([`Expected retryAfterSeconds to be a number from 0, got ${retryAfterSeconds}`]);
    return new WebApp(options, typeof producer === 'function' ? await producer() : producer);
  }

  /** True from the request to close: the app is not ready any more. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Takes the app out of the balancer's list, before its server stops listening. */
  beginClose(): void {
    this.#closing = true;
  }

  /**
   * Makes a record of a request and sends it; resolves when the broker has acknowledged it.
   *
   * @throws EncodeError when there is no body to make it of, else as `RecordGate.send`, and whatever the options' functions throw
   */
  async produce<Request extends { readonly body?: unknown }, K, V>(
    request: Request,
    options: ProduceRouteOptions<Request, K, V>,
  ): Promise<RecordMetadata> {
    const { topic, key, headers, timeoutMs = 10_000, maxWaiting = 1_000 } = options;
    if (options.value === undefined && request.body === undefined) {
      throw new EncodeError('the request has no body, or none of a media type that is read', { part: 'value' });
    }
    const value = options.value === undefined ? (request.body as V) : await options.value(request);
    const record = {
      topic: typeof topic === 'string' ? topic : topic(request),
      value,
      ...(key === undefined ? {} : { key: await key(request) }),
      ...(headers === undefined ? {} : { headers: headers(request) }),
    };
    const producer = options.producer ?? (this.producer as unknown as Producer<K, V>);
    return await this.#gateOf(producer).send(record, { timeoutMs, maxWaiting });
  }

  #gateOf<K, V>(producer: Producer<K, V>): RecordGate<K, V> {
    let gate = this.#gates.get(producer) as RecordGate<K, V> | undefined;
    if (gate === undefined) {
      gate = new RecordGate(producer, this.metrics);
      this.#gates.set(producer, gate as unknown as RecordGate<never, never>);
    }
    return gate;
  }

  /** What an error answers. */
  problemOf(error: unknown): ProblemAnswer {
    return problemOf(error, this.#retryAfterSeconds);
  }

  /** The handlers of the paths that are wanted. */
  probes(paths: WebPaths = {}): readonly { readonly path: string; readonly handler: MetricsHandler }[] {
    const live: MetricsHandler = async (_, response) => answerProbe(response, this.health.liveness());
    const ready: MetricsHandler = async (_, response) => {
      const report = await this.health.readiness();
      const closing = { name: 'service', ok: !this.#closing, ...(this.#closing ? { reason: 'it is being closed' } : {}) };
      answerProbe(response, { ok: report.ok && closing.ok, checks: [closing, ...report.checks] });
    };
    const all = [
      { path: paths.metrics ?? '/metrics', handler: metricsHandler(this.metrics) },
      { path: paths.live ?? '/live', handler: live },
      { path: paths.ready ?? '/ready', handler: ready },
    ];
    return all.flatMap(({ path, handler }) => (path === false ? [] : [{ path, handler }]));
  }

  /**
   * Flushes and closes the producer: called when the last request is answered. Calling it again gives the same promise.
   *
   * @throws what went wrong; the producer is closed all the same
   */
  close(): Promise<void> {
    this.#closing = true;
    this.#closed ??= (async () => {
      const { failure } = await endClients({ producer: this.producer as AnyProducer }, true, this.#closeTimeoutMs);
      if (failure !== undefined) throw failure;
    })();
    return this.#closed;
  }
}

function answerProbe(response: ServerResponse, { ok, checks }: { readonly ok: boolean; readonly checks: unknown }): void {
  response.writeHead(ok ? 200 : 503, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' });
  response.end(JSON.stringify({ ok, checks }));
}
