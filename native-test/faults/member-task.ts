import type { RunResult } from 'rdkafka-toolkit';

/** How a member handles its records. `unsafe` is the negative control: it stores offsets without waiting for its outputs. */
export type Pattern = 'async' | 'batch' | 'sync' | 'transaction' | 'unsafe';

/**
 * Which records fail, by their numbers. `failing`: some once, some always, some by hanging, some by throwing text. `poison`: some cannot be
 * decoded. `delayed`: a third goes to the retry topic once. `letters`: what fails always is sent to the dead-letter topic by the handler
 * itself, which waits for nothing: the negative control.
 */
export type Failing = 'failing' | 'poison' | 'delayed' | 'letters';

/** What a member process is told to do, as JSON in its first argument. Everything else comes from the runtime variables. */
export interface MemberTask {
  readonly pattern: Pattern;
  readonly input: string;
  readonly output: string;
  /** Number of this process, carried by its outputs. */
  readonly source: number;
  /** The handler pauses `pauseMs` after so many records. */
  readonly pauseEvery: number;
  readonly pauseMs: number;
  readonly failing?: Failing | undefined;
  /** Records handled at once, and which wait for each other. */
  readonly concurrency?: number | undefined;
  readonly order?: 'key' | 'none' | undefined;
}

/** What a member tells its parent. */
export type MemberMessage =
  | { readonly kind: 'ready'; readonly rssBytes: number }
  | { readonly kind: 'assigned' | 'revoked'; readonly partitions: number }
  | { readonly kind: 'progress'; readonly handled: number; readonly memory: NodeJS.MemoryUsage }
  | { readonly kind: 'clientError' | 'requestTimeout'; readonly message: string }
  | { readonly kind: 'done'; readonly result: RunResult };

/** What a member can be told: to block its event loop. */
export interface MemberCommand {
  readonly blockMs: number;
}
