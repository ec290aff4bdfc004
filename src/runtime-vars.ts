import { checkSetting, mergeSettings, unknownSetting } from './config/librdkafka-config.ts';
import {
  type ClientKind,
  canonicalKeyName,
  findLibrdkafkaKey,
  findLibrdkafkaKeyFolded,
  type LibrdkafkaValue,
} from './config/librdkafka-keys.ts';
import { isSensitiveName, redactedMark, redactText } from './config/redact.ts';
import { ConfigError } from './errors.ts';

/** A variable's row in {@link runtimeVarTable}. */
export interface RuntimeVarRow {
  readonly type: 'boolean' | 'integer' | 'number' | 'string' | 'list' | 'enum';
  /** What a number counts: `seconds`, `minutes`, `milliseconds`, `MB` (1,048,576 bytes), `KB` (1,024 bytes), `bytes`, `records` … */
  readonly unit?: string;
  /** Undefined: the variable has no value unless it is set. */
  readonly default?: boolean | number | string | readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly values?: readonly string[];
  /** The librdkafka settings it goes into. */
  readonly librdkafka?: readonly string[];
  /** The clients those settings are for. */
  readonly client?: ClientKind | 'both';
  /** What a number is multiplied by to give librdkafka's unit. @default 1 */
  readonly scale?: number;
  /** True when the settings are put together from several variables, by hand rather than by this table. */
  readonly composed?: true;
  /** True when the value must never be shown. */
  readonly secret?: true;
  /** What a string must be besides text. */
  readonly format?: 'url';
  readonly group: 'identity' | 'connection' | 'security' | 'registry' | 'consumer' | 'producer' | 'retries' | 'metrics' | 'toolkit';
  /** Effect, and the hazard where there is one. */
  readonly doc: string;
}

/**
 * Every runtime variable of the toolkit. The names and defaults of the original Python library are kept; the others set what
 * throughput and safety depend on. `RDKAFKA_*` reaches every librdkafka setting that has no variable here.
 */
