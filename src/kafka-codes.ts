/** The librdkafka error numbers this package branches on (rdkafka.h, `rd_kafka_resp_err_t`). Negative ones are local to the client. */
export const kafkaCodes = {
  messageSizeTooLarge: 10,
  topicAuthorizationFailed: 29,
  topicAlreadyExists: 36,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  unknownTopicOrPartition: 3,
  fencedInstanceId: 82,
  invalidProducerEpoch: 47,
  producerFenced: 90,
  saslAuthenticationFailed: 58,
  destroyed: -197,
  transport: -195,
  allBrokersDown: -187,
  unknownTopic: -188,
  unknownPartition: -190,
  resolve: -193,
  queueFull: -184,
  timedOut: -185,
  messageTimedOut: -192,
  ssl: -181,
  assignPartitions: -175,
  revokePartitions: -174,
  state: -172,
  authentication: -169,
  unsupportedFeature: -165,
  noOffset: -168,
  fatal: -150,
  maxPollExceeded: -147,
  purgeQueue: -152,
  purgeInflight: -151,
  fenced: -144,
} as const;

const retriable: ReadonlySet<number> = new Set([
  // Broker: leader or coordinator moving, replicas not in sync, throttled.
  2,
  5,
  6,
  7,
  8,
  9,
  13,
  14,
  15,
  16,
  19,
  20,
  27,
  51,
  56,
  60,
  71,
  72,
  74,
  75,
  80,
  // Local: transport, all brokers down, timeouts, queue full, name resolution, max.poll exceeded (a rejoin follows).
  kafkaCodes.transport,
  kafkaCodes.allBrokersDown,
  kafkaCodes.timedOut,
  kafkaCodes.messageTimedOut,
  kafkaCodes.queueFull,
  kafkaCodes.resolve,
  kafkaCodes.maxPollExceeded,
  -166,
  -163,
]);

const fatal: ReadonlySet<number> = new Set([kafkaCodes.fatal, kafkaCodes.fenced, kafkaCodes.fencedInstanceId]);

const authentication: ReadonlySet<number> = new Set([kafkaCodes.authentication, kafkaCodes.saslAuthenticationFailed]);

/** True when the same operation may succeed later without any change by the user. */
export function isRetriableCode(code: number): boolean {
  return retriable.has(code);
}

/** True when librdkafka declares the client instance unusable. */
export function isFatalCode(code: number): boolean {
  return fatal.has(code);
}

const hints: ReadonlyMap<number, string> = new Map([
  [kafkaCodes.unknownTopic, 'Create the topic or check its name.'],
  [kafkaCodes.unknownTopicOrPartition, 'Create the topic or check its name.'],
  [kafkaCodes.unknownPartition, 'The topic has no such partition.'],
  [kafkaCodes.messageTimedOut, 'No broker acknowledged it within PRODUCER_DELIVERY_TIMEOUT_SECONDS.'],
  [kafkaCodes.messageSizeTooLarge, 'The broker or the topic (max.message.bytes) takes no record of this size.'],
  [kafkaCodes.topicAuthorizationFailed, 'The user needs a permission on the topic: Write to produce, Read to consume.'],
  [kafkaCodes.groupAuthorizationFailed, 'The user needs the permission Read on the consumer group (APP_NAME).'],
  [kafkaCodes.clusterAuthorizationFailed, 'The user needs the permission IdempotentWrite on the cluster, or PRODUCER_IDEMPOTENCE=false.'],
]);

/** What to do about an error, as a sentence after a blank; empty where there is nothing to say. */
export function hintOf(code: number): string {
  const hint = hints.get(code);
  return hint === undefined ? '' : ` ${hint}`;
}

/** Illegal generation, unknown member, rebalance in progress. */
const groupMoving: ReadonlySet<number> = new Set([22, 25, 27]);

/** True when a commit came while the group was rebalancing: it may succeed once the member has rejoined. */
export function isGroupMovingCode(code: number | undefined): boolean {
  return code !== undefined && groupMoving.has(code);
}

/** True when the broker refused the credentials. */
export function isAuthenticationCode(code: number): boolean {
  return authentication.has(code);
}
