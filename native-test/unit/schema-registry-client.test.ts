import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { inspect, promisify } from 'node:util';
import { parseAvroType } from '../../src/avro/parse-type.ts';
import { createSchemaRegistry, type SchemaRegistryClient, type SchemaRegistryOptions } from '../../src/avro/schema-registry.ts';
import { ConfigError, SchemaRegistryError } from '../../src/errors.ts';
import { parseRuntimeVars } from '../../src/runtime-vars.ts';
import { type SchemaRegistryServer, startSchemaRegistry } from '../../src/testing/schema-registry-server.ts';

const vars = parseRuntimeVars({});
let server: SchemaRegistryServer;
let subjects = 0;

before(async () => {
  server = await startSchemaRegistry();
});
after(() => server.close());

const client = (options: SchemaRegistryOptions = {}): SchemaRegistryClient =>
  createSchemaRegistry({ vars, url: server.url, timeoutMs: 5_000, ...options });
const newSubject = (): string => `subject-${++subjects}`;
const recordText = (name: string, ...fields: object[]): string => JSON.stringify({ type: 'record', name, fields });
const id = { name: 'id', type: 'int' };

/** Registers by plain HTTP, as some other service would. */
async function post(subject: string, body: object): Promise<number> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${server.url}/subjects/${encodeURIComponent(subject)}/versions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { id: number; message?: string };
  assert.equal(response.status, 200, answer.message);
  return answer.id;
}

/** A schema nobody else uses. */
const freshSchema = (): Promise<number> => post(newSubject(), { schema: recordText(`Fresh${++subjects}`, id) });

async function failure(asked: Promise<unknown>): Promise<SchemaRegistryError> {
  const error = await asked.then(
    (value) => assert.fail(`answered ${inspect(value)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof SchemaRegistryError, String(error));
  return error;
}

/** A server of the test's own; gives its URL. */
async function serve(context: TestContext, listener: RequestListener): Promise<string> {
  const own = createHttpServer(listener);
  await new Promise<void>((resolve) => own.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    own.closeAllConnections();
    own.close();
  });
  return `http://127.0.0.1:${(own.address() as AddressInfo).port}`;
}

const asked = (path: string): number => server.requests.get(path) ?? 0;

describe('schema of an id', () => {
  test('is given as registered, and remembered', async () => {
    const text = recordText('Given', id);
    const known = await post(newSubject(), { schema: text });
    const registry = client();
    assert.equal(registry.peek(known), undefined);
    assert.deepEqual(await registry.schema(known), { id: known, text, references: [] });
    assert.deepEqual(registry.peek(known), { id: known, text, references: [] });
    await registry.schema(known);
    assert.equal(asked(`GET /schemas/ids/${known}`), 1);
  });

  test('is asked for once however many wait for it', async () => {
    const known = await freshSchema();
    const registry = client();
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => registry.schema(known)));
    assert.equal(new Set(answers).size, 1);
    assert.equal(asked(`GET /schemas/ids/${known}`), 1);
  });

  test('comes with the schemas it refers to, each after those it needs itself', async () => {
    const [city, address, person] = [newSubject(), `${newSubject()}/with slash`, newSubject()];
    const cityText = recordText('City', id);
    const addressText = recordText('Address', { name: 'city', type: 'City' });
    const toCity = { name: 'City', subject: city, version: 1 };
    const toAddress = { name: 'Address', subject: address, version: 1 };
    await post(city, { schema: cityText });
    const oneLevel = await post(address, { schema: addressText, references: [toCity] });
    const personText = recordText('Person', { name: 'home', type: 'Address' });
    const twoLevels = await post(person, { schema: personText, references: [toAddress] });
    const both = recordText('Both', { name: 'home', type: 'Address' }, { name: 'born', type: 'City' });
    const diamond = await post(newSubject(), { schema: both, references: [toAddress, toCity] });

    const expected: [id: number, texts: string[], value: object][] = [
      [oneLevel, [cityText], { city: { id: 1 } }],
      [twoLevels, [cityText, addressText], { home: { city: { id: 2 } } }],
      [diamond, [cityText, addressText], { home: { city: { id: 3 } }, born: { id: 4 } }],
    ];
    const shared = client();
    for (const registry of [client(), shared, shared]) {
      for (const [schemaId, texts, value] of expected) {
        const { text, references } = await registry.schema(schemaId);
        assert.deepEqual(references, texts);
        const type = parseAvroType(text, references);
        assert.deepEqual(structuredClone(type.fromBuffer(type.toBuffer(value))), value);
      }
    }
  });

  test('of no Avro is refused by name', async () => {
    const registry = client();
    const json = await post(newSubject(), { schema: '{"type":"object"}', schemaType: 'JSON' });
    assert.match((await failure(registry.schema(json))).message, new RegExp(`${json} is JSON, not AVRO`));
    const protobuf = await post(newSubject(), { schema: 'syntax = "proto3"; message A { int32 a = 1; }', schemaType: 'PROTOBUF' });
    const error = await failure(registry.schema(protobuf));
    assert.deepEqual([error.retriable, registry.peekUnknown(protobuf)], [false, error]);
  });

  test('that is unknown is remembered a while: one request for many', async () => {
    const registry = client();
    const errors = await Promise.all(Array.from({ length: 100 }, () => failure(registry.schema(700_001))));
    errors.push(await failure(registry.schema(700_001)));
    for (const error of errors) assert.deepEqual([error.status, error.retriable], [404, false]);
    assert.match(errors[0]!.message, /schema 700001.*HTTP 404/);
    assert.equal(registry.peekUnknown(700_001), errors[0]);
    assert.equal(asked('GET /schemas/ids/700001'), 1);
  });

  test('that is unknown is asked for again later', async (context) => {
    const registry = client();
    await failure(registry.schema(700_002));
    const later = Date.now() + 60_000;
    context.mock.method(Date, 'now', () => later);
    assert.equal(registry.peekUnknown(700_002), undefined);
    await failure(registry.schema(700_002));
    assert.equal(asked('GET /schemas/ids/700002'), 2);
  });
});

