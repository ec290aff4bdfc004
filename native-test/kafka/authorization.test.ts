import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ConnectError, consumeMessage, createConsumer, createProducer, DeliveryError, type RuntimeVars } from 'rdkafka-toolkit';
import { fetchArtifacts } from '../services/artifacts.ts';
import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';
import { saslUser } from '../services/server-properties.ts';
import { createTopics } from '../services/topics.ts';
import { securedVars } from '../support/sign-in.ts';

const topic = 'forbidden';

before(fetchArtifacts, { timeout: 600_000 });

describe('a user without permissions', { timeout: 120_000 }, () => {
  let cluster: KafkaCluster;
  before(async () => {
    cluster = await startKafka({
      serverProperties: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        // The brokers among themselves, and who creates the topic.
        'super.users': 'User:ANONYMOUS',
      },
    });
    await createTopics(cluster.bootstrapServers, [{ topic, partitions: 2, replicationFactor: 1 }]);
  });
  after(() => cluster.close());

  function vars(extra: Readonly<Record<string, string>> = {}): RuntimeVars {
    const sasl = { USE_SASL: 'true', SASL_USERNAME: saslUser.username, SASL_PASSWORD: saslUser.password };
    return securedVars(cluster.saslBootstrapServers, { ...sasl, PRODUCER_DELIVERY_TIMEOUT_SECONDS: '10', ...extra });
  }

  for (const RDKAFKA_TOOLKIT_NATIVE of ['on', 'off']) {
    test(`is told so when producing, addon ${RDKAFKA_TOOLKIT_NATIVE}`, async (t) => {
      const producer = await createProducer({ vars: vars({ RDKAFKA_TOOLKIT_NATIVE }), config: { 'enable.idempotence': false } });
      const start = performance.now();
      const error: unknown = await producer.send({ topic, value: 'x' }).catch((reason: unknown) => reason);
      assert.ok(error instanceof DeliveryError, String(error));
      t.diagnostic(error.message);
      assert.deepEqual([error.kafkaCode, error.retriable, error.topic], [29, false, topic]);
      assert.match(error.message, /permission.*Write/);
      assert.ok(performance.now() - start < 8_000);
      await producer.close();
    });

    test(`is told so when connecting a consumer, addon ${RDKAFKA_TOOLKIT_NATIVE}`, async (t) => {
      const error: unknown = await createConsumer({ vars: vars({ RDKAFKA_TOOLKIT_NATIVE }), topics: [topic] }).catch(
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof ConnectError, String(error));
      t.diagnostic(error.message);
      assert.equal(error.topic, topic);
      assert.match(error.message, /permission/);
    });

    test(`is told so when joining a group, addon ${RDKAFKA_TOOLKIT_NATIVE}`, async (t) => {
      const options = { vars: vars({ RDKAFKA_TOOLKIT_NATIVE }), topics: ['^forbidden.*'], missingTopics: 'wait' } as const;
      /** Gives what a client of node-rdkafka can do. */
      const isTold = async (): Promise<{ getMetadata(...values: unknown[]): void }> => {
        await using consumer = await createConsumer(options);
        const error: unknown = await consumeMessage(consumer, undefined, { timeoutMs: 8_000 }).catch((reason: unknown) => reason);
        t.diagnostic(String(error));
        assert.equal((error as { kafkaCode?: number }).kafkaCode, 30);
        assert.match(String(error), /permission Read on the consumer group/);
        assert.ok(!consumer.closed);
        return Object.getPrototypeOf(consumer.handle.native);
      };
      const native = await isTold();
      // Also when the coordinator answers before it is known that the client is connected.
      const { getMetadata } = native;
      native.getMetadata = function (...values) {
        setTimeout(() => getMetadata.apply(this, values), 2_500);
      };
      try {
        await isTold();
      } finally {
        native.getMetadata = getMetadata;
      }
    });
  }
});
