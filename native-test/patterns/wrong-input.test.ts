import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import {
  avroSchema,
  ClosedError,
  ConfigError,
  ConnectError,
  consumeMessage,
  createAvroConsumer,
  createAvroProducer,
  createConsumer,
  createProducer,
  createSchemaRegistry,
  DeliveryError,
  enqueueAutoCommits,
  IncompatibleEnvironmentError,
  NoMessageError,
  parseRuntimeVars,
  QueueFullError,
  RecordTooLargeError,
  type RuntimeVars,
  runAsync,
  runBatch,
  runSync,
  SchemaRegistryError,
  synchronousMessageHandling,
} from 'rdkafka-toolkit';
import { startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { freePorts } from '../services/ports.ts';
import { createTopics } from '../services/topics.ts';
import { type Services, startServices } from '../support/services.ts';
import { committedTotal, fill, readAll } from '../support/topics.ts';

const onRealKafka = process.env.KAFKA_BOOTSTRAP_SERVERS !== undefined;
const realOnly = { skip: onRealKafka ? false : 'the mock cluster creates every topic it is asked for' };
const numberSchema = avroSchema<{ n: number }>({ type: 'record', name: 'Number', fields: [{ name: 'n', type: 'int' }] });

interface Failure {
  readonly error: unknown;
  readonly message: string;
  readonly tookMs: number;
}

/** What a promise is rejected with, and how long that took. */
async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const start = performance.now();
  try {
    await promise;
  } catch (error) {
    return { error, message: error instanceof Error ? error.message : String(error), tookMs: performance.now() - start };
  }
  return assert.fail('Expected a rejection');
}

/** An address on which nothing listens. */
async function nobody(): Promise<string> {
  return `127.0.0.1:${(await freePorts(1))[0]}`;
}