describe('an outage', () => {
  const outages: [name: string, fault: object][] = [
    ['an answer of 500', { status: 500 }],
    ['an answer of 503', { status: 503, body: '' }],
    ['too many requests', { status: 429 }],
    ['no answer', { hang: true }],
    ['a web page of a proxy', { garbage: true }],
    ['an answer without a schema', { status: 200, body: {} }],
  ];
  for (const [name, fault] of outages) {
    test(`${name} is retriable and not remembered`, async () => {
      const known = await freshSchema();
      const registry = client({ timeoutMs: 1_500 });
      const heal = server.fail({ match: new RegExp(`^GET /schemas/ids/${known}$`), ...fault });
      const start = performance.now();
      const error = await failure(registry.schema(known));
      assert.ok(performance.now() - start < 2_500);
      heal();
      assert.equal(error.retriable, true, error.message);
      assert.match(error.message, new RegExp(`${server.url}.*schema ${known}`));
      assert.equal(registry.peekUnknown(known), undefined);
      assert.equal((await registry.schema(known)).id, known);
    });
  }

  test('a wrong password on the way is not remembered for the schema either', async () => {
    const known = await freshSchema();
    const registry = client();
    const heal = server.fail({ match: new RegExp(`^GET /schemas/ids/${known}$`), status: 401 });
    assert.equal((await failure(registry.schema(known))).status, 401);
    heal();
    assert.equal((await registry.schema(known)).id, known);
  });

  test('a redirect is not followed, whatever it says', async (context) => {
    let followed = 0;
    const elsewhere = await serve(context, (_, response) => {
      followed++;
      response.end(JSON.stringify({ schema: '"int"' }));
    });
    const redirecting = await serve(context, (_, response) => {
      response.writeHead(302, { location: `${elsewhere}/schemas/ids/1`, 'content-type': 'application/json' });
      response.end(JSON.stringify({ schema: '"int"' }));
    });
    const registry = client({ url: redirecting, auth: { username: 'me', password: 'canary' } });
    const error = await failure(registry.schema(1));
    assert.deepEqual([error.retriable, error.status, followed], [true, 302, 0]);
    assert.match(error.message, /schema 1, but a redirect \(HTTP 302\), which is not followed\. Check SCHEMA_REGISTRY_URL/);
    registry.close();
  });

  test('an answer without an end is cut off', async (context) => {
    let sent = 0;
    const url = await serve(context, (_, response) => {
      const chunk = Buffer.alloc(65_536, ' ');
      const write = (): void => {
        for (let room = true; room && !response.destroyed && sent < 200_000_000; sent += chunk.length) room = response.write(chunk);
      };
      response.on('drain', write);
      write();
    });
    const registry = client({ url, timeoutMs: 60_000 });
    const error = await failure(registry.schema(1));
    assert.equal(error.retriable, true);
    assert.match(error.message, /the answer has more than 8388608 bytes/);
    assert.ok(sent < 100_000_000, `${sent} bytes were sent`);
    registry.close();
  });

  test('a kept connection takes any number of answers', async () => {
    const registry = client();
    const text = recordText('Kept', id, { name: 'filling', type: 'string', doc: 'x'.repeat(900_000) });
    const subject = newSubject();
    const known = await registry.register(subject, text);
    for (let times = 0; times < 12; times++) assert.equal(await registry.latest(subject), known);
    registry.close();
  });

  test('a refused connection is retriable, has no status and names the address to check', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as { port: number };
    await new Promise((resolve) => closed.close(resolve));
    const registry = client({ url: `http://127.0.0.1:${port}` });
    const questions = [
      () => registry.schema(1),
      () => registry.register('a', recordText('A', id)),
      () => registry.lookup('a', recordText('A', id)),
      () => registry.latest('a'),
    ];
    for (const question of questions) {
      const error = await failure(question());
      assert.deepEqual([error.retriable, error.status], [true, undefined], error.message);
      assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}.*SCHEMA_REGISTRY_URL`));
    }
    assert.equal(registry.peekUnknown(1), undefined);
  });

  test('a hanging registry holds the process no longer than the deadline', async () => {
    const heal = server.fail({ match: /^GET \/schemas\/ids\/900001$/, hang: true });
    const at = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
    const program = `
      import { createSchemaRegistry } from ${at('avro/schema-registry.js')};
      import { parseRuntimeVars } from ${at('runtime-vars.js')};
      const registry = createSchemaRegistry({ vars: parseRuntimeVars({}), url: ${JSON.stringify(server.url)}, timeoutMs: 300 });
      await registry.schema(900002).catch((error) => console.log(error.status));
      const start = performance.now();
      process.on('exit', () => console.log(Math.round(performance.now() - start)));
      await registry.schema(900001).catch((error) => console.log(error.retriable));
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { timeout: 20_000 });
    heal();
    const [status, retriable, exitMs] = stdout.trim().split('\n');
    assert.deepEqual([status, retriable], ['404', 'true']);
    assert.ok(Number(exitMs) < 1_500, `ended after ${exitMs} ms`);
  });
});

