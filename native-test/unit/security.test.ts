import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { getSslContext, securitySettings } from '../../src/config/security.ts';
import { ConfigError } from '../../src/errors.ts';
import { parseRuntimeVars } from '../../src/runtime-vars.ts';

const folder = mkdtempSync(join(tmpdir(), 'security-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const [authority, certificate] = rootCertificates as [string, string];
const passphrase = 'pass phrase';
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase },
});

function faultsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.faults;
  }
  assert.fail('Expected a ConfigError');
}

test('no file set gives an empty context', () => {
  assert.deepEqual(getSslContext(parseRuntimeVars({})), {});
  assert.deepEqual(getSslContext(parseRuntimeVars({ SSL_CA_LOCATION: 'probe', SSL_KEY_PASSWORD: 'unused' })), {});
});

test('reads authorities, certificate, key and passphrase', () => {
  const vars = parseRuntimeVars({ SSL_CA_LOCATION: file('ca.pem', authority) });
  assert.deepEqual(getSslContext(vars), { ca: [authority] });
  const withKey = { ...vars, SSL_KEY_LOCATION: file('key.pem', privateKey), SSL_KEY_PASSWORD: passphrase };
  assert.deepEqual(getSslContext(withKey), { ca: [authority], key: privateKey, passphrase });
  const withCertificate = { ...vars, SSL_CERTIFICATE_LOCATION: file('cert.pem', certificate) };
  assert.deepEqual(getSslContext(withCertificate), { ca: [authority], cert: certificate });
});

test('a directory of authorities is read in the order of its names', () => {
  const directory = join(folder, 'authorities');
  mkdirSync(directory);
  file('authorities/b.crt', certificate);
  file('authorities/a.pem', authority);
  file('authorities/readme.txt', 'no certificate');
  assert.deepEqual(getSslContext(parseRuntimeVars({ SSL_CA_LOCATION: directory })).ca, [authority, certificate]);
});

test('an empty directory of authorities is a fault, because it would trust nobody', () => {
  const directory = join(folder, 'empty');
  mkdirSync(directory);
  const faults = faultsOf(() => getSslContext(parseRuntimeVars({ SSL_CA_LOCATION: directory })));
  assert.match(faults[0] ?? '', /^Expected SSL_CA_LOCATION to hold .* got none in ".*empty"$/);
});

test('names the variable and the file of everything that cannot be read, all at once', () => {
  const missing = join(folder, 'missing.pem');
  const vars = parseRuntimeVars({ SSL_CA_LOCATION: missing, SSL_CERTIFICATE_LOCATION: folder, SSL_KEY_LOCATION: missing });
  assert.deepEqual(
    faultsOf(() => getSslContext(vars)),
    [
      `Expected SSL_CA_LOCATION to name a readable file, got "${missing}": ENOENT`,
      `Expected SSL_CERTIFICATE_LOCATION to name a readable file, got "${folder}": EISDIR`,
      `Expected SSL_KEY_LOCATION to name a readable file, got "${missing}": ENOENT`,
    ],
  );
});

test('a wrong passphrase, a foreign key and a broken file fail at once, without the passphrase in the message', () => {
  const key = file('key.pem', privateKey);
  const vars = parseRuntimeVars({ SSL_CERTIFICATE_LOCATION: file('cert.pem', certificate), SSL_KEY_LOCATION: key });
  for (const wrong of [
    { ...vars, SSL_KEY_PASSWORD: 'not the one' },
    { ...vars, SSL_KEY_PASSWORD: passphrase },
    { ...vars, SSL_KEY_LOCATION: undefined, SSL_CERTIFICATE_LOCATION: file('broken.pem', 'no certificate') },
  ]) {
    const [fault = ''] = faultsOf(() => getSslContext(wrong));
    assert.match(fault, /^Expected certificates and a key that belong together in SSL_CERTIFICATE_LOCATION "/);
    assert.ok(!fault.includes('not the one') && !fault.includes(passphrase), fault);
  }
});

test('USE_SSL and USE_SASL give the four security protocols', () => {
  const sign = { SASL_USERNAME: 'me', SASL_PASSWORD: 'secret' };
  for (const [env, protocol] of [
    [{}, 'plaintext'],
    [{ USE_SSL: 'true' }, 'ssl'],
    [{ USE_SASL: 'true', ...sign }, 'sasl_plaintext'],
    [{ USE_SASL: 'true', USE_SSL: 'true', ...sign }, 'sasl_ssl'],
  ] as const) {
    assert.equal(securitySettings(parseRuntimeVars(env))['security.protocol'], protocol);
  }
});

test('certificates and credentials go to librdkafka only when they are in use', () => {
  const env = {
    SSL_CA_LOCATION: '/ca',
    SSL_CERTIFICATE_LOCATION: '/cert',
    SSL_KEY_LOCATION: '/key',
    SSL_KEY_PASSWORD: 'opens',
    SASL_MECHANISM: 'scram-sha-512',
    SASL_USERNAME: 'me',
    SASL_PASSWORD: ' secret ',
  };
  assert.deepEqual(securitySettings(parseRuntimeVars(env)), { 'security.protocol': 'plaintext' });
  assert.deepEqual(securitySettings(parseRuntimeVars({ ...env, USE_SSL: '1', USE_SASL: 'yes' })), {
    'security.protocol': 'sasl_ssl',
    'ssl.ca.location': '/ca',
    'ssl.certificate.location': '/cert',
    'ssl.key.location': '/key',
    'ssl.key.password': 'opens',
    'sasl.mechanism': 'SCRAM-SHA-512',
    'sasl.username': 'me',
    'sasl.password': ' secret ',
  });
});

test('signing in needs a name and a password, except where a token or a ticket does it', () => {
  assert.deepEqual(
    faultsOf(() => parseRuntimeVars({ USE_SASL: 'true', SASL_USERNAME: 'me' })),
    ['Expected SASL_PASSWORD with USE_SASL and SASL_MECHANISM=PLAIN'],
  );
  for (const mechanism of ['OAUTHBEARER', 'GSSAPI']) parseRuntimeVars({ USE_SASL: 'true', SASL_MECHANISM: mechanism });
  parseRuntimeVars({ USE_SASL: 'true', RDKAFKA_SASL_USERNAME: 'me', RDKAFKA_SASL_PASSWORD: 'secret' });
});

test('a fault in a secret setting does not quote it', () => {
  const vars = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: 'b:9092', APP_NAME: 'a' });
  const [fault = ''] = faultsOf(() => consumerSettings(vars, { 'sasl.password': 'hidden\0word' }));
  assert.match(fault, /Expected sasl\.password to be text$/);
});
