import type { TopicPartition } from '../binding/node-rdkafka.ts';
import { type FailureOptions, resolveFailureOptions } from '../delivery/failure-options.ts';
import type { MetricsManager } from '../metrics/manager.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import type { AnyRecord } from './agent.ts';
import type { StateStore } from './store.ts';

/** What a crash may leave behind. */
export type ProcessingGuarantee = 'at-least-once' | 'exactly-once';

/** Options of a stream app. */
export interface StreamAppOptions {
  /** @default parseRuntimeVars() — the process's environment */
  readonly vars?: RuntimeVars | undefined;
  /**
   * `'at-least-once'`: after a crash records come again, and what they changed in tables is changed again. `'exactly-once'`: tables, outputs and
   * offsets change together in transactions; what is counted is counted once. @default 'at-least-once'
   */
  readonly guarantee?: ProcessingGuarantee | undefined;
  /** Where tables are kept. @default memoryStore() */
  readonly store?: StateStore | undefined;
  /**
   * Keeps copies of the tables' shards that other processes have, so that a partition that comes here is read from where its copy is: each
   * process then holds whole tables. @default false
   */
  readonly standby?: boolean | undefined;
  readonly metrics?: MetricsManager | undefined;
  /** How often metrics are pushed, in seconds, when the manager has a pusher. @default METRICS_PUSH_RATE */
  readonly pushEverySeconds?: number | undefined;
  /**
   * What becomes of records whose agent fails: attempts in place, dead letters. Not retry topics: a record that comes back by one is in another
   * topic, and its tables are not. @default PRODUCE_FAILURE_TOPICS
   */
  readonly failures?: FailureOptions | undefined;
  /** Asked last about a record that failed: `'stop'` ends the app, `'skip'` counts it as done. @default 'stop' */
  readonly onError?: ((error: unknown, record: AnyRecord | undefined) => 'stop' | 'skip') | undefined;
  /** Stops the app. */
  readonly signal?: AbortSignal | undefined;
  /** Stop at SIGTERM and SIGINT. @default true */
  readonly handleSignals?: boolean | undefined;
  /** Under exactly-once: how long a transaction takes records, in milliseconds. @default 100 */
  readonly transactionMs?: number | undefined;
}

/** Events of an app. */
export interface StreamAppEvents {
  /** Partitions came; their tables are being read. */
  assigned: [partitions: readonly TopicPartition[]];
  /** Their tables were read: what came since the stores were written last. */
  recovered: [recovery: { readonly records: number; readonly milliseconds: number; readonly partitions: readonly TopicPartition[] }];
  revoked: [partitions: readonly TopicPartition[]];
  /** An agent, a timer or a client failed. */
  error: [error: unknown];
}

/** What asks for retry topics: records of a stream app must not leave their topics. @throws ConfigError with other faults of the failure policy */
export function retryFaults(vars: RuntimeVars, failures: FailureOptions = {}): string[] {
  const { retryTopics, retries } = resolveFailureOptions(failures, vars);
  const areOwn = failures.retryTopics !== undefined;
  // Those of the variables may be other services' as well: `retries: 0` does without them here.
  if (retryTopics.length === 0 || !(areOwn || retries > 0)) return [];
  const what = areOwn ? 'failures.retryTopics' : 'PRODUCE_RETRY_TOPICS';
  return [
    `Expected no retry topics for a stream app (${what}): a record that comes back by one has left its topic and tables. Use failures.attempts`,
  ];
}
