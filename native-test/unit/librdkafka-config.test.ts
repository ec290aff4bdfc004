import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import Kafka from 'node-rdkafka';
import { consumerSettings } from '../../src/config/consumer-config.ts';
import { checkSetting, type LibrdkafkaSettings, mergeSettings, routeConfig } from '../../src/config/librdkafka-config.ts';
import {
  type ClientKind,
  findLibrdkafkaKey,
  findLibrdkafkaKeyFolded,
  type LibrdkafkaKey,
  type LibrdkafkaValue,
  librdkafkaKeys,
  librdkafkaKeysVersion,
  suggestLibrdkafkaKey,
} from '../../src/config/librdkafka-keys.ts';
import { producerSettings } from '../../src/config/producer-config.ts';
import { ConfigError } from '../../src/errors.ts';
import { parseRuntimeVars } from '../../src/runtime-vars.ts';
import { renderKeys } from '../generate/librdkafka-keys.ts';

const root = new URL('../../../', import.meta.url);
const settable = librdkafkaKeys.filter((key) => checkSetting(key.name, sample(key)).fault === undefined);
const kinds = ['consumer', 'producer'] as const;

/** The key's default, or a value of its kind; the toolkit's own where the toolkit allows one only. */
function sample(key: LibrdkafkaKey): LibrdkafkaValue {
  if (key.name === 'enable.auto.offset.store') return false;
  if (key.kind === 'boolean') return key.default ?? true;
  return key.default ?? (key.kind === 'integer' || key.kind === 'float' ? (key.min ?? 1) : 'x');
}

function clientKind(key: LibrdkafkaKey): ClientKind {
  return key.applies === 'both' ? 'consumer' : key.applies;
}

function faultsOf(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.faults;
  }
  return [];
}

function faultsFor(kind: ClientKind, settings: Readonly<Record<string, unknown>>): readonly string[] {
  return faultsOf(() => routeConfig(kind, settings as LibrdkafkaSettings, 'test'));
}

/** What librdkafka says to the two configurations; undefined when it takes them. Does not connect. */
function refusal(kind: ClientKind, global: LibrdkafkaSettings, topic: LibrdkafkaSettings): string | undefined {
  try {
    if (kind === 'consumer') new Kafka.KafkaConsumer({ ...global }, { ...topic });
    else new Kafka.Producer({ ...global }, { ...topic });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const missingInThisBuild: RegExp = /not supported in this build|Unsupported value/;

test('the table is the one of the librdkafka in node-rdkafka', () => {
  const binding = new URL('node_modules/node-rdkafka/', root);
  const source = readFileSync(new URL('src/config/librdkafka-keys.ts', root), 'utf8');
  const markdown = readFileSync(new URL('deps/librdkafka/CONFIGURATION.md', binding), 'utf8');
  const { librdkafka } = JSON.parse(readFileSync(new URL('package.json', binding), 'utf8')) as { librdkafka: string };
  assert.equal(librdkafkaKeysVersion, librdkafka);
  assert.ok(renderKeys(source, markdown, librdkafka) === source, 'stale: run dist/native-test/generate/librdkafka-keys.js');
});

test('a name in both tables of the document is global, and no name is there twice', () => {
  assert.equal(new Set(librdkafkaKeys.map((key) => key.name)).size, librdkafkaKeys.length);
  for (const name of ['auto.commit.interval.ms', 'enable.auto.commit', 'compression.codec', 'offset.store.method']) {
    assert.equal(findLibrdkafkaKey(name)?.scope, 'global', name);
  }
  for (const name of ['auto.offset.reset', 'message.timeout.ms', 'acks', 'partitioner', 'compression.level']) {
    assert.equal(findLibrdkafkaKey(name)?.scope, 'topic', name);
  }
  for (const key of librdkafkaKeys) if (key.aliasOf !== undefined) assert.ok(findLibrdkafkaKey(key.aliasOf), key.name);
});

test('every setting is routed to its own scope, alone and among others', () => {
  for (const key of settable) {
    const routed = routeConfig(clientKind(key), { [key.name]: sample(key) });
    assert.deepEqual([Object.keys(routed[key.scope]), Object.keys({ ...routed.global, ...routed.topic }).length], [[key.name], 1]);
  }
  // Beside a transactional.id some defaults of the others are faults.
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.subarray(settable.filter((key) => key.name !== 'transactional.id')), (kind, keys) => {
      const own = keys.filter((key) => key.applies === 'both' || key.applies === kind).filter((key) => key.aliasOf === undefined);
      const settings = Object.fromEntries(own.map((key) => [key.name, sample(key)]));
      const routed = routeConfig(kind, { ...settings, 'session.timeout.ms': undefined } as unknown as LibrdkafkaSettings);
      const names = own.map((key) => key.name).filter((name) => name !== 'session.timeout.ms');
      for (const name of names) {
        const scope = findLibrdkafkaKey(name)?.scope ?? 'global';
        assert.ok(Object.hasOwn(routed[scope], name), name);
        assert.ok(!Object.hasOwn(routed[scope === 'global' ? 'topic' : 'global'], name), name);
      }
      assert.equal(Object.keys(routed.global).length + Object.keys(routed.topic).length, names.length);
    }),
    { numRuns: 300 },
  );
});

