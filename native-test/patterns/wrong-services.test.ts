import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import {
  avroSchema,
  ConfigError,
  ConnectError,
  consumeMessage,
  createAvroConsumer,
  createAvroProducer,
  createConsumer,
  createProducer,
  createSchemaRegistry,
  DecodeError,
  enqueueAutoCommits,
  QueueFullError,
  RecordTooLargeError,
  SchemaRegistryError,
} from 'rdkafka-toolkit';
import { parseRuntimeVars } from '../../src/runtime-vars.ts';
import { freePorts } from '../services/ports.ts';
import { type Services, startServices } from '../support/services.ts';
import { committedTotal, readAll } from '../support/topics.ts';

const numberSchema = avroSchema<{ n: number }>({ type: 'record', name: 'Number', fields: [{ name: 'n', type: 'int' }] });

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('wrong input', () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  test('no broker: a ConnectError at the deadline that names the address and what to check', async () => {
    const [port] = await freePorts(1);
    const vars = services.vars({ KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${port}`, CONNECT_TIMEOUT_SECONDS: '1.5' });
    for (const connect of [() => createConsumer({ vars, topics: ['t'] }), () => createProducer({ vars })]) {
      const start = performance.now();
      const error = await failure(connect());
      const took = performance.now() - start;
      assert.ok(error instanceof ConnectError);
      assert.equal(error.code, 'ERR_CONNECT');
      assert.ok(error.message.includes(`127.0.0.1:${port}`) && error.message.includes('KAFKA_BOOTSTRAP_SERVERS'), error.message);
      assert.ok(took >= 1_400 && took < 4_500, `${took} ms`);
    }
  });

  test('connecting is given up when the signal fires', async () => {
    const [port] = await freePorts(1);
    const vars = services.vars({ KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${port}` });
    await assert.rejects(createProducer({ vars, signal: AbortSignal.timeout(200) }), { name: 'TimeoutError' });
  });

  test('TLS or a sign-in against a plain port: a ConnectError within the deadline, without the password', async () => {
    const secret = 'canary-7341';
    const cases = [{ USE_SSL: 'true' }, { USE_SASL: 'true', SASL_USERNAME: 'alice', SASL_PASSWORD: secret }];
    for (const extra of cases) {
      const error = await failure(createProducer({ vars: services.vars({ ...extra, CONNECT_TIMEOUT_SECONDS: '4' }) }));
      assert.ok(error instanceof ConnectError, inspect(error));
      assert.ok(!inspect(error, { depth: 9 }).includes(secret));
    }
  });

  test('several bad settings: all of them in one error', async () => {
    const error = await failure(
      createConsumer({ vars: services.vars(), topics: ['t'], config: { 'fetch.min.byts': 1, 'session.timeout.ms': 'soon', dr_cb: true } }),
    );
    assert.ok(error instanceof ConfigError);
    assert.equal(error.faults.length, 3);
    assert.match(error.message, /fetch\.min\.bytes/);
    assert.throws(
      () => parseRuntimeVars({ CONSUMER_POLL_TIMEOUT: 'ten', USE_SSL: 'maybe' }),
      (fault) => fault instanceof ConfigError && fault.faults.length === 2,
    );
    await assert.rejects(createConsumer({ vars: services.vars(), topics: [] }), /CONSUME_TOPICS/);
  });

  test('an unknown topic: named, with what to do', {
    skip: process.env.KAFKA_BOOTSTRAP_SERVERS === undefined && 'the mock cluster creates topics',
  }, async () => {
    const error = await failure(createConsumer({ vars: services.vars(), topics: ['never-created'] }));
    assert.ok(error instanceof ConnectError);
    assert.equal(error.code, 'ERR_UNKNOWN_TOPIC');
    assert.match(error.message, /never-created.*CONSUME_TOPICS/);
    const waiting = await createConsumer({ vars: services.vars(), topics: ['never-created'], missingTopics: 'wait' });
    await waiting.close();
  });

  test('a wrong password: refused long before the deadline, saying so, without the password', {
    skip: process.env.KAFKA_SASL_BOOTSTRAP_SERVERS === undefined && 'the mock cluster signs nobody in',
  }, async () => {
    const base = { KAFKA_BOOTSTRAP_SERVERS: process.env.KAFKA_SASL_BOOTSTRAP_SERVERS!, USE_SASL: 'true', SASL_USERNAME: 'alice' };
    for (const mechanism of ['PLAIN', 'SCRAM-SHA-256']) {
      const wrong = services.vars({ ...base, SASL_MECHANISM: mechanism, SASL_PASSWORD: 'canary-9925' });
      for (const connect of [() => createConsumer({ vars: wrong, topics: ['t'] }), () => createProducer({ vars: wrong })]) {
        const start = performance.now();
        const error = await failure(connect());
        assert.ok(error instanceof ConnectError, inspect(error));
        assert.equal(error.code, 'ERR_AUTHENTICATION');
        assert.match(error.message, /SASL_PASSWORD/);
        assert.ok(performance.now() - start < 10_000);
        assert.ok(!inspect(error, { depth: 9 }).includes('canary-9925'));
      }
      const right = services.vars({ ...base, SASL_MECHANISM: mechanism, SASL_PASSWORD: 'alice-secret' });
      await (await createProducer({ vars: right })).close();
    }
  });

  test('no registry: a retriable SchemaRegistryError that names it; nothing is produced', async () => {
    const [port] = await freePorts(1);
    const output = await services.topic('out');
    const vars = services.vars({ SCHEMA_REGISTRY_URL: `http://127.0.0.1:${port}`, SCHEMA_REGISTRY_TIMEOUT_SECONDS: '2' });
    await using producer = await createAvroProducer({ vars, valueSchema: numberSchema });
    const error = await failure(producer.send({ topic: output, value: { n: 1 } }));
    assert.ok(error instanceof SchemaRegistryError);
    assert.ok(
      error.retriable && error.message.includes(`127.0.0.1:${port}`) && error.message.includes('SCHEMA_REGISTRY_URL'),
      error.message,
    );
    assert.equal((await readAll(services, output)).length, 0);
    assert.throws(() => createSchemaRegistry({ vars: services.vars({ SCHEMA_REGISTRY_URL: '' }) }), /SCHEMA_REGISTRY_URL/);
  });

  test('poison bytes: a DecodeError that says where, and the rest goes on when it is skipped', async () => {
    const input = await services.topic('in');
    const vars = services.vars();
    await using good = await createAvroProducer({ vars, valueSchema: numberSchema });
    await using raw = await createProducer({ vars });
    await good.send({ topic: input, partition: 0, value: { n: 1 } });
    const poison = [Buffer.from('no avro'), Buffer.from([0, 0]), Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 2])];
    for (const value of poison) await raw.send({ topic: input, partition: 0, value });
    await good.send({ topic: input, partition: 0, value: { n: 2 } });
    const consumer = await createAvroConsumer({ vars, topics: [input], valueSchema: numberSchema });
    const seen: (number | string)[] = [];
    for (let index = 0; index < 5; index++) {
      try {
        const record = await consumeMessage(consumer);
        seen.push(record.value.n);
        enqueueAutoCommits(consumer, record);
      } catch (error) {
        assert.ok(error instanceof DecodeError, inspect(error));
        assert.deepEqual([error.topic, error.partition], [input, 0]);
        seen.push(`bad ${error.offset} ${error.schemaId ?? ''}`.trim());
        enqueueAutoCommits(consumer, error);
      }
    }
    await consumer.close();
    assert.deepEqual(seen, [1, 'bad 1', 'bad 2', `bad 3 ${0x7fffffff}`, 2]);
    assert.equal(await committedTotal(services, vars, input), 5);
  });

  test('a value that does not fit its schema: the field is named and nothing is produced', async () => {
    const output = await services.topic('out');
    await using producer = await createAvroProducer({ vars: services.vars(), valueSchema: numberSchema });
    await assert.rejects(
      producer.send({ topic: output, value: { n: 'x' } as never }),
      (error: { code?: string; path?: string; message: string }) => {
        return error.code === 'ERR_ENCODE' && error.path === 'n' && error.message.includes(output);
      },
    );
  });

  test('a record too large is refused at once; a full queue is waited for, then refused; neither loses a record', async () => {
    const output = await services.topic('out');
    await using producer = await createProducer({
      vars: services.vars({ PRODUCER_QUEUE_MAX_RECORDS: '5', PRODUCER_LINGER_MS: '3000', PRODUCER_QUEUE_FULL_TIMEOUT_SECONDS: '0.5' }),
    });
    await assert.rejects(producer.send({ topic: output, value: Buffer.alloc(3 * 1024 * 1024) }), RecordTooLargeError);
    const outcomes = await Promise.all(Array.from({ length: 8 }, (_, n) => failure(producer.enqueue({ topic: output, value: `${n}` }))));
    const refused = outcomes.filter((outcome) => outcome !== undefined);
    assert.ok(refused.length >= 1 && refused.every((outcome) => outcome instanceof QueueFullError), inspect(outcomes));
    await producer.flush();
    assert.equal((await readAll(services, output)).length, 8 - refused.length);
  });
});
