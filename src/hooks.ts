/**
 * What the patterns count. `MetricsManager` implements it; any object with these three methods will do.
 */
export interface MetricsRecorder {
  incMessagesConsumed(count: number): void;
  incMessagesProduced(count: number): void;
  incMessageErrors(error: unknown): void;
}
