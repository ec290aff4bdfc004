import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { ConfigError, SchemaRegistryError } from '../../src/errors.ts';
import {
  type SchemaRegistryServer,
  type SchemaRegistryServerOptions,
  startSchemaRegistry,
} from '../../src/testing/schema-registry-server.ts';

const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Sends one request; `path` may hold characters that need encoding only if the caller encoded them. */
async function call(server: SchemaRegistryServer, method: string, path: string, body?: unknown): Promise<Answer> {
  const init = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': MEDIA_TYPE } };
  const response = await fetch(`${server.url}${path}`, { method, ...init });
  assert.equal(response.headers.get('content-type'), MEDIA_TYPE);
  return { status: response.status, body: await response.json() };
}

async function assertFails(answer: Promise<Answer>, code: number, message?: RegExp): Promise<void> {
  const { status, body } = await answer;
  const { error_code, message: text, ...rest } = body as { error_code: number; message: string };
  assert.deepEqual([status, error_code, rest], [Number(String(code).slice(0, 3)), code, {}], text);
  assert.match(text, message ?? /./);
}

async function withRegistry(run: (server: SchemaRegistryServer) => Promise<void>, options?: SchemaRegistryServerOptions): Promise<void> {
  const server = await startSchemaRegistry(options);
  try {
    await run(server);
  } finally {
    await server.close();
  }
}

const avro = (schema: unknown, more: object = {}) => ({ schema: JSON.stringify(schema), ...more });
const record = (name: string, ...fields: object[]) => ({ type: 'record', name, namespace: 'shop', fields });
const ID = { name: 'id', type: 'int' };
const NOTE = { name: 'note', type: 'string' };
const NOTE_OR_NONE = { name: 'note', type: 'string', default: '' };

