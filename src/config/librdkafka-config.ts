import { ConfigError } from '../errors.ts';
import {
  type ClientKind,
  canonicalKeyName,
  findLibrdkafkaKey,
  type LibrdkafkaKey,
  type LibrdkafkaValue,
  suggestLibrdkafkaKey,
} from './librdkafka-keys.ts';
import { redactText } from './redact.ts';

/** librdkafka's settings by name, global and topic ones together; `routeConfig` parts them. */
export type LibrdkafkaSettings = Readonly<Record<string, LibrdkafkaValue>>;

/** The two arguments of a node-rdkafka client's constructor. */
export interface RoutedConfig {
  readonly global: Record<string, LibrdkafkaValue>;
  readonly topic: Record<string, LibrdkafkaValue>;
}

/** A setting as librdkafka takes it, or what is wrong with it. */
export type CheckedSetting = { readonly value: LibrdkafkaValue; readonly fault?: undefined } | { readonly fault: string };

const minInt32 = -(2 ** 31);
const maxInt32 = 2 ** 31 - 1;

/** Settings that belong to the toolkit whatever their value. */
const ownedKeys: ReadonlyMap<string, string> = new Map([
  ['rebalance_cb', 'the consumer answers rebalances itself; listen to its events'],
  ['offset_commit_cb', 'the consumer follows its commits itself; listen to its events'],
  ['dr_cb', 'the producer reads every delivery report itself; each send gives a promise'],
  ['dr_msg_cb', 'the producer reads every delivery report itself; each send gives a promise'],
  ['event_cb', 'the client reads every event itself; listen to its events'],
  ['consume_cb', 'the consumer takes records in batches'],
  ['partitioner_cb', 'librdkafka would call JavaScript from its own threads; set partitioner or the partition of a record'],
  ['opaque', 'it tells the toolkit which record a delivery report is for'],
  ['default_topic_conf', 'the toolkit makes it of the topic settings given'],
  ['enabled_events', 'the toolkit chooses which events it reads'],
  ['auto.commit.enable', 'it works for the legacy simple consumer only; set enable.auto.commit'],
]);

/** Settings of which only some values keep the toolkit's promises. */
const ownedValues: ReadonlyMap<string, readonly [allowed: LibrdkafkaValue, reason: string]> = new Map([
  ['enable.auto.offset.store', [false, 'an offset is stored only when its outputs are acknowledged']],
  ['delivery.report.only.error', [false, 'without reports of success no offset would ever be stored']],
  ['log.queue', [false, 'log lines would pile up in a queue that nobody reads']],
  ['group.protocol', ['classic', 'rebalances under the consumer protocol are not supported with librdkafka 2.12']],
  ['offset.store.method', ['broker', 'offsets in files are lost with the machine']],
]);

/** Names of Kafka's Java clients that librdkafka has under another name or not at all. */
const javaKeys: ReadonlyMap<string, string> = new Map([
  ['ssl.truststore.location', 'use ssl.ca.location with a PEM file'],
  ['ssl.truststore.password', 'use ssl.ca.location with a PEM file'],
  ['sasl.jaas.config', 'use sasl.username and sasl.password'],
  ['key.serializer', 'pass serializers to the client'],
  ['value.serializer', 'pass serializers to the client'],
  ['key.deserializer', 'pass deserializers to the client'],
  ['value.deserializer', 'pass deserializers to the client'],
  ['max.poll.records', 'set CONSUMER_PREFETCH_COUNT'],
  ['buffer.memory', 'use queue.buffering.max.kbytes'],
  ['fetch.max.wait.ms', 'use fetch.wait.max.ms'],
]);

