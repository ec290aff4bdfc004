import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, type Mock, mock, test } from 'node:test';
import { inspect } from 'node:util';
import { ConfigError, ConnectError, createConsumer, createProducer, type OAuthBearerToken, parseRuntimeVars } from 'rdkafka-toolkit';
import { TokenRefresher } from '../../src/client/token-refresher.ts';

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
};

describe('the token refresher', () => {
  let used: string[];
  let errors: ConnectError[];
  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
    used = [];
    errors = [];
  });
  afterEach(() => mock.timers.reset());

  async function start(provider: Mock<() => Promise<OAuthBearerToken>>): Promise<TokenRefresher> {
    const refresher = new TokenRefresher(provider);
    await refresher.start({
      use: (value) => used.push(value),
      onError: (error) => errors.push(error),
      timeoutMs: 5_000,
      signal: undefined,
    });
    return refresher;
  }

  async function pass(milliseconds: number): Promise<void> {
    mock.timers.tick(milliseconds);
    await settle();
  }

  test('replaces a token when four fifths of its life are over, once', async () => {
    let count = 0;
    const provider = mock.fn(async () => ({ value: `token-${++count}`, expiresAtMs: Date.now() + 10_000 }));
    const refresher = await start(provider);
    await pass(7_900);
    assert.deepEqual(used, ['token-1']);
    await pass(200);
    assert.deepEqual(used, ['token-1', 'token-2']);
    await pass(8_100);
    assert.deepEqual(used, ['token-1', 'token-2', 'token-3']);
    refresher.stop();
    await pass(100_000);
    assert.equal(provider.mock.callCount(), 3);
  });

  test('takes the life of a JWT from its exp claim, and asks for that of another token', async () => {
    const claims = Buffer.from(JSON.stringify({ exp: 1_100 })).toString('base64url');
    const provider = mock.fn(async () => ({ value: `e30.${claims}.sig` }));
    const refresher = await start(provider);
    await pass(79_000);
    assert.equal(provider.mock.callCount(), 1);
    await pass(2_000);
    assert.equal(provider.mock.callCount(), 2);
    refresher.stop();
    await assert.rejects(start(mock.fn(async () => ({ value: 'opaque' }))), /expiresAtMs/);
  });

  test('asks again with growing pauses while the provider fails, tells each failure, and never shows a token', async () => {
    let healthy = true;
    const provider = mock.fn(async () => {
      if (!healthy) throw new Error('cannot replace secret-token-1 yet');
      return { value: 'secret-token-1', expiresAtMs: Date.now() + 10_000 };
    });
    const refresher = await start(provider);
    healthy = false;
    await pass(8_000);
    for (const pauseMs of [1_000, 2_000, 4_000]) await pass(pauseMs);
    assert.equal(errors.length, 4);
    for (const error of errors) {
      assert.deepEqual([error.code, error.retriable], ['ERR_AUTHENTICATION', true]);
      assert.ok(!error.message.includes('secret-token-1'), error.message);
    }
    assert.ok(!inspect(refresher, { showHidden: true, depth: 9 }).includes('secret-token-1'));
    healthy = true;
    await pass(8_000);
    assert.equal(used.length, 2);
    refresher.stop();
  });

  test('asks for another token before its time when the brokers refused it, at most once in five seconds', async () => {
    let count = 0;
    const provider = mock.fn(async () => ({ value: `token-${++count}`, expiresAtMs: Date.now() + 100_000 }));
    const refresher = await start(provider);
    for (let refusal = 0; refusal < 10; refusal++) refresher.renew();
    await pass(4_900);
    assert.deepEqual(used, ['token-1']);
    await pass(200);
    assert.deepEqual(used, ['token-1', 'token-2']);
    await pass(10_000);
    refresher.renew();
    await pass(1);
    assert.deepEqual(used, ['token-1', 'token-2', 'token-3']);
    refresher.stop();
    refresher.renew();
    await pass(20_000);
    assert.equal(provider.mock.callCount(), 3);
  });

  test('a token that librdkafka does not take later on is told as a failed sign-in, and another is asked for', async () => {
    const provider = mock.fn(async () => ({ value: 'secret-token', expiresAtMs: Date.now() + 10_000 }));
    const refresher = new TokenRefresher(provider);
    let refuses = false;
    const use = (value: string): void => {
      if (refuses) throw new Error(`not ${value}`);
      used.push(value);
    };
    await refresher.start({ use, onError: (error) => errors.push(error), timeoutMs: 5_000, signal: undefined });
    refuses = true;
    await pass(8_000);
    assert.ok(errors[0] instanceof ConnectError);
    assert.equal(errors[0].code, 'ERR_AUTHENTICATION');
    assert.match(errors[0].message, /librdkafka did not take the token/);
    assert.ok(!inspect(errors[0], { depth: 9 }).includes('secret-token'));
    refuses = false;
    await pass(2_000);
    assert.equal(used.length, 2);
    refresher.stop();
  });

  for (const [what, token] of [
    ['nothing', undefined],
    ['an empty token', { value: '', expiresAtMs: 9e12 }],
    ['a token with a control character', { value: 'secret\ntoken', expiresAtMs: 9e12 }],
    ['a token that is no ASCII', { value: 'secret-tökèn', expiresAtMs: 9e12 }],
    ['a number', { value: 5, expiresAtMs: 9e12 }],
    ['a token that is over', { value: 'x', expiresAtMs: 999_999 }],
  ] as const) {
    test(`refuses ${what} when it starts`, async () => {
      await assert.rejects(start(mock.fn(async () => token as unknown as OAuthBearerToken)), (error: unknown) => {
        assert.ok(error instanceof ConnectError);
        assert.deepEqual([error.code, used], ['ERR_AUTHENTICATION', []]);
        assert.ok(!inspect(error, { showHidden: true, depth: 9 }).includes('secret'));
        return true;
      });
    });
  }

  test('drops an answer that comes after it was stopped', async () => {
    let answer: (token: OAuthBearerToken) => void = () => undefined;
    let count = 0;
    const provider = mock.fn(() =>
      count++ === 0
        ? Promise.resolve({ value: 'first', expiresAtMs: Date.now() + 10_000 })
        : new Promise<OAuthBearerToken>((resolve) => {
            answer = resolve;
          }),
    );
    const refresher = await start(provider);
    await pass(8_000);
    assert.equal(provider.mock.callCount(), 2);
    refresher.stop();
    answer({ value: 'late', expiresAtMs: 9e12 });
    await settle();
    assert.deepEqual([used, errors], [['first'], []]);
  });
});