export const runtimeVarTable = {
  APP_NAME: {
    type: 'string',
    librdkafka: ['group.id', 'client.id'],
    client: 'both',
    composed: true,
    group: 'identity',
    doc: 'Name of the service: its consumer group, its client id and the `app` label of its metrics. Needed by consumers and metrics. A new name is a new group, which starts where `CONSUMER_AUTO_OFFSET_RESET` says.',
  },
  HOSTNAME: {
    type: 'string',
    librdkafka: ['group.instance.id'],
    client: 'consumer',
    composed: true,
    group: 'identity',
    doc: 'Name of the pod or machine: the static member of the group and the `job` label of metrics. Two processes of a group with one name fence each other.',
  },
  KAFKA_BOOTSTRAP_SERVERS: {
    type: 'list',
    default: [],
    librdkafka: ['bootstrap.servers'],
    client: 'both',
    group: 'connection',
    doc: 'Brokers to ask first, `host:port` each. Name at least two: one that is down keeps a new client from starting.',
  },
  CONNECT_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 30,
    min: 0.1,
    group: 'connection',
    doc: 'How long connecting may take before it fails with a `ConnectError`.',
  },
  STATISTICS_INTERVAL_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 0,
    min: 0,
    max: 86400,
    librdkafka: ['statistics.interval.ms'],
    client: 'both',
    scale: 1000,
    group: 'connection',
    doc: 'How often librdkafka reports its statistics, lag among them; 0 turns them off. In steps of a second. Each report is JSON that grows with topics and partitions and is parsed on the main thread.',
  },
  USE_SSL: {
    type: 'boolean',
    default: false,
    librdkafka: ['security.protocol'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: 'Talks TLS to the brokers. The `SSL_*` files serve HTTPS clients such as the schema registry either way.',
  },
  USE_SASL: {
    type: 'boolean',
    default: false,
    librdkafka: ['security.protocol'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: 'Signs in at the brokers by SASL. Without `USE_SSL` a PLAIN password crosses the network readable.',
  },
  SASL_MECHANISM: {
    type: 'enum',
    values: ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER', 'GSSAPI'],
    default: 'PLAIN',
    librdkafka: ['sasl.mechanism'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: 'How to sign in. GSSAPI and OIDC need a librdkafka built with them.',
  },
  SASL_USERNAME: {
    type: 'string',
    secret: true,
    librdkafka: ['sasl.username'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: 'Needed with `USE_SASL`, except for OAUTHBEARER and GSSAPI.',
  },
  SASL_PASSWORD: {
    type: 'string',
    secret: true,
    librdkafka: ['sasl.password'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: 'Needed with `USE_SASL`, except for OAUTHBEARER and GSSAPI. Taken as it is, blanks included.',
  },
  SSL_CA_LOCATION: {
    type: 'string',
    librdkafka: ['ssl.ca.location'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: 'File or directory of the certificate authorities to trust, PEM; `probe` looks in the usual places.',
  },
  SSL_CERTIFICATE_LOCATION: {
    type: 'string',
    librdkafka: ['ssl.certificate.location'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: "File of the client's own certificate, PEM. Goes with `SSL_KEY_LOCATION`.",
  },
  SSL_KEY_LOCATION: {
    type: 'string',
    librdkafka: ['ssl.key.location'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: "File of the private key to the client's certificate, PEM.",
  },
  SSL_KEY_PASSWORD: {
    type: 'string',
    secret: true,
    librdkafka: ['ssl.key.password'],
    client: 'both',
    composed: true,
    group: 'security',
    doc: 'Opens the private key when it is encrypted.',
  },
  SCHEMA_REGISTRY_URL: {
    type: 'string',
    format: 'url',
    group: 'registry',
    doc: 'Address of the schema registry, http or https. Credentials belong in the variables below rather than in the URL.',
  },
  SCHEMA_REGISTRY_USERNAME: {
    type: 'string',
    secret: true,
    group: 'registry',
    doc: 'Basic authentication at the registry. Goes with `SCHEMA_REGISTRY_PASSWORD`.',
  },
  SCHEMA_REGISTRY_PASSWORD: {
    type: 'string',
    secret: true,
    group: 'registry',
    doc: 'Basic authentication at the registry.',
  },
  SCHEMA_REGISTRY_TOKEN: {
    type: 'string',
    secret: true,
    group: 'registry',
    doc: 'Bearer authentication at the registry, instead of a user name and password.',
  },
  SCHEMA_REGISTRY_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 10,
    min: 0.1,
    group: 'registry',
    doc: 'How long one request to the registry may take. Records of an unknown schema wait that long, and longer with retries.',
  },
  CONSUME_TOPICS: {
    type: 'list',
    default: [],
    group: 'consumer',
    doc: 'Topics to consume; a name that starts with `^` is a regular expression.',
  },
  CONSUMER_ENABLE_AUTO_COMMIT: {
    type: 'boolean',
    default: true,
    librdkafka: ['enable.auto.commit'],
    client: 'consumer',
    group: 'consumer',
    doc: 'True for the asynchronous and the batch pattern: stored offsets are committed in the background. False for the synchronous pattern. Offsets are stored by the toolkit either way (`enable.auto.offset.store=false`), and only once the outputs are acknowledged.',
  },
  CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 20,
    min: 0.1,
    max: 86400,
    librdkafka: ['auto.commit.interval.ms'],
    client: 'consumer',
    scale: 1000,
    group: 'consumer',
    doc: 'How often stored offsets are committed. After a crash the records since the last commit come again.',
  },
  CONSUMER_POLL_TIMEOUT: {
    type: 'number',
    unit: 'seconds',
    default: 10,
    min: 0,
    group: 'consumer',
    doc: 'How long `consumeMessage` waits for a record before it raises `NoMessageError`.',
  },
  CONSUMER_TIMEOUT_LIMIT_MINUTES: {
    type: 'number',
    unit: 'minutes',
    default: 2,
    min: 0.01,
    max: 1440,
    librdkafka: ['max.poll.interval.ms'],
    client: 'consumer',
    scale: 60_000,
    composed: true,
    group: 'consumer',
    doc: 'How long the event loop may be blocked before the group takes the partitions away; a handler that awaits does not count, polls go on meanwhile. `TIMESTAMP_OFFSET_MINUTES` is added. At least `CONSUMER_HEARTBEAT_TIMEOUT_SECONDS`.',
  },
  TIMESTAMP_OFFSET_MINUTES: {
    type: 'number',
    unit: 'minutes',
    default: 0,
    min: 0,
    max: 1440,
    librdkafka: ['max.poll.interval.ms'],
    client: 'consumer',
    scale: 60_000,
    composed: true,
    group: 'consumer',
    doc: 'Minimum age of a record before it is handed over; younger ones wait. Judged by the timestamp of the record, so by the clock of who wrote it.',
  },
  CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 60,
    min: 0.1,
    max: 3600,
    librdkafka: ['session.timeout.ms'],
    client: 'consumer',
    scale: 1000,
    group: 'consumer',
    doc: "After how long without a heartbeat the group gives up a consumer: how long the partitions of a killed process stand still. Within the broker's `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.",
  },
  CONSUMER_HEARTBEAT_INTERVAL_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 1,
    min: 0.1,
    max: 3600,
    librdkafka: ['heartbeat.interval.ms'],
    client: 'consumer',
    scale: 1000,
    group: 'consumer',
    doc: 'How often a consumer says that it lives, and learns that the group is rebalancing: a rebalance, and a member that leaves during one, waits so long for the others (librdkafka: 3 s). A third of `CONSUMER_HEARTBEAT_TIMEOUT_SECONDS` at most.',
  },
  CONSUMER_STATIC_MEMBERSHIP: {
    type: 'boolean',
    default: true,
    librdkafka: ['group.instance.id'],
    client: 'consumer',
    composed: true,
    group: 'consumer',
    doc: 'Joins the group as the static member `HOSTNAME`, if that is set: a restart within the heartbeat timeout causes no rebalance. False where a pod never comes back under its name (a Deployment): there its partitions would stand still for that timeout.',
  },
  CONSUMER_AUTO_OFFSET_RESET: {
    type: 'enum',
    values: ['earliest', 'latest', 'error'],
    default: 'earliest',
    librdkafka: ['auto.offset.reset'],
    client: 'consumer',
    group: 'consumer',
    doc: 'Where a partition without a committed offset starts. `latest` skips what was written before, and what is written to a new partition until it is noticed; it cannot be with retry topics. A topic setting: node-rdkafka drops it among the global ones.',
  },
  CONSUMER_ASSIGNMENT_STRATEGY: {
    type: 'enum',
    values: ['cooperative-sticky', 'range', 'roundrobin', 'range,roundrobin'],
    default: 'cooperative-sticky',
    librdkafka: ['partition.assignment.strategy'],
    client: 'consumer',
    group: 'consumer',
    doc: 'How partitions are shared. `cooperative-sticky` goes on consuming what a member keeps; the others take everything away first. The members of a group must not mix them: to change it, stop all of them.',
  },
  CONSUMER_ISOLATION_LEVEL: {
    type: 'enum',
    values: ['read_committed', 'read_uncommitted'],
    default: 'read_committed',
    librdkafka: ['isolation.level'],
    client: 'consumer',
    group: 'consumer',
    doc: 'Whether records of open and aborted transactions are hidden. With `read_committed` a transaction that hangs holds its partitions back.',
  },
  CONSUMER_BATCH_COUNT: {
    type: 'integer',
    unit: 'records',
    default: 1000,
    min: 1,
    max: 10_000_000,
    group: 'consumer',
    doc: 'How many records `consumeMessageBatch` collects at most.',
  },
  CONSUMER_BATCH_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 15,
    min: 0,
    group: 'consumer',
    doc: 'How long `consumeMessageBatch` collects at most.',
  },
  CONSUMER_PREFETCH_COUNT: {
    type: 'integer',
    unit: 'records',
    default: 1000,
    min: 1,
    max: 1_000_000,
    group: 'consumer',
    doc: 'Records taken from librdkafka in one internal batch. More make a higher throughput and larger batches in memory.',
  },
  CONSUMER_MAX_IN_FLIGHT_RECORDS: {
    type: 'integer',
    unit: 'records',
    default: 100_000,
    min: 1,
    max: 100_000_000,
    group: 'consumer',
    doc: 'Records handed over and not finished (work or outputs outstanding) at most; no further one is handed over until some are. Bounds what comes again after a crash. Records that are never passed to `enqueueAutoCommits` count for ever.',
  },
  CONSUMER_MAX_IN_FLIGHT_MB: {
    type: 'number',
    unit: 'MB',
    default: 256,
    min: 0.001,
    group: 'consumer',
    doc: 'As `CONSUMER_MAX_IN_FLIGHT_RECORDS`, in bytes of keys and values. One record more than fits is handed over.',
  },
  CONSUMER_DRAIN_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 5,
    min: 0,
    group: 'consumer',
    doc: 'How long a rebalance that takes partitions away waits for their records under way to be finished and stored. What is not finished then comes again at their next owner. The whole group waits meanwhile: keep it below `CONSUMER_TIMEOUT_LIMIT_MINUTES`.',
  },
  CONSUMER_STALL_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 300,
    min: 0,
    group: 'consumer',
    doc: 'After how long without progress, while there are records, a consumer emits `stalled` and its health turns; 0 turns the watchdog off.',
  },
  CONSUMER_QUEUED_MIN_MESSAGES: {
    type: 'integer',
    unit: 'records',
    default: 100_000,
    min: 1,
    max: 10_000_000,
    librdkafka: ['queued.min.messages'],
    client: 'consumer',
    group: 'consumer',
    doc: 'Records librdkafka tries to hold ready for each partition. `MESSAGE_QUEUE_MAX_MB` bounds their bytes.',
  },
  CONSUMER_FETCH_QUEUE_BACKOFF_MS: {
    type: 'integer',
    unit: 'milliseconds',
    default: 20,
    min: 0,
    max: 300_000,
    librdkafka: ['fetch.queue.backoff.ms'],
    client: 'consumer',
    group: 'consumer',
    doc: "How long fetching pauses after the queue was full. librdkafka's own 1000 can cap the throughput at about one queue (`MESSAGE_QUEUE_MAX_MB`) a second; a low value costs some CPU.",
  },
  CONSUMER_FETCH_MIN_BYTES: {
    type: 'integer',
    unit: 'bytes',
    default: 1,
    min: 1,
    max: 100_000_000,
    librdkafka: ['fetch.min.bytes'],
    client: 'consumer',
    group: 'consumer',
    doc: 'A broker answers a fetch once it has this much. More means fewer requests and more latency.',
  },
  CONSUMER_FETCH_WAIT_MAX_MS: {
    type: 'integer',
    unit: 'milliseconds',
    default: 500,
    min: 0,
    max: 300_000,
    librdkafka: ['fetch.wait.max.ms'],
    client: 'consumer',
    group: 'consumer',
    doc: 'How long a broker waits for `CONSUMER_FETCH_MIN_BYTES`.',
  },
  CONSUMER_FETCH_MAX_PARTITION_MB: {
    type: 'number',
    unit: 'MB',
    default: 1,
    min: 0.001,
    max: 953,
    librdkafka: ['max.partition.fetch.bytes'],
    client: 'consumer',
    scale: 1_048_576,
    group: 'consumer',
    doc: 'How much of one partition a fetch asks for. librdkafka raises it by itself for a larger record.',
  },
  MESSAGE_BATCH_MAX_MB: {
    type: 'number',
    unit: 'MB',
    default: 2,
    min: 0.001,
    max: 953,
    librdkafka: ['message.max.bytes'],
    client: 'both',
    scale: 1_048_576,
    group: 'consumer',
    doc: "Largest request of a producer, so the largest record (fails with `ERR_TOO_LARGE`), and least size of a fetch. The broker's `message.max.bytes`, 1 MB by default, must allow it.",
  },
  MESSAGE_TOTAL_MAX_MB: {
    type: 'number',
    unit: 'MB',
    default: 3,
    min: 0.001,
    max: 2047,
    librdkafka: ['fetch.max.bytes'],
    client: 'consumer',
    scale: 1_048_576,
    group: 'consumer',
    doc: 'Most a broker returns to one fetch over all partitions. At least `MESSAGE_BATCH_MAX_MB`. Raise it for throughput with many partitions.',
  },
  MESSAGE_QUEUE_MAX_MB: {
    type: 'number',
    unit: 'MB',
    default: 10,
    min: 0.001,
    max: 2047,
    librdkafka: ['queued.max.messages.kbytes'],
    client: 'consumer',
    scale: 1024,
    group: 'consumer',
    doc: 'Records fetched and not yet taken, in one queue for all partitions; may be exceeded by a fetch. Raise it for throughput; it is the memory a slow consumer fills.',
  },
  PRODUCER_LINGER_MS: {
    type: 'number',
    unit: 'milliseconds',
    default: 5,
    min: 0,
    max: 900_000,
    librdkafka: ['linger.ms'],
    client: 'producer',
    group: 'producer',
    doc: 'How long a record waits for others to share its request. More makes larger batches, better compression and more latency.',
  },
  PRODUCER_BATCH_RECORDS: {
    type: 'integer',
    unit: 'records',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    librdkafka: ['batch.num.messages'],
    client: 'producer',
    group: 'producer',
    doc: 'Most records in one batch of a partition.',
  },
  PRODUCER_BATCH_KB: {
    type: 'number',
    unit: 'KB',
    default: 976,
    min: 0.001,
    max: 2_097_151,
    librdkafka: ['batch.size'],
    client: 'producer',
    scale: 1024,
    group: 'producer',
    doc: "Most bytes in one batch of a partition, before compression. Below the broker's `message.max.bytes`; a larger record travels alone.",
  },
  PRODUCER_COMPRESSION: {
    type: 'enum',
    values: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
    default: 'lz4',
    librdkafka: ['compression.codec'],
    client: 'producer',
    group: 'producer',
    doc: "Compresses each batch, on librdkafka's own threads. zstd and gzip need a librdkafka built with them.",
  },
  PRODUCER_ACKS: {
    type: 'enum',
    values: ['all', '1', '0'],
    default: 'all',
    librdkafka: ['acks'],
    client: 'producer',
    group: 'producer',
    doc: 'Who has the record before it counts as delivered. `1` loses records when a leader dies, `0` whenever anything fails; both need `PRODUCER_IDEMPOTENCE=false`.',
  },
  PRODUCER_IDEMPOTENCE: {
    type: 'boolean',
    default: true,
    librdkafka: ['enable.idempotence'],
    client: 'producer',
    group: 'producer',
    doc: 'Retries neither duplicate nor reorder records. False: they may do both.',
  },
  PRODUCER_PARTITIONER: {
    type: 'enum',
    values: ['murmur2_random', 'murmur2', 'consistent_random', 'consistent', 'fnv1a_random', 'fnv1a', 'random'],
    default: 'murmur2_random',
    librdkafka: ['partitioner'],
    client: 'producer',
    group: 'producer',
    doc: "Which partition a key goes to. `murmur2_random` agrees with Kafka's Java clients; `consistent_random` is librdkafka's own and that of the original library: changing it moves keys to other partitions.",
  },
  PRODUCER_QUEUE_MAX_RECORDS: {
    type: 'integer',
    unit: 'records',
    default: 100_000,
    min: 1,
    max: 2_147_483_647,
    librdkafka: ['queue.buffering.max.messages'],
    client: 'producer',
    group: 'producer',
    doc: 'Records produced and not yet delivered before the queue counts as full.',
  },
  PRODUCER_QUEUE_MAX_MB: {
    type: 'number',
    unit: 'MB',
    default: 256,
    min: 0.001,
    max: 2_097_151,
    librdkafka: ['queue.buffering.max.kbytes'],
    client: 'producer',
    scale: 1024,
    group: 'producer',
    doc: "Bytes produced and not yet delivered before the queue counts as full: the memory a broker outage fills. librdkafka's own default is 1024.",
  },
  PRODUCER_QUEUE_FULL_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 30,
    min: 0,
    group: 'producer',
    doc: 'How long a send waits for room in a full queue before it fails with `ERR_QUEUE_FULL`.',
  },
  PRODUCER_DELIVERY_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 300,
    min: 0,
    max: 2_147_483,
    librdkafka: ['message.timeout.ms'],
    client: 'producer',
    scale: 1000,
    group: 'producer',
    doc: 'How long a record may take to be delivered, retries included, before it fails with a `DeliveryError`; 0 is without end. Several seconds at least: the first records of a new idempotent producer wait up to a second for its id (librdkafka looks for a broker every half second). A topic setting: node-rdkafka drops it among the global ones. Capped at `transaction.timeout.ms` in transactions.',
  },
  RETRY_COUNT_MAX: {
    type: 'integer',
    unit: 'retries',
    default: 0,
    min: 0,
    max: 1_000_000,
    group: 'retries',
    doc: 'How often a failed record goes to a topic of `PRODUCE_RETRY_TOPICS` (counted in its header `kafka_retry_count`) before it goes to those of `PRODUCE_FAILURE_TOPICS`. For the runners.',
  },
  PRODUCE_RETRY_TOPICS: {
    type: 'list',
    default: [],
    group: 'retries',
    doc: 'Topics in which a failed record rests before it is tried again: the first retry in the first topic, and so on, the last serves for the rest. The runner consumes them itself. Without effect while `RETRY_COUNT_MAX` is 0.',
  },
  RETRY_DELAY_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 10,
    min: 0,
    group: 'retries',
    doc: 'How long a record rests in the first topic of `PRODUCE_RETRY_TOPICS`. Other records do not wait for it.',
  },
  RETRY_DELAY_FACTOR: {
    type: 'number',
    unit: 'times',
    default: 6,
    min: 1,
    max: 1_000,
    group: 'retries',
    doc: 'How many times longer it rests in each next topic of `PRODUCE_RETRY_TOPICS`: by default 10 seconds, a minute, six minutes and so on.',
  },
  PRODUCE_FAILURE_TOPICS: {
    type: 'list',
    default: [],
    group: 'retries',
    doc: 'Dead-letter topics: a record whose retries are used up, or which cannot be decoded, goes to each of them, as it was and with its origin and error in headers. Its offset is stored once they have it.',
  },
  DO_METRICS_PUSHING: {
    type: 'boolean',
    default: true,
    group: 'metrics',
    doc: 'False turns `startPushingMetrics` off: nothing is pushed, and no `METRICS_SERVICE_NAME` is needed.',
  },
  METRICS_PUSH_RATE: {
    type: 'number',
    unit: 'seconds',
    default: 10,
    min: 0.1,
    group: 'metrics',
    doc: 'Seconds between two pushes of the metrics, a tenth more or less.',
  },
  METRICS_SERVICE_NAME: {
    type: 'string',
    group: 'metrics',
    doc: 'Headless service of the metrics cache, or an IP address. It resolves to the address of every pod, and each is pushed to.',
  },
  METRICS_SERVICE_PORT: {
    type: 'integer',
    unit: 'port',
    default: 8080,
    min: 1,
    max: 65_535,
    group: 'metrics',
    doc: 'Port of that service, as the original takes it. Nothing is pushed to it: a service would pick one of its pods.',
  },
  METRICS_POD_PORT: {
    type: 'integer',
    unit: 'port',
    default: 9091,
    min: 1,
    max: 65_535,
    group: 'metrics',
    doc: 'Port of each pod, where the values are pushed to.',
  },
  LOGLEVEL: {
    type: 'enum',
    values: ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'],
    default: 'INFO',
    group: 'toolkit',
    librdkafka: ['log_level'],
    client: 'both',
    doc: 'Least severity of the lines librdkafka hands to the `log` event of a client.',
  },
  SHUTDOWN_TIMEOUT_SECONDS: {
    type: 'number',
    unit: 'seconds',
    default: 30,
    min: 0,
    group: 'toolkit',
    doc: 'Deadline for draining, flushing, committing and closing together. What is left then is reported, and comes again. Must be shorter than the grace period of the platform: Kubernetes gives 30 seconds by default, so raise that (`examples/deploy` has 40) or lower this.',
  },
  RDKAFKA_TOOLKIT_NATIVE: {
    type: 'enum',
    values: ['auto', 'on', 'off'],
    default: 'auto',
    group: 'toolkit',
    doc: 'Moves records through the packed addon, both ways: `auto` when it is built, `on` fails without it, `off` goes through node-rdkafka alone. `off` when the package is installed does not compile it.',
  },
} as const;

