import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { ConnectError, createProducer, type RuntimeVars } from 'rdkafka-toolkit';
import { parseRuntimeVars } from '../../src/runtime-vars.ts';
import { fetchArtifacts } from '../services/artifacts.ts';
import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';
import { saslUser, scramMechanisms } from '../services/server-properties.ts';
import { createTopics } from '../services/topics.ts';
import { refusals, roundTrip, securedVars } from '../support/sign-in.ts';

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
    const sasl = { USE_SASL: 'true', SASL_MECHANISM: mechanism, SASL_USERNAME: username, SASL_PASSWORD: password };
    return securedVars(cluster.saslBootstrapServers, sasl);
  }

  for (const mechanism of ['PLAIN', ...scramMechanisms]) {
    test(`${mechanism} with the right password produces and consumes`, () => roundTrip(varsOf(mechanism, saslUser), topic));

    for (const [what, credentials] of [
      ['a wrong password', { ...saslUser, password: WRONG_PASSWORD }],
      ['an unknown user', { username: 'mallory', password: WRONG_PASSWORD }],
    ] as const) {
      test(`${mechanism} with ${what} is refused long before the deadline, saying so, without the password`, async (t) => {
        const vars = varsOf(mechanism, credentials);
        const start = performance.now();
        for (const error of await refusals(vars, topic, { secrets: [WRONG_PASSWORD, saslUser.password] })) {
          assert.deepEqual([error.code, error.retriable], ['ERR_AUTHENTICATION', false]);
          for (const word of [cluster.saslBootstrapServers, 'SASL_USERNAME', 'SASL_PASSWORD', 'SASL_MECHANISM']) {
            assert.ok(error.message.includes(word), error.message);
          }
          assert.match(error.message, /authentication/i);
        }
        const tookMs = performance.now() - start;
        t.diagnostic(`both clients: ${Math.round(tookMs)} ms`);
        assert.ok(tookMs < 10_000, `${tookMs} ms`);
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
