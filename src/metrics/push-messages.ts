import type { SharedCounts } from './live-counts.ts';
import type { PushTarget } from './pod-pusher.ts';
import type { PushStatus } from './push-counts.ts';

/** What the pushing thread starts with. */
export interface PushThreadData {
  readonly target: PushTarget;
  readonly counts: SharedCounts;
  readonly intervalMs: number;
}

/** What the pushing thread is told. */
export type ToPushThread =
  /** All metrics but the counts, as text: the answer to `collect`. */
  | { readonly type: 'snapshot'; readonly text: string }
  /** A class of errors that has a count from now on. */
  | { readonly type: 'exception'; readonly index: number; readonly name: string }
  /** Push once more, to every pod; remove the group if so wished; then end. */
  | { readonly type: 'stop'; readonly remove: boolean; readonly timeoutMs: number };

/** What the pushing thread tells. */
export type FromPushThread =
  /** A push is due: a snapshot is wanted, and not waited for long. */
  | { readonly type: 'collect' }
  | { readonly type: 'status'; readonly status: PushStatus }
  /** `inTime`: everything was done before the deadline. */
  | { readonly type: 'stopped'; readonly status: PushStatus | undefined; readonly inTime: boolean };