/** Name of a runtime variable. */
export type RuntimeVarName = keyof typeof runtimeVarTable;

/** Where variables are read from; `process.env` is one. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** @internal The variables of this process, for commands that look at them as they are. */
export const processEnvironment: Environment = process.env;

type RowValue<Row> = Row extends { readonly type: 'boolean' }
  ? boolean
  : Row extends { readonly type: 'integer' | 'number' }
    ? number
    : Row extends { readonly type: 'list' }
      ? readonly string[]
      : Row extends { readonly type: 'enum'; readonly values: readonly (infer Value)[] }
        ? Value
        : string;

/** The values, by the variables' own names. A variable without a default is undefined unless it is set. */
export type RuntimeVars = {
  readonly [Name in RuntimeVarName]:
    | RowValue<(typeof runtimeVarTable)[Name]>
    | ((typeof runtimeVarTable)[Name] extends { readonly default: unknown } ? never : undefined);
} & {
  /** What `RDKAFKA_*` variables set, by librdkafka's own names. */
  readonly librdkafka: Readonly<Record<string, string>>;
};

/** One line of {@link describeRuntimeVars}. */
export interface RuntimeVarDescription {
  readonly name: string;
  /** As text, secrets as `[redacted]`; undefined when it has none. */
  readonly value: string | undefined;
  readonly source: 'environment' | 'default';
  readonly unit: string | undefined;
  readonly group: RuntimeVarRow['group'] | 'librdkafka';
  readonly librdkafka: readonly string[];
  readonly doc: string;
}