/**
 * Parts settings into the global and the topic configuration of a client, by librdkafka's own table: node-rdkafka silently drops a
 * topic setting that stands among the global ones. Every value is checked; text becomes the number or boolean it means, and a
 * number beyond 32 bits or with a fraction becomes text, because node-rdkafka converts no other numbers.
 *
 * @param source what the settings are called in a fault
 * @throws ConfigError with every fault at once
 * @example
 * routeConfig('consumer', { 'group.id': 'g', 'auto.offset.reset': 'earliest' });
 * // { global: { 'group.id': 'g' }, topic: { 'auto.offset.reset': 'earliest' } }
 */
export function routeConfig(kind: ClientKind, settings: LibrdkafkaSettings, source?: string): RoutedConfig {
  const faults = settingFaults(kind, settings, source);
  if (faults.length > 0) throw new ConfigError(faults);
  const routed: RoutedConfig = { global: {}, topic: {} };
  for (const [name, value] of givenSettings(settings)) {
    const checked = checkSetting(name, value);
    if (checked.fault === undefined) routed[findLibrdkafkaKey(name)!.scope][name] = checked.value; // settingFaults found the key
  }
  return routed;
}

/** Everything wrong with the settings of a client, a sentence each; empty when librdkafka will take them. */
export function settingFaults(kind: ClientKind, settings: LibrdkafkaSettings, source: string = `${kind} settings`): string[] {
  const faults: string[] = [];
  const spelled = new Map<string, string>();
  for (const [name, value] of givenSettings(settings)) {
    const checked = checkSetting(name, value);
    if (checked.fault !== undefined) {
      faults.push(`${source}: ${checked.fault}`);
      continue;
    }
    const key = findLibrdkafkaKey(name)!; // checkSetting refuses unknown names
    if (key.applies !== 'both' && key.applies !== kind) {
      faults.push(`${source}: Setting ${name} is for a ${key.applies}, not for a ${kind}`);
    }
    const canonical = canonicalKeyName(name);
    const twin = spelled.get(canonical);
    if (twin !== undefined) faults.push(`${source}: Expected only one of ${twin} and ${name}: they are the same setting`);
    spelled.set(canonical, name);
  }
  return faults.length > 0 ? faults : relationFaults(kind, settings).map((fault) => `${source}: ${fault}`);
}

/** A value as librdkafka will take it for this setting; a fault for unknown names, wrong values and what belongs to the toolkit. */
export function checkSetting(name: string, value: unknown): CheckedSetting {
  const owned = ownedKeys.get(name);
  if (owned !== undefined) return { fault: `Setting ${name} cannot be set: ${owned}` };
  const key = findLibrdkafkaKey(name);
  if (key === undefined) return { fault: unknownSetting(name) };
  if (key.kind === 'callback') return { fault: `Setting ${name} cannot be set: librdkafka takes it from C code only` };
  const converted = convertValue(key, value);
  if (converted === undefined) {
    const got = key.sensitive === true ? '' : `, got ${describeValue(value)}`;
    return { fault: `Expected ${name} to be ${describeKind(key)}${got}` };
  }
  const limited = ownedValues.get(name);
  if (limited !== undefined && converted !== limited[0]) {
    return { fault: `Expected ${name} to be ${limited[0]}, got ${describeValue(value)}: ${limited[1]}` };
  }
  return { value: converted };
}

/** The fault for a name librdkafka does not have, with the name that was probably meant. */
export function unknownSetting(name: string): string {
  const java = javaKeys.get(name);
  if (java !== undefined) return `Setting ${name} is one of Kafka's Java clients: ${java}`;
  const near = suggestLibrdkafkaKey(name);
  return `Unknown librdkafka setting ${JSON.stringify(name)}${near === undefined ? '' : `; did you mean ${near}?`}`;
}

/**
 * Lays settings over each other, the last one wins; a name and its alias are the same setting, so `max.partition.fetch.bytes` wins
 * over an earlier `fetch.message.max.bytes`. Values that are right are normalised (`"true"` becomes `true`), wrong ones kept for
 * {@link routeConfig} to report.
 */
