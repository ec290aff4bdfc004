/** A handler of records or batches, as far as {@link MetricsRecorder.wrapHandler} is concerned. */
export type AnyHandler = (input: never, context: never) => unknown;

/**
 * What the patterns count. `MetricsManager` implements it; any object with the first three methods will do.
 */
export interface MetricsRecorder {
  incMessagesConsumed(count: number): void;
  incMessagesProduced(count: number): void;
  incMessageErrors(error: unknown): void;
  /** A record whose handling failed is tried again. */
  recordRetried?(error: unknown): void;
  /** A record was given up and put into its dead-letter topic. */
  recordDeadLettered?(error: unknown): void;
  /** Asked once by each runner: gives the handler back, measured. Behaves as the handler does in all else. */
  wrapHandler?<Handler extends AnyHandler>(handler: Handler): Handler;
}