type VarValue = boolean | number | string | readonly string[] | undefined;

const rows: readonly (readonly [name: string, row: RuntimeVarRow])[] = Object.entries(runtimeVarTable);

/** Node's timers fire at once when they are given more than 32 bits of milliseconds. */
const timerLimits: Readonly<Record<string, number>> = { milliseconds: 2_147_483_647, seconds: 2_147_483 };

/**
 * Reads all runtime variables. Empty ones count as not set; `RDKAFKA_<SETTING>` (dots or underscores, any letter case) sets any
 * other librdkafka setting and wins over the variable that sets the same.
 *
 * @param env @default process.env
 * @throws ConfigError with every fault at once; secrets are not quoted
 * @example
 * const vars = parseRuntimeVars();
 * vars.CONSUMER_POLL_TIMEOUT; // 10
 */
export function parseRuntimeVars(env: Environment = process.env): RuntimeVars {
  const faults: string[] = [];
  const faulty = new Set<string>();
  const values = new Map<string, VarValue>();
  for (const [name, row] of rows) {
    const parsed = parseVar(name, row, env[name]);
    if (parsed.fault !== undefined) {
      faults.push(parsed.fault);
      faulty.add(name);
    }
    values.set(name, parsed.value);
  }
  const librdkafka = parseLibrdkafkaVars(env, faults);
  // The table names every property and parseVar gives each the type of its row.
  const vars = Object.freeze({ ...Object.fromEntries(values), librdkafka }) as RuntimeVars;
  faults.push(...relationFaults(vars, faulty));
  if (faults.length > 0) throw new ConfigError(faults);
  return vars;
}

