import type { PackedHeaders } from './packed-headers.ts';
import type { PackedRecords } from './packed-records.ts';

/** Headers as a sink takes them: node-rdkafka's objects for the portable one, packed bytes for the packed one. */
export type EncodedHeaders = readonly object[] | PackedHeaders | undefined;

/** What becomes of a record: its ticket, librdkafka's error number (0: delivered) and where it is. */
export type OnDelivery = (ticket: number, code: number, partition: number, offset: number, timestamp: number) => void;

/** Where a producer's records go. Nothing above knows which one runs; both pass the producing tests. */
export interface RecordSink {
  readonly kind: 'portable' | 'packed';
  /** A loop that produces without rest gives the event loop a turn every so many records, for reports, timers and signals. */
  readonly recordsPerTurn: number;
  /**
   * Takes a record and copies its bytes. Tickets are consecutive. A record that librdkafka refuses gets a report with the error
   * number, so every ticket is reported once.
   */
  add(
    topic: string,
    partition: number | undefined,
    key: Buffer | null,
    value: Buffer | null,
    timestamp: number | undefined,
    headers: EncodedHeaders,
    ticket: number,
  ): void;
  /**
   * As {@link add} for records `from … to - 1` of a packed block, whose tickets count up from `firstTicket`. A sink that takes records one
   * by one has none. The block belongs to the sink afterwards.
   */
  addPacked?(records: PackedRecords, from: number, to: number, firstTicket: number): void;
  /** Hands on at once what was added. */
  submit(): void;
  /** Serves the reports and events that are ready. */
  poll(): void;
  /**
   * Hands on what was added, sends what lingers and waits up to `timeoutMs`. Reports of failed records may still be on their way when
   * it is done: count reports, do not trust this alone.
   */
  flush(timeoutMs: number): Promise<void>;
  /** Runs a call during which another thread serves the reports: they are handed on here all the same, in their order. */
  servedElsewhere<T>(call: () => Promise<T>): Promise<T>;
  /** Told when the first record is outstanding and when none is: meanwhile reports come by themselves, and the process stays alive. */
  watch(outstanding: boolean): void;
  /** Lets go of the native client; called before it disconnects. */
  close(): void;
}