describe('connecting', { concurrency: 4 }, () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  /** Both clients fail alike. */
  async function bothFail(vars: RuntimeVars): Promise<Failure[]> {
    return Promise.all([failureOf(createConsumer({ vars, topics: ['any'] })), failureOf(createProducer({ vars }))]);
  }

  test('without a broker fails at the deadline, naming the address and what to check', async () => {
    const address = await nobody();
    const vars = services.vars({ KAFKA_BOOTSTRAP_SERVERS: address, CONNECT_TIMEOUT_SECONDS: '1.5' });
    for (const { error, message, tookMs } of await bothFail(vars)) {
      assert.ok(error instanceof ConnectError, inspect(error));
      assert.deepEqual([error.code, error.retriable], ['ERR_CONNECT', true]);
      for (const word of [address, '1500 ms', 'refused', 'KAFKA_BOOTSTRAP_SERVERS']) assert.ok(message.includes(word), message);
      assert.ok(tookMs >= 1_400 && tookMs < 4_000, `${tookMs} ms`);
    }
  });

  test('with a name that does not resolve fails at the deadline, naming it', async () => {
    const vars = services.vars({ KAFKA_BOOTSTRAP_SERVERS: 'no-such-host.invalid:9092', CONNECT_TIMEOUT_SECONDS: '1.5' });
    for (const { error, message } of await bothFail(vars)) {
      assert.ok(error instanceof ConnectError);
      assert.match(message, /no-such-host\.invalid.*resolve.*KAFKA_BOOTSTRAP_SERVERS/s);
    }
  });

  test('lets the process end by itself when it failed', async () => {
    const script = join(import.meta.dirname, '../support/runner-process.js');
    const { NODE_TEST_CONTEXT: _context, NODE_V8_COVERAGE: _coverage, ...env } = process.env;
    const address = await nobody();
    const start = performance.now();
    const child = spawn(process.execPath, [script, 'runAsync', 'in', 'out'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 30_000,
      env: { ...env, APP_NAME: 'app', KAFKA_BOOTSTRAP_SERVERS: address, CONNECT_TIMEOUT_SECONDS: '1' },
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    assert.deepEqual([code, signal], [1, null]);
    assert.match(errors, /ConnectError: No answer from Kafka/);
    assert.ok(performance.now() - start < 10_000);
  });

  test('by TLS to a plaintext port fails within the deadline, pointing at USE_SSL', async () => {
    const vars = services.vars({ USE_SSL: 'true', CONNECT_TIMEOUT_SECONDS: '4' });
    for (const { error, message, tookMs } of await bothFail(vars)) {
      assert.ok(error instanceof ConnectError, inspect(error));
      assert.equal(error.code, 'ERR_CONNECT');
      assert.ok(message.includes(services.bootstrapServers), message);
      assert.match(message, /USE_SSL/);
      assert.ok(tookMs < 7_000, `${tookMs} ms`);
    }
  });

  test('by SASL to a plaintext port fails within the deadline, pointing at the sign-in, without the password', async () => {
    const secret = 'canary-sasl-7341';
    const sasl = { USE_SASL: 'true', SASL_USERNAME: 'alice', SASL_PASSWORD: secret };
    const vars = services.vars({ ...sasl, CONNECT_TIMEOUT_SECONDS: '4' });
    for (const { error, message, tookMs } of await bothFail(vars)) {
      assert.ok(error instanceof ConnectError, inspect(error));
      assert.ok(message.includes(services.bootstrapServers), message);
      assert.match(message, /SASL/);
      assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(secret));
      assert.ok(tookMs < 7_000, `${tookMs} ms`);
    }
  });

  test('is given up when the signal fires, and not begun when it has fired', async () => {
    const vars = services.vars({ KAFKA_BOOTSTRAP_SERVERS: await nobody() });
    const reason = new Error('changed my mind');
    for (const afterMs of [0, 300]) {
      const abort = new AbortController();
      if (afterMs === 0) abort.abort(reason);
      else setTimeout(() => abort.abort(reason), afterMs);
      const { signal } = abort;
      const failures = await Promise.all([
        failureOf(createConsumer({ vars, topics: ['any'], signal })),
        failureOf(createProducer({ vars, signal })),
      ]);
      for (const { error, tookMs } of failures) {
        assert.equal(error, reason);
        assert.ok(tookMs < afterMs + 2_500, `${tookMs} ms`);
      }
    }
  });

  test('to topics of which some do not exist names these alone', realOnly, async () => {
    const [known, unknown] = [await services.topic('known'), `unknown-${randomUUID()}`];
    const { error, message, tookMs } = await failureOf(createConsumer({ vars: services.vars(), topics: [known, unknown] }));
    assert.ok(error instanceof ConnectError);
    assert.deepEqual([error.code, error.topic, error.kafkaCode], ['ERR_UNKNOWN_TOPIC', unknown, 3]);
    assert.match(message, /Unknown topic.*CONSUME_TOPICS.*missingTopics/);
    assert.ok(message.includes(unknown) && !message.includes(known), message);
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
  });

  test("waits with missingTopics: 'wait' for a topic that is created later", realOnly, async () => {
    const topic = `late-${randomUUID()}`;
    await using consumer = await createConsumer({
      vars: services.vars(),
      topics: [topic],
      missingTopics: 'wait',
      // librdkafka looks for new topics every 5 minutes by default.
      config: { 'topic.metadata.refresh.interval.ms': 500 },
    });
    await assert.rejects(consumeMessage(consumer, undefined, { timeoutMs: 1_500 }), NoMessageError);
    await createTopics(services.bootstrapServers, [{ topic, partitions: 4, replicationFactor: 1 }]);
    await fill(services, topic, 10);
    const keys = new Set<string>();
    while (keys.size < 10) keys.add(String((await consumeMessage(consumer, undefined, { timeoutMs: 20_000 })).key));
  });
});

