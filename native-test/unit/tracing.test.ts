import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import * as api from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { createTracing, type HeadersInput, type Tracing } from 'rdkafka-toolkit';
import { formatTraceparent, parseTraceparent } from '../../src/metrics/trace-context.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

interface FakeRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly rawHeaders: readonly { readonly name: string; readonly value: Buffer | null }[];
  header(name: string): Buffer | null | undefined;
}

function record(headers: Readonly<Record<string, string>> = {}, offset = 7, topic = 'orders'): FakeRecord {
  const rawHeaders = Object.entries(headers).map(([name, value]) => ({ name, value: Buffer.from(value) }));
  return { topic, partition: 3, offset, rawHeaders, header: (name) => rawHeaders.findLast((each) => each.name === name)?.value };
}

function headersOf(output: { readonly headers?: HeadersInput } | undefined): [string, string][] {
  return [...(output!.headers as Iterable<{ name: string; value: string | Uint8Array | null }>)].map(({ name, value }) => [
    name,
    String(value),
  ]);
}

describe('tracing', () => {
  const exporter = new InMemorySpanExporter();
  const finished = (): Record<string, ReadableSpan> =>
    Object.fromEntries(exporter.getFinishedSpans().map((span) => [span.name, span] as const));
  let tracing: Tracing;
  before(async () => {
    api.trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
    api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    tracing = await createTracing({ groupId: 'orders-app' });
  });
  afterEach(() => exporter.reset());
  after(() => {
    api.trace.disable();
    api.context.disable();
  });

  test("continues the trace of a record's producer in its handler and in what the handler gives to produce", async () => {
    let active: string | undefined;
    const handler = tracing.handler(async (_: FakeRecord) => {
      await Promise.resolve();
      active = api.trace.getActiveSpan()?.spanContext().spanId;
      return { topic: 'invoices', value: 'v', headers: [{ name: 'own', value: 'kept' }] };
    });
    const output = await handler(record({ traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'vendor=x' }));
    const { 'process orders': process, 'create invoices': create } = finished();
    assert.equal(process!.spanContext().traceId, TRACE);
    assert.equal(process!.parentSpanContext?.spanId, SPAN);
    assert.equal(process!.kind, api.SpanKind.CONSUMER);
    assert.deepEqual(process!.attributes, {
      'messaging.consumer.group.name': 'orders-app',
      'messaging.system': 'kafka',
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'process',
      'messaging.destination.name': 'orders',
      'messaging.destination.partition.id': '3',
      'messaging.kafka.offset': 7,
    });
    assert.equal(active, process!.spanContext().spanId);
    assert.equal(create!.kind, api.SpanKind.PRODUCER);
    assert.equal(create!.parentSpanContext?.spanId, active);
    assert.deepEqual(headersOf(output), [
      ['own', 'kept'],
      ['traceparent', `00-${TRACE}-${create!.spanContext().spanId}-01`],
      ['tracestate', 'vendor=x'],
    ]);
  });

  test('starts a trace for a record without a context, or with one that cannot be read', () => {
    for (const headers of [{}, { traceparent: 'nonsense' }]) {
      tracing.handler((_: FakeRecord) => undefined)(record(headers));
      assert.equal(finished()['process orders']!.parentSpanContext, undefined);
      exporter.reset();
    }
  });

  test('puts its context in place of the one in headers that are passed on', () => {
    const consumed = record({ traceparent: `00-${TRACE}-${SPAN}-01`, other: 'x' });
    const handler = tracing.handler((input: FakeRecord) => [
      { topic: 'a', headers: input.rawHeaders },
      { topic: 'b', headers: { Traceparent: 'old', k: 'v' } },
    ]);
    const [first, second] = handler(consumed);
    assert.deepEqual(
      headersOf(first).map(([name]) => name),
      ['other', 'traceparent'],
    );
    assert.deepEqual(
      headersOf(second).map(([name]) => name),
      ['k', 'traceparent'],
    );
    for (const output of [first, second]) assert.doesNotMatch(headersOf(output).at(-1)![1], new RegExp(SPAN));
  });

  test('links a batch to the trace of each of its records', () => {
    const records = [record({ traceparent: `00-${TRACE}-${SPAN}-01` }), record(), record({ traceparent: `00-${TRACE}-${SPAN}-00` }, 9)];
    const count = tracing.handler((batch: readonly FakeRecord[]) => batch.length)(records);
    assert.equal(count, 3);
    const span = finished()['process orders']!;
    assert.deepEqual(
      span.links.map(({ context }) => context.traceId),
      [TRACE, TRACE],
    );
    assert.equal(span.attributes['messaging.batch.message_count'], 3);
    assert.equal(span.parentSpanContext, undefined);
    tracing.handler((_: readonly FakeRecord[]) => undefined)([record(), record({}, 1, 'other')]);
    assert.equal(finished().process!.attributes['messaging.destination.name'], undefined);
  });

  test('notes what a handler throws, and throws it on', async () => {
    const failure = new RangeError('no');
    const sync = tracing.handler((_: FakeRecord) => {
      throw failure;
    });
    assert.throws(() => sync(record()), failure);
    await assert.rejects(tracing.handler(async (_: FakeRecord) => Promise.reject(failure))(record()), failure);
    const spans = exporter.getFinishedSpans();
    assert.equal(spans.length, 2);
    for (const { status, attributes, events } of spans) {
      assert.deepEqual(status, { code: api.SpanStatusCode.ERROR, message: 'no' });
      assert.equal(attributes['error.type'], 'RangeError');
      assert.equal(events[0]!.name, 'exception');
    }
  });

  test('uses the propagator that is registered, when there is one', () => {
    api.propagation.setGlobalPropagator({
      fields: () => ['x-trace'],
      inject: (context, carrier, setter) => setter.set(carrier, 'x-trace', api.trace.getSpanContext(context)!.spanId),
      extract: (context, carrier, getter) =>
        api.trace.setSpanContext(context, { traceId: TRACE, spanId: String(getter.get(carrier, 'x-trace')), traceFlags: 1 }),
    });
    try {
      const output = tracing.handler((_: FakeRecord): { topic: string; headers?: HeadersInput } => ({ topic: 'out' }))(
        record({ 'x-trace': SPAN }),
      );
      assert.equal(finished()['process orders']!.parentSpanContext?.spanId, SPAN);
      assert.deepEqual(headersOf(output), [['x-trace', finished()['create out']!.spanContext().spanId]]);
    } finally {
      api.propagation.disable();
    }
  });

  test('gives the active span as labels of an exemplar', () => {
    assert.equal(tracing.exemplarLabels(), undefined);
    let labels: ReturnType<typeof tracing.exemplarLabels>;
    tracing.handler((_: FakeRecord) => {
      labels = tracing.exemplarLabels();
    })(record({ traceparent: `00-${TRACE}-${SPAN}-01` }));
    assert.deepEqual(labels, { trace_id: TRACE, span_id: finished()['process orders']!.spanContext().spanId });
  });
});

describe('traceparent', () => {
  test('is read and written as W3C says', () => {
    const text = `00-${TRACE}-${SPAN}-01`;
    assert.deepEqual(parseTraceparent(text), { traceId: TRACE, spanId: SPAN, traceFlags: 1 });
    assert.equal(formatTraceparent(parseTraceparent(text)!), text);
    assert.deepEqual(parseTraceparent(`01-${TRACE}-${SPAN}-00-more`), { traceId: TRACE, spanId: SPAN, traceFlags: 0 });
  });

  const wrong = [
    '',
    'x',
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-01-more`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  ];
  for (const text of wrong) test(`is not "${text}"`, () => assert.equal(parseTraceparent(text), undefined));
});
