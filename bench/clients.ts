import { MODES, type Mode } from './modes.ts';
import type { Compression } from './shape.ts';

export const CLIENTS = [
  'rdkafka-toolkit',
  'rdkafka-toolkit-portable',
  'rdkafka-toolkit-unsafe',
  'rdkafka-toolkit-metrics',
  'rdkafka-toolkit-inline',
  'rdkafka-toolkit-pool-1',
  'rdkafka-toolkit-pool-2',
  'rdkafka-toolkit-sequential',
  'rdkafka-toolkit-at-least-once',
  'rdkafka-toolkit-runner',
  'rdkafka-toolkit-decode-pool',
  'rdkafka-toolkit-decode-columns',
  'avsc',
  'node-rdkafka',
  'kafkajs',
  '@platformatic/kafka',
  '@confluentinc/kafka-javascript',
  'confluent-kafka-python',
  'rdkafka_performance',
] as const;

/** Whose client is measured. */
export type ClientName = (typeof CLIENTS)[number];

interface ClientEntry {
  /** Its contenders are `contenders/<program>-<mode>.ts`. */
  readonly program: string;
  readonly modes: readonly Mode[];
  /** @default all */
  readonly compressions?: readonly Compression[];
  /** The mock cluster does not speak the versions of the protocol that it wants. */
  readonly realKafkaOnly?: boolean;
  /** Laid over the environment of its process. */
  readonly environment?: Readonly<Record<string, string>>;
}

const RAW_READS: readonly Mode[] = ['async', 'batch'];

/** Everybody who can be measured; the toolkit under another name is the toolkit in another way of use. */
const entries: Readonly<Record<ClientName, ClientEntry>> = {
  'rdkafka-toolkit': { program: 'rdkafka-toolkit', modes: [...MODES, 'read'] },
  /** Without its addon. */
  'rdkafka-toolkit-portable': {
    program: 'rdkafka-toolkit',
    modes: ['async', 'iterate', 'sync', 'batch', 'copy', 'produce', 'produce-batch', 'latency', 'batch-timeout'],
    environment: { RDKAFKA_TOOLKIT_NATIVE: 'off' },
  },
  /** Storing offsets without waiting for the outputs. */
  'rdkafka-toolkit-unsafe': { program: 'rdkafka-toolkit', modes: ['copy'] },
  /** With a metrics manager that is pushed. */
  'rdkafka-toolkit-metrics': { program: 'rdkafka-toolkit', modes: ['async', 'batch', 'copy'] },
  'rdkafka-toolkit-inline': { program: 'rdkafka-toolkit', modes: ['pool', 'pool-heavy'] },
  'rdkafka-toolkit-pool-1': { program: 'rdkafka-toolkit', modes: ['pool', 'pool-heavy', 'pipeline'] },
  'rdkafka-toolkit-pool-2': { program: 'rdkafka-toolkit', modes: ['pool', 'pool-heavy', 'pipeline'] },
  /** One record at a time. */
  'rdkafka-toolkit-sequential': { program: 'rdkafka-toolkit', modes: ['concurrent'] },
  /** The batch pattern without transactions. */
  'rdkafka-toolkit-at-least-once': { program: 'rdkafka-toolkit', modes: ['transaction'] },
  /** `runAsync`, where a stream app is measured. */
  'rdkafka-toolkit-runner': { program: 'rdkafka-toolkit-runner', modes: ['stream'] },
  /** Decoded in a worker: whole values for the main thread, or one column. */
  'rdkafka-toolkit-decode-pool': { program: 'rdkafka-toolkit-decode-pool', modes: ['decode'] },
  'rdkafka-toolkit-decode-columns': { program: 'rdkafka-toolkit-decode-pool', modes: ['decode'] },
  /** The toolkit's consumer with avsc's bare `type.decode` on the batch's bytes. */
  avsc: { program: 'avsc', modes: ['decode', 'projection'] },
  'node-rdkafka': {
    program: 'node-rdkafka',
    modes: [...RAW_READS, 'iterate', 'sync', 'copy', 'pipeline', 'decode', 'produce', 'produce-batch', 'latency', 'batch-timeout'],
  },
  /** Its lz4 and zstd need plugins. */
  kafkajs: { program: 'kafkajs', modes: [...RAW_READS, 'pipeline', 'decode', 'produce', 'latency'], compressions: ['none'] },
  /** Its zstd needs a newer Node. */
  '@platformatic/kafka': {
    program: 'platformatic-kafka',
    modes: [...RAW_READS, 'produce'],
    compressions: ['none', 'lz4'],
    realKafkaOnly: true,
  },
  '@confluentinc/kafka-javascript': { program: 'confluent-kafka-javascript', modes: [...RAW_READS, 'produce'] },
  'confluent-kafka-python': { program: 'confluent-kafka-python', modes: [...RAW_READS, 'pipeline', 'produce'] },
  /** librdkafka's own C program. */
  rdkafka_performance: { program: 'rdkafka_performance', modes: ['batch', 'produce'] },
};

/** Modes in which the toolkit is compared with itself: with what. */
const OWN_REFERENCES: Partial<Record<Mode, ClientName>> = {
  pool: 'rdkafka-toolkit-inline',
  'pool-heavy': 'rdkafka-toolkit-inline',
  concurrent: 'rdkafka-toolkit-sequential',
  transaction: 'rdkafka-toolkit-at-least-once',
  stream: 'rdkafka-toolkit-runner',
};

/** What the toolkit is compared with in a mode of its own; undefined in the others. */
export function ownReference(mode: Mode): ClientName | undefined {
  return OWN_REFERENCES[mode];
}

/** Why a client is not measured in a mode and compression; undefined when it is. */
export function cannotRun(client: ClientName, mode: Mode, compression: Compression): string | undefined {
  const { modes, compressions } = entries[client];
  if (!modes.includes(mode)) return 'mode';
  return compressions?.includes(compression) === false ? `${client} has no ${compression}` : undefined;
}

/** Modes that share a contender's file. */
const FILE_MODES: Partial<Record<Mode, Mode>> = { 'pool-heavy': 'pool', projection: 'decode' };

/** The file of a contender, and what it needs in its environment. */
export function programOf(
  client: ClientName,
  mode: Mode,
): { readonly file: string; readonly environment: Readonly<Record<string, string>> } {
  const { program, environment } = entries[client];
  return { file: `contenders/${program}-${FILE_MODES[mode] ?? mode}.js`, environment: environment ?? {} };
}

/** Modes whose contenders can wait until all records are in the client's memory. */
export const PREFETCHABLE: readonly Mode[] = ['pool', 'pool-heavy', 'decode', 'projection'];

/** Whether a client reads by the toolkit's consumer, whose queue can hold all records of a run. */
export function canPrefetch(client: ClientName): boolean {
  return client.startsWith('rdkafka-toolkit') || client === 'avsc';
}

/** Whether a client cannot talk to the embedded broker. */
export function needsRealKafka(client: ClientName): boolean {
  return entries[client].realKafkaOnly === true;
}
