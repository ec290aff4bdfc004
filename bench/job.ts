import { type Environment, parseRuntimeVars, type RuntimeVars } from 'rdkafka-toolkit';

export const MODES = [
  'async',
  'iterate',
  'sync',
  'batch',
  'pipeline',
  'produce',
  'produce-batch',
  'idle',
  'concurrent',
  'transaction',
] as const;

/** What a contender does with records; `bench/README.md` describes each. */
export type Mode = (typeof MODES)[number];

export const CLIENTS = [
  'rdkafka-toolkit',
  'rdkafka-toolkit-portable',
  'rdkafka-toolkit-unsafe',
  'rdkafka-toolkit-metrics',
  'rdkafka-toolkit-sequential',
  'rdkafka-toolkit-at-least-once',
  'node-rdkafka',
  'kafkajs',
  'confluent-kafka-python',
  'rdkafka_performance',
] as const;

/**
 * Whose client is measured; `-portable` is the toolkit under `RDKAFKA_TOOLKIT_NATIVE=off`, `-unsafe` the toolkit storing offsets without
 * waiting for the outputs, `-metrics` the toolkit with a metrics manager that is pushed, `-sequential` the toolkit with one record at a time,
 * `-at-least-once` its batch pattern without transactions, `rdkafka_performance` librdkafka's own C program.
 */
export type ClientName = (typeof CLIENTS)[number];

/** What the peers that are not measured in every mode can do. */
const MODES_OF: Partial<Record<ClientName, readonly Mode[]>> = {
  'rdkafka-toolkit-unsafe': ['pipeline'],
  'rdkafka-toolkit-metrics': ['async', 'batch', 'pipeline'],
  kafkajs: ['async', 'batch'],
  'confluent-kafka-python': ['async', 'batch', 'produce'],
  rdkafka_performance: ['batch', 'produce'],
};

/** Modes in which the toolkit is compared with itself: with what. */
const OWN_REFERENCES: Partial<Record<Mode, ClientName>> = {
  concurrent: 'rdkafka-toolkit-sequential',
  transaction: 'rdkafka-toolkit-at-least-once',
};

/** What the toolkit is compared with in a mode of its own; undefined in the others. */
export function ownReference(mode: Mode): ClientName | undefined {
  return OWN_REFERENCES[mode];
}

/** Whether there is a contender for this client and mode. */
export function canRun(client: ClientName, mode: Mode): boolean {
  const reference = OWN_REFERENCES[mode];
  if (reference !== undefined) return client === 'rdkafka-toolkit' || client === reference;
  if (Object.values(OWN_REFERENCES).includes(client)) return false;
  return MODES_OF[client]?.includes(mode) ?? true;
}

/** Partitions of every bench topic, those of the mock cluster. */
export const PARTITIONS_PER_TOPIC = 4;

/** Who is measured: a client, with runtime variables of its own under `--sweep`. */
export interface Contestant {
  readonly client: ClientName;
  readonly vars: Environment;
}

/** Name of a contestant in tables and messages. */
export function contestantName({ client, vars }: Contestant): string {
  return [client, ...Object.entries(vars).map(([name, value]) => `${name}=${value}`)].join(' ');
}

/** What a contender's process is told. */
export interface Job extends Contestant {
  readonly mode: Mode;
  readonly bootstrapServers: string;
  readonly groupId: string;
  /** Pre-filled topics, all subscribed at once. */
  readonly inputTopics: readonly string[];
  readonly outputTopics: readonly string[];
  readonly records: number;
  /** Headers of every record. */
  readonly headers: number;
}

/** What a contender's process answers. */
export interface Report {
  /** From the first record to the last, over what came after the first arrival. */
  readonly recordsPerSecond: number;
  /** User and system time of all threads of the process, over the same stretch. */
  readonly cpuMicrosPerRecord: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** Highest resident size of the process. */
  readonly rssMb: number;
  /** What is wrong with the records; empty when all were right. */
  readonly faults: readonly string[];
}

/** A line of `--json`. */
export interface Row extends Omit<Report, 'faults'>, Contestant {
  readonly mode: Mode;
  readonly records: number;
  readonly headers: number;
  /** Key and value of one record. */
  readonly recordBytes: number;
  readonly repeat: number;
}

/** The environment's runtime variables with the job's own, the same for every client. */
export function varsOf({
  client,
  mode,
  vars,
  bootstrapServers,
  groupId,
}: Pick<Job, 'client' | 'mode' | 'vars' | 'bootstrapServers' | 'groupId'>): RuntimeVars {
  const environment: Environment = {
    ...process.env,
    ...vars,
    KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
    APP_NAME: groupId,
    CONSUMER_STATIC_MEMBERSHIP: 'false',
    CONSUMER_AUTO_OFFSET_RESET: 'earliest',
    CONSUMER_ENABLE_AUTO_COMMIT: String(mode !== 'sync' && !(mode === 'transaction' && client === 'rdkafka-toolkit')),
  };
  return parseRuntimeVars(environment);
}
