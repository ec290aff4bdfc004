import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import {
  type Consumer,
  consumeMessage,
  createConsumer,
  createProducer,
  describeRuntimeVars,
  type Producer,
  type TokenProvider,
} from 'rdkafka-toolkit';
import { fetchArtifacts } from '../services/artifacts.ts';
import { keyPassword } from '../services/certificates.ts';
import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';
import { saslUser } from '../services/server-properties.ts';
import { createTopics } from '../services/topics.ts';
import { securedVars, unsignedJwt } from '../support/sign-in.ts';

const topic = 'watched';

before(fetchArtifacts, { timeout: 600_000 });

describe('clients that say everything they can', { timeout: 120_000 }, () => {
  let cluster: KafkaCluster;
  before(async () => {
    cluster = await startKafka({ tls: true });
    await createTopics(cluster.bootstrapServers, [{ topic, partitions: 1, replicationFactor: 1 }]);
  });
  after(() => cluster.close());

  for (const SASL_MECHANISM of ['PLAIN', 'SCRAM-SHA-256', 'OAUTHBEARER']) {
    for (const RDKAFKA_TOOLKIT_NATIVE of ['on', 'off']) {
      test(`show no secret of ${SASL_MECHANISM} over TLS, addon ${RDKAFKA_TOOLKIT_NATIVE}`, async () => {
        const { certificates, saslBootstrapServers } = cluster.tls!;
        const environment = {
          USE_SSL: 'true',
          SSL_CA_LOCATION: certificates.ca,
          SSL_CERTIFICATE_LOCATION: certificates.clientCertificate,
          SSL_KEY_LOCATION: certificates.clientKey,
          SSL_KEY_PASSWORD: keyPassword,
          USE_SASL: 'true',
          SASL_MECHANISM,
          ...(SASL_MECHANISM === 'OAUTHBEARER' ? {} : { SASL_USERNAME: saslUser.username, SASL_PASSWORD: saslUser.password }),
          RDKAFKA_DEBUG: 'all',
          RDKAFKA_LOG_LEVEL: '7',
          STATISTICS_INTERVAL_SECONDS: '1',
          RDKAFKA_TOOLKIT_NATIVE,
        };
        const vars = securedVars(saslBootstrapServers, environment);
        const tokens: string[] = [];
        const tokenProvider: TokenProvider = () => {
          const made = unsignedJwt(3_000, 'canary-subject-9902');
          tokens.push(made.value);
          return made;
        };
        const options = { vars, ...(SASL_MECHANISM === 'OAUTHBEARER' ? { tokenProvider } : {}) };
        const said: string[] = [];
        const say = (what: unknown): void => void said.push(inspect(what, { depth: Number.POSITIVE_INFINITY, showHidden: true }));
        const listen = (client: Consumer | Producer): void => {
          for (const event of ['log', 'clientError', 'statistics', 'closed'] as const) (client as Producer).on(event, say);
        };
        const producer = await createProducer(options);
        listen(producer);
        const consumer = await createConsumer({ ...options, topics: [topic], producers: [producer] });
        listen(consumer);
        await producer.send({ topic, value: 'x' });
        await consumeMessage(consumer);
        await sleep(3_500);
        for (const each of [producer, consumer, describeRuntimeVars(vars, environment)]) say(each);
        await consumer.close();
        await producer.close();
        const text = said.join('\n');
        assert.ok(said.length > 100 && text.includes('statistics.interval.ms'), `${said.length} lines`);
        const secrets = [saslUser.password, keyPassword, ...tokens];
        for (const secret of secrets) {
          for (const form of [secret, Buffer.from(secret).toString('base64')]) {
            const at = text.indexOf(form);
            assert.ok(at < 0, `${form.slice(0, 12)}… in: ${text.slice(Math.max(0, at - 300), at + 100)}`);
          }
        }
        assert.ok(SASL_MECHANISM !== 'OAUTHBEARER' || tokens.length >= 4, `${tokens.length} tokens`);
      });
    }
  }
});
