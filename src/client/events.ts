import type { TopicPartition, TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import type { ToolkitError } from '../errors.ts';

/** A line of librdkafka's log. `severity` is syslog's: 0 emergency to 7 debug. */
export interface LogLine {
  readonly severity: number;
  readonly facility: string;
  readonly message: string;
}

/** librdkafka's statistics (`statistics.interval.ms`), as described in its STATISTICS.md. */
export interface Statistics {
  readonly name: string;
  readonly type: 'consumer' | 'producer';
  readonly [field: string]: unknown;
}

/** Events both clients emit. */
export interface ClientEvents {
  /** librdkafka reported trouble and goes on by itself (a broker is away, a commit was refused …). */
  clientError: [error: ToolkitError];
  log: [line: LogLine];
  statistics: [statistics: Statistics];
  closed: [];
}

/** Events of a consumer, with their arguments. */
export interface ConsumerEvents extends ClientEvents {
  assigned: [partitions: readonly TopicPartition[]];
  /** Emitted after what was finished has been stored, just before the partitions are given up. */
  revoked: [partitions: readonly TopicPartition[]];
  /** An offset commit was answered; `error` is undefined when it was accepted. */
  committed: [error: ToolkitError | undefined, offsets: readonly TopicPartitionOffset[]];
  /** The end of a partition was reached (only with `enable.partition.eof=true`). */
  partitionEof: [at: TopicPartitionOffset];
}

/** Events of a producer, with their arguments. */
export interface ProducerEvents extends ClientEvents {
  /** A record was not delivered. Emitted for each, also when a callback or a promise was told. */
  deliveryError: [error: ToolkitError];
}
