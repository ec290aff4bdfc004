import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { RuntimeVars } from 'rdkafka-toolkit';
import { fetchArtifacts } from '../services/artifacts.ts';
import { keyPassword } from '../services/certificates.ts';
import { type KafkaCluster, startKafka } from '../services/kafka-cluster.ts';
import { saslUser } from '../services/server-properties.ts';
import { createTopics } from '../services/topics.ts';
import { refusals, roundTrip, securedVars } from '../support/sign-in.ts';

const topic = 'encrypted';

before(fetchArtifacts, { timeout: 600_000 });

describe('TLS', { timeout: 240_000 }, () => {
  let cluster: KafkaCluster;
  let tls: NonNullable<KafkaCluster['tls']>;
  before(async () => {
    cluster = await startKafka({ tls: true });
    tls = cluster.tls!;
    await createTopics(cluster.bootstrapServers, [{ topic, partitions: 2, replicationFactor: 1 }]);
  });
  after(() => cluster.close());

  function vars(servers: string, extra: Readonly<Record<string, string>> = {}): RuntimeVars {
    return securedVars(servers, { USE_SSL: 'true', SSL_CA_LOCATION: tls.certificates.ca, ...extra });
  }

  const ownCertificate = (password = keyPassword): Record<string, string> => ({
    SSL_CERTIFICATE_LOCATION: tls.certificates.clientCertificate,
    SSL_KEY_LOCATION: tls.certificates.clientKey,
    SSL_KEY_PASSWORD: password,
  });

  for (const RDKAFKA_TOOLKIT_NATIVE of ['on', 'off']) {
    test(`produces and consumes, addon ${RDKAFKA_TOOLKIT_NATIVE}`, () =>
      roundTrip(vars(tls.bootstrapServers, { RDKAFKA_TOOLKIT_NATIVE }), topic));

    test(`produces and consumes with a certificate of its own, addon ${RDKAFKA_TOOLKIT_NATIVE}`, () =>
      roundTrip(vars(tls.mutualBootstrapServers, { ...ownCertificate(), RDKAFKA_TOOLKIT_NATIVE }), topic));
  }

  for (const SASL_MECHANISM of ['PLAIN', 'SCRAM-SHA-512']) {
    test(`signs in by ${SASL_MECHANISM} over it`, () => {
      const sasl = { USE_SASL: 'true', SASL_MECHANISM, SASL_USERNAME: saslUser.username, SASL_PASSWORD: saslUser.password };
      return roundTrip(vars(tls.saslBootstrapServers, sasl), topic);
    });
  }

  /** What goes wrong: where to, with what, and what the error says. */
  const refused: Record<string, () => [servers: string, extra: Record<string, string>, says: RegExp]> = {
    'an authority that is not the own one': () => [
      tls.bootstrapServers,
      { SSL_CA_LOCATION: tls.certificates.otherCa },
      /certificate verify failed.*SSL_CA_LOCATION/s,
    ],
    'a broker of another name': () => [
      tls.bootstrapServers.replace('127.0.0.1', 'localhost'),
      {},
      /certificate verify failed.*names the host/s,
    ],
    'no certificate where one is wanted': () => [tls.mutualBootstrapServers, {}, /certificate.*SSL_CERTIFICATE_LOCATION/s],
    'TLS to a port without it': () => [cluster.bootstrapServers, {}, /SSL.*speaks TLS/s],
    'no TLS to a port with it': () => [tls.bootstrapServers, { USE_SSL: 'false' }, /USE_SSL/],
  };
  for (const [what, row] of Object.entries(refused)) {
    test(`${what}: an error within the deadline that says what to check`, async (t) => {
      const [servers, extra, says] = row();
      const start = performance.now();
      for (const error of await refusals(vars(servers, { ...extra, CONNECT_TIMEOUT_SECONDS: '4' }), topic)) {
        t.diagnostic(error.message);
        assert.equal(error.code, 'ERR_CONNECT');
        assert.equal(error.retriable, !/certificate/.test(error.message), 'a certificate that is refused stays so');
        assert.match(error.message, says);
        assert.ok(error.message.includes(servers));
      }
      assert.ok(performance.now() - start < 2 * 7_000);
    });
  }

  test('a wrong password of the key is told at once, and is not shown', async () => {
    const secret = 'canary-key-7781';
    const start = performance.now();
    const errors = await refusals(vars(tls.mutualBootstrapServers, ownCertificate(secret)), topic, { secrets: [secret] });
    for (const error of errors) assert.match(error.message, /ssl\.key\.location.*SSL_KEY_PASSWORD/s);
    assert.ok(performance.now() - start < 5_000);
  });

  test('a file that is no certificate is told at once', async (t) => {
    const file = join(tmpdir(), `no-certificate-${process.pid}.pem`);
    writeFileSync(file, 'not PEM');
    t.after(() => rmSync(file));
    for (const error of await refusals(vars(tls.bootstrapServers, { SSL_CA_LOCATION: file }), topic)) {
      assert.match(error.message, /ssl\.ca\.location/);
    }
  });
});
