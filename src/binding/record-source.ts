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
  /** Lets go of the native client; a fetch under way gives undefined. Called before the client disconnects. */
  close(): void;
}
