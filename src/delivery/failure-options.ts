import { ConfigError, DecodeError } from '../errors.ts';
import type { RuntimeVars } from '../runtime-vars.ts';

/** Node's timers take no more. */
const DELAY_MAX_MS = 2_147_483_647;

/** A class of errors, abstract ones included. */
export type ErrorClass = abstract new (...args: never[]) => Error;

/** Which errors: of a class (or its subclasses), or those for which a function says so. */
export type ErrorMatch = ErrorClass | ((error: unknown) => boolean);

/** What becomes of some errors in particular. */
export interface FailureRoute {
  readonly errors: ErrorMatch | readonly ErrorMatch[];
  /**
   * `retry` goes the usual way; `deadLetter` leaves the attempts and retry topics out; `skip` counts the record as done; `stop` ends the
   * runner without it.
   */
  readonly action: 'retry' | 'deadLetter' | 'skip' | 'stop';
  /** Dead-letter topic of these errors. @default deadLetterTopics */
  readonly deadLetterTopic?: string | undefined;
}

/** A topic for records that are tried again later. */
export interface RetryTopic {
  readonly topic: string;
  /** How long a record rests in it, in milliseconds. */
  readonly delayMs: number;
}

/** How long to wait between the attempts at a record, in milliseconds: doubled each time. */
export interface Backoff {
  /** @default 100 */
  readonly initialMs?: number | undefined;
  /** @default 10000 */
  readonly maxMs?: number | undefined;
  /** Share of each wait that is left to chance, so that many do not come again at once. @default 0.5 */
  readonly jitter?: number | undefined;
}

/**
 * What becomes of a record that cannot be decoded or whose handler throws: attempts in place, then retry topics, then dead letters.
 * Outages (errors of this package that are `retriable`) are no attempts: they are waited for.
 */
export interface FailureOptions {
  /** Calls of the handler before a record goes to a retry topic or is a dead letter, the first included. Meanwhile those behind it wait. @default 1 */
  readonly attempts?: number | undefined;
  readonly backoff?: Backoff | undefined;
  /**
   * Topics in which a failed record rests, the first one first; the last serves for further retries. The runner consumes them, too. A
   * record leaves the order of its partition by them. @default PRODUCE_RETRY_TOPICS with RETRY_DELAY_SECONDS and RETRY_DELAY_FACTOR
   */
  readonly retryTopics?: readonly RetryTopic[] | undefined;
  /** How often a record goes to a retry topic. @default one for each of `retryTopics`; RETRY_COUNT_MAX for those of PRODUCE_RETRY_TOPICS */
  readonly retries?: number | undefined;
  /** Topics a record goes to, all of them, when its retries are used up. @default PRODUCE_FAILURE_TOPICS */
  readonly deadLetterTopics?: readonly string[] | undefined;
  /** Errors that no retry cures. @default [DecodeError] */
  readonly neverRetry?: readonly ErrorMatch[] | undefined;
  /** The first one that matches says what becomes of an error. */
  readonly routes?: readonly FailureRoute[] | undefined;
}

/** What the runtime variables say of failures. */
export type FailureVars = Pick<
  RuntimeVars,
  'RETRY_COUNT_MAX' | 'PRODUCE_RETRY_TOPICS' | 'RETRY_DELAY_SECONDS' | 'RETRY_DELAY_FACTOR' | 'PRODUCE_FAILURE_TOPICS'
>;

/** {@link FailureOptions}, all resolved. */
export interface ResolvedFailureOptions {
  readonly attempts: number;
  readonly backoff: Required<{ readonly [Name in keyof Backoff]: number }>;
  readonly retryTopics: readonly RetryTopic[];
  readonly retries: number;
  readonly deadLetterTopics: readonly string[];
  readonly neverRetry: readonly ErrorMatch[];
  readonly routes: readonly FailureRoute[];
}

