import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { ConnectError, consumeMessage, createConsumer, createProducer, enqueueAutoCommits, type RuntimeVars } from 'rdkafka-toolkit';
import { parseRuntimeVars } from '../../src/runtime-vars.ts';
import { fetchArtifacts } from '../services/artifacts.ts';
import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';
import { saslUser, scramMechanisms } from '../services/server-properties.ts';
import { createTopics } from '../services/topics.ts';

const WRONG_PASSWORD = 'canary-wrong-4417';
const topic = 'guarded';

before(fetchArtifacts, { timeout: 600_000 });

describe('signing in', { timeout: 120_000 }, () => {
  let cluster: KafkaCluster;
  before(async () => {
    cluster = await startKafka();
    await createTopics(cluster.bootstrapServers, [{ topic, partitions: 2, replicationFactor: 1 }]);
  });
  after(() => cluster.close());

  function varsOf(mechanism: string, { username, password }: { readonly username: string; readonly password: string }): RuntimeVars {
    return parseRuntimeVars({
      KAFKA_BOOTSTRAP_SERVERS: cluster.saslBootstrapServers,
      APP_NAME: `group-${randomUUID()}`,
      CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '10',
      USE_SASL: 'true',
      SASL_MECHANISM: mechanism,
      SASL_USERNAME: username,
      SASL_PASSWORD: password,
    });
  }

  for (const mechanism of ['PLAIN', ...scramMechanisms]) {
    test(`${mechanism} with the right password produces and consumes`, async () => {
      const vars = varsOf(mechanism, saslUser);
      await using producer = await createProducer({ vars });
      await using consumer = await createConsumer({ vars, topics: [topic], producers: [producer] });
      await producer.send({ topic, key: mechanism, value: 'x' });
      for (;;) {
        const record = await consumeMessage(consumer);
        enqueueAutoCommits(consumer, record);
        if (String(record.key) === mechanism) break;
      }
    });

    for (const [what, credentials] of [
      ['a wrong password', { ...saslUser, password: WRONG_PASSWORD }],
      ['an unknown user', { username: 'mallory', password: WRONG_PASSWORD }],
    ] as const) {
      test(`${mechanism} with ${what} is refused long before the deadline, saying so, without the password`, async (t) => {
        const vars = varsOf(mechanism, credentials);
        assert.equal(vars.CONNECT_TIMEOUT_SECONDS, 30);
        for (const [client, connect] of [
          ['consumer', () => createConsumer({ vars, topics: [topic] })],
          ['producer', () => createProducer({ vars })],
        ] as const) {
          const start = performance.now();
          const error: unknown = await connect().then(
            (connected) => connected.close().then(() => assert.fail(`the ${client} was let in`)),
            (reason: unknown) => reason,
          );
          const tookMs = performance.now() - start;
          t.diagnostic(`${client}: ${Math.round(tookMs)} ms`);
          assert.ok(error instanceof ConnectError, inspect(error));
          assert.deepEqual([error.code, error.retriable], ['ERR_AUTHENTICATION', false]);
          for (const word of [cluster.saslBootstrapServers, 'SASL_USERNAME', 'SASL_PASSWORD', 'SASL_MECHANISM']) {
            assert.ok(error.message.includes(word), error.message);
          }
          assert.match(error.message, /authentication/i);
          assert.ok(tookMs < 5_000, `${tookMs} ms`);
          const text = inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true });
          for (const secret of [WRONG_PASSWORD, saslUser.password]) assert.ok(!text.includes(secret), text);
        }
      });
    }
  }

  test('a mechanism that the broker does not offer is refused before the deadline or at it, naming the mechanism', async () => {
    const vars = parseRuntimeVars({
      KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers,
      CONNECT_TIMEOUT_SECONDS: '5',
      USE_SASL: 'true',
      SASL_USERNAME: saslUser.username,
      SASL_PASSWORD: saslUser.password,
    });
    const start = performance.now();
    const error: unknown = await createProducer({ vars }).catch((reason: unknown) => reason);
    assert.ok(error instanceof ConnectError, inspect(error));
    assert.match(error.message, /SASL/);
    assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(saslUser.password));
    assert.ok(performance.now() - start < 8_000);
  });
});
