import type { TopicPartition, TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import type { ToolkitError } from '../errors.ts';

/** A line of librdkafka's log. `severity` is syslog's: 0 emergency to 7 debug. */
export interface LogLine {
  readonly severity: number;
  readonly facility: string;
  readonly message: string;
}

/** A rolling window of librdkafka's statistics, in microseconds (`throttle`: milliseconds). */
export interface StatisticsWindow {
  readonly min: number;
  readonly max: number;
  readonly avg: number;
  readonly sum: number;
  readonly cnt: number;
  readonly stddev: number;
  readonly p50: number;
  readonly p75: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p99_99: number;
  readonly outofrange: number;
  readonly hdrsize: number;
}

/** A broker in {@link Statistics}. Times in microseconds, sizes in bytes. */
export interface BrokerStatistics {
  readonly name: string;
  /** -1 for a bootstrap address and for the group coordinator's own connection. */
  readonly nodeid: number;
  readonly nodename: string;
  readonly source: 'learned' | 'configured' | 'internal' | 'logical';
  /** `INIT`, `DOWN`, `CONNECT`, `APIVERSION_QUERY`, `AUTH_HANDSHAKE`, `UP` … */
  readonly state: string;
  readonly stateage: number;
  readonly outbuf_cnt: number;
  readonly outbuf_msg_cnt: number;
  readonly waitresp_cnt: number;
  readonly waitresp_msg_cnt: number;
  readonly tx: number;
  readonly txbytes: number;
  readonly txerrs: number;
  readonly txretries: number;
  readonly req_timeouts: number;
  readonly rx: number;
  readonly rxbytes: number;
  readonly rxerrs: number;
  readonly connects: number;
  readonly disconnects: number;
  readonly int_latency: StatisticsWindow;
  readonly outbuf_latency: StatisticsWindow;
  readonly rtt: StatisticsWindow;
  readonly throttle: StatisticsWindow;
  readonly [field: string]: unknown;
}

/** A partition in {@link Statistics}. Offsets and lags are negative while they are not known. */
export interface PartitionStatistics {
  /** -1 for the queue of records that have no partition yet. */
  readonly partition: number;
  readonly leader: number;
  readonly desired: boolean;
  readonly unknown: boolean;
  readonly msgq_cnt: number;
  readonly msgq_bytes: number;
  readonly xmit_msgq_cnt: number;
  readonly xmit_msgq_bytes: number;
  readonly fetchq_cnt: number;
  readonly fetchq_size: number;
  readonly fetch_state: string;
  readonly next_offset: number;
  readonly app_offset: number;
  readonly stored_offset: number;
  readonly committed_offset: number;
  readonly lo_offset: number;
  readonly hi_offset: number;
  readonly ls_offset: number;
  readonly consumer_lag: number;
  readonly consumer_lag_stored: number;
  readonly txmsgs: number;
  readonly txbytes: number;
  readonly rxmsgs: number;
  readonly rxbytes: number;
  readonly msgs_inflight: number;
  readonly [field: string]: unknown;
}

/** A topic in {@link Statistics}. */
export interface TopicStatistics {
  readonly topic: string;
  readonly age: number;
  readonly metadata_age: number;
  readonly batchsize: StatisticsWindow;
  readonly batchcnt: StatisticsWindow;
  readonly partitions: Readonly<Record<string, PartitionStatistics>>;
  readonly [field: string]: unknown;
}

/** The consumer group in {@link Statistics}. Times in milliseconds. */
export interface GroupStatistics {
  readonly state: string;
  readonly stateage: number;
  readonly join_state: string;
  readonly rebalance_age: number;
  readonly rebalance_cnt: number;
  readonly rebalance_reason: string;
  readonly assignment_size: number;
}

/**
 * librdkafka's statistics, every `STATISTICS_INTERVAL_SECONDS`: its STATISTICS.md describes each field, those too that have no type
 * here. Counts are since the client was made; sizes are bytes.
 */
export interface Statistics {
  readonly name: string;
  readonly client_id: string;
  readonly type: 'consumer' | 'producer';
  /** librdkafka's own clock, in microseconds. */
  readonly ts: number;
  /** Seconds since the epoch. */
  readonly time: number;
  /** Microseconds since the client was made. */
  readonly age: number;
  readonly replyq: number;
  readonly msg_cnt: number;
  readonly msg_size: number;
  readonly msg_max: number;
  readonly msg_size_max: number;
  readonly tx: number;
  readonly tx_bytes: number;
  readonly rx: number;
  readonly rx_bytes: number;
  readonly txmsgs: number;
  readonly txmsg_bytes: number;
  readonly rxmsgs: number;
  readonly rxmsg_bytes: number;
  readonly brokers: Readonly<Record<string, BrokerStatistics>>;
  readonly topics: Readonly<Record<string, TopicStatistics>>;
  /** Of consumers only. */
  readonly cgrp?: GroupStatistics | undefined;
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