describe('registering', () => {
  test('twice gives one id and one request, and leaves the configuration of the subject alone', async () => {
    const subject = newSubject();
    const text = recordText('Twice', id);
    const registry = client();
    const ids = await Promise.all([registry.register(subject, text), registry.register(subject, text)]);
    ids.push(await registry.register(subject, text), await client().register(subject, text));
    assert.equal(new Set(ids).size, 1);
    assert.equal(asked(`POST /subjects/${subject}/versions`), 2);
    assert.equal(asked(`PUT /config/${subject}`), 0);
    const config = (await (await fetch(`${server.url}/config/${subject}`)).json()) as { error_code: number };
    assert.equal(config.error_code, 40408, 'the subject has no level of its own');
    assert.equal(await registry.latest(subject), ids[0]);
    assert.equal(await registry.lookup(subject, text), ids[0]);
  });

  test('makes the schema known to the same client', async () => {
    const registry = client();
    const text = recordText('Own', id);
    const own = await registry.register(newSubject(), text);
    assert.deepEqual(await registry.schema(own), { id: own, text, references: [] });
  });

  test('works under a subject that sets a level of its own', async () => {
    const subject = newSubject();
    const body = JSON.stringify({ compatibility: 'FULL' });
    await fetch(`${server.url}/config/${subject}`, { method: 'PUT', body, headers: { 'content-type': 'application/json' } });
    await client().register(subject, recordText('Levelled', id));
    const config = (await (await fetch(`${server.url}/config/${subject}`)).json()) as { compatibilityLevel: string };
    assert.equal(config.compatibilityLevel, 'FULL');
  });

  test('an incompatible schema is refused with 409, is not retriable and says why', async () => {
    const subject = newSubject();
    const registry = client();
    await registry.register(subject, recordText('Order', id));
    const error = await failure(registry.register(subject, recordText('Order', id, { name: 'needed', type: 'string' })));
    assert.deepEqual([error.status, error.retriable], [409, false]);
    assert.match(error.message, new RegExp(`${subject}.*incompatible`));
  });

  test('a failure is not remembered', async () => {
    const subject = newSubject();
    const registry = client({ timeoutMs: 1_500 });
    const heal = server.fail({ match: new RegExp(`^POST /subjects/${subject}/`), status: 500 });
    assert.equal((await failure(registry.register(subject, recordText('Later', id)))).retriable, true);
    heal();
    assert.ok((await registry.register(subject, recordText('Later', id))) > 0);
  });

  test('a schema that is not registered is not found', async () => {
    const registry = client();
    const subject = newSubject();
    await registry.register(subject, recordText('There', id));
    const questions = [
      () => registry.lookup(subject, recordText('NotThere', id)),
      () => registry.lookup(newSubject(), recordText('NotThere', id)),
      () => registry.latest(newSubject()),
    ];
    for (const question of questions) {
      const error = await failure(question());
      assert.deepEqual([error.status, error.retriable], [404, false], error.message);
    }
  });
});