async function register(server: SchemaRegistryServer, subject: string, body: object): Promise<number> {
  const answer = await call(server, 'POST', `/subjects/${encodeURIComponent(subject)}/versions`, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return (answer.body as { id: number }).id;
}

describe('registering and reading', () => {
  it('gives one id to one schema, across subjects and spellings, and a new version to a new schema', () =>
    withRegistry(async (server) => {
      const id = await register(server, 'orders-value', avro(record('Order', ID)));
      const spelled = { fields: [{ type: { type: 'int' }, name: 'id' }], name: 'shop.Order', type: 'record' };
      assert.equal(await register(server, 'orders-value', { schema: JSON.stringify(spelled, null, 2) }), id);
      assert.equal(await register(server, 'returns-value', avro(record('Order', ID))), id);
      const next = await register(server, 'orders-value', avro(record('Order', ID, NOTE_OR_NONE)));
      assert.notEqual(next, id);
      assert.notEqual(await register(server, 'docs-value', avro(record('Order', { ...ID, doc: 'x' }))), id);
      assert.deepEqual((await call(server, 'GET', '/subjects/orders-value/versions')).body, [1, 2]);
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${id}/versions`)).body, [
        { subject: 'orders-value', version: 1 },
        { subject: 'returns-value', version: 1 },
      ]);
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${id}/subjects`)).body, ['orders-value', 'returns-value']);
    }));

  it('shows a version by number, latest and -1, its bare schema, and the schema of an id', () =>
    withRegistry(async (server) => {
      const schema = JSON.stringify(record('Order', ID));
      const id = await register(server, 's', { schema });
      for (const version of ['1', 'latest', '-1']) {
        assert.deepEqual((await call(server, 'GET', `/subjects/s/versions/${version}`)).body, { subject: 's', id, version: 1, schema });
        assert.deepEqual((await call(server, 'GET', `/subjects/s/versions/${version}/schema`)).body, JSON.parse(schema));
      }
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${id}`)).body, { schema });
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${id}/schema`)).body, JSON.parse(schema));
      assert.deepEqual((await call(server, 'POST', '/subjects/s', { schema })).body, { subject: 's', id, version: 1, schema });
    }));

  it('keeps JSON and PROTOBUF schemas with their type and says which types there are', () =>
    withRegistry(async (server) => {
      assert.deepEqual((await call(server, 'GET', '/schemas/types')).body, ['JSON', 'PROTOBUF', 'AVRO']);
      const json = await register(server, 'j', { schemaType: 'JSON', schema: '{"type":"object"}' });
      const proto = await register(server, 'p', { schemaType: 'PROTOBUF', schema: 'message A {}' });
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${json}`)).body, { schemaType: 'JSON', schema: '{"type":"object"}' });
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${proto}`)).body, { schemaType: 'PROTOBUF', schema: 'message A {}' });
      await assertFails(call(server, 'POST', '/subjects/p/versions', avro('string')), 409, /PROTOBUF/);
      const swapped = { schemaType: 'JSON', schema: '{"b":1,"a":2}' };
      const first = await register(server, 'k', { schemaType: 'JSON', schema: '{"a":2,"b":1}' });
      const normalized = await call(server, 'POST', '/subjects/k/versions?normalize=true', swapped);
      assert.deepEqual(normalized.body, { id: first });
      assert.notEqual(await register(server, 'k', swapped), first);
    }));

  it('takes subjects with slashes, blanks and names of Object.prototype', () =>
    withRegistry(async (server) => {
      const names = ['a/b c', '__proto__', 'constructor', 'über%'];
      for (const name of names) {
        await assertFails(call(server, 'GET', `/subjects/${encodeURIComponent(name)}/versions`), 40401);
        await assertFails(call(server, 'GET', `/config/${encodeURIComponent(name)}`), 40408);
        await register(server, name, avro('string'));
      }
      assert.deepEqual((await call(server, 'GET', '/subjects')).body, names.toSorted());
      assert.deepEqual((await call(server, 'GET', '/subjects?subjectPrefix=a%2F')).body, ['a/b c']);
      await assertFails(call(server, 'POST', '/subjects/x/versions', avro('toString')), 42201);
    }));

  it('resolves references, guards what is referenced, and says by whom', () =>
    withRegistry(async (server) => {
      await register(server, 'city', avro(record('City', ID)));
      const toCity = { name: 'shop.City', subject: 'city', version: 1 };
      const cityField = { name: 'city', type: 'shop.City' };
      await register(server, 'address', avro(record('Address', cityField), { references: [toCity] }));
      const toAddress = { name: 'shop.Address', subject: 'address', version: 1 };
      const order = avro(record('Order', { name: 'to', type: 'Address' }, cityField), { references: [toAddress, toCity] });
      const id = await register(server, 'order', order);
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${id}`)).body, order);
      const reordered = { ...order, references: [toCity, toAddress] };
      assert.deepEqual((await call(server, 'POST', '/subjects/order/versions?normalize=true', reordered)).body, { id });
      assert.deepEqual((await call(server, 'GET', '/subjects/address/versions/1/referencedby')).body, [id]);
      assert.deepEqual((await call(server, 'GET', '/subjects/order/versions/latest/referencedby')).body, []);
      await assertFails(call(server, 'DELETE', '/subjects/city'), 42206);
      await assertFails(call(server, 'DELETE', '/subjects/address/versions/1'), 42206);
      const missing = { ...order, references: [{ ...toCity, version: 7 }] };
      await assertFails(call(server, 'POST', '/subjects/other/versions', missing), 42201, /"city" and version 7/);
      await assertFails(call(server, 'POST', '/subjects/other/versions', { ...order, references: [] }), 42201, /undefined type name/);
    }));
});

describe('errors', () => {
  const deep = `${'{"type":"array","items":'.repeat(20_000)}"int"${'}'.repeat(20_000)}`;
  const cases: readonly (readonly [method: string, path: string, body: unknown, code: number])[] = [
    ['GET', '/subjects/none/versions', undefined, 40401],
    ['POST', '/subjects/none', avro('string'), 40401],
    ['DELETE', '/subjects/none', undefined, 40401],
    ['GET', '/subjects/s/versions/9', undefined, 40402],
    ['GET', '/subjects/s/versions/0', undefined, 42202],
    ['GET', '/subjects/s/versions/newest', undefined, 42202],
    ['GET', '/subjects/s/versions/2147483648', undefined, 42202],
    ['POST', '/subjects/s', avro('int'), 40403],
    ['GET', '/schemas/ids/99', undefined, 40403],
    ['GET', '/schemas/ids/99/versions', undefined, 40403],
    ['GET', '/schemas/ids/abc', undefined, 404],
    ['POST', '/subjects/s/versions', {}, 42201],
    ['POST', '/subjects/s/versions', { schema: '{' }, 42201],
    ['POST', '/subjects/s/versions', { schema: deep }, 42201],
    ['POST', '/subjects/s/versions', avro({ type: 'record', name: 'A' }), 42201],
    ['POST', '/subjects/s/versions', avro('string', { schemaType: 'XML' }), 42201],
    ['POST', '/subjects/s/versions', avro('string', { references: [{}] }), 42201],
    ['POST', '/subjects/s/versions', [], 400],
    ['PUT', '/config', { compatibility: 'SIDEWAYS' }, 42203],
    ['PUT', '/config/s', {}, 42203],
    ['PUT', '/mode', { mode: 'IMPORT' }, 42204],
    ['GET', '/mode/s', undefined, 40409],
    ['DELETE', '/config/s', undefined, 40401],
    ['GET', '/nowhere', undefined, 404],
    ['GET', '/subjects/%E0%A4/versions', undefined, 400],
    ['PATCH', '/subjects/s', undefined, 405],
  ];

  it('answers with the codes and shape Confluent documents', () =>
    withRegistry(async (server) => {
      await register(server, 's', avro('string'));
      for (const [method, path, body, code] of cases) await assertFails(call(server, method, path, body), code);
    }));

  it('names the methods of a path, refuses foreign media types, malformed JSON and bodies over 1 MiB, and goes on', () =>
    withRegistry(async (server) => {
      const url = `${server.url}/subjects/s/versions`;
      assert.equal((await fetch(url, { method: 'PATCH' })).headers.get('allow'), 'GET, POST');
      const post = (body: string, type: string) => fetch(url, { method: 'POST', body, headers: { 'content-type': type } });
      assert.equal((await post('{}', 'text/plain')).status, 415);
      assert.equal((await post('{', 'application/json; charset=utf-8')).status, 400);
      const wrapped = (bytes: number) => JSON.stringify(avro('string')).padEnd(bytes, ' ');
      assert.equal((await post(wrapped(1024 * 1024), 'application/json')).status, 200);
      await assertFails(
        post(wrapped(1024 * 1024 + 1), 'application/json').then(async (r) => ({ status: r.status, body: await r.json() })),
        413,
      );
      assert.equal((await post(JSON.stringify(avro('string')), 'application/json')).status, 200);
    }));
});

describe('compatibility', () => {
  const v1 = record('R', ID);
  const plain = record('R', ID, NOTE);
  const defaulted = record('R', ID, NOTE_OR_NONE);
  const wider = record('R', { name: 'id', type: 'long' });
  /** `allowed` by level: registering `next` after `earlier`. */
  const cases = [
    { what: 'adds a field without default', earlier: [v1], next: plain, allowed: ['NONE', 'FORWARD', 'FORWARD_TRANSITIVE'] },
    { what: 'adds a field with default', earlier: [v1], next: defaulted, allowed: 'all' },
    { what: 'removes a field without default', earlier: [plain], next: v1, allowed: ['NONE', 'BACKWARD', 'BACKWARD_TRANSITIVE'] },
    { what: 'widens int to long', earlier: [v1], next: wider, allowed: ['NONE', 'BACKWARD', 'BACKWARD_TRANSITIVE'] },
    { what: 'narrows long to int', earlier: [wider], next: v1, allowed: ['NONE', 'FORWARD', 'FORWARD_TRANSITIVE'] },
    { what: 'renames the record', earlier: [v1], next: record('Q', ID), allowed: ['NONE'] },
    // Readable by and from the latest, but not against the first: only a transitive level sees it.
    {
      what: 'breaks with an older version',
      earlier: [v1, defaulted],
      next: plain,
      allowed: ['NONE', 'BACKWARD', 'FORWARD', 'FORWARD_TRANSITIVE', 'FULL'],
    },
    { what: 'drops a branch of a union', earlier: [['null', 'int', 'long']], next: ['null', 'long'], allowed: 'all' },
    {
      what: 'drops a branch nothing else reads',
      earlier: [['null', 'string', 'int']],
      next: ['null', 'int'],
      allowed: ['NONE', 'FORWARD', 'FORWARD_TRANSITIVE'],
    },
  ];
  const levels = ['NONE', 'BACKWARD', 'BACKWARD_TRANSITIVE', 'FORWARD', 'FORWARD_TRANSITIVE', 'FULL', 'FULL_TRANSITIVE'] as const;

  for (const { what, earlier, next, allowed } of cases) {
    it(`a schema that ${what} passes ${allowed === 'all' ? 'every level' : `only ${[...allowed].join(', ')}`}`, () =>
      withRegistry(async (server) => {
        for (const level of levels) {
          await call(server, 'PUT', '/config', { compatibility: 'NONE' });
          for (const schema of earlier) await register(server, level, avro(schema));
          await call(server, 'PUT', `/config/${level}`, { compatibility: level });
          const passes = allowed === 'all' || allowed.includes(level);
          const tested = await call(server, 'POST', `/compatibility/subjects/${level}/versions?verbose=true`, avro(next));
          const { is_compatible, messages } = tested.body as { is_compatible: boolean; messages: string[] };
          assert.deepEqual([is_compatible, messages.length === 0], [passes, passes], level);
          const registered = await call(server, 'POST', `/subjects/${level}/versions`, avro(next));
          assert.equal(registered.status, passes ? 200 : 409, level);
          if (!passes) assert.equal((registered.body as { error_code: number }).error_code, 409);
        }
      }));
  }

  it('checks against one version on request, and calls the first schema of a subject compatible', () =>
    withRegistry(async (server) => {
      await register(server, 's', avro(v1));
      await register(server, 's', avro(defaulted));
      const test = async (version: string) =>
        (await call(server, 'POST', `/compatibility/subjects/s/versions/${version}`, avro(plain))).body;
      assert.deepEqual(await test('1'), { is_compatible: false });
      assert.deepEqual(await test('2'), { is_compatible: true });
      assert.deepEqual(await test('latest'), { is_compatible: true });
      await assertFails(call(server, 'POST', '/compatibility/subjects/s/versions/3', avro(plain)), 40402);
      await assertFails(call(server, 'POST', '/compatibility/subjects/s/versions/1', { schema: '"nope"' }), 42201);
      const first = await call(server, 'POST', '/compatibility/subjects/new/versions/latest', avro(plain));
      assert.deepEqual(first.body, { is_compatible: true });
    }));

  it('keeps a level for all and one a subject', () =>
    withRegistry(
      async (server) => {
        assert.deepEqual((await call(server, 'GET', '/config')).body, { compatibilityLevel: 'FULL' });
        assert.deepEqual((await call(server, 'PUT', '/config', { compatibility: 'forward' })).body, { compatibility: 'FORWARD' });
        assert.deepEqual((await call(server, 'GET', '/config/s?defaultToGlobal=true')).body, { compatibilityLevel: 'FORWARD' });
        assert.deepEqual((await call(server, 'PUT', '/config/s', { compatibility: 'NONE' })).body, { compatibility: 'NONE' });
        assert.deepEqual((await call(server, 'GET', '/config/s')).body, { compatibilityLevel: 'NONE' });
        assert.deepEqual((await call(server, 'DELETE', '/config/s')).body, { compatibilityLevel: 'NONE' });
        await assertFails(call(server, 'GET', '/config/s'), 40408);
      },
      { compatibility: 'FULL' },
    ));

  it('refuses changes in a read-only mode', () =>
    withRegistry(async (server) => {
      await register(server, 's', avro('string'));
      assert.deepEqual((await call(server, 'PUT', '/mode/s', { mode: 'readonly' })).body, { mode: 'READONLY' });
      await assertFails(call(server, 'POST', '/subjects/s/versions', avro('string')), 42205);
      await assertFails(call(server, 'DELETE', '/subjects/s'), 42205);
      await register(server, 'other', avro('string'));
      assert.deepEqual((await call(server, 'DELETE', '/mode/s')).body, { mode: 'READONLY' });
      assert.deepEqual((await call(server, 'PUT', '/mode', { mode: 'READONLY_OVERRIDE' })).body, { mode: 'READONLY_OVERRIDE' });
      await assertFails(call(server, 'POST', '/subjects/other/versions', avro('string')), 42205);
      await assertFails(call(server, 'PUT', '/config', { compatibility: 'NONE' }), 42205);
      assert.deepEqual((await call(server, 'GET', '/mode')).body, { mode: 'READONLY_OVERRIDE' });
    }));
});

describe('deleting', () => {
  it('hides a soft-deleted subject, keeps its ids, and goes on counting versions', () =>
    withRegistry(async (server) => {
      const id = await register(server, 's', avro('int'));
      await register(server, 's', avro('long'));
      await call(server, 'PUT', '/config/s', { compatibility: 'NONE' });
      await assertFails(call(server, 'DELETE', '/subjects/s?permanent=true'), 40405);
      assert.deepEqual((await call(server, 'DELETE', '/subjects/s')).body, [1, 2]);
      await assertFails(call(server, 'DELETE', '/subjects/s'), 40404);
      await assertFails(call(server, 'GET', '/subjects/s/versions'), 40401);
      await assertFails(call(server, 'GET', '/config/s'), 40408);
      assert.deepEqual((await call(server, 'GET', '/subjects')).body, []);
      assert.deepEqual((await call(server, 'GET', '/subjects?deleted=true')).body, ['s']);
      assert.deepEqual((await call(server, 'GET', '/subjects/s/versions?deleted=true')).body, [1, 2]);
      assert.equal((await call(server, 'GET', '/subjects/s/versions/1?deleted=true')).status, 200);
      assert.equal((await call(server, 'POST', '/subjects/s?deleted=true', avro('int'))).status, 200);
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${id}`)).body, avro('int'));
      assert.deepEqual((await call(server, 'GET', `/schemas/ids/${id}/subjects`)).body, []);
      assert.equal(await register(server, 's', avro('int')), id);
      assert.deepEqual((await call(server, 'GET', '/subjects/s/versions')).body, [3]);
    }));

  it('forgets a permanently deleted subject and the ids no other subject holds', () =>
    withRegistry(async (server) => {
      const shared = await register(server, 's', avro('int'));
      const own = await register(server, 's', avro('long'));
      await register(server, 'other', avro('int'));
      await call(server, 'DELETE', '/subjects/s');
      assert.deepEqual((await call(server, 'DELETE', '/subjects/s?permanent=true')).body, [1, 2]);
      await assertFails(call(server, 'DELETE', '/subjects/s?permanent=true'), 40401);
      await assertFails(call(server, 'GET', `/schemas/ids/${own}`), 40403);
      assert.equal((await call(server, 'GET', `/schemas/ids/${shared}`)).status, 200);
      assert.ok((await register(server, 's', avro('long'))) > own, 'an id is never used twice');
      assert.deepEqual((await call(server, 'GET', '/subjects/s/versions')).body, [1]);
    }));

  it('deletes single versions, softly then permanently', () =>
    withRegistry(async (server) => {
      await register(server, 's', avro('int'));
      await register(server, 's', avro('long'));
      await assertFails(call(server, 'DELETE', '/subjects/s/versions/1?permanent=true'), 40407);
      assert.equal((await call(server, 'DELETE', '/subjects/s/versions/1')).body, 1);
      await assertFails(call(server, 'DELETE', '/subjects/s/versions/1'), 40406);
      await assertFails(call(server, 'GET', '/subjects/s/versions/1'), 40402);
      assert.equal((await call(server, 'DELETE', '/subjects/s/versions/1?permanent=true')).body, 1);
      await assertFails(call(server, 'GET', '/subjects/s/versions/1?deleted=true'), 40402);
      assert.equal((await call(server, 'DELETE', '/subjects/s/versions/latest')).body, 2);
      await assertFails(call(server, 'GET', '/subjects/s/versions'), 40401);
    }));
});

