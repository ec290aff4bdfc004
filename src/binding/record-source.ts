import type { TopicPartitionOffset } from './node-rdkafka.ts';
import type { RecordBatch } from './record-batch.ts';

/**
 * Where a consumer's records come from. Every source passes `native-test/support/record-source-suite.ts`; nothing above knows which one
 * runs.
 */
export interface RecordSource<K, V, H> {
  readonly kind: 'portable' | 'packed';
  /**
   * Up to `maxRecords` records: waits up to `timeoutMs` for the first one, then takes what is there without waiting. Undefined
   * when none came. One call at a time.
   *
   * @throws ConsumeError | FatalError | ConnectError what the broker reported; no record is lost by it.
   */
  fetch(maxRecords: number, timeoutMs: number): Promise<RecordBatch<K, V, H> | undefined>;
  /**
   * As `fetch` without waiting, for when nobody waits for the records yet: a source may take them beside the event loop. Whoever must know meanwhile
   * what librdkafka has handed over so far calls {@link finishAhead} first.
   */
  fetchAhead(maxRecords: number): Promise<RecordBatch<K, V, H> | undefined>;
  /**
   * Ends a fetch ahead that is under way, blocking for some milliseconds at most, and gives what it took: its promise gives undefined then. Undefined
   * when there is none, or on a source that cannot hurry it.
   */
  finishAhead(): RecordBatch<K, V, H> | undefined;
  /** Stores offsets for the next automatic commit; those of partitions that are gone are left out. */
  storeOffsets(offsets: readonly TopicPartitionOffset[]): void;
  /**
   * Commits and waits for the broker's answer: librdkafka's error number, 0 for success. Undefined on a source that cannot tell:
   * the commit was sent, and the answer comes as an event.
   */
  commit?(offsets: readonly TopicPartitionOffset[], timeoutMs: number): Promise<number>;
  /**
   * During a revoke: whether the group has given the partitions away already. A source that cannot tell has none: offsets stored for
   * such partitions are refused by librdkafka all the same.
   */
  assignmentLost?(): boolean;
  /** Whether the coordinator has named this consumer a member of its group. A source that cannot tell has none. */
  isMember?(): boolean;
  /** Lets go of the native client; a fetch under way gives undefined. Called before the client disconnects. */
  close(): void;
}
