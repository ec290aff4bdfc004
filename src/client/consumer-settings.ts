import type { TopicPartition } from '../binding/node-rdkafka.ts';
import type { RecordBatch, RecordDecoders } from '../binding/record-batch.ts';
import type { RoutedConfig } from '../config/librdkafka-config.ts';
import type { TokenRefresher } from './token-refresher.ts';

/** A consumer's settings, all resolved. */
export interface ConsumerSettings<K, V, H> {
  readonly topics: readonly string[];
  readonly groupId: string;
  readonly config: RoutedConfig;
  readonly source: 'portable' | 'packed';
  readonly decoders: RecordDecoders<K, V, H>;
  readonly bootstrapServers: string;
  /** Records per internal batch. */
  readonly prefetchRecords: number;
  readonly pollTimeoutMs: number;
  /** Records and milliseconds of a batch that does not say otherwise. */
  readonly batchCount: number;
  readonly batchTimeoutMs: number;
  /** Records younger than this are held back. */
  readonly minimumAgeMs: number;
  readonly autoCommit: boolean;
  readonly connectTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
  /** librdkafka's `max.poll.interval.ms`. */
  readonly maxPollIntervalMs: number;
  readonly missingTopics: 'fail' | 'wait';
  readonly tokens: TokenRefresher | undefined;
}

/** Who keeps the offsets: told of every assignment and every record handed over. Implemented in `delivery/`. */
export interface OffsetKeeper {
  assigned(partitions: readonly TopicPartition[], epoch: number): void;
  /**
   * Waits for records under way (not when closing), stores what is finished (not of lost ones) and forgets the partitions. Must not
   * reject.
   */
  revoking(partitions: readonly TopicPartition[], how: 'revoked' | 'lost' | 'closing'): Promise<void>;
  /** The partition continues elsewhere: what was handed over before no longer counts. */
  seeked(partition: TopicPartition, epoch: number): void;
  /** Records `from` up to `to` (exclusive) of the batch are handed over. */
  delivered(batch: RecordBatch<unknown, unknown, unknown>, from: number, to: number): void;
  /** How many records may be handed over before some of those in flight are finished; 0 for none. */
  readonly room: number;
  /** @throws DeliveryError when there will be no room any more: all that is in flight is handled, and an output that failed holds it back */
  throwIfStuck(): void;
  /** Records handed over and not finished. */
  readonly inFlightRecords: number;
  /** Stores what is finished by now; called once a batch. */
  settle(): void;
  /** Stores and commits what is finished, within the deadline. */
  close(timeoutMs: number): Promise<void>;
}

/** When a record of a batch may be handed over, in milliseconds since the epoch; 0 for at once. */
export type DueTime = (batch: RecordBatch<unknown, unknown, unknown>, index: number) => number;

/** Options of one wait. */
export interface WaitOptions {
  /** How long to wait, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of a batch: how many records, how long to wait for them. */
export interface BatchOptions extends WaitOptions {
  /** @default CONSUMER_BATCH_COUNT */
  readonly count?: number | undefined;
  /** Milliseconds. @default CONSUMER_BATCH_TIMEOUT_SECONDS */
  readonly timeoutMs?: number | undefined;
}

/** Records `from … to - 1` of a batch. */
export interface BatchRange<K, V, H> {
  readonly batch: RecordBatch<K, V, H>;
  readonly from: number;
  readonly to: number;
}
