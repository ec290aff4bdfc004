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

/** Why a consumer makes no progress although there are records. */
export interface Stall {
  /**
   * `fetch`: records are in the partitions and none comes. `handler`: the application neither takes nor finishes records. `outputs`:
   * everything is handled, and delivery reports are missing.
   */
  readonly reason: 'fetch' | 'handler' | 'outputs';
  /** Since when, in milliseconds. Time in which the event loop was blocked does not count. */
  readonly stalledMs: number;
  /** Records in the assigned partitions that were not handed over; undefined when the brokers did not say. */
  readonly lagRecords: number | undefined;
  /** Records handed over and not finished. */
  readonly inFlightRecords: number;
}

/** Whether a consumer makes progress: what a readiness probe asks. */
export interface ConsumerHealth {
  readonly status: 'ok' | 'stalled' | 'closed';
  /** Undefined unless stalled. */
  readonly stall: Stall | undefined;
}

/** Events of a consumer, with their arguments. */
export interface ConsumerEvents extends ClientEvents {
  assigned: [partitions: readonly TopicPartition[]];
  /**
   * Emitted after what was finished has been stored, just before the partitions are given up. `lost`: the group has given them away
   * already (the session timed out, `max.poll.interval.ms` passed), so nothing could be waited for or stored.
   */
  revoked: [partitions: readonly TopicPartition[], how: { readonly lost: boolean }];
  /** An offset commit was answered; `error` is undefined when it was accepted. */
  committed: [error: ToolkitError | undefined, offsets: readonly TopicPartitionOffset[]];
  /** No progress for `CONSUMER_STALL_TIMEOUT_SECONDS` although there are records. Emitted once a stall. */
  stalled: [stall: Stall];
  /** The event loop was blocked: no poll, no report, no timer meanwhile. Told apart from a stall. */
  eventLoopBlocked: [blocked: { readonly blockedMs: number }];
  /** The end of a partition was reached (only with `enable.partition.eof=true`). */
  partitionEof: [at: TopicPartitionOffset];
}

/** Events of a producer, with their arguments. */
export interface ProducerEvents extends ClientEvents {
  /** A record was not delivered. Emitted for each, also when a callback or a promise was told. */
  deliveryError: [error: ToolkitError];
}