describe('configuration', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('a failed connect throws nothing later, however busy the event loop is', async () => {
    const vars = services.vars({ KAFKA_BOOTSTRAP_SERVERS: await nobody() });
    const uncaught: unknown[] = [];
    const onUncaught = (error: unknown): void => void uncaught.push(error);
    process.on('uncaughtException', onUncaught);
    // Timers that are due after a block run before the answer of a worker thread that came during it.
    const blocking = setInterval(() => {
      for (const end = performance.now() + 60; performance.now() < end; );
    }, 1);
    try {
      for (let round = 0; round < 5; round++) {
        const { error } = await failureOf(createProducer({ vars, connectTimeoutMs: 100 }));
        assert.ok(error instanceof ConnectError, inspect(error));
      }
    } finally {
      clearInterval(blocking);
      process.off('uncaughtException', onUncaught);
    }
    assert.deepEqual(uncaught, []);
  });

  test('several bad variables are told at once, each with what was expected and what was given', () => {
    const env = {
      CONSUMER_POLL_TIMEOUT: 'ten',
      USE_SSL: 'maybe',
      PRODUCER_ACKS: '7',
      RDKAFKA_FETCH_MIN_BYTS: '1',
      SCHEMA_REGISTRY_URL: 'ftp://registry',
    };
    assert.throws(
      () => parseRuntimeVars(env),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.code, 'ERR_CONFIG');
        assert.equal(error.faults.length, 5);
        for (const name of Object.keys(env)) assert.ok(error.message.includes(name), error.message);
        assert.match(error.message, /CONSUMER_POLL_TIMEOUT to be a number of seconds.*got "ten"/);
        assert.match(error.message, /fetch\.min\.bytes/);
        return true;
      },
    );
  });

  test('a client without what it needs says which variable to set, and bad settings come all at once', async () => {
    const bare = parseRuntimeVars({});
    const config = await failureOf(createConsumer({ vars: bare, topics: ['any'], config: { 'session.timeout.ms': 'soon', dr_cb: true } }));
    assert.ok(config.error instanceof ConfigError);
    for (const word of ['KAFKA_BOOTSTRAP_SERVERS', 'APP_NAME', 'session.timeout.ms', 'dr_cb']) {
      assert.ok(config.message.includes(word), config.message);
    }
    assert.match((await failureOf(createConsumer({ vars: services.vars() }))).message, /CONSUME_TOPICS/);
    assert.match((await failureOf(createProducer({ vars: bare }))).message, /KAFKA_BOOTSTRAP_SERVERS/);
    assert.throws(() => createSchemaRegistry({ vars: bare }), /SCHEMA_REGISTRY_URL/);
    await assert.rejects(createAvroConsumer({ vars: services.vars({ SCHEMA_REGISTRY_URL: '' }), topics: ['any'] }), /SCHEMA_REGISTRY_URL/);
  });

  test('a pattern under the wrong auto-commit mode names the variable and the value to set', async () => {
    const input = await services.topic('in');
    await fill(services, input, 2);
    const cases = [
      ['true', 'false'],
      ['false', 'true'],
    ] as const;
    for (const [is, needed] of cases) {
      const vars = services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: is });
      await using consumer = await createConsumer({ vars, topics: [input], producers: [] });
      const calls: readonly (() => Promise<unknown>)[] =
        is === 'true'
          ? [() => synchronousMessageHandling({ consumer }), () => runSync({ consumer, handler: () => undefined })]
          : [
              async () => enqueueAutoCommits(consumer, { topic: input, partition: 0, offset: 0 }),
              () => runBatch({ consumer, closeClients: false, count: 1, handler: () => undefined }),
              () => runAsync({ consumer, handler: () => undefined }),
            ];
      for (const call of calls) {
        const { error, message } = await failureOf(call());
        assert.ok(error instanceof IncompatibleEnvironmentError, inspect(error));
        assert.deepEqual([error.code, error.variable], ['ERR_INCOMPATIBLE_ENVIRONMENT', 'CONSUMER_ENABLE_AUTO_COMMIT']);
        assert.ok(message.includes(`CONSUMER_ENABLE_AUTO_COMMIT=${needed}`), message);
      }
      assert.ok(consumer.closed);
      assert.equal(await committedTotal(services, vars, input), 0);
    }
  });

  test('a runner under the wrong auto-commit mode handles nothing', async () => {
    const input = await services.topic('in');
    await fill(services, input, 2);
    const vars = services.vars({ CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
    await using consumer = await createConsumer({ vars, topics: [input], producers: [] });
    let handled = 0;
    const { error } = await failureOf(runAsync({ consumer, handleSignals: false, handler: () => void handled++ }));
    assert.ok(error instanceof IncompatibleEnvironmentError);
    assert.equal(handled, 0);
  });

  test('secrets are in no message and no inspection, wherever they are wrong', async () => {
    const secret = 'canary-secret-9925';
    const shown: unknown[] = [];
    const note = async (attempt: () => unknown): Promise<void> => {
      try {
        shown.push(await attempt());
      } catch (error) {
        shown.push(error, JSON.stringify(error), (error as Error).stack);
      }
    };
    await using registry = await startSchemaRegistry({ auth: { username: 'alice', password: 'right' } });
    const env = { KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers, APP_NAME: 'app', CONNECT_TIMEOUT_SECONDS: '1' };
    const sasl = { USE_SASL: 'true', SASL_USERNAME: 'alice', SASL_PASSWORD: secret };
    const withUrl = registry.url.replace('//', `//alice:${secret}@`);
    await note(() => parseRuntimeVars({ ...env, ...sasl, SASL_MECHANISM: 'NONE', USE_SSL: 'x' }));
    await note(() => parseRuntimeVars({ ...env, SASL_PASSWORD: secret, USE_SASL: 'true' }));
    await note(() => parseRuntimeVars({ ...env, SCHEMA_REGISTRY_URL: `ftp://alice:${secret}@registry` }));
    await note(() => parseRuntimeVars({ ...env, SCHEMA_REGISTRY_TOKEN: secret, SCHEMA_REGISTRY_USERNAME: 'alice' }));
    await note(() => createProducer({ vars: parseRuntimeVars({ ...env, ...sasl }), config: { 'linger.ms': 'x' } }));
    await note(() => createProducer({ vars: parseRuntimeVars(env), config: { 'sasl.passwrd': secret, 'sasl.password': `${secret}\0` } }));
    await note(() => createConsumer({ vars: parseRuntimeVars({ ...env, ...sasl }), topics: ['any'] }));
    // Of a feature that this build of librdkafka may not have.
    await note(() => createProducer({ vars: parseRuntimeVars(env), config: { 'sasl.oauthbearer.client.secret': secret } }));
    await note(() => createSchemaRegistry({ vars: parseRuntimeVars({ ...env, SCHEMA_REGISTRY_URL: withUrl }) }));
    for (const vars of [
      parseRuntimeVars({ ...env, SCHEMA_REGISTRY_URL: withUrl }),
      parseRuntimeVars({ ...env, SCHEMA_REGISTRY_URL: registry.url, SCHEMA_REGISTRY_USERNAME: 'alice', SCHEMA_REGISTRY_PASSWORD: secret }),
      parseRuntimeVars({ ...env, SCHEMA_REGISTRY_URL: registry.url, SCHEMA_REGISTRY_TOKEN: secret }),
    ]) {
      const client = createSchemaRegistry({ vars });
      const { error, message } = await failureOf(client.latest('any-value'));
      assert.ok(error instanceof SchemaRegistryError);
      assert.deepEqual([error.status, error.retriable], [401, false]);
      assert.match(message, /SCHEMA_REGISTRY_PASSWORD/);
      shown.push(error, client);
      client.close();
    }
    for (const each of shown) {
      const text = inspect(each, { depth: Number.POSITIVE_INFINITY, showHidden: true });
      // Nor in base64, as basic authentication has it.
      for (const form of [secret, Buffer.from(`alice:${secret}`).toString('base64')]) assert.ok(!text.includes(form), text);
    }
  });
});

