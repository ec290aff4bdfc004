import type { Attributes, Context, Link, Span, TextMapGetter, TextMapSetter, Tracer } from '@opentelemetry/api';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import { ConfigError } from '../errors.ts';
import type { AnyHandler } from '../hooks.ts';
import type { HeadersInput } from '../serde.ts';
import { formatTraceparent, parseTraceparent } from './trace-context.ts';

/** The module `@opentelemetry/api`. */
export type OpenTelemetryApi = typeof import('@opentelemetry/api');

type TracedRecord = Pick<ConsumerRecord<unknown, unknown, unknown>, 'header' | 'offset' | 'partition' | 'rawHeaders' | 'topic'>;

/** A record to produce, as far as tracing is concerned. */
interface Outgoing {
  readonly topic: string;
  readonly headers?: HeadersInput | undefined;
}

/** Links of one span; exporters drop more. */
const LINKS_MAX = 128;

/** Options of {@link createTracing}. */
export interface TracingOptions {
  /** The module `@opentelemetry/api`. @default loaded by its name */
  readonly api?: OpenTelemetryApi | undefined;
  /** The consumer group shown at spans. */
  readonly groupId?: string | undefined;
}

/**
 * Loads `@opentelemetry/api`, which must be installed, and traces with whatever SDK is registered there.
 *
 * @throws ConfigError when the package is not there
 * @example
 * const tracing = await createTracing({ groupId: consumer.groupId });
 * await runAsync({ consumer, producer, handler: tracing.handler(handler) });
 */
export async function createTracing(options: TracingOptions = {}): Promise<Tracing> {
  if (options.api !== undefined) return new Tracing(options.api, options.groupId);
  try {
    return new Tracing(await import('@opentelemetry/api'), options.groupId);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`Cannot load @opentelemetry/api, which tracing needs: ${reason}. Run npm install @opentelemetry/api`], {
      cause: error,
    });
  }
}

/**
 * Spans of records, by OpenTelemetry's conventions for messaging, and the context that ties them together: W3C `traceparent` and
 * `tracestate` in record headers, or what the registered propagator writes. A handler that is not wrapped pays nothing.
 */
export class Tracing {
  readonly #api: OpenTelemetryApi;
  readonly #tracer: Tracer;
  readonly #group: Attributes;

  /** @internal Made by {@link createTracing}. */
  constructor(api: OpenTelemetryApi, groupId: string | undefined) {
    this.#api = api;
    this.#tracer = api.trace.getTracer('rdkafka-toolkit');
    this.#group = groupId === undefined ? {} : { 'messaging.consumer.group.name': groupId };
  }

  /**
   * The same handler inside a span `process <topic>`. A record's span continues the trace of who produced it; a batch's has a link to each
   * of its records' traces. What the handler returns to produce gets the context in its headers.
   */
  handler<Handler extends AnyHandler>(handler: Handler): Handler {
    const call = handler as (input: never, context: never) => unknown;
    const wrapped = (input: never, context: never): unknown => {
      const span = this.#startProcessing(input as TracedRecord | readonly TracedRecord[]);
      return this.#within(span, () => call(input, context));
    };
    return wrapped as Handler;
  }

