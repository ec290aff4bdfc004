import { type Environment, parseRuntimeVars, type RuntimeVars } from 'rdkafka-toolkit';
import type { FieldCount } from './avro/records.ts';
import type { ClientName } from './clients.ts';
import type { Mode } from './modes.ts';
import type { Shape } from './shape.ts';

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
export interface Job extends Contestant, Shape {
  readonly mode: Mode;
  readonly bootstrapServers: string;
  readonly registryUrl: string;
  readonly groupId: string;
  /** Pre-filled topics, all subscribed at once. */
  readonly inputTopics: readonly string[];
  readonly outputTopics: readonly string[];
  /** Whether the input holds just the records of this job, so that their checksum is known. */
  readonly whole: boolean;
  /** Records a second, in modes that have a rate. */
  readonly rate: number | null;
  /** Of the Avro records. */
  readonly fields: FieldCount;
  /** Whether all records are in the client's memory before the clock starts. */
  readonly prefetched: boolean;
}

/** What a contender's process answers. */
export interface Report {
  /** From the first record to the last, over what came after the first arrival. */
  readonly recordsPerSecond: number;
  /** User and system time of all threads of the process, over the same stretch. */
  readonly cpuMicrosPerRecord: number;
  /** Time the event loop's thread was on a CPU; null where it cannot be told. */
  readonly mainMicrosPerRecord: number | null;
  /** Share of the time the event loop was busy, 0 … 1; null for other programs. */
  readonly eventLoopUtilization: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** Highest resident size of the process. */
  readonly rssMb: number;
  /** What is wrong with the records; empty when all were right. */
  readonly faults: readonly string[];
  /** What a contender has to say about its run. */
  readonly note: string | null;
  /** The client's settings, without secrets. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** On what a row was measured. */
export interface RunInfo {
  readonly startedAt: string;
  /** Processors and their model. */
  readonly machine: string;
  readonly memoryGb: number;
  readonly broker: 'mock' | 'kafka';
  readonly versions: Readonly<Record<string, string>>;
}

/** A row of `--json`: one run of one contestant. */
export interface Row extends Omit<Report, 'faults' | 'config'>, Contestant, Shape {
  readonly mode: Mode;
  readonly rate: number | null;
  readonly prefetched: boolean;
  readonly repeat: number;
  /** In the first repeat only, since it does not change. */
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly run: RunInfo;
}

/** The environment's runtime variables with the job's own, the same for every client. */
export function varsOf({ client, mode, vars, bootstrapServers, registryUrl, groupId, compression }: JobSettings): RuntimeVars {
  const environment: Environment = {
    // A fixed load is measured record by record; whoever wants batches sets the variable.
    ...(mode === 'latency' || mode === 'batch-timeout' ? { PRODUCER_LINGER_MS: '0' } : {}),
    ...process.env,
    PRODUCER_COMPRESSION: compression,
    ...vars,
    KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
    SCHEMA_REGISTRY_URL: registryUrl,
    APP_NAME: groupId,
    CONSUMER_STATIC_MEMBERSHIP: 'false',
    CONSUMER_AUTO_OFFSET_RESET: 'earliest',
    CONSUMER_ENABLE_AUTO_COMMIT: String(mode !== 'sync' && !(mode === 'transaction' && client === 'rdkafka-toolkit')),
  };
  return parseRuntimeVars(environment);
}

/** What decides over a client's settings. */
export type JobSettings = Pick<Job, 'client' | 'mode' | 'vars' | 'bootstrapServers' | 'registryUrl' | 'groupId' | 'compression'>;