test('a provider that does not answer is given up at the connect deadline', async () => {
  const vars = parseRuntimeVars({
    KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:9',
    APP_NAME: 'tokens',
    USE_SASL: 'true',
    SASL_MECHANISM: 'OAUTHBEARER',
    CONNECT_TIMEOUT_SECONDS: '0.3',
  });
  const start = performance.now();
  const connecting = createProducer({ vars, tokenProvider: () => new Promise<never>(() => undefined) });
  await assert.rejects(connecting, { name: 'ConnectError', code: 'ERR_AUTHENTICATION', message: /no token within 300 ms/ });
  assert.ok(performance.now() - start < 3_000);
});

test('OAUTHBEARER without a source of tokens, and a source without OAUTHBEARER, are faults of the configuration', async () => {
  const environment = { KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:9', APP_NAME: 'tokens', USE_SASL: 'true', SASL_MECHANISM: 'OAUTHBEARER' };
  const tokenProvider = async (): Promise<never> => assert.fail('asked');
  for (const connect of [
    () => createProducer({ vars: parseRuntimeVars(environment) }),
    () => createConsumer({ vars: parseRuntimeVars(environment), topics: ['in'] }),
  ]) {
    await assert.rejects(connect, (error) => error instanceof ConfigError && /tokenProvider.*OIDC/s.test(error.message));
  }
  const plain = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:9', APP_NAME: 'tokens' });
  await assert.rejects(createProducer({ vars: plain, tokenProvider }), /SASL_MECHANISM=OAUTHBEARER/);
});