test('librdkafka takes every setting where it is routed, and refuses a global one in the topic configuration', () => {
  let taken = 0;
  // Naming a plugin would load it.
  for (const key of settable.filter(({ name }) => name !== 'plugin.library.paths')) {
    const kind = clientKind(key);
    const routed = routeConfig(kind, { [key.name]: sample(key) });
    const refused = refusal(kind, routed.global, routed.topic);
    if (refused === undefined) taken += 1;
    else assert.match(refused, missingInThisBuild, `${key.name}: ${refused}`);
    const inBoth = ['enable.auto.commit', 'auto.commit.interval.ms', 'offset.store.method', 'compression.codec', 'compression.type'];
    if (key.scope === 'topic' || inBoth.includes(key.name)) continue;
    assert.match(refusal(kind, {}, { [key.name]: String(sample(key)) }) ?? '', /No such configuration property/, key.name);
  }
  assert.ok(taken > 120, `only ${taken} settings were taken`);
});

test('librdkafka agrees on the limits of every number', () => {
  for (const key of settable) {
    if (key.min === undefined || key.max === undefined) continue;
    const kind = clientKind(key);
    for (const value of [key.min, key.max]) {
      if (checkSetting(key.name, value).fault !== undefined) assert.fail(`${key.name}=${value}`);
      const { global, topic } = routeConfig(kind, withPartner(key.name, value));
      const refused = refusal(kind, global, topic);
      if (refused !== undefined) assert.match(refused, missingInThisBuild, `${key.name}=${value}: ${refused}`);
    }
    for (const value of [key.min - 1, key.max + 1]) {
      assert.match(checkSetting(key.name, value).fault ?? '', /^Expected .* from .* to .*, got -?\d+$/, key.name);
      if (value > 2 ** 31 - 1) continue; // librdkafka wraps these around, the reason they must not reach it
      const wrong = { [key.name]: String(value) };
      const refused = key.scope === 'global' ? refusal(kind, wrong, {}) : refusal(kind, {}, wrong);
      assert.match(refused ?? '', /outside allowed range|not supported in this build/, key.name);
    }
  }
});

/** A limit of one setting that fits only beside another. */
function withPartner(name: string, value: number): LibrdkafkaSettings {
  const partners: Readonly<Record<string, LibrdkafkaSettings>> = {
    'session.timeout.ms': { 'max.poll.interval.ms': 86_400_000 },
    'max.poll.interval.ms': { 'session.timeout.ms': 1 },
    'reconnect.backoff.ms': { 'reconnect.backoff.max.ms': 3_600_000 },
    'reconnect.backoff.max.ms': { 'reconnect.backoff.ms': 0 },
    'fetch.max.bytes': { 'message.max.bytes': 1000 },
    'linger.ms': { 'message.timeout.ms': 0 },
    'queue.buffering.max.ms': { 'message.timeout.ms': 0 },
  };
  const whole = value === 0 && name === 'fetch.max.bytes' ? 1000 : value;
  return { ...partners[name], [name]: whole };
}