export function mergeSettings(...layers: readonly (LibrdkafkaSettings | undefined)[]): Record<string, LibrdkafkaValue> {
  const merged = new Map<string, LibrdkafkaValue>();
  for (const layer of layers) {
    const given = givenSettings(layer ?? {});
    const replaced = new Set(given.map(([name]) => canonicalKeyName(name)));
    for (const name of [...merged.keys()]) {
      if (replaced.has(canonicalKeyName(name))) merged.delete(name);
    }
    for (const [name, value] of given) {
      const checked = checkSetting(name, value);
      merged.set(name, checked.fault === undefined ? checked.value : value);
    }
  }
  return Object.fromEntries(merged);
}

/** Looks a setting up under its own name and those of its aliases. */
export function settingValue(settings: LibrdkafkaSettings, name: string): LibrdkafkaValue | undefined {
  const canonical = canonicalKeyName(name);
  return givenSettings(settings).find(([other]) => canonicalKeyName(other) === canonical)?.[1];
}

/** An undefined value counts as not given: what JavaScript callers and optional fields produce. */
function givenSettings(settings: LibrdkafkaSettings): [string, LibrdkafkaValue][] {
  return Object.entries(settings).filter(([, value]) => value !== undefined);
}

/** Gives a setting's value, undefined when it was left to its default (which librdkafka adjusts to the others). */
type Given = (name: string) => LibrdkafkaValue | undefined;

/** What librdkafka itself refuses when it makes the client (`rd_kafka_conf_finalize`), said before it is made. */
function relationFaults(kind: ClientKind, settings: LibrdkafkaSettings): string[] {
  const own = new Map<string, LibrdkafkaValue>();
  for (const [name, value] of givenSettings(settings)) {
    const checked = checkSetting(name, value);
    if (checked.fault === undefined) own.set(canonicalKeyName(name), checked.value);
  }
  const given: Given = (name) => own.get(canonicalKeyName(name));
  const rules = kind === 'consumer' ? consumerRules(given) : producerRules(given);
  const retries = atLeast(given, 'reconnect.backoff.max.ms', 'reconnect.backoff.ms');
  return [...rules, retries].filter((fault) => fault !== undefined);
}

function consumerRules(given: Given): (string | undefined)[] {
  const fetchGiven = given('fetch.max.bytes') !== undefined;
  return [
    atLeast(given, 'max.poll.interval.ms', 'session.timeout.ms'),
    fetchGiven ? atLeast(given, 'fetch.max.bytes', 'message.max.bytes') : undefined,
    fetchGiven && given('receive.message.max.bytes') !== undefined
      ? atLeast(given, 'receive.message.max.bytes', 'fetch.max.bytes', 512)
      : undefined,
  ];
}

function producerRules(given: Given): (string | undefined)[] {
  const transactional = given('transactional.id') !== undefined;
  const timeout = numberOf(given, 'message.timeout.ms');
  const linger = numberOf(given, 'linger.ms');
  const rules = [
    timeout !== 0 && timeout <= linger && given('linger.ms') !== undefined
      ? `Expected message.timeout.ms (${timeout}) > linger.ms (${linger})`
      : undefined,
  ];
  if (transactional) {
    rules.push(
      given('enable.idempotence') === false ? 'Expected enable.idempotence to be true with a transactional.id' : undefined,
      given('message.timeout.ms') === undefined ? undefined : atLeast(given, 'transaction.timeout.ms', 'message.timeout.ms'),
      given('socket.timeout.ms') === undefined ? undefined : atLeast(given, 'transaction.timeout.ms', 'socket.timeout.ms', -100),
    );
  }
  if (transactional || given('enable.idempotence') === true) return [...rules, ...idempotenceRules(given)];
  const gapless = given('enable.gapless.guarantee') === true;
  return [...rules, gapless ? 'Expected enable.idempotence to be true with enable.gapless.guarantee' : undefined];
}