/** Threads of libuv's pool: `UV_THREADPOOL_SIZE`, which Node reads when it starts, or its default. */
export function threadPoolSize(env: Environment = process.env): number {
  const size = Number.parseInt(env.UV_THREADPOOL_SIZE ?? '', 10);
  return Number.isNaN(size) ? 4 : Math.min(1024, Math.max(1, size));
}

/** librdkafka's settings that the variables give a client, `RDKAFKA_*` included; security and names are added by the config layer. */
export function librdkafkaVarSettings(vars: RuntimeVars, kind: ClientKind): Record<string, LibrdkafkaValue> {
  const settings: Record<string, LibrdkafkaValue> = {};
  for (const [name, row] of rows) {
    const value = vars[name as RuntimeVarName];
    const isEmpty = value === undefined || (Array.isArray(value) && value.length === 0);
    if (isEmpty || row.composed === true || (row.client !== kind && row.client !== 'both')) continue;
    for (const key of row.librdkafka ?? []) settings[key] = toLibrdkafka(row, key, value);
  }
  if (kind === 'consumer') settings['max.poll.interval.ms'] = maxPollIntervalMs(vars);
  const own = Object.entries(vars.librdkafka).filter(([key]) => {
    const applies = findLibrdkafkaKey(key)?.applies;
    return applies === kind || applies === 'both';
  });
  return mergeSettings(settings, Object.fromEntries(own));
}