test('librdkafka takes whatever the check lets through', () => {
  const anyKey = fc.constantFrom(...settable.filter((key) => key.name !== 'plugin.library.paths'));
  const anyValue = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constantFrom('all', 'lz4', ' true ', '-1', '1e3', '010'),
  );
  let checked = 0;
  fc.assert(
    fc.property(anyKey, anyValue, (key, value) => {
      const result = checkSetting(key.name, value);
      if (result.fault !== undefined) return;
      assert.ok(typeof result.value !== 'number' || (result.value | 0) === result.value);
      const setting = { [key.name]: result.value };
      const refused = key.scope === 'global' ? refusal(clientKind(key), setting, {}) : refusal(clientKind(key), {}, setting);
      if (refused === undefined) checked += 1;
      else if (!freeText.has(key.name)) assert.match(refused, missingInThisBuild, `${key.name}: ${refused}`);
    }),
    { numRuns: 3000 },
  );
  assert.ok(checked > 100, `only ${checked} values were let through`);
});

/** Text that librdkafka reads further: no table says what it may hold. */
const freeText: ReadonlySet<string> = new Set([
  'builtin.features',
  'broker.version.fallback',
  'sasl.mechanisms',
  'sasl.mechanism',
  'topic.blacklist',
]);

test('text becomes the value it means; numbers node-rdkafka cannot convert become text', () => {
  const routed = routeConfig('producer', {
    'enable.idempotence': 'TRUE',
    'batch.size': ' 0500 ',
    'linger.ms': 0.5,
    'compression.codec': 'LZ4',
    acks: 'ALL',
    'message.timeout.ms': -0,
  });
  assert.deepEqual(routed, {
    global: { 'enable.idempotence': true, 'batch.size': 500, 'linger.ms': '0.5', 'compression.codec': 'lz4' },
    topic: { acks: 'all', 'message.timeout.ms': 0 },
  });
  assert.deepEqual(routeConfig('consumer', { 'group.id': 2 ** 40, 'client.id': 7 }).global, {
    'group.id': '1099511627776',
    'client.id': 7,
  });
});

test('reports every fault in one error', () => {
  const faults = faultsFor('producer', {
    'linger.mss': 5,
    'session.timeout.ms': 1000,
    'batch.size': '10 KB',
    'compression.codec': 'brotli',
    'socket.keepalive.enable': 'maybe',
    debug: 'msg,nothing',
    'client.id': null,
    'linger.ms': Number.NaN,
    dr_cb: true,
  });
  assert.equal(faults.length, 9);
  assert.equal(faults[0], 'test: Unknown librdkafka setting "linger.mss"; did you mean linger.ms?');
  assert.equal(faults[1], 'test: Setting session.timeout.ms is for a consumer, not for a producer');
  assert.equal(faults[2], 'test: Expected batch.size to be an integer from 1 to 2147483647, got "10 KB"');
  assert.equal(faults[3], 'test: Expected compression.codec to be one of none, gzip, snappy, lz4, zstd, got "brotli"');
  assert.equal(faults[4], 'test: Expected socket.keepalive.enable to be true or false, got "maybe"');
  assert.match(faults[5] ?? '', /^test: Expected debug to be a list of generic, .*, got "msg,nothing"$/);
  assert.equal(faults[6], 'test: Expected client.id to be text, got null');
  assert.equal(faults[7], 'test: Expected linger.ms to be a number from 0 to 900000, got NaN');
  assert.match(faults[8] ?? '', /^test: Setting dr_cb cannot be set: /);
});

test('refuses callbacks and what the toolkit keeps for itself, with a reason', () => {
  const callbacks = librdkafkaKeys.filter((key) => key.kind === 'callback').map((key) => key.name);
  for (const name of [...callbacks, 'event_cb', 'enabled_events', 'auto.commit.enable']) {
    for (const kind of kinds) assert.match(faultsFor(kind, { [name]: true })[0] ?? '', /cannot be set: \S/, name);
  }
  for (const [name, value] of [
    ['enable.auto.offset.store', true],
    ['delivery.report.only.error', 'true'],
    ['log.queue', true],
    ['group.protocol', 'consumer'],
    ['offset.store.method', 'file'],
  ] as const) {
    assert.match(checkSetting(name, value).fault ?? '', /^Expected .* to be .*, got .*: \S/, name);
  }
  assert.deepEqual(routeConfig('consumer', { 'enable.auto.offset.store': 'false' }).global, { 'enable.auto.offset.store': false });
});

test('says the same setting must not be given under two names', () => {
  assert.deepEqual(faultsFor('producer', { 'linger.ms': 1, 'queue.buffering.max.ms': 2 }), [
    'test: Expected only one of linger.ms and queue.buffering.max.ms: they are the same setting',
  ]);
});

