/**
 * What the patterns count. `MetricsManager` implements it; any object with these three methods will do.
 */
export interface MetricsRecorder {
  incMessagesConsumed(count: number): void;
  incMessagesProduced(count: number): void;
  incMessageErrors(error: unknown): void;
  /** A record is tried again, in place or by way of a retry topic. */
  recordRetried?(error: unknown): void;
  /** A record went to the dead-letter topics. */
  recordDeadLettered?(error: unknown): void;
}
