import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import {
  consumeMessage,
  createConsumer,
  createProducer,
  enqueueAutoCommits,
  type OAuthBearerToken,
  type RuntimeVars,
} from 'rdkafka-toolkit';
import { fetchArtifacts } from '../services/artifacts.ts';
import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';
import { createTopics } from '../services/topics.ts';
import { refusals, roundTrip, securedVars, unsignedJwt } from '../support/sign-in.ts';

const topic = 'tokens';

before(fetchArtifacts, { timeout: 600_000 });

describe('OAUTHBEARER', { timeout: 240_000 }, () => {
  let cluster: KafkaCluster;
  before(async () => {
    // Brokers that close a connection whose token has expired.
    cluster = await startKafka({ serverProperties: { 'connections.max.reauth.ms': 60_000 } });
    await createTopics(cluster.bootstrapServers, [{ topic, partitions: 2, replicationFactor: 1 }]);
  });
  after(() => cluster.close());

  function vars(extra: Readonly<Record<string, string>> = {}): RuntimeVars {
    return securedVars(cluster.saslBootstrapServers, { USE_SASL: 'true', SASL_MECHANISM: 'OAUTHBEARER', ...extra });
  }

  for (const RDKAFKA_TOOLKIT_NATIVE of ['on', 'off']) {
    test(`produces and consumes with a token, addon ${RDKAFKA_TOOLKIT_NATIVE}`, () =>
      roundTrip(vars({ RDKAFKA_TOOLKIT_NATIVE }), topic, { tokenProvider: () => unsignedJwt(60_000) }));

    test(`outlives its tokens, addon ${RDKAFKA_TOOLKIT_NATIVE}, also while the provider fails until they are over`, async () => {
      const errors: unknown[] = [];
      const start = Date.now();
      let asked = 0;
      const tokenProvider = async (): Promise<OAuthBearerToken> => {
        asked++;
        const elapsed = Date.now() - start;
        // Longer than the tokens live that were given before.
        if (elapsed > 4_500 && elapsed < 12_000) throw new Error('the issuer is away');
        return unsignedJwt(6_000);
      };
      const settings = vars({ RDKAFKA_TOOLKIT_NATIVE, RDKAFKA_RECONNECT_BACKOFF_MAX_MS: '1000' });
      await using producer = await createProducer({ vars: settings, tokenProvider });
      await using consumer = await createConsumer({ vars: settings, topics: [topic], producers: [producer], tokenProvider });
      for (const client of [producer, consumer]) client.on('clientError', (error) => errors.push(error));
      const sent = new Set<string>();
      const last = `${RDKAFKA_TOOLKIT_NATIVE}-last`;
      const consuming = (async () => {
        for (let key = ''; key !== last; ) {
          const record = await consumeMessage(consumer, undefined, { timeoutMs: 40_000 });
          key = String(record.key);
          sent.delete(key);
          enqueueAutoCommits(consumer, record);
        }
      })();
      for (let count = 0; Date.now() < start + 16_000; count++) {
        const key = `${RDKAFKA_TOOLKIT_NATIVE}-${count}`;
        sent.add(key);
        await producer.send({ topic, partition: 0, key, value: 'x' });
        await sleep(100);
      }
      await producer.send({ topic, partition: 0, key: last, value: 'x' });
      await consuming;
      assert.equal(sent.size, 0);
      assert.ok(asked >= 6, `asked ${asked} times`);
      const told = (pattern: RegExp): number => errors.filter((error) => pattern.test(String(error))).length;
      assert.ok(told(/tokenProvider gave no token: the issuer is away/) >= 2, inspect(errors));
      assert.ok(told(/authentication failure/) >= 1, inspect(errors));
    });
  }

  test('a token that the brokers refuse is an error of the sign-in, without the token', async () => {
    const expired = unsignedJwt(-60_000).value;
    const start = performance.now();
    const tokenProvider = (): OAuthBearerToken => ({ value: expired, expiresAtMs: Date.now() + 60_000 });
    for (const error of await refusals(vars(), topic, { tokenProvider, secrets: [expired] })) {
      assert.equal(error.code, 'ERR_AUTHENTICATION');
      assert.match(error.message, /tokenProvider/);
    }
    assert.ok(performance.now() - start < 15_000);
  });
});