test('finds contradictions librdkafka would report only when the client is made', () => {
  const cases: readonly (readonly [ClientKind, LibrdkafkaSettings, RegExp])[] = [
    ['consumer', { 'session.timeout.ms': 60_000, 'max.poll.interval.ms': 30_000 }, /max\.poll\.interval\.ms \(30000\) >= session/],
    ['consumer', { 'fetch.max.bytes': 1000 }, /fetch\.max\.bytes \(1000\) >= message\.max\.bytes \(1000000\)/],
    ['consumer', { 'fetch.max.bytes': 2e6, 'receive.message.max.bytes': 2e6 }, /receive\.message\.max\.bytes .* \+ 512/],
    ['consumer', { 'reconnect.backoff.ms': 20_000 }, /reconnect\.backoff\.max\.ms/],
    ['producer', { 'enable.idempotence': true, acks: 1 }, /acks to be all/],
    ['producer', { 'enable.idempotence': true, 'max.in.flight.requests.per.connection': 6 }, /max\.in\.flight to be at most 5/],
    ['producer', { 'enable.idempotence': true, retries: 0 }, /retries/],
    ['producer', { 'enable.idempotence': true, 'queuing.strategy': 'lifo' }, /queuing\.strategy/],
    ['producer', { 'enable.idempotence': true, 'queue.buffering.backpressure.threshold': 2 }, /threshold/],
    ['producer', { 'enable.gapless.guarantee': true }, /gapless/],
    ['producer', { 'transactional.id': 't', 'enable.idempotence': false }, /transactional\.id/],
    ['producer', { 'transactional.id': 't', 'message.timeout.ms': 70_000 }, /transaction\.timeout\.ms/],
    ['producer', { 'transactional.id': 't', 'transaction.timeout.ms': 10_000, 'socket.timeout.ms': 11_000 }, /socket\.timeout\.ms - 100/],
    ['producer', { 'linger.ms': 500, 'message.timeout.ms': 500 }, /message\.timeout\.ms \(500\) > linger/],
  ];
  for (const [kind, settings, pattern] of cases) {
    const faults = faultsFor(kind, settings);
    assert.equal(faults.length, 1, faults.join('; '));
    assert.match(faults[0] ?? '', pattern);
  }
  assert.deepEqual(faultsFor('producer', { 'enable.idempotence': true, acks: '-1', 'max.in.flight': 5, retries: 1 }), []);
});

test('suggests the name that was meant, and none when nothing is near', () => {
  for (const [typed, meant] of [
    ['bootstrap.server', 'bootstrap.servers'],
    ['linger_ms', 'linger.ms'],
    ['Group.Id', 'group.id'],
    ['sesion.timeout.ms', 'session.timeout.ms'],
    ['sasl.pasword', 'sasl.password'],
  ] as const) {
    assert.equal(suggestLibrdkafkaKey(typed), meant);
  }
  for (const typed of ['xyzzy', '', '__proto__', 'constructor', 'x'.repeat(500)])
    assert.equal(suggestLibrdkafkaKey(typed), undefined, typed);
  assert.match(checkSetting('sasl.jaas.config', 'x').fault ?? '', /Java clients: use sasl\.username/);
});

test('names of Object.prototype are unknown settings', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.equal(findLibrdkafkaKey(name), undefined);
    assert.equal(faultsFor('consumer', JSON.parse(`{${JSON.stringify(name)}: 1}`) as Record<string, unknown>).length, 1, name);
  }
  assert.equal(findLibrdkafkaKeyFolded('SASL_OAUTHBEARER_CONFIG')?.name, 'sasl.oauthbearer.config');
  assert.equal(findLibrdkafkaKeyFolded('ENABLED_EVENTS')?.name, 'enabled_events');
});

test('whatever is given, the result is a configuration or a ConfigError', () => {
  const name = fc.oneof(fc.string(), fc.constantFrom(...librdkafkaKeys.map((key) => key.name)));
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.dictionary(name, fc.anything()), (kind, settings) => {
      assert.ok(Array.isArray(faultsFor(kind, settings)));
    }),
    { numRuns: 2000 },
  );
});

