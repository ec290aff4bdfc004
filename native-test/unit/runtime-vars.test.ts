import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { expectTypeOf } from 'expect-type';
import fc from 'fast-check';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { routeConfig } from '../../src/config/librdkafka-config.ts';
import { findLibrdkafkaKey, librdkafkaKeys } from '../../src/config/librdkafka-keys.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { ConfigError } from '../../src/errors.ts';
import {
  describeRuntimeVars,
  type Environment,
  librdkafkaVarSettings,
  parseRuntimeVars,
  type RuntimeVarName,
  type RuntimeVarRow,
  type RuntimeVars,
  runtimeSecrets,
  runtimeVarTable,
} from '../../src/runtime-vars.ts';
import { renderRuntimeVars } from '../generate/runtime-vars-doc.ts';

const rows = Object.entries(runtimeVarTable) as [RuntimeVarName, RuntimeVarRow][];

function faultsOf(env: Environment): readonly string[] {
  try {
    parseRuntimeVars(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.faults;
  }
  return [];
}

test('the document agrees with the table', () => {
  const text = readFileSync(new URL('../../../binding-notes/runtime-vars.md', import.meta.url), 'utf8');
  assert.ok(text === renderRuntimeVars(), 'stale: run dist/native-test/generate/runtime-vars-doc.js');
});

test('has the names and defaults of the original library', () => {
  const vars = parseRuntimeVars({});
  const original: Partial<Record<RuntimeVarName, unknown>> = {
    CONSUMER_ENABLE_AUTO_COMMIT: true,
    CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: 20,
    CONSUMER_POLL_TIMEOUT: 10,
    CONSUMER_TIMEOUT_LIMIT_MINUTES: 2,
    TIMESTAMP_OFFSET_MINUTES: 0,
    CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: 60,
    MESSAGE_BATCH_MAX_MB: 2,
    MESSAGE_TOTAL_MAX_MB: 3,
    MESSAGE_QUEUE_MAX_MB: 10,
    RETRY_COUNT_MAX: 0,
    CONSUME_TOPICS: [],
    PRODUCE_RETRY_TOPICS: [],
    PRODUCE_FAILURE_TOPICS: [],
    CONSUMER_AUTO_OFFSET_RESET: 'earliest',
    CONSUMER_BATCH_COUNT: 1000,
    CONSUMER_BATCH_TIMEOUT_SECONDS: 15,
    APP_NAME: undefined,
    HOSTNAME: undefined,
    KAFKA_BOOTSTRAP_SERVERS: [],
    SCHEMA_REGISTRY_URL: undefined,
    USE_SSL: false,
    USE_SASL: false,
    DO_METRICS_PUSHING: true,
    METRICS_PUSH_RATE: 10,
    METRICS_SERVICE_NAME: undefined,
    METRICS_SERVICE_PORT: 8080,
    METRICS_POD_PORT: 9091,
    LOGLEVEL: 'INFO',
  };
  for (const [name, value] of Object.entries(original)) assert.deepEqual(vars[name as RuntimeVarName], value, name);
  assert.deepEqual(vars.librdkafka, {});
});

test('sets the librdkafka settings of the original library', () => {
  const settings = librdkafkaVarSettings(parseRuntimeVars({ TIMESTAMP_OFFSET_MINUTES: '3' }), 'consumer');
  const expected = {
    'enable.auto.commit': true,
    'auto.commit.interval.ms': 20_000,
    'max.poll.interval.ms': 300_000,
    'session.timeout.ms': 60_000,
    'message.max.bytes': 2_097_152,
    'fetch.max.bytes': 3_145_728,
    'queued.max.messages.kbytes': 10_240,
    'auto.offset.reset': 'earliest',
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(settings[name], value, name);
});

test('every row is sound: default within its limits, existing settings, a sentence of documentation', () => {
  for (const [name, row] of rows) {
    assert.match(row.doc, /^[A-Z`].*\.$/, name);
    if (typeof row.default === 'number') assert.ok(row.default >= (row.min ?? Number.NaN) && row.default <= (row.max ?? Infinity), name);
    if (row.type === 'enum') assert.ok(row.values?.includes(String(row.default)), name);
    if (row.type === 'integer' || row.type === 'number') assert.ok(row.unit !== undefined && row.default !== undefined, name);
    for (const key of row.librdkafka ?? []) {
      const applies = findLibrdkafkaKey(key)?.applies;
      assert.ok(applies !== undefined, `${name}: ${key}`);
      if (name !== 'APP_NAME') assert.ok(applies === 'both' || applies === row.client, `${name}: ${key} is for a ${applies}`);
    }
  }
});

test('the result is frozen, its lists too, and typed by the table', () => {
  const vars = parseRuntimeVars({ CONSUME_TOPICS: ' a, ^b.* ,' });
  assert.deepEqual(vars.CONSUME_TOPICS, ['a', '^b.*']);
  for (const part of [vars, vars.CONSUME_TOPICS, vars.PRODUCE_RETRY_TOPICS, vars.librdkafka]) assert.ok(Object.isFrozen(part));
  expectTypeOf<RuntimeVars['CONSUMER_POLL_TIMEOUT']>().toEqualTypeOf<number>();
  expectTypeOf<RuntimeVars['USE_SSL']>().toEqualTypeOf<boolean>();
  expectTypeOf<RuntimeVars['APP_NAME']>().toEqualTypeOf<string | undefined>();
  expectTypeOf<RuntimeVars['CONSUME_TOPICS']>().toEqualTypeOf<readonly string[]>();
  expectTypeOf<RuntimeVars['RDKAFKA_TOOLKIT_NATIVE']>().toEqualTypeOf<'auto' | 'on' | 'off'>();
});

test('says what was expected and what came, every fault at once', () => {
  assert.deepEqual(
    faultsOf({
      CONSUMER_POLL_TIMEOUT: 'ten',
      CONSUMER_BATCH_COUNT: '1.5',
      METRICS_POD_PORT: '70000',
      CONSUMER_BATCH_TIMEOUT_SECONDS: '1e9',
      USE_SSL: 'perhaps',
      LOGLEVEL: 'LOUD',
      SCHEMA_REGISTRY_URL: 'registry:8081',
      RDKAFKA_LINGER_MSS: '5',
      RDKAFKA_BATCH_SIZE: '10 KB',
      RDKAFKA_DR_CB: '1',
    }),
    [
      'Expected SCHEMA_REGISTRY_URL to be an http or https URL, got "registry:8081"',
      'Expected USE_SSL to be true or false, got "perhaps"',
      'Expected CONSUMER_POLL_TIMEOUT to be a number of seconds >= 0, got "ten"',
      'Expected CONSUMER_BATCH_COUNT to be a whole number of records from 1 to 10000000, got "1.5"',
      'Expected CONSUMER_BATCH_TIMEOUT_SECONDS to be a number of seconds from 0 to 2147483, got "1e9"',
      'Expected METRICS_POD_PORT to be a whole number from 1 to 65535, got "70000"',
      'Expected LOGLEVEL to be one of DEBUG | INFO | WARNING | ERROR | CRITICAL, got "LOUD"',
      'RDKAFKA_LINGER_MSS: Unknown librdkafka setting "linger.mss"; did you mean linger.ms?',
      'RDKAFKA_BATCH_SIZE: Expected batch.size to be an integer from 1 to 2147483647, got "10 KB"',
      'RDKAFKA_DR_CB: Setting dr_cb cannot be set: the producer reads every delivery report itself; each send gives a promise',
    ].sort((left, right) => order(left) - order(right)),
  );
});

/** Faults come in the order of the table, then those of RDKAFKA variables. */
function order(fault: string): number {
  const index = rows.findIndex(([name]) => fault.startsWith(`Expected ${name} `));
  return index === -1 ? rows.length : index;
}

test('an empty variable counts as not set, a blank secret as a secret', () => {
  const blank = Object.fromEntries(rows.map(([name]) => [name, '']));
  assert.deepEqual(parseRuntimeVars({ ...blank, RDKAFKA_LINGER_MS: '' }), parseRuntimeVars({}));
  assert.equal(parseRuntimeVars({ CONSUMER_POLL_TIMEOUT: '  ', SASL_PASSWORD: '  ' }).CONSUMER_POLL_TIMEOUT, 10);
  assert.equal(parseRuntimeVars({ SASL_PASSWORD: '  ' }).SASL_PASSWORD, '  ');
});

test('RDKAFKA variables are found in any spelling; the toolkit keeps its own', () => {
  const vars = parseRuntimeVars({
    RDKAFKA_SOCKET_KEEPALIVE_ENABLE: 'true',
    'RDKAFKA_client.rack': 'r1',
    rdkafka_check_crcs: 'true',
    RDKAFKA_TOOLKIT_NATIVE: 'off',
    RDKAFKA_TOOLKIT_FUTURE: 'x',
    RDKAFKA_: 'x',
    NOT_RDKAFKA_FOO: 'x',
  });
  assert.deepEqual(vars.librdkafka, { 'socket.keepalive.enable': 'true', 'client.rack': 'r1', 'check.crcs': 'true' });
  assert.equal(vars.RDKAFKA_TOOLKIT_NATIVE, 'off');
  assert.deepEqual(faultsOf({ RDKAFKA_LINGER_MS: '5', RDKAFKA_QUEUE_BUFFERING_MAX_MS: '6' }), [
    'Expected only one of RDKAFKA_LINGER_MS and RDKAFKA_QUEUE_BUFFERING_MAX_MS: they are the same librdkafka setting',
  ]);
});

test('variables must not contradict each other', () => {
  const cases: readonly (readonly [Environment, RegExp])[] = [
    [{ MESSAGE_TOTAL_MAX_MB: '1' }, /^Expected MESSAGE_TOTAL_MAX_MB \(1\) >= MESSAGE_BATCH_MAX_MB \(2\)$/],
    [{ CONSUMER_TIMEOUT_LIMIT_MINUTES: '0.5' }, /CONSUMER_HEARTBEAT_TIMEOUT_SECONDS to be at most .*\(30 seconds\), got 60$/],
    [{ CONSUMER_TIMEOUT_LIMIT_MINUTES: '1400', TIMESTAMP_OFFSET_MINUTES: '41' }, /at most 1440 minutes together/],
    [{ USE_SASL: 'true' }, /^Expected SASL_USERNAME and SASL_PASSWORD with USE_SASL/],
    [{ SSL_KEY_LOCATION: '/key' }, /got only SSL_KEY_LOCATION$/],
    [{ SCHEMA_REGISTRY_USERNAME: 'u' }, /SCHEMA_REGISTRY_PASSWORD or neither$/],
    [{ SCHEMA_REGISTRY_USERNAME: 'u', SCHEMA_REGISTRY_PASSWORD: 'p', SCHEMA_REGISTRY_TOKEN: 't' }, /got both$/],
    [{ PRODUCER_ACKS: '1' }, /PRODUCER_IDEMPOTENCE to be false with PRODUCER_ACKS=1/],
    [{ PRODUCER_DELIVERY_TIMEOUT_SECONDS: '1', PRODUCER_LINGER_MS: '1000' }, /longer than PRODUCER_LINGER_MS \(1000\)/],
  ];
  for (const [env, pattern] of cases) {
    const faults = faultsOf(env);
    assert.equal(faults.length, 1, faults.join('; '));
    assert.match(faults[0] ?? '', pattern);
  }
  assert.deepEqual(faultsOf({ CONSUMER_TIMEOUT_LIMIT_MINUTES: '0.5', TIMESTAMP_OFFSET_MINUTES: '0.5' }), []);
  assert.deepEqual(faultsOf({ CONSUMER_TIMEOUT_LIMIT_MINUTES: '0.5', RDKAFKA_SESSION_TIMEOUT_MS: '6000' }), []);
  assert.deepEqual(faultsOf({ PRODUCER_ACKS: '1', PRODUCER_IDEMPOTENCE: 'false' }), []);
  assert.equal(faultsOf({ PRODUCER_ACKS: '1', PRODUCER_IDEMPOTENCE: 'so-so' }).length, 1, 'a faulty variable is reported once');
});

test('no fault and no description quotes a secret', () => {
  const secret = 'hunter2\0tail';
  const names = rows.filter(([, row]) => row.secret === true).map(([name]) => name);
  assert.ok(names.length >= 6);
  const env = Object.fromEntries([...names, 'RDKAFKA_SASL_OAUTHBEARER_CONFIG'].map((name) => [name, secret]));
  const faults = faultsOf({ ...env, SCHEMA_REGISTRY_URL: 'ftp://me:hunter2@host' });
  assert.ok(faults.length >= names.length + 2, faults.join('\n'));
  assert.ok(!faults.join().includes('hunter2'), faults.join('\n'));

  const good = { SASL_PASSWORD: 'hunter2', RDKAFKA_SSL_KEY_PEM: 'hunter3', SCHEMA_REGISTRY_URL: 'http://me:hunter4@host:8081' };
  const vars = parseRuntimeVars(good);
  assert.deepEqual(runtimeSecrets(vars).sort(), ['hunter2', 'hunter3']);
  const described = describeRuntimeVars(vars, good);
  assert.ok(!JSON.stringify(described).includes('hunter'));
  const byName = new Map(described.map((line) => [line.name, line]));
  assert.equal(byName.get('SASL_PASSWORD')?.value, '[redacted]');
  assert.equal(byName.get('SCHEMA_REGISTRY_URL')?.value, 'http://[redacted]@host:8081');
  assert.equal(byName.get('RDKAFKA_SSL_KEY_PEM')?.value, '[redacted]');
});

test('describes every variable with where its value comes from', () => {
  const env = { CONSUMER_POLL_TIMEOUT: '5', CONSUME_TOPICS: 'a,b', LOGLEVEL: ' ', RDKAFKA_CLIENT_RACK: 'r1' };
  const described = describeRuntimeVars(parseRuntimeVars(env), env);
  assert.equal(described.length, rows.length + 1);
  const pick = (name: string) =>
    described.filter((line) => line.name === name).map(({ value, source, unit }) => ({ value, source, unit }))[0];
  assert.deepEqual(pick('CONSUMER_POLL_TIMEOUT'), { value: '5', source: 'environment', unit: 'seconds' });
  assert.deepEqual(pick('CONSUME_TOPICS'), { value: 'a,b', source: 'environment', unit: undefined });
  assert.deepEqual(pick('LOGLEVEL'), { value: 'INFO', source: 'default', unit: undefined });
  assert.deepEqual(pick('APP_NAME'), { value: undefined, source: 'default', unit: undefined });
  assert.deepEqual(pick('RDKAFKA_CLIENT_RACK'), { value: 'r1', source: 'environment', unit: undefined });
});

test('reads the process environment only when none is given', () => {
  process.env.CONSUMER_BATCH_COUNT = '77';
  try {
    assert.equal(parseRuntimeVars().CONSUMER_BATCH_COUNT, 77);
    assert.equal(parseRuntimeVars({}).CONSUMER_BATCH_COUNT, 1000);
  } finally {
    delete process.env.CONSUMER_BATCH_COUNT;
  }
});

/** A value of the row and the text that stands for it. */
function arbitraryText(row: RuntimeVarRow): fc.Arbitrary<string> {
  const { min = 0, max = 1_000_000 } = row;
  const word = fc.stringMatching(/^[!-+\--~]{1,20}$/);
  switch (row.type) {
    case 'boolean':
      return fc.constantFrom('true', 'false', 'TRUE', 'no', 'on', '0', 'f');
    case 'integer':
      return fc.integer({ min, max }).map(String);
    case 'number':
      return fc.double({ min, max, noNaN: true }).map(String);
    case 'enum':
      return fc.constantFrom(...(row.values ?? []));
    case 'list':
      return fc.array(word, { maxLength: 4 }).map((items) => items.join(','));
    default:
      return row.format === 'url' ? fc.webUrl({ validSchemes: ['http', 'https'] }) : word;
  }
}

const validEnv: fc.Arbitrary<Environment> = fc.record(Object.fromEntries(rows.map(([name, row]) => [name, arbitraryText(row)])), {
  requiredKeys: [],
});

function render(vars: RuntimeVars): Environment {
  const { librdkafka, ...values } = vars;
  const own = Object.entries(librdkafka).map(([key, value]) => [`RDKAFKA_${key.toUpperCase().replaceAll('.', '_')}`, value]);
  return Object.fromEntries([
    ...Object.entries(values).map(([name, value]) => [name, value === undefined ? undefined : String(value)]),
    ...own,
  ]) as Environment;
}

/** Takes away what the rules between variables object to. */
function reconcile(env: Environment): Environment {
  const faults = faultsOf(env);
  // Each value is right by itself: only the rules between variables can object.
  assert.ok(!faults.some((fault) => fault.includes(', got "')), faults.join('; '));
  const kept = Object.entries(env).filter(([name]) => !faults.some((fault) => fault.includes(name)));
  return faults.length === 0 ? env : reconcile(Object.fromEntries(kept));
}

test('what is parsed, written out and parsed again is the same; and it configures both clients', () => {
  fc.assert(
    fc.property(validEnv, (env) => {
      const vars = parseRuntimeVars(reconcile(env));
      assert.deepEqual(parseRuntimeVars(render(vars)), vars);
      const named = { ...vars, KAFKA_BOOTSTRAP_SERVERS: ['b:9092'], APP_NAME: vars.APP_NAME ?? 'app' };
      routeConfig('consumer', consumerSettings(named));
      routeConfig('producer', producerSettings(named));
    }),
    { numRuns: 1500 },
  );
});

test('any environment gives variables or a ConfigError', () => {
  const name = fc.oneof(
    fc.constantFrom(...rows.map(([known]) => known as string)),
    fc.constantFrom(...librdkafkaKeys.map((key) => `RDKAFKA_${key.name}`)),
    fc.string().map((text) => `RDKAFKA_${text}`),
    fc.string(),
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.double().map(String),
    fc.constantFrom('__proto__', '-0', '1e309', '0x10', '\n', '∞'),
  );
  fc.assert(
    fc.property(fc.dictionary(name, text), (env) => {
      assert.ok(Array.isArray(faultsOf(env)));
    }),
    { numRuns: 5000 },
  );
});