describe('producing', { concurrency: 4 }, () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('without a registry fails retriably, naming it, and nothing is produced', async () => {
    const address = await nobody();
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    const extra = { SCHEMA_REGISTRY_URL: `http://127.0.0.1:${address.split(':')[1]}`, SCHEMA_REGISTRY_TIMEOUT_SECONDS: '2' };
    const vars = services.vars(extra);
    await using producer = await createAvroProducer({ vars, valueSchema: numberSchema });
    await using good = await createAvroProducer({ vars: services.vars(), valueSchema: numberSchema });
    await good.send({ topic: input, value: { n: 1 } });
    await using consumer = await createAvroConsumer({ vars, topics: [input], valueSchema: numberSchema, producers: [] });
    const attempts = [
      () => producer.send({ topic: output, value: { n: 1 } }),
      () => consumeMessage(consumer, undefined, { timeoutMs: 20_000 }),
    ];
    for (const attempt of attempts) {
      const { error, message } = await failureOf(attempt());
      assert.ok(error instanceof SchemaRegistryError, inspect(error));
      assert.deepEqual([error.code, error.retriable, error.status], ['ERR_SCHEMA_REGISTRY', true, undefined]);
      assert.ok(message.includes(address) && message.includes('SCHEMA_REGISTRY_URL'), message);
    }
    assert.equal(producer.inFlight, 0);
    assert.equal((await readAll(services, output)).length, 0);
  });

  test('a record above the limit is refused at once, and those around it arrive', async () => {
    const output = await services.topic('out');
    await using producer = await createProducer({ vars: services.vars() });
    await producer.enqueue({ topic: output, value: 'before' });
    const { error, message, tookMs } = await failureOf(producer.enqueue({ topic: output, value: Buffer.alloc(3 * 1_048_576) }));
    assert.ok(error instanceof RecordTooLargeError);
    assert.deepEqual([error.code, error.topic, error.retriable], ['ERR_TOO_LARGE', output, false]);
    assert.match(message, /3145728 bytes.*MESSAGE_BATCH_MAX_MB/);
    assert.ok(tookMs < 500, `${tookMs} ms`);
    await producer.send({ topic: output, value: 'after' });
    assert.deepEqual((await readAll(services, output)).map(({ value }) => String(value)).toSorted(), ['after', 'before']);
  });

  test('a record larger than the whole local queue is refused at once', async () => {
    const output = await services.topic('out');
    await using producer = await createProducer({ vars: services.vars({ PRODUCER_QUEUE_MAX_MB: '0.5' }) });
    const large = { topic: output, value: Buffer.alloc(600_000) };
    assert.throws(() => producer.tryEnqueue(large), RecordTooLargeError);
    for (const attempt of [producer.enqueue(large), producer.enqueueBatch([large])]) {
      const { error, message, tookMs } = await failureOf(attempt);
      assert.ok(error instanceof RecordTooLargeError, inspect(error));
      assert.match(message, /600000 bytes.*PRODUCER_QUEUE_MAX_MB/);
      assert.ok(tookMs < 500, `${tookMs} ms`);
    }
    await producer.send({ topic: output, value: Buffer.alloc(400_000) });
  });

  test('an output above the limit stops the runner, and its source record is not committed', async () => {
    const [input, output] = [await services.topic('in'), await services.topic('out')];
    await fill(services, input, 5, { partition: 0 });
    const vars = services.vars();
    const producer = await createProducer({ vars });
    const consumer = await createConsumer({ vars, topics: [input], producers: [producer] });
    const running = runAsync({
      consumer,
      producer,
      handleSignals: false,
      handler: ({ offset, value }) => ({ topic: output, value: offset === 3 ? Buffer.alloc(3 * 1_048_576) : value }),
    });
    await assert.rejects(running, RecordTooLargeError);
    assert.equal(await committedTotal(services, vars, input), 3);
    assert.equal((await readAll(services, output)).length, 3);
  });

  test('a record that only the broker finds too large fails its delivery, saying so', realOnly, async () => {
    const output = await services.topic('out');
    await using producer = await createProducer({ vars: services.vars() });
    // Random bytes do not compress; the broker takes 1 MB, the client 2.
    const { error, message } = await failureOf(producer.send({ topic: output, value: randomBytes(1_500_000) }));
    assert.ok(error instanceof DeliveryError || error instanceof RecordTooLargeError, inspect(error));
    assert.equal(error.kafkaCode, 10);
    assert.match(message, /too large/i);
  });

  test('a full queue is waited for, and every record arrives in order', async () => {
    const output = await services.topic('out');
    const vars = services.vars({ PRODUCER_QUEUE_MAX_RECORDS: '5', PRODUCER_LINGER_MS: '500' });
    await using producer = await createProducer({ vars });
    const start = performance.now();
    const sends = Array.from({ length: 12 }, (_, n) => producer.send({ topic: output, partition: 0, value: String(n) }));
    const offsets = (await Promise.all(sends)).map(({ offset }) => offset);
    // Three turns of five records, each of which lingers.
    assert.ok(performance.now() - start >= 900, `${performance.now() - start} ms`);
    assert.deepEqual(
      offsets,
      Array.from({ length: 12 }, (_, offset) => offset),
    );
  });

  test('a queue that stays full is a QueueFullError after the timeout: refused records are not produced, all others are', async () => {
    const output = await services.topic('out');
    const vars = services.vars({
      PRODUCER_QUEUE_MAX_RECORDS: '5',
      PRODUCER_LINGER_MS: '3000',
      PRODUCER_QUEUE_FULL_TIMEOUT_SECONDS: '0.5',
    });
    await using producer = await createProducer({ vars });
    for (let n = 0; n < 5; n++) await producer.enqueue({ topic: output, partition: 0, value: `taken-${n}` });
    const failures = await Promise.all(
      Array.from({ length: 3 }, (_, n) => failureOf(producer.enqueue({ topic: output, partition: 0, value: `refused-${n}` }))),
    );
    for (const { error, message, tookMs } of failures) {
      assert.ok(error instanceof QueueFullError, inspect(error));
      assert.deepEqual([error.code, error.retriable, error.topic], ['ERR_QUEUE_FULL', true, output]);
      assert.match(message, /0\.5 s.*5 records.*not taken.*PRODUCER_QUEUE_MAX_RECORDS/);
      assert.ok(tookMs >= 450 && tookMs < 2_000, `${tookMs} ms`);
    }
    assert.equal(producer.inFlight, 5);
    await producer.flush();
    await producer.send({ topic: output, partition: 0, value: 'later' });
    assert.deepEqual(
      (await readAll(services, output)).map(({ value }) => String(value)),
      ['taken-0', 'taken-1', 'taken-2', 'taken-3', 'taken-4', 'later'],
    );
  });

  test('a full queue is not waited for once the signal fires', async () => {
    const output = await services.topic('out');
    const vars = services.vars({ PRODUCER_QUEUE_MAX_RECORDS: '2', PRODUCER_LINGER_MS: '3000' });
    await using producer = await createProducer({ vars });
    for (let n = 0; n < 2; n++) await producer.enqueue({ topic: output, value: 'taken' });
    const signal = AbortSignal.timeout(200);
    const { error, tookMs } = await failureOf(producer.enqueue({ topic: output, value: 'aborted' }, undefined, { signal }));
    assert.equal(error, signal.reason);
    assert.ok(tookMs < 1_500, `${tookMs} ms`);
    await producer.flush();
    assert.equal((await readAll(services, output)).length, 2);
  });

  test('after the close is a ClosedError; what was enqueued before has arrived', async () => {
    const output = await services.topic('out');
    const producer = await createProducer({ vars: services.vars({ PRODUCER_LINGER_MS: '1000' }) });
    await producer.enqueue({ topic: output, value: 'before' });
    const closing = producer.close();
    for (const call of [() => producer.enqueue({ topic: output, value: 'x' }), () => producer.send({ topic: output, value: 'x' })]) {
      const { error, message } = await failureOf(call());
      assert.ok(error instanceof ClosedError);
      assert.deepEqual([error.code, message], ['ERR_CLOSED', 'The producer is closed']);
    }
    await closing;
    await assert.rejects(producer.send({ topic: output, value: 'x' }), ClosedError);
    await assert.rejects(producer.flush(), ClosedError);
    assert.equal((await readAll(services, output)).length, 1);
  });
});
