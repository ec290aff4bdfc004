import { nativeStatus } from '../binding/packed.ts';
import { Consumer } from '../client/consumer.ts';
import { Producer } from '../client/producer.ts';
import { type TokenProvider, TokenRefresher } from '../client/token-refresher.ts';
import { consumerSettings } from '../config/consumer-config.ts';
import { type LibrdkafkaSettings, routeConfig, settingValue } from '../config/librdkafka-config.ts';
import { findLibrdkafkaKey } from '../config/librdkafka-keys.ts';
import { producerSettings } from '../config/producer-config.ts';
import { checkTlsFiles } from '../config/security.ts';
import { ConfigError } from '../errors.ts';
import { parseRuntimeVars, type RuntimeVars } from '../runtime-vars.ts';
import {
  type Deserializer,
  type HeadersDeserializer,
  type RecordHeader,
  rawDeserializer,
  rawSerializer,
  type Serializer,
} from '../serde.ts';
import { publishConsumerEvents, publishProducerEvents } from './diagnostics.ts';
import type { FailureVars } from './failure-options.ts';
import { OffsetManager } from './offset-manager.ts';
import { watchForStalls } from './stall-watchdog.ts';

/** Options both clients take. */
export interface ClientOptions {
  /** @default parseRuntimeVars() — the process's environment */
  readonly vars?: RuntimeVars | undefined;
  /** Any librdkafka key; wins over the runtime variables. Keys are routed to the global or the topic configuration. */
  readonly config?: LibrdkafkaSettings | undefined;
  /** How long to wait for a first answer from a broker, in milliseconds. @default CONNECT_TIMEOUT_SECONDS */
  readonly connectTimeoutMs?: number | undefined;
  /** Aborts connecting. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Gives the tokens for `SASL_MECHANISM=OAUTHBEARER`: the first before connecting, the next ones well before they expire.
   *
   * @example
   * tokenProvider: async ({ signal }) => ({ value: await fetchToken({ signal }) })
   */
  readonly tokenProvider?: TokenProvider | undefined;
}

/** What a consumer is made with. `K`, `V` and `H` are what its deserializers give: without them, bytes and a list of headers. */
export interface ConsumerOptions<K = Buffer | null, V = Buffer | null, H = readonly RecordHeader[]> extends ClientOptions {
  /** Names, or a regular expression that starts with `^`. @default CONSUME_TOPICS */
  readonly topics?: readonly string[] | undefined;
  /** @default APP_NAME */
  readonly groupId?: string | undefined;
  /** @default raw bytes */
  readonly keyDeserializer?: Deserializer<K> | undefined;
  /** @default raw bytes */
  readonly valueDeserializer?: Deserializer<V> | undefined;
  /** @default the list of headers as sent */
  readonly headersDeserializer?: HeadersDeserializer<H> | undefined;
  /**
   * The producers this consumer's outputs go to: offsets wait for what they have produced. @default every producer of the
   * process that is open
   */
  readonly producers?: readonly Producer<never, never>[] | undefined;
  /** What to do when a topic does not exist: fail to connect, or wait until it does. @default 'fail' */
  readonly missingTopics?: 'fail' | 'wait' | undefined;
  /**
   * What to do when nothing comes for `CONSUMER_STALL_TIMEOUT_SECONDS` although the partitions hold records: emit `stalled`, or leave
   * the group and join it again as well. @default 'report'
   */
  readonly onStall?: 'report' | 'rejoin' | undefined;
}

/** What a producer is made with. `K` and `V` are what its serializers take: without them, bytes or text. */
export interface ProducerOptions<K = Uint8Array | string | null, V = Uint8Array | string | null> extends ClientOptions {
  /** @default bytes or UTF-8 text as they are */
  readonly keySerializer?: Serializer<K> | undefined;
  /** @default bytes or UTF-8 text as they are */
  readonly valueSerializer?: Serializer<V> | undefined;
}

const openProducers = new Set<Producer<never, never>>();
const managers = new WeakMap<object, OffsetManager>();
const failureVars = new WeakMap<object, FailureVars>();
/** `group.instance.id`s in use here: a second consumer of a group must not fence the first. */
const instanceIds = new Set<string>();

/** @internal The offset manager of a consumer. */
export function offsetManagerOf(consumer: Consumer<unknown, unknown, unknown>): OffsetManager {
  const manager = managers.get(consumer);
  if (manager === undefined) throw new TypeError('Expected a consumer made by createConsumer or createAvroConsumer');
  return manager;
}

/** @internal What the runtime variables of a consumer say of failures. */
export function failureVarsOf(consumer: Consumer<unknown, unknown, unknown>): FailureVars {
  const vars = failureVars.get(consumer);
  if (vars === undefined) throw new TypeError('Expected a consumer made by createConsumer or createAvroConsumer');
  return vars;
}

/**
 * Connects a consumer and joins its group. Configured by the runtime variables, then `config`.
 *
 * @throws ConfigError with every fault of the configuration
 * @throws ConnectError when no broker answers in time, the sign-in is refused, or a topic does not exist
 * @example
 * const consumer = await createConsumer({ topics: ['orders'], valueDeserializer: jsonDeserializer<Order>() });
 */