/**
 * A line for each variable, for a listing: value in use, where it comes from, what it does. Secrets are redacted. The last lines
 * are those of `RDKAFKA_*`.
 *
 * @param env the environment `vars` was parsed from
 */
export function describeRuntimeVars(vars: RuntimeVars, env: Environment = process.env): RuntimeVarDescription[] {
  const described = rows.map(([name, row]): RuntimeVarDescription => {
    const value = vars[name as RuntimeVarName];
    const source = isUnset(row, env[name]) ? 'default' : 'environment';
    const { unit, group, librdkafka = [], doc } = row;
    return { name, value: showValue(value, row.secret === true), source, unit, group, librdkafka, doc };
  });
  const own = Object.entries(vars.librdkafka).map(([key, value]): RuntimeVarDescription => {
    const name = `RDKAFKA_${key.toUpperCase().replaceAll('.', '_')}`;
    const shown = showValue(value, isSensitiveName(key));
    const doc = `librdkafka's ${key}.`;
    return { name, value: shown, source: 'environment', unit: undefined, group: 'librdkafka', librdkafka: [key], doc };
  });
  return [...described, ...own];
}

/** The secret values among the variables: what `redactText` must take out of anything that is logged. */
export function runtimeSecrets(vars: RuntimeVars): string[] {
  const own = rows.filter(([, row]) => row.secret === true).map(([name]) => vars[name as RuntimeVarName]);
  const given = Object.entries(vars.librdkafka).map(([key, value]) => (isSensitiveName(key) ? value : undefined));
  return [...own, ...given].filter((value) => typeof value === 'string');
}

function maxPollIntervalMs(vars: RuntimeVars): number {
  const minutes = vars.CONSUMER_TIMEOUT_LIMIT_MINUTES + vars.TIMESTAMP_OFFSET_MINUTES;
  return scaled(minutes, runtimeVarTable.CONSUMER_TIMEOUT_LIMIT_MINUTES.scale);
}

function toLibrdkafka(row: RuntimeVarRow, key: string, value: Exclude<VarValue, undefined>): LibrdkafkaValue {
  if (typeof value === 'number') return findLibrdkafkaKey(key)?.kind === 'float' ? value * (row.scale ?? 1) : scaled(value, row.scale);
  if (key === 'log_level') return syslogLevels[value as keyof typeof syslogLevels];
  return typeof value === 'object' ? value.join(',') : value;
}

/** Python's names of log levels, as the original had them, in syslog's numbers, as librdkafka has them. */
const syslogLevels = { DEBUG: 7, INFO: 6, WARNING: 4, ERROR: 3, CRITICAL: 2 } as const;