describe('faults, sign-in and lifetime', () => {
  it('lets no request pass without the credentials', () =>
    withRegistry(
      async (server) => {
        const get = (authorization?: string) => fetch(`${server.url}/subjects`, { headers: authorization ? { authorization } : {} });
        const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
        for (const wrong of [undefined, basic('ann:wrong'), basic('ann'), 'Bearer x', 'Basic']) {
          const response = await get(wrong);
          assert.match(response.headers.get('www-authenticate') ?? '', /^Basic realm=/);
          assert.deepEqual([response.status, await response.json()], [401, { error_code: 401, message: 'Unauthorized' }]);
        }
        assert.equal((await get(basic('ann:a:b'))).status, 200);
        const client = new SchemaRegistry({ host: server.url, auth: { username: 'ann', password: 'a:b' }, retry: { retries: 0 } });
        assert.equal((await client.register({ type: SchemaType.AVRO, schema: JSON.stringify(record('R', ID)) }, { subject: 's' })).id, 1);
        const stranger = new SchemaRegistry({ host: server.url, retry: { retries: 0 } });
        await assert.rejects(stranger.getSchema(1), { status: 401 });
      },
      { auth: { username: 'ann', password: 'a:b' } },
    ));

  it('spoils matching requests as often as asked, in the order the rules were added', () =>
    withRegistry(async (server) => {
      server.fail({ match: /^GET \/subjects$/g, status: 503, times: 2 });
      const heal = server.fail({ match: /subjects/, body: { any: 'thing' } });
      const statuses = [];
      for (let i = 0; i < 3; i += 1) statuses.push((await fetch(`${server.url}/subjects?deleted=true`)).status);
      assert.deepEqual(statuses, [503, 503, 500]);
      assert.deepEqual(await call(server, 'GET', '/subjects'), { status: 500, body: { any: 'thing' } });
      heal();
      heal();
      assert.deepEqual(await call(server, 'GET', '/subjects'), { status: 200, body: [] });
      server.fail({ times: 1 });
      await assertFails(call(server, 'GET', '/subjects'), 50001);
      assert.deepEqual([...server.requests], [['GET /subjects', 6]]);
    }));

  it('sends garbage and slow answers', () =>
    withRegistry(async (server) => {
      server.fail({ garbage: true, times: 1 });
      await assert.rejects(call(server, 'GET', '/subjects'), SyntaxError);
      server.fail({ delayMs: 60, times: 1 });
      const started = performance.now();
      assert.deepEqual(await call(server, 'GET', '/subjects'), { status: 200, body: [] });
      assert.ok(performance.now() - started >= 55);
      server.fail({ delayMs: 20, status: 429, times: 1 });
      await assertFails(call(server, 'GET', '/subjects'), 429);
    }));

  it('refuses contradictory rules and options, naming every fault', async () => {
    await withRegistry(async (server) => {
      assert.throws(
        () => server.fail({ hang: true, garbage: true, times: 0, status: 99, delayMs: -1 }),
        (error) => error instanceof ConfigError && error.faults.length === 4,
      );
      assert.throws(() => server.fail({ garbage: true, body: 'x' }), ConfigError);
    });
    const options = { port: 70_000, compatibility: 'SIDEWAYS', auth: { username: 'a:b', password: '' } } as unknown;
    await assert.rejects(
      startSchemaRegistry(options as SchemaRegistryServerOptions),
      (error) => error instanceof ConfigError && error.faults.length === 3,
    );
  });

  it('closes with a hanging and a delayed request under way, twice without harm', { timeout: 5000 }, async () => {
    const server = await startSchemaRegistry();
    server.fail({ match: /^GET/, hang: true });
    server.fail({ match: /^POST/, delayMs: 60_000 });
    const pending = [
      fetch(`${server.url}/subjects`),
      fetch(`${server.url}/subjects/s`, { method: 'POST', body: '{}', headers: { 'content-type': MEDIA_TYPE } }),
    ];
    const outcomes = Promise.allSettled(pending);
    while (server.requests.size < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all([server.close(), server.close()]);
    await server[Symbol.asyncDispose]();
    assert.deepEqual(
      (await outcomes).map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    await assert.rejects(fetch(`${server.url}/subjects`));
  });

  it('says why it cannot listen', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    await assert.rejects(
      startSchemaRegistry({ port }),
      (error) => error instanceof SchemaRegistryError && /EADDRINUSE/.test(error.message),
    );
    taken.close();
  });
});

describe('through @kafkajs/confluent-schema-registry', () => {
  const connect = (server: SchemaRegistryServer) =>
    new SchemaRegistry({ host: server.url, retry: { retries: 2, initialRetryTimeInSecs: 0.01 } });
  const schema = JSON.stringify(record('Order', ID, NOTE));

  it('registers, reads back, encodes and decodes', () =>
    withRegistry(async (server) => {
      const { id } = await connect(server).register({ type: SchemaType.AVRO, schema }, { subject: 'a/b' });
      const other = connect(server);
      assert.equal(await other.getLatestSchemaId('a/b'), id);
      assert.equal(await other.getRegistryId('a/b', 1), id);
      assert.equal(await other.getRegistryIdBySchema('a/b', { type: SchemaType.AVRO, schema }), id);
      assert.equal(((await other.getSchema(id)) as { name?: string }).name, 'shop.Order');
      const value = { id: 7, note: 'x' };
      assert.deepEqual({ ...(await other.decode(await other.encode(id, value))) }, value);
      assert.deepEqual((await call(server, 'GET', '/config/a%2Fb')).body, { compatibilityLevel: 'BACKWARD' });
      await assert.rejects(other.getSchema(999), { status: 404 });
    }));

  it('follows references', () =>
    withRegistry(async (server) => {
      await connect(server).register({ type: SchemaType.AVRO, schema: JSON.stringify(record('City', ID)) }, { subject: 'city' });
      const house = JSON.stringify(record('House', { name: 'in', type: 'shop.City' }));
      const references = [{ name: 'shop.City', subject: 'city', version: 1 }];
      const { id } = await connect(server).register({ type: SchemaType.AVRO, schema: house, references }, { subject: 'house' });
      const other = connect(server);
      const decoded = await other.decode(await other.encode(id, { in: { id: 3 } }));
      assert.equal(decoded.in.id, 3);
    }));

  it('gets over a passing fault, and reports a refused schema', () =>
    withRegistry(async (server) => {
      const { id } = await connect(server).register({ type: SchemaType.AVRO, schema }, { subject: 's' });
      server.fail({ match: /^GET \/schemas\/ids/, status: 503, times: 1 });
      await connect(server).getSchema(id);
      assert.equal(server.requests.get(`GET /schemas/ids/${id}`), 2);
      const changed = JSON.stringify(record('Order', ID, NOTE, { name: 'more', type: 'int' }));
      await assert.rejects(connect(server).register({ type: SchemaType.AVRO, schema: changed }, { subject: 's' }), { status: 409 });
    }));
});