export async function createConsumer<K = Buffer | null, V = Buffer | null, H = readonly RecordHeader[]>(
  options: ConsumerOptions<K, V, H> = {},
): Promise<Consumer<K, V, H>> {
  const vars = options.vars ?? parseRuntimeVars();
  const topics = options.topics ?? vars.CONSUME_TOPICS;
  if (topics.length === 0 || topics.some((topic) => topic === '')) {
    throw new ConfigError(['Expected at least one topic to consume: set CONSUME_TOPICS or pass topics']);
  }
  checkTlsFiles(vars);
  const settings = consumerSettings(vars, {
    // A topic that is waited for is looked for often; librdkafka's default is five minutes.
    ...(options.missingTopics === 'wait' ? { 'topic.metadata.refresh.interval.ms': 2_000 } : {}),
    ...(options.groupId === undefined ? {} : { 'group.id': options.groupId }),
    ...options.config,
  });
  const instanceId = takeInstanceId(settings);
  if (instanceId !== undefined) settings['group.instance.id'] = instanceId;
  try {
    const consumer = new Consumer<K, V, H>({
      topics: [...topics],
      groupId: String(settings['group.id']),
      config: routeConfig('consumer', settings),
      source: chooseSource(vars.RDKAFKA_TOOLKIT_NATIVE),
      decoders: {
        key: options.keyDeserializer ?? (rawDeserializer as Deserializer<K & null>),
        value: options.valueDeserializer ?? (rawDeserializer as Deserializer<V & null>),
        headers: options.headersDeserializer,
      },
      bootstrapServers: String(settings['bootstrap.servers'] ?? 'the mock cluster'),
      prefetchRecords: vars.CONSUMER_PREFETCH_COUNT,
      pollTimeoutMs: vars.CONSUMER_POLL_TIMEOUT * 1000,
      batchCount: vars.CONSUMER_BATCH_COUNT,
      batchTimeoutMs: vars.CONSUMER_BATCH_TIMEOUT_SECONDS * 1000,
      minimumAgeMs: vars.TIMESTAMP_OFFSET_MINUTES * 60_000,
      autoCommit: String(settings['enable.auto.commit']) !== 'false',
      connectTimeoutMs: options.connectTimeoutMs ?? vars.CONNECT_TIMEOUT_SECONDS * 1000,
      shutdownTimeoutMs: vars.SHUTDOWN_TIMEOUT_SECONDS * 1000,
      maxPollIntervalMs: Number(effectiveValue(settings, 'max.poll.interval.ms')),
      missingTopics: options.missingTopics ?? 'fail',
      tokens: tokenRefresher(settings, options.tokenProvider),
    });
    if (instanceId !== undefined) consumer.once('closed', () => instanceIds.delete(instanceId));
    publishConsumerEvents(consumer);
    const { producers } = options;
    const manager = new OffsetManager(consumer, () => producers ?? openProducers, {
      maxInFlightRecords: vars.CONSUMER_MAX_IN_FLIGHT_RECORDS,
      maxInFlightBytes: vars.CONSUMER_MAX_IN_FLIGHT_MB * 1_048_576,
      drainTimeoutMs: vars.CONSUMER_DRAIN_TIMEOUT_SECONDS * 1000,
      startsAtEnd: ['latest', 'largest', 'end'].includes(String(effectiveValue(settings, 'auto.offset.reset'))),
    });
    managers.set(consumer, manager);
    failureVars.set(consumer, vars);
    await consumer.connect(manager, options.signal);
    const stallTimeoutMs = vars.CONSUMER_STALL_TIMEOUT_SECONDS * 1000;
    if (stallTimeoutMs > 0) watchForStalls(consumer, manager, { stallTimeoutMs, onStall: options.onStall ?? 'report' });
    return consumer;
  } catch (error) {
    if (instanceId !== undefined) instanceIds.delete(instanceId);
    throw error;
  }
}

/** `RDKAFKA_TOOLKIT_NATIVE`: what was asked for, as far as it can be had. */
export function chooseSource(mode: RuntimeVars['RDKAFKA_TOOLKIT_NATIVE']): 'portable' | 'packed' {
  if (mode === 'off') return 'portable';
  const { available, reason } = nativeStatus();
  if (available) return 'packed';
  if (mode === 'on') throw new ConfigError([`Expected the packed addon for RDKAFKA_TOOLKIT_NATIVE=on: ${reason}`]);
  return 'portable';
}

/** How librdkafka gets the token for OAUTHBEARER by itself, where it does. */
function ownTokens(settings: LibrdkafkaSettings): boolean {
  const oidc = settingValue(settings, 'sasl.oauthbearer.method') === 'oidc';
  return oidc || String(settingValue(settings, 'enable.sasl.oauthbearer.unsecure.jwt')) === 'true';
}

function usesOAuthBearer(settings: LibrdkafkaSettings): boolean {
  const signsIn = String(settingValue(settings, 'security.protocol') ?? '')
    .toLowerCase()
    .startsWith('sasl');
  return signsIn && String(settingValue(settings, 'sasl.mechanism') ?? '').toUpperCase() === 'OAUTHBEARER';
}