/** A whole number of the smaller unit; what is not 0 stays above 0, where 0 often means "without end". */
function scaled(value: number, scale: number = 1): number {
  return value === 0 ? 0 : Math.max(1, Math.round(value * scale));
}

function isUnset(row: RuntimeVarRow, text: string | undefined): boolean {
  return text === undefined || (row.secret === true ? text === '' : text.trim() === '');
}

/** The value of a variable; with a fault, the default stands in so that the others can be checked against each other. */
function parseVar(name: string, row: RuntimeVarRow, raw: string | undefined): { readonly value: VarValue; readonly fault?: string } {
  const fallback = typeof row.default === 'object' ? Object.freeze([...row.default]) : row.default;
  if (raw === undefined || isUnset(row, raw)) return { value: fallback };
  const text = row.secret === true ? raw : raw.trim();
  const value = parseValue(row, text);
  return value === undefined ? { value: fallback, fault: describeFault(name, row, text) } : { value };
}

/** Undefined when the text is none of the row's values. */
function parseValue(row: RuntimeVarRow, text: string): VarValue {
  switch (row.type) {
    case 'boolean':
      if (/^(?:true|t|yes|y|on|1)$/i.test(text)) return true;
      return /^(?:false|f|no|n|off|0)$/i.test(text) ? false : undefined;
    case 'integer':
    case 'number': {
      const pattern = row.type === 'integer' ? /^[+-]?\d+$/ : /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
      const number = pattern.test(text) ? Number(text) + 0 : Number.NaN; // + 0 makes 0 of -0
      return number >= (row.min ?? -Infinity) && number <= highest(row) ? number : undefined;
    }
    case 'enum':
      return row.values?.find((value) => value.toLowerCase() === text.toLowerCase());
    case 'list': {
      const items = text.split(',').map((item) => item.trim());
      return Object.freeze(items.filter((item) => item !== ''));
    }
    case 'string':
      if (text.includes('\0')) return undefined;
      return row.format === 'url' && !isHttpUrl(text) ? undefined : text;
  }
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function highest(row: RuntimeVarRow): number {
  return row.max ?? timerLimits[row.unit ?? ''] ?? Number.MAX_SAFE_INTEGER;
}

function describeFault(name: string, row: RuntimeVarRow, text: string): string {
  // A URL that cannot be read may hold its password anywhere.
  const quotable = row.secret !== true && !(row.format === 'url' && text.includes('@'));
  return `Expected ${name} to be ${describeExpectation(row, text)}${quotable ? `, got ${JSON.stringify(text)}` : ''}`;
}

function describeExpectation(row: RuntimeVarRow, text: string): string {
  if (row.type === 'boolean') return 'true or false';
  if (row.type === 'enum') return `one of ${row.values?.join(' | ')}`;
  if (row.format === 'url') return 'an http or https URL';
  if (row.type === 'string' || row.type === 'list') return 'text';
  const unit = row.unit === undefined || row.unit === 'port' ? '' : ` of ${row.unit}`;
  const limit = row.max ?? (Number(text) > highest(row) ? highest(row) : undefined);
  const range = limit === undefined ? ` >= ${row.min}` : ` from ${row.min} to ${limit}`;
  return `${row.type === 'integer' ? 'a whole number' : 'a number'}${unit}${range}`;
}

function showValue(value: VarValue, secret: boolean): string | undefined {
  if (value === undefined) return undefined;
  if (secret) return redactedMark;
  return redactText(typeof value === 'object' ? value.join(',') : String(value), []);
}

function parseLibrdkafkaVars(env: Environment, faults: string[]): Readonly<Record<string, string>> {
  const found = new Map<string, string>();
  const variables = new Map<string, string>();
  for (const [variable, value] of Object.entries(env)) {
    const name = /^rdkafka_(?!toolkit_)(.+)$/i.exec(variable)?.[1];
    if (name === undefined || value === undefined || value === '') continue;
    const key = findLibrdkafkaKeyFolded(name);
    if (key === undefined) {
      faults.push(`${variable}: ${unknownSetting(name.toLowerCase().replaceAll('_', '.'))}`);
      continue;
    }
    const canonical = canonicalKeyName(key.name);
    const twin = variables.get(canonical);
    const { fault } = checkSetting(key.name, value);
    if (twin !== undefined) faults.push(`Expected only one of ${twin} and ${variable}: they are the same librdkafka setting`);
    if (fault !== undefined) faults.push(`${variable}: ${fault}`);
    variables.set(canonical, variable);
    found.set(key.name, value);
  }
  return Object.freeze(Object.fromEntries(found));
}

/** What holds between variables: each rule names those it reads, and the librdkafka settings that may replace them. */
interface RelationRule {
  readonly reads: readonly RuntimeVarName[];
  readonly settings: readonly string[];
  readonly fault: (vars: RuntimeVars) => string | undefined;
}

const relationRules: readonly RelationRule[] = [
  {
    reads: ['MESSAGE_BATCH_MAX_MB', 'MESSAGE_TOTAL_MAX_MB'],
    settings: ['message.max.bytes', 'fetch.max.bytes'],
    fault: ({ MESSAGE_BATCH_MAX_MB: batch, MESSAGE_TOTAL_MAX_MB: total }) =>
      total < batch ? `Expected MESSAGE_TOTAL_MAX_MB (${total}) >= MESSAGE_BATCH_MAX_MB (${batch})` : undefined,
  },
  {
    reads: ['CONSUMER_TIMEOUT_LIMIT_MINUTES', 'TIMESTAMP_OFFSET_MINUTES'],
    settings: ['max.poll.interval.ms'],
    fault: (vars) =>
      maxPollIntervalMs(vars) > 86_400_000
        ? 'Expected CONSUMER_TIMEOUT_LIMIT_MINUTES and TIMESTAMP_OFFSET_MINUTES to be at most 1440 minutes together'
        : undefined,
  },
  {
    reads: ['CONSUMER_HEARTBEAT_TIMEOUT_SECONDS', 'CONSUMER_TIMEOUT_LIMIT_MINUTES', 'TIMESTAMP_OFFSET_MINUTES'],
    settings: ['session.timeout.ms', 'max.poll.interval.ms'],
    fault: (vars) =>
      scaled(vars.CONSUMER_HEARTBEAT_TIMEOUT_SECONDS, 1000) > maxPollIntervalMs(vars)
        ? `Expected CONSUMER_HEARTBEAT_TIMEOUT_SECONDS to be at most CONSUMER_TIMEOUT_LIMIT_MINUTES + TIMESTAMP_OFFSET_MINUTES (${maxPollIntervalMs(vars) / 1000} seconds), got ${vars.CONSUMER_HEARTBEAT_TIMEOUT_SECONDS}`
        : undefined,
  },
  {
    reads: ['USE_SASL', 'SASL_MECHANISM', 'SASL_USERNAME', 'SASL_PASSWORD'],
    settings: ['security.protocol', 'sasl.mechanism', 'sasl.username', 'sasl.password'],
    fault: (vars) => {
      const missing = (['SASL_USERNAME', 'SASL_PASSWORD'] as const).filter((name) => vars[name] === undefined);
      const needed = vars.USE_SASL && vars.SASL_MECHANISM !== 'OAUTHBEARER' && vars.SASL_MECHANISM !== 'GSSAPI';
      return needed && missing.length > 0
        ? `Expected ${missing.join(' and ')} with USE_SASL and SASL_MECHANISM=${vars.SASL_MECHANISM}`
        : undefined;
    },
  },
  {
    reads: ['SSL_CERTIFICATE_LOCATION', 'SSL_KEY_LOCATION'],
    settings: ['ssl.certificate.location', 'ssl.key.location', 'ssl.key.pem', 'ssl.certificate.pem'],
    fault: ({ SSL_CERTIFICATE_LOCATION: certificate, SSL_KEY_LOCATION: key }) =>
      (certificate === undefined) === (key === undefined)
        ? undefined
        : `Expected both SSL_CERTIFICATE_LOCATION and SSL_KEY_LOCATION or neither, got only SSL_${key === undefined ? 'CERTIFICATE' : 'KEY'}_LOCATION`,
  },
  {
    reads: ['SCHEMA_REGISTRY_USERNAME', 'SCHEMA_REGISTRY_PASSWORD', 'SCHEMA_REGISTRY_TOKEN'],
    settings: [],
    fault: ({ SCHEMA_REGISTRY_USERNAME: user, SCHEMA_REGISTRY_PASSWORD: password, SCHEMA_REGISTRY_TOKEN: token }) => {
      if ((user === undefined) !== (password === undefined)) {
        return 'Expected both SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD or neither';
      }
      return user !== undefined && token !== undefined
        ? 'Expected SCHEMA_REGISTRY_TOKEN or SCHEMA_REGISTRY_USERNAME with its password, got both'
        : undefined;
    },
  },
  {
    reads: ['PRODUCER_IDEMPOTENCE', 'PRODUCER_ACKS'],
    settings: ['enable.idempotence', 'acks'],
    fault: ({ PRODUCER_IDEMPOTENCE: idempotent, PRODUCER_ACKS: acks }) =>
      idempotent && acks !== 'all' ? `Expected PRODUCER_IDEMPOTENCE to be false with PRODUCER_ACKS=${acks}` : undefined,
  },
  {
    reads: ['PRODUCER_DELIVERY_TIMEOUT_SECONDS', 'PRODUCER_LINGER_MS'],
    settings: ['message.timeout.ms', 'linger.ms'],
    fault: ({ PRODUCER_DELIVERY_TIMEOUT_SECONDS: timeout, PRODUCER_LINGER_MS: linger }) =>
      timeout > 0 && scaled(timeout, 1000) <= linger
        ? `Expected PRODUCER_DELIVERY_TIMEOUT_SECONDS (${timeout}) to be longer than PRODUCER_LINGER_MS (${linger})`
        : undefined,
  },
];

/** A rule rests when one of its variables is faulty already or replaced by `RDKAFKA_*`: the merged settings are checked again. */
function relationFaults(vars: RuntimeVars, faulty: ReadonlySet<string>): string[] {
  const replaced = new Set(Object.keys(vars.librdkafka).map(canonicalKeyName));
  return relationRules
    .filter((rule) => !rule.reads.some((name) => faulty.has(name)))
    .filter((rule) => !rule.settings.some((name) => replaced.has(canonicalKeyName(name))))
    .map((rule) => rule.fault(vars))
    .filter((fault) => fault !== undefined);
}
