import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { librdkafkaKeys } from '../../src/config/librdkafka-keys.ts';
import { redactConfig, redactedMark, redactText } from '../../src/config/redact.ts';

test('hides the value of every sensitive librdkafka setting and of no other', () => {
  const settings = Object.fromEntries(librdkafkaKeys.map((key) => [key.name, 'plain']));
  const clean = redactConfig(settings);
  for (const key of librdkafkaKeys) assert.equal(clean[key.name], key.sensitive === true ? redactedMark : 'plain', key.name);
  for (const name of ['sasl.password', 'ssl.key.password', 'ssl.key.pem', 'ssl.keystore.password', 'sasl.oauthbearer.client.secret']) {
    assert.equal(clean[name], redactedMark, name);
  }
  assert.equal(clean['sasl.oauthbearer.config'], redactedMark);
  assert.equal(clean['sasl.oauthbearer.client.credentials.client.secret'], redactedMark);
});

test('judges settings librdkafka does not know by their name', () => {
  const clean = redactConfig({ registryPassword: 'a', apiKey: 'b', API_TOKEN: 'c', topic: 'd', count: 5, on: true, none: undefined });
  assert.deepEqual(clean, {
    registryPassword: redactedMark,
    apiKey: redactedMark,
    API_TOKEN: redactedMark,
    topic: 'd',
    count: 5,
    on: true,
    none: undefined,
  });
});

test('an environment name of a secret setting is hidden as well, an empty secret is shown to be empty', () => {
  assert.deepEqual(redactConfig({ SASL_PASSWORD: 'x', 'ssl.key.password': '' }), { SASL_PASSWORD: redactedMark, 'ssl.key.password': '' });
});

test('leaves its argument alone and carries a setting named __proto__ as data', () => {
  const settings = Object.freeze(JSON.parse('{"__proto__":"x","sasl.password":"y"}') as Record<string, unknown>);
  const clean = redactConfig(settings);
  assert.equal(Object.getPrototypeOf(clean), Object.prototype);
  assert.deepEqual(Object.entries(clean), [
    ['__proto__', 'x'],
    ['sasl.password', redactedMark],
  ]);
  assert.equal(settings['sasl.password'], 'y');
});

test('takes user and password out of URLs, in settings and in text', () => {
  const clean = redactConfig({ 'sasl.oauthbearer.token.endpoint.url': 'https://me:s3cret@idp/token?mail=a@b' });
  assert.equal(clean['sasl.oauthbearer.token.endpoint.url'], 'https://[redacted]@idp/token?mail=a@b');
  assert.equal(redactText('GET http://u:p@ss@host:8081/subjects failed', []), 'GET http://[redacted]@host:8081/subjects failed');
  assert.equal(redactText('at http://host:8081/a@b and mail me@here', []), 'at http://host:8081/a@b and mail me@here');
});

test('takes private keys out of text', () => {
  const key = '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----';
  assert.equal(redactText(`cannot read ${key}.`, []), `cannot read ${redactedMark}.`);
});

test('a secret inside another leaves nothing of the longer one behind', () => {
  assert.equal(redactText('key=abcdef', ['abc', 'abcdef']), `key=${redactedMark}`);
});

test('no secret survives in a text, plain or percent-encoded', () => {
  const word = fc.string({ minLength: 4, maxLength: 12, unit: 'binary' }).filter((text) => !redactedMark.includes(text));
  fc.assert(
    fc.property(word, fc.string(), fc.string(), (secret, before, after) => {
      for (const form of [secret, encodeURIComponent(secret)]) {
        const clean = redactText(`${before}${form}${after}`, [secret]);
        // What surrounds a secret may spell it again together with the mark's own letters; the secret itself must be gone.
        assert.ok(!clean.split(redactedMark).some((part) => part.includes(form)), clean);
      }
    }),
    { numRuns: 5000 },
  );
});

test('text without secrets stays as it is', () => {
  fc.assert(fc.property(fc.string(), (text) => text.includes('://') || redactText(text, ['', 'never-in-there-1']) === text));
});