/** @throws ConfigError when OAUTHBEARER has no source of tokens, or a source no use */
function tokenRefresher(settings: LibrdkafkaSettings, provider: TokenProvider | undefined): TokenRefresher | undefined {
  if (!usesOAuthBearer(settings)) {
    if (provider === undefined) return undefined;
    throw new ConfigError(['Expected USE_SASL=true and SASL_MECHANISM=OAUTHBEARER with a tokenProvider: nothing else takes tokens']);
  }
  if (provider !== undefined) return new TokenRefresher(provider);
  if (ownTokens(settings)) return undefined;
  throw new ConfigError([
    'Expected a source of tokens with SASL_MECHANISM=OAUTHBEARER: pass tokenProvider, or let librdkafka ask by OIDC ' +
      '(RDKAFKA_SASL_OAUTHBEARER_METHOD=oidc and the sasl.oauthbearer.* settings that go with it)',
  ]);
}

/**
 * As {@link chooseSource}. Reports are taken from librdkafka's main queue, where its own OAUTHBEARER sign-in looks for its token: with
 * that, node-rdkafka keeps serving the queue.
 */
function chooseSink(mode: RuntimeVars['RDKAFKA_TOOLKIT_NATIVE'], settings: LibrdkafkaSettings): 'portable' | 'packed' {
  return usesOAuthBearer(settings) && ownTokens(settings) ? 'portable' : chooseSource(mode);
}

/** What librdkafka will use for a key: as set, else its default. */
function effectiveValue(settings: LibrdkafkaSettings, key: string): string | number | boolean | undefined {
  return settingValue(settings, key) ?? findLibrdkafkaKey(key)?.default;
}

/** `HOSTNAME` names the first consumer of a group in this process; the next ones get `-2`, `-3` … */
function takeInstanceId(settings: Readonly<Record<string, string | number | boolean>>): string | undefined {
  const wanted = settings['group.instance.id'];
  if (wanted === undefined || wanted === '') return undefined;
  for (let number = 1; ; number++) {
    const id = number === 1 ? String(wanted) : `${wanted}-${number}`;
    if (instanceIds.has(id)) continue;
    instanceIds.add(id);
    return id;
  }
}

/**
 * Connects a producer. Configured by the runtime variables, then `config`.
 *
 * @throws ConfigError with every fault of the configuration
 * @throws ConnectError when no broker answers in time or the sign-in is refused
 * @example
 * const producer = await createProducer();
 * await producer.send({ topic: 'orders', key: 'a', value: JSON.stringify(order) });
 */
export async function createProducer<K = Uint8Array | string | null, V = Uint8Array | string | null>(
  options: ProducerOptions<K, V> = {},
): Promise<Producer<K, V>> {
  const vars = options.vars ?? parseRuntimeVars();
  checkTlsFiles(vars);
  const settings = producerSettings(vars, options.config);
  const limit = (key: string): number => Number(effectiveValue(settings, key));
  const transactional = (settingValue(settings, 'transactional.id') ?? '') !== '';
  const queueMaxBytes = limit('queue.buffering.max.kbytes') * 1024;
  const producer = new Producer<K, V>({
    config: routeConfig('producer', settings),
    sink: chooseSink(vars.RDKAFKA_TOOLKIT_NATIVE, settings),
    // librdkafka takes 0 for no limit.
    queueMaxRecords: limit('queue.buffering.max.messages') || Number.POSITIVE_INFINITY,
    queueMaxBytes,
    // One that is larger than the whole queue would wait for ever.
    recordMaxBytes: Math.min(limit('message.max.bytes'), queueMaxBytes),
    bootstrapServers: String(settings['bootstrap.servers'] ?? 'the mock cluster'),
    keySerializer: options.keySerializer ?? (rawSerializer as Serializer<unknown> as Serializer<K>),
    valueSerializer: options.valueSerializer ?? (rawSerializer as Serializer<unknown> as Serializer<V>),
    connectTimeoutMs: options.connectTimeoutMs ?? vars.CONNECT_TIMEOUT_SECONDS * 1000,
    queueFullTimeoutMs: vars.PRODUCER_QUEUE_FULL_TIMEOUT_SECONDS * 1000,
    shutdownTimeoutMs: vars.SHUTDOWN_TIMEOUT_SECONDS * 1000,
    idempotent: transactional || effectiveValue(settings, 'enable.idempotence') === true,
    transactionTimeoutMs: transactional ? limit('transaction.timeout.ms') : undefined,
    tokens: tokenRefresher(settings, options.tokenProvider),
  });
  publishProducerEvents(producer);
  await producer.connect(options.signal);
  // What a transaction produces is committed with its own offsets: no other consumer's wait for it.
  if (transactional) return producer;
  openProducers.add(producer);
  // A producer that failed a record, or did not put one aside, keeps holding offsets after it is closed: what it lost stays lost.
  producer.once('closed', () => {
    if (producer.acknowledgedSequence() === Number.MAX_SAFE_INTEGER) openProducers.delete(producer);
  });
  return producer;
}