function idempotenceRules(given: Given): (string | undefined)[] {
  const allowed: readonly [name: string, holds: (value: LibrdkafkaValue) => boolean, expectation: string][] = [
    ['acks', (value) => value === -1 || value === 'all', 'all'],
    ['max.in.flight', (value) => Number(value) <= 5, 'at most 5'],
    ['retries', (value) => Number(value) >= 1, 'at least 1'],
    ['queuing.strategy', (value) => value === 'fifo', 'fifo'],
    ['queue.buffering.backpressure.threshold', (value) => value === 1, '1'],
  ];
  return allowed.map(([name, holds, expectation]) => {
    const value = given(name);
    return value === undefined || holds(value) ? undefined : `Expected ${name} to be ${expectation} with enable.idempotence, got ${value}`;
  });
}

function numberOf(given: Given, name: string): number {
  return Number(given(name) ?? findLibrdkafkaKey(name)?.default);
}

function atLeast(given: Given, name: string, other: string, more: number = 0): string | undefined {
  const [value, least] = [numberOf(given, name), numberOf(given, other) + more];
  const sum = more === 0 ? other : `${other} ${more < 0 ? '-' : '+'} ${Math.abs(more)}`;
  return value >= least ? undefined : `Expected ${name} (${value}) >= ${sum} (${least})`;
}

/** Undefined when the value is not one of the key's. */
function convertValue(key: LibrdkafkaKey, value: unknown): LibrdkafkaValue | undefined {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return undefined;
  const text = String(value).trim();
  if (key.kind === 'integer' || key.kind === 'float') return typeof value === 'boolean' ? undefined : convertNumber(key, text);
  if (key.kind === 'boolean') {
    if (/^(?:true|t|1)$/i.test(text)) return true;
    return /^(?:false|f|0)$/i.test(text) ? false : undefined;
  }
  if (typeof value === 'boolean' || text.includes('\0')) return undefined; // a NUL would cut the text short in C
  if (key.kind === 'enum') return key.values?.find((name) => name.toLowerCase() === text.toLowerCase());
  if (key.kind === 'flags' && key.values !== undefined) {
    const known = text.split(',').every((flag) => key.values?.includes(flag.trim().replace(/^[+-]/, '').toLowerCase()));
    return known || text === '' ? text : undefined;
  }
  return typeof value === 'string' ? value : convertText(value);
}

/** A decimal only: librdkafka would read `010` as eight and `10 seconds` as ten. */
function convertNumber(key: LibrdkafkaKey, text: string): LibrdkafkaValue | undefined {
  const name = key.values?.find((candidate) => candidate === text.toLowerCase());
  if (name !== undefined) return name;
  const pattern = key.kind === 'integer' ? /^[+-]?\d+$/ : /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
  const number = pattern.test(text) ? Number(text) : Number.NaN;
  const inRange = number >= (key.min ?? -Infinity) && number <= (key.max ?? Infinity);
  return inRange ? convertText(number) : undefined;
}

/** node-rdkafka's `Conf::create` converts 32-bit integers; any other number it takes for a string, unchecked. */
function convertText(number: number): LibrdkafkaValue | undefined {
  if (!Number.isFinite(number)) return undefined;
  // Adding 0 makes 0 of -0.
  return Number.isInteger(number) && number >= minInt32 && number <= maxInt32 ? number + 0 : String(number);
}

function describeKind(key: LibrdkafkaKey): string {
  if (key.kind === 'boolean') return 'true or false';
  if (key.kind === 'enum') return `one of ${key.values?.join(', ')}`;
  if (key.kind === 'flags') return `a list of ${key.values?.join(', ')}`;
  if (key.kind === 'string' || key.kind === 'list') return 'text';
  const names = key.values === undefined ? '' : ` or ${key.values.join(', ')}`;
  return `${key.kind === 'integer' ? 'an integer' : 'a number'} from ${key.min} to ${key.max}${names}`;
}

/** The caller keeps back sensitive settings as a whole. */
function describeValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(redactText(value, []));
  return typeof value === 'number' || typeof value === 'boolean' || value === null ? String(value) : `a value of type ${typeof value}`;
}