  /**
   * A record to produce with the active context in its headers, under a span `create <topic>` of its own: for records that a handler or
   * a route produces itself.
   *
   * @example
   * await produceMessage(producer, tracing.outgoing({ topic: 'out', key }), metrics, value);
   */
  outgoing<R extends Outgoing>(record: R): R {
    const { trace, context, SpanKind } = this.#api;
    const span = this.#tracer.startSpan(`create ${record.topic}`, {
      kind: SpanKind.PRODUCER,
      attributes: { ...operation('create'), 'messaging.destination.name': record.topic },
    });
    const headers = this.#inject(trace.setSpan(context.active(), span), record.headers);
    span.end();
    return { ...record, headers };
  }

  /** Labels of an exemplar for `MetricsManager`: those of the active span, if it is sampled. */
  readonly exemplarLabels = (): { readonly trace_id: string; readonly span_id: string } | undefined => {
    const span = this.#api.trace.getActiveSpan()?.spanContext();
    if (span === undefined || (span.traceFlags & this.#api.TraceFlags.SAMPLED) === 0) return undefined;
    return { trace_id: span.traceId, span_id: span.spanId };
  };

  #startProcessing(input: TracedRecord | readonly TracedRecord[]): Span {
    const { SpanKind, trace, ROOT_CONTEXT } = this.#api;
    if (!isMany(input)) {
      const attributes: Attributes = {
        ...this.#group,
        ...operation('process'),
        'messaging.destination.name': input.topic,
        'messaging.destination.partition.id': String(input.partition),
        'messaging.kafka.offset': input.offset,
      };
      return this.#tracer.startSpan(`process ${input.topic}`, { kind: SpanKind.CONSUMER, attributes }, this.#extract(input));
    }
    const links = input.slice(0, LINKS_MAX).flatMap((record): Link[] => {
      const context = trace.getSpanContext(this.#extract(record));
      return context === undefined ? [] : [{ context }];
    });
    const topics = new Set(input.map(({ topic }) => topic));
    const [topic] = topics;
    const name = topics.size === 1 ? { 'messaging.destination.name': topic! } : {};
    const attributes: Attributes = { ...this.#group, ...operation('process'), ...name, 'messaging.batch.message_count': input.length };
    const title = topics.size === 1 ? `process ${topic}` : 'process';
    return this.#tracer.startSpan(title, { kind: SpanKind.CONSUMER, attributes, links }, ROOT_CONTEXT);
  }

  #within(span: Span, work: () => unknown): unknown {
    const { trace, context } = this.#api;
    const active = trace.setSpan(context.active(), span);
    const done = (result: unknown): unknown => {
      const traced = context.with(active, () => this.#traceOutputs(result));
      span.end();
      return traced;
    };
    try {
      const result = context.with(active, work);
      if (!(result instanceof Promise)) return done(result);
      return result.then(done, (error: unknown) => {
        this.#fail(span, error);
        throw error;
      });
    } catch (error) {
      this.#fail(span, error);
      throw error;
    }
  }

  #fail(span: Span, error: unknown): void {
    const exception = error instanceof Error ? error : String(error);
    span.recordException(exception);
    span.setAttribute('error.type', error instanceof Error ? error.name : '_OTHER');
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: typeof exception === 'string' ? exception : exception.message });
    span.end();
  }

  /** What a handler returns: a record, many, or nothing. */
  #traceOutputs(result: unknown): unknown {
    if (Array.isArray(result)) return result.map((each: unknown) => (isOutgoing(each) ? this.outgoing(each) : each));
    return isOutgoing(result) ? this.outgoing(result) : result;
  }

  #extract(record: TracedRecord): Context {
    const { propagation, trace, createTraceState, ROOT_CONTEXT } = this.#api;
    // Without a registered propagator there are no fields, and the W3C format is read here.
    if (propagation.fields().length > 0) return propagation.extract(ROOT_CONTEXT, record, headerGetter);
    const parent = parseTraceparent(headerGetter.get(record, 'traceparent')?.toString() ?? '');
    if (parent === undefined) return ROOT_CONTEXT;
    const state = headerGetter.get(record, 'tracestate')?.toString();
    const traceState = state === undefined ? {} : { traceState: createTraceState(state) };
    return trace.setSpanContext(ROOT_CONTEXT, { ...parent, ...traceState, isRemote: true });
  }

  /** The headers with the context in place of one that is in them already, e.g. because those of the consumed record are passed on. */
  #inject(context: Context, headers: HeadersInput | undefined): HeadersInput {
    const { propagation, trace } = this.#api;
    const added = new Map<string, string>();
    propagation.inject(context, added, headerSetter);
    const span = trace.getSpanContext(context);
    if (propagation.fields().length === 0 && span !== undefined && this.#api.isSpanContextValid(span)) {
      added.set('traceparent', formatTraceparent(span));
      if (span.traceState !== undefined) added.set('tracestate', span.traceState.serialize());
    }
    const kept = headerList(headers).filter(({ name }) => !added.has(name.toLowerCase()));
    return [...kept, ...[...added].map(([name, value]) => ({ name, value }))];
  }
}

function operation(type: 'create' | 'process'): Attributes {
  return { 'messaging.system': 'kafka', 'messaging.operation.type': type, 'messaging.operation.name': type };
}

const headerGetter: TextMapGetter<TracedRecord> = {
  keys: (record) => record.rawHeaders.map(({ name }) => name),
  get: (record, name) => record.header(name)?.toString('utf8'),
};

const headerSetter: TextMapSetter<Map<string, string>> = {
  set: (added, name, value) => void added.set(name.toLowerCase(), value),
};

function headerList(headers: HeadersInput | undefined): { readonly name: string; readonly value: string | Uint8Array | null }[] {
  if (headers === undefined) return [];
  if (isIterable(headers)) return [...headers];
  return Object.entries(headers).map(([name, value]) => ({ name, value }));
}

function isIterable(headers: HeadersInput): headers is Extract<HeadersInput, Iterable<unknown>> {
  return Symbol.iterator in headers;
}

function isMany(input: TracedRecord | readonly TracedRecord[]): input is readonly TracedRecord[] {
  return Array.isArray(input);
}

function isOutgoing(value: unknown): value is Outgoing {
  return typeof value === 'object' && value !== null && 'topic' in value && typeof value.topic === 'string';
}