/** @throws ConfigError with every fault of the options */
export function resolveFailureOptions(options: FailureOptions, vars: FailureVars): ResolvedFailureOptions {
  const resolved = {
    ...resolveRetries(options, vars),
    attempts: options.attempts ?? 1,
    backoff: {
      initialMs: options.backoff?.initialMs ?? 100,
      maxMs: options.backoff?.maxMs ?? 10_000,
      jitter: options.backoff?.jitter ?? 0.5,
    },
    deadLetterTopics: options.deadLetterTopics ?? vars.PRODUCE_FAILURE_TOPICS,
    neverRetry: options.neverRetry ?? [DecodeError],
    routes: options.routes ?? [],
  };
  const faults = faultsOf(resolved);
  if (faults.length > 0) throw new ConfigError(faults);
  return resolved;
}

/** The retry topics, and how often a record goes to one; not checked. */
function resolveRetries(
  { retryTopics, retries }: FailureOptions,
  vars: FailureVars,
): Pick<ResolvedFailureOptions, 'retryTopics' | 'retries'> {
  return {
    retryTopics: retryTopics ?? retryTopicsOf(vars),
    retries: retries ?? (retryTopics === undefined ? vars.RETRY_COUNT_MAX : retryTopics.length),
  };
}

function retryTopicsOf(vars: FailureVars): RetryTopic[] {
  const firstMs = vars.RETRY_DELAY_SECONDS * 1_000;
  return vars.PRODUCE_RETRY_TOPICS.map((topic, tier) => ({ topic, delayMs: firstMs * vars.RETRY_DELAY_FACTOR ** tier }));
}

function faultsOf({ attempts, backoff, retries, retryTopics, deadLetterTopics, routes }: ResolvedFailureOptions): string[] {
  const faults: string[] = [];
  const expect = (holds: boolean, fault: string): void => void (holds || faults.push(fault));
  expect(Number.isInteger(attempts) && attempts >= 1, `Expected attempts to be a whole number from 1, got ${attempts}`);
  expect(Number.isInteger(retries) && retries >= 0, `Expected retries to be a whole number from 0, got ${retries}`);
  expect(backoff.initialMs >= 0, `Expected backoff.initialMs to be milliseconds from 0, got ${backoff.initialMs}`);
  expect(backoff.maxMs >= backoff.initialMs, `Expected backoff.maxMs to be at least backoff.initialMs, got ${backoff.maxMs}`);
  expect(backoff.jitter >= 0 && backoff.jitter <= 1, `Expected backoff.jitter to be from 0 to 1, got ${backoff.jitter}`);
  for (const { topic, delayMs } of retryTopics) {
    expect(topic !== '', 'Expected every retry topic to have a name');
    const inRange = delayMs >= 0 && delayMs <= DELAY_MAX_MS;
    expect(inRange, `Expected delayMs of ${topic} to be milliseconds from 0 to ${DELAY_MAX_MS}, got ${delayMs}`);
    expect(!deadLetterTopics.includes(topic), `Expected ${topic} to be a retry topic or a dead-letter topic, not both`);
  }
  expect(new Set(retryTopics.map(({ topic }) => topic)).size === retryTopics.length, 'Expected every retry topic once');
  expect(!deadLetterTopics.includes(''), 'Expected every dead-letter topic to have a name');
  for (const { action, deadLetterTopic } of routes) {
    const target = action !== 'deadLetter' || deadLetterTopic !== undefined || deadLetterTopics.length > 0;
    expect(target, 'Expected a dead-letter topic for a route to dead letters: set PRODUCE_FAILURE_TOPICS or pass deadLetterTopics');
  }
  return faults;
}

/** Whether an error is meant. */
export function matches(error: unknown, match: ErrorMatch | readonly ErrorMatch[]): boolean {
  if (typeof match !== 'function') return match.some((each) => matches(error, each));
  return isErrorClass(match) ? error instanceof match : match(error);
}

function isErrorClass(match: ErrorMatch): match is ErrorClass {
  return match === Error || match.prototype instanceof Error;
}
