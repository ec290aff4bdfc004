import { DeliveryError, EncodeError, isToolkitError, RecordTooLargeError, type ToolkitError } from '../errors.ts';

/** Media type of {@link Problem} (RFC 9457). */
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** What is known of a record whose request failed: it is not in its topic, or may be or come there yet. */
export type DeliveryState = 'none' | 'unknown';

/** The body of an answer that is an error, by RFC 9457; `type` is left out, which says `about:blank`. */
export interface Problem {
  readonly status: number;
  /** The status in words. */
  readonly title: string;
  /** What the client did wrong; nothing about the inside of the service. */
  readonly detail?: string | undefined;
  /** The toolkit's code of the error, e.g. `ERR_QUEUE_FULL`. */
  readonly code?: string | undefined;
  /** Where the body does not fit: a path of fields, joined by dots. */
  readonly field?: string | undefined;
  /** Of a request that was to produce a record. */
  readonly delivery?: DeliveryState | undefined;
}

/** An error's answer. */
export interface ProblemAnswer {
  readonly problem: Problem;
  /** Seconds after which to try again; undefined where that would not help. */
  readonly retryAfterSeconds: number | undefined;
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  413: 'Content Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** The request's deadline was over before the broker had acknowledged its record, or others wait that long already. */
export class UnacknowledgedError extends DeliveryError {
  readonly delivery: DeliveryState;

  constructor(message: string, delivery: DeliveryState, topic: string) {
    super(message, 0, { retriable: true, topic });
    this.delivery = delivery;
  }
}

/** What an error of a route answers: HTTP errors keep their status, those of the toolkit have theirs, all others are a 500 that tells nothing. */
export function problemOf(error: unknown, retryAfterSeconds: number): ProblemAnswer {
  // All else that cannot be encoded is the service's fault.
  if (error instanceof EncodeError && error.part === 'value') {
    const reason = error.cause instanceof Error ? error.cause.message : error.message;
    return answer(400, { detail: reason, code: error.code, field: error.path, delivery: 'none' });
  }
  if (error instanceof RecordTooLargeError) return answer(413, { code: error.code, delivery: 'none' });
  if (isToolkitError(error)) return toolkitProblem(error, retryAfterSeconds);
  const { status: given, statusCode, expose } = (error ?? {}) as { status?: unknown; statusCode?: unknown; expose?: unknown };
  const status = [statusCode, given].find((each) => Number.isInteger(each) && (each as number) >= 400 && (each as number) < 600) as
    | number
    | undefined;
  if (status === undefined) return answer(500, {});
  const shows = expose === undefined ? status < 500 : expose === true;
  return answer(status, { detail: shows && error instanceof Error ? error.message : undefined });
}

function toolkitProblem(error: ToolkitError, retryAfterSeconds: number): ProblemAnswer {
  // A producer that is closed or dead is replaced with its process: another one may answer.
  const passes = error.retriable || error.fatal || error.code === 'ERR_CLOSED';
  if (!passes) return answer(500, { code: error.code });
  const delivery = error instanceof UnacknowledgedError ? error.delivery : error instanceof DeliveryError ? 'unknown' : 'none';
  return answer(503, { code: error.code, delivery }, retryAfterSeconds);
}

function answer(status: number, rest: Omit<Problem, 'status' | 'title'>, retryAfterSeconds?: number): ProblemAnswer {
  const title = titles[status] ?? (status < 500 ? 'Client Error' : 'Server Error');
  return { problem: { status, title, ...rest }, retryAfterSeconds };
}