test('a later layer wins over an earlier one under any name of the same setting', () => {
  const merged = mergeSettings({ 'fetch.message.max.bytes': 1, 'client.id': 'a' }, undefined, { 'max.partition.fetch.bytes': '2' });
  assert.deepEqual(merged, { 'client.id': 'a', 'max.partition.fetch.bytes': 2 });
});

test('the settings of both clients come from the variables and pass librdkafka', () => {
  const vars = parseRuntimeVars({ APP_NAME: 'app', HOSTNAME: 'pod-1', KAFKA_BOOTSTRAP_SERVERS: 'a:9092, b:9092' });
  const consumer = consumerSettings(vars);
  assert.equal(consumer['group.id'], 'app');
  assert.equal(consumer['client.id'], 'app');
  assert.equal(consumer['group.instance.id'], 'pod-1');
  assert.equal(consumer['bootstrap.servers'], 'a:9092,b:9092');
  assert.equal(consumer['enable.auto.offset.store'], false);
  assert.equal(consumer['enable.partition.eof'], false);
  assert.equal(consumer['max.poll.interval.ms'], 120_000);
  assert.equal(consumer['group.protocol'], undefined);
  const routed = routeConfig('consumer', consumer);
  assert.deepEqual(routed.topic, { 'auto.offset.reset': 'earliest' });
  assert.equal(refusal('consumer', routed.global, routed.topic), undefined);
  const producer = routeConfig('producer', producerSettings(vars));
  assert.deepEqual(producer.topic, { acks: 'all', partitioner: 'murmur2_random', 'message.timeout.ms': 300_000 });
  assert.equal(producer.global['group.id'], undefined);
  assert.equal(refusal('producer', producer.global, producer.topic), undefined);
});

test('overrides win over RDKAFKA variables, and those over the other variables', () => {
  const env = { APP_NAME: 'app', HOSTNAME: 'pod', KAFKA_BOOTSTRAP_SERVERS: 'a:9092', RDKAFKA_QUEUE_BUFFERING_MAX_MS: '7' };
  const vars = parseRuntimeVars({ ...env, PRODUCER_LINGER_MS: '6', RDKAFKA_FETCH_MIN_BYTES: '9' });
  assert.equal(producerSettings(vars)['queue.buffering.max.ms'], 7);
  assert.equal(producerSettings(vars)['linger.ms'], undefined);
  assert.equal(producerSettings(vars)['fetch.min.bytes'], undefined);
  assert.equal(producerSettings(vars, { 'linger.ms': 8 })['linger.ms'], 8);
  assert.equal(consumerSettings(vars)['fetch.min.bytes'], 9);
  assert.equal(consumerSettings(vars, { 'enable.partition.eof': true })['enable.partition.eof'], true);
  assert.ok(!('group.instance.id' in consumerSettings(vars, { 'group.instance.id': '' })));
  assert.match(faultsOf(() => consumerSettings(vars, { 'enable.auto.offset.store': true }))[0] ?? '', /acknowledged/);
});

test('a client without brokers or group names the variable to set; the mock cluster brings its own brokers', () => {
  const vars = parseRuntimeVars({});
  const faults = faultsOf(() => consumerSettings(vars, { 'fetch.min.byte': 1 }));
  assert.equal(faults.length, 3);
  assert.match(faults[0] ?? '', /KAFKA_BOOTSTRAP_SERVERS/);
  assert.match(faults[1] ?? '', /APP_NAME.*groupId/);
  assert.match(faults[2] ?? '', /did you mean fetch\.min\.bytes\?/);
  assert.match(faultsOf(() => producerSettings(vars))[0] ?? '', /KAFKA_BOOTSTRAP_SERVERS/);
  producerSettings(vars, { 'test.mock.num.brokers': 3 });
  producerSettings(vars, { 'metadata.broker.list': 'a:9092' });
});

test('in a transaction the delivery timeout is capped, unless it was asked for by its librdkafka name', () => {
  const vars = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: 'a:9092' });
  assert.equal(producerSettings(vars, { 'transactional.id': 't' })['message.timeout.ms'], 60_000);
  const longer = producerSettings(vars, { 'transactional.id': 't', 'transaction.timeout.ms': 600_000 });
  assert.equal(longer['message.timeout.ms'], 300_000);
  assert.match(
    faultsOf(() => producerSettings(vars, { 'transactional.id': 't', 'delivery.timeout.ms': 70_000 }))[0] ?? '',
    /transaction\.timeout\.ms/,
  );
});