describe('credentials', () => {
  const secret = 'p4ss-w0rd/ü@:';
  let guarded: SchemaRegistryServer;
  before(async () => {
    guarded = await startSchemaRegistry({ auth: { username: 'us er', password: secret } });
  });
  after(() => guarded.close());

  const withCredentials = (username: string, password: string): string => {
    const url = new URL(guarded.url);
    url.username = encodeURIComponent(username);
    url.password = encodeURIComponent(password);
    return url.href;
  };

  const good: [name: string, options: () => SchemaRegistryOptions][] = [
    ['options', () => ({ url: guarded.url, auth: { username: 'us er', password: secret } })],
    ['the URL', () => ({ url: withCredentials('us er', secret) })],
    [
      'the runtime variables',
      () => ({
        url: guarded.url,
        vars: parseRuntimeVars({ SCHEMA_REGISTRY_USERNAME: 'us er', SCHEMA_REGISTRY_PASSWORD: secret }),
      }),
    ],
  ];
  for (const [name, options] of good) {
    test(`are taken from ${name} and shown nowhere`, async () => {
      const registry = client(options());
      assert.ok((await registry.register(newSubject(), recordText('Guarded', id))) > 0);
      assert.equal(registry.url, guarded.url);
      assertNoSecret(registry, secret);
    });
  }

  const wrong: [name: string, options: () => SchemaRegistryOptions][] = [
    ['options', () => ({ url: guarded.url, auth: { username: 'us er', password: 'not-the-0ne' } })],
    ['the URL', () => ({ url: withCredentials('us er', 'not-the-0ne') })],
  ];
  for (const [name, options] of wrong) {
    test(`that are wrong, from ${name}, give 401 with a hint and without the password`, async () => {
      const registry = client(options());
      for (const question of [
        () => registry.schema(1),
        () => registry.register('a', recordText('A', id)),
        () => registry.lookup('a', recordText('A', id)),
        () => registry.latest('a'),
      ]) {
        const error = await failure(question());
        assert.deepEqual([error.status, error.retriable], [401, false], error.message);
        assert.match(error.message, /SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD/);
        assertNoSecret(error, 'not-the-0ne');
      }
    });
  }

  test('in the URL are not shown when the registry cannot be reached', async () => {
    const registry = client({ url: 'http://someone:hidden-s3cret@127.0.0.1:9', timeoutMs: 1_000 });
    assertNoSecret(await failure(registry.schema(1)), 'hidden-s3cret');
    assertNoSecret(registry, 'hidden-s3cret');
  });

  test('in something that is no URL are not shown either', () => {
    for (const url of ['someone:hidden-s3cret@host', 'ftp://someone:hidden-s3cret@host', 'http://someone:hidden-s3cret@:80:80']) {
      assert.throws(
        () => client({ url }),
        (error) => {
          assert.ok(error instanceof ConfigError);
          assertNoSecret(error, 'hidden-s3cret');
          return /SCHEMA_REGISTRY_URL/.test(error.message);
        },
      );
    }
  });

  function assertNoSecret(value: Error | SchemaRegistryClient, password: string): void {
    const shown = [
      inspect(value, { depth: 10, showHidden: true }),
      JSON.stringify(value),
      String(value),
      value instanceof Error ? value.stack : '',
    ].join('\n');
    const encoded = Buffer.from(`us er:${password}`).toString('base64');
    for (const form of [password, encodeURIComponent(password), encoded, Buffer.from(`someone:${password}`).toString('base64')]) {
      assert.ok(!shown.includes(form), `shows ${form}`);
    }
  }
});

test('the address is required and loses its trailing slashes', () => {
  assert.equal(client({ url: 'http://registry:8081/base//' }).url, 'http://registry:8081/base');
  for (const url of ['', 'registry', 'ftp://registry']) assert.throws(() => client({ url }), ConfigError, url);
});
