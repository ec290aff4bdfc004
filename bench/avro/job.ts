import type { Environment } from 'rdkafka-toolkit';
import type { FieldCount } from './records.ts';

/** What is measured; `bench/README.md` describes each. */
export const CASES = ['decode', 'registry', 'pool-light', 'pool-heavy', 'pipeline'] as const;
export type Case = (typeof CASES)[number];

/** Who is measured in each case; the first is the one the others are compared with. */
export const CONTENDERS: Readonly<Record<Case, readonly string[]>> = {
  decode: ['toolkit', 'bare', 'projection', 'bare-projection', 'node-rdkafka', 'kafkajs'],
  registry: ['toolkit', 'kafkajs-registry', 'toolkit-reader', 'kafkajs-registry-reader'],
  'pool-light': ['inline', 'pool-1', 'pool-2', 'auto'],
  'pool-heavy': ['inline', 'pool-1', 'pool-2', 'auto'],
  pipeline: ['toolkit', 'toolkit-inline', 'toolkit-pool-1', 'toolkit-pool-2', 'node-rdkafka', 'kafkajs', 'confluent-kafka-python'],
};

/** What a contender's process is told. */
export interface AvroJob {
  readonly case: Case;
  readonly contender: string;
  readonly fields: FieldCount;
  readonly records: number;
  readonly bootstrapServers: string;
  readonly registryUrl: string;
  readonly groupId: string;
  readonly inputTopics: readonly string[];
  readonly outputTopic: string;
  readonly vars: Environment;
}

/** What it answers. */
export interface AvroReport {
  readonly recordsPerSecond: number;
  /** All threads. */
  readonly cpuMicrosPerRecord: number;
  /** The thread of the event loop alone; undefined where it cannot be told. */
  readonly mainMicrosPerRecord: number | undefined;
  /** What is wrong with the records, or what a pool chose. */
  readonly faults: readonly string[];
  readonly note?: string | undefined;
}
