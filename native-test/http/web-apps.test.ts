import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ClosedError,
  createAvroProducer,
  createProducer,
  createSchemaRegistry,
  type DetachedRecord,
  defineSchema,
  jsonSerializer,
  MetricsManager,
  type Producer,
  ShutdownError,
} from 'rdkafka-toolkit';
import type { AppProducer } from 'rdkafka-toolkit/express';
import { type MockCluster, type SchemaRegistryServer, startMockCluster, startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { parseRuntimeVars, type RuntimeVars } from '../../src/runtime-vars.ts';
import { readAll } from '../support/topics.ts';
import { type AnyRequest, frameworks, type Options, type Routes, type RunningApp } from './frameworks.ts';

const orderSchema = defineSchema({
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'to', type: { type: 'record', name: 'Address', fields: [{ name: 'city', type: 'string' }] } },
  ],
});
const order = (id: number): object => ({ id, to: { city: 'Berlin' } });

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

const post = async (app: RunningApp, body: unknown, path = '/orders'): Promise<Answer> => {
  const response = await fetch(`${app.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Record<string, unknown> };
};
const get = async (app: RunningApp, path: string): Promise<Answer & { readonly text: string }> => {
  const response = await fetch(`${app.url}${path}`);
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, text, body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {} };
};

describe('web apps', () => {
  let cluster: MockCluster;
  let registry: SchemaRegistryServer;
  let topics = 0;
  before(async () => {
    cluster = await startMockCluster();
    registry = await startSchemaRegistry();
  });
  after(async () => {
    await cluster.close();
    await registry.close();
  });

  const vars = (extra: Readonly<Record<string, string>> = {}, servers = cluster.bootstrapServers): RuntimeVars =>
    parseRuntimeVars({
      APP_NAME: 'web',
      HOSTNAME: 'web-0',
      KAFKA_BOOTSTRAP_SERVERS: servers,
      SCHEMA_REGISTRY_URL: registry.url,
      RDKAFKA_TOOLKIT_NATIVE: process.env.RDKAFKA_TOOLKIT_NATIVE,
      ...extra,
    });
  const newTopic = async (of = cluster): Promise<string> => {
    const topic = `orders-${++topics}`;
    await of.createTopics([topic]);
    return topic;
  };
  const recordsOf = (topic: string, of = cluster): Promise<DetachedRecord[]> =>
    readAll({ vars: () => vars({ APP_NAME: `reader-${topic}` }, of.bootstrapServers) }, topic);
  const avro = (own: RuntimeVars): (() => Promise<Producer<never, never>>) => {
    const made = (): Promise<Producer<string, never>> =>
      createAvroProducer<string, never>({ vars: own, valueSchema: orderSchema as never, registry: createSchemaRegistry({ vars: own }) });
    return made as unknown as () => Promise<Producer<never, never>>;
  };
  const counted = async (metrics: MetricsManager, name: string): Promise<string[]> =>
    (await metrics.text('text')).split('\n').filter((line) => line.startsWith(name) && !line.endsWith(' 0'));

  for (const { name, start } of frameworks) {
    describe(name, () => {
      const open = async (routes: Routes, options: Partial<Options> = {}, own = vars()): Promise<RunningApp & AsyncDisposable> => {
        const app = await start({ producer: avro(own), metrics: new MetricsManager({ vars: own }), ...options }, routes);
        return Object.assign(app, { [Symbol.asyncDispose]: () => app.close() });
      };

      test('answers 202 with where the record is once the broker has it, and counts it', async () => {
        const topic = await newTopic();
        await using app = await open({
          produce: {
            topic: (request: AnyRequest) => String((request.query as { topic?: string }).topic),
            key: ((request: AnyRequest) => String((request.body as { id: number }).id)) as never,
            headers: () => ({ source: 'web' }),
          },
        });
        const answers: Answer[] = [];
        for (let id = 0; id < 20; id++) answers.push(await post(app, order(id), `/orders?topic=${topic}`));
        assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([202]));
        const records = await recordsOf(topic);
        const places = records.map(({ partition, offset }) => `${partition}@${offset}`);
        assert.deepEqual(answers.map(({ body }) => `${body.partition}@${body.offset}`).toSorted(), places.toSorted());
        for (const { key, value, headers } of records) {
          assert.equal(String(key), String(orderSchema.type.fromBuffer(value!.subarray(5)).id));
          assert.equal(String(headers[0]?.value), 'web');
        }
        assert.deepEqual(await counted(app.kafka.metrics, 'messages_produced'), ['messages_produced{app="web",job="web-0"} 20']);
      });

      test('answers 400 for a body that does not fit the schema, naming the field, and produces nothing', async () => {
        const topic = await newTopic();
        await using app = await open({ produce: { topic } });
        const { status, headers, body } = await post(app, { id: 1, to: { city: 7 } });
        assert.equal(status, 400);
        assert.match(headers.get('content-type')!, /^application\/problem\+json/);
        assert.deepEqual(body, {
          status: 400,
          title: 'Bad Request',
          detail: 'expected to.city to be Avro string, got 7',
          code: 'ERR_ENCODE',
          field: 'to.city',
          delivery: 'none',
        });
        assert.equal((await post(app, {})).body.field, 'id');
        assert.equal((await post(app, '{"id":')).status, 400);
        const bare = await fetch(`${app.url}/orders`, { method: 'POST' });
        assert.equal(bare.status, 400);
        assert.equal((await post(app, { id: 1, to: { city: 'x'.repeat(20_000) } })).status, 413);
        assert.equal((await post(app, order(1))).body.offset, 0);
      });

      test('counts each error once by its class, and tells nothing of the inside', async () => {
        await using app = await open({ produce: { topic: await newTopic() } });
        const [teapot, bug, missing] = [await get(app, '/teapot'), await get(app, '/bug'), await get(app, '/nowhere')];
        assert.deepEqual([teapot.status, teapot.body.detail], [418, 'short and stout']);
        assert.deepEqual(bug.body, { status: 500, title: 'Internal Server Error' });
        assert.equal(missing.status, 404);
        await post(app, {});
        const errors = await counted(app.kafka.metrics, 'message_errors');
        const classes = errors.map((line) => /exception="(\w+)"\} (\d+)/.exec(line)!.slice(1).join(' '));
        assert.deepEqual(classes.toSorted(), ['EncodeError 1', 'Error 1', 'TypeError 1']);
      });

      test('answers 503 with Retry-After while no broker acknowledges, at once after the first, and goes on when one does', async () => {
        const own = await startMockCluster();
        try {
          const topic = await newTopic(own);
          const settings = vars({ RDKAFKA_RECONNECT_BACKOFF_MAX_MS: '200' }, own.bootstrapServers);
          await using app = await open({ produce: { topic, timeoutMs: 1_500 } }, { retryAfterSeconds: 7 }, settings);
          assert.equal((await post(app, order(0))).status, 202);
          own.stopBroker(1);
          const late = await post(app, order(1));
          assert.deepEqual([late.status, late.headers.get('retry-after'), late.body.delivery], [503, '7', 'unknown']);
          // One at a time tries whether it is over; beside it all are refused.
          const probe = post(app, order(9));
          await sleep(50);
          const from = performance.now();
          const refused = await post(app, order(2));
          assert.deepEqual([refused.status, refused.headers.get('retry-after'), refused.body.delivery], [503, '7', 'none']);
          assert.ok(performance.now() - from < 1_000, 'it waited for its own deadline');
          assert.equal((await probe).status, 503);
          const ready = await get(app, '/ready');
          assert.deepEqual([ready.status, (ready.body.checks as { name: string }[]).at(-1)!.name], [503, 'brokers']);
          own.startBroker(1);
          let again: Answer;
          for (let tries = 0; ; tries++) {
            again = await post(app, order(3));
            if (again.status === 202 || tries > 300) break;
            await sleep(100);
          }
          assert.equal(again.status, 202);
          assert.equal((await get(app, '/ready')).status, 200);
          const ids = (await recordsOf(topic, own)).map(({ value }) => orderSchema.type.fromBuffer(value!.subarray(5)).id);
          // What was answered with "unknown" came after all; what was refused did not. Tries that were told so may be there as well.
          const refusedOnes = ids.filter((each) => each === 2);
          assert.deepEqual([refusedOnes, [0, 1, 9].every((each) => ids.includes(each)), ids.includes(3)], [[], true, true]);
        } finally {
          await own.close();
        }
      });

      test('answers 503 at once when too many wait for room in the queue', async () => {
        const own = await startMockCluster();
        try {
          const topic = await newTopic(own);
          const settings = vars({ RDKAFKA_QUEUE_BUFFERING_MAX_MESSAGES: '3' }, own.bootstrapServers);
          await using app = await open({ produce: { topic, timeoutMs: 2_000, maxWaiting: 2 } }, {}, settings);
          await post(app, order(0));
          own.setRoundTripTime(1, 400);
          const answers = await Promise.all(Array.from({ length: 12 }, (_, id) => post(app, order(1 + id))));
          const full = answers.filter(({ body }) => body.code === 'ERR_QUEUE_FULL');
          assert.ok(full.length >= 7, `${full.length} refused`);
          for (const { status, headers, body } of full)
            assert.deepEqual([status, headers.get('retry-after'), body.delivery], [503, '5', 'none']);
          own.setRoundTripTime(1, 0);
          const accepted = answers.filter(({ status }) => status === 202).length;
          assert.ok(accepted >= 3, `${accepted} accepted`);
          assert.equal((await recordsOf(topic, own)).length, 1 + accepted);
        } finally {
          await own.close();
        }
      });

      test('serves metrics and probes where it is told to', async () => {
        await using app = await open(
          { produce: { topic: 'any' } },
          { paths: { metrics: '/internal/metrics', ready: '/internal/ready', live: false }, health: { checks: { disk: () => undefined } } },
        );
        const metrics = await get(app, '/internal/metrics');
        assert.match(metrics.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
        assert.match(metrics.text, /^messages_produced\{app="web",job="web-0"\} 0$/m);
        const ready = await get(app, '/internal/ready');
        assert.deepEqual([ready.status, ready.body.ok], [200, true]);
        assert.deepEqual(
          (ready.body.checks as { name: string }[]).map((check) => check.name),
          ['service', 'producer', 'disk'],
        );
        assert.equal((await get(app, '/live')).status, 404);
        assert.equal((await get(app, '/metrics')).status, 404);
      });

      test('is not live any more when its producer is gone', async () => {
        await using app = await open({ produce: { topic: await newTopic() } });
        assert.equal((await get(app, '/live')).status, 200);
        await (app.kafka.producer as Producer<never, never>).close();
        assert.equal((await get(app, '/live')).status, 503);
        const { status, body } = await post(app, order(1));
        assert.deepEqual([status, body.code], [503, 'ERR_CLOSED']);
      });

      test('answers what is under way when it is told to stop, then flushes and closes the producer', async () => {
        const topic = await newTopic();
        const settings = vars({ PRODUCER_LINGER_MS: '300' });
        const app = await open({ produce: { topic }, slowMs: 400 }, {}, settings);
        const stop = new AbortController();
        const closed = app.closeAt(stop.signal, { drainMs: 150 });
        const slow = get(app, '/slow');
        const sent = post(app, order(1));
        await sleep(50);
        stop.abort();
        await sleep(50);
        const draining = await get(app, '/ready');
        assert.deepEqual([draining.status, (draining.body.checks as { reason?: string }[])[0]!.reason], [503, 'it is being closed']);
        await closed;
        assert.deepEqual([(await slow).body, (await sent).status], [{ slow: true }, 202]);
        assert.equal((app.kafka.producer as Producer<never, never>).closed, true);
        await assert.rejects(get(app, '/live'));
        await app.close();
        assert.equal((await recordsOf(topic)).length, 1);
      });

      test('a connection that was opened ahead, as browsers do, does not hold the end up', async () => {
        const app = await open({ produce: { topic: 'any' } });
        const { hostname, port } = new URL(app.url);
        const ahead = connect({ host: hostname, port: Number(port) });
        await once(ahead, 'connect');
        await get(app, '/live');
        const from = performance.now();
        await app.close();
        assert.ok(performance.now() - from < 2_000, 'it waited for the connection');
        ahead.destroy();
      });

      test('a close that takes too long is a ShutdownError', async () => {
        const app = await open({ produce: { topic: 'any' }, slowMs: 1_500 });
        const stop = new AbortController();
        const closed = app.closeAt(stop.signal, { timeoutMs: 300 });
        const slow = get(app, '/slow');
        await sleep(50);
        stop.abort();
        await assert.rejects(closed, ShutdownError);
        assert.equal((await slow).status, 200);
        await app.close();
      });
    });
  }

  test('a route may have a producer of its own, and make its value', async () => {
    const topic = await newTopic();
    const json = await createProducer({ vars: vars(), valueSerializer: jsonSerializer<{ id: number }>() });
    const own = vars();
    const [{ start }] = frameworks as [(typeof frameworks)[number]];
    const app = await start(
      { producer: json as unknown as AppProducer, metrics: new MetricsManager({ vars: own }) },
      { produce: { topic, producer: json as never, value: (({ body }: AnyRequest) => ({ id: (body as { n: number }).n })) as never } },
    );
    assert.equal((await post(app, { n: 5 })).status, 202);
    assert.equal(String((await recordsOf(topic))[0]!.value), '{"id":5}');
    await app.close();
    await assert.rejects(json.enqueue({ topic, value: { id: 1 } }), ClosedError);
  });
});
