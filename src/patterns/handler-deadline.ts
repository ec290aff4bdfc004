import { TimeoutError } from '../errors.ts';
import type { RecordContext } from '../serde.ts';

/** How long a handler may take to end once its signal has fired. */
const GRACE_MS = 1_000;

/**
 * Calls a handler with a signal of its own, which fires after `timeoutMs` with a `TimeoutError`, or when `stopping` does. A handler that
 * ignores it is given up a moment later.
 *
 * @throws TimeoutError when it did not end in time, whatever it threw because of that
 */
export async function withDeadline<T>(
  { topic, partition, offset }: RecordContext,
  handler: (context: { readonly signal: AbortSignal }) => T | Promise<T>,
  timeoutMs: number,
  stopping: AbortSignal,
): Promise<T> {
  const timeout = new AbortController();
  const signal = AbortSignal.any([stopping, timeout.signal]);
  const late = new TimeoutError(`The handler of ${topic} [${partition}] @ ${offset} did not end within ${timeoutMs} ms`, {
    topic,
    partition,
    offset,
    retriable: false,
  });
  let grace: NodeJS.Timeout | undefined;
  let timer: NodeJS.Timeout | undefined;
  const givenUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      timeout.abort(late);
      grace = setTimeout(() => reject(late), GRACE_MS);
    }, timeoutMs);
  });
  try {
    const result = handler({ signal });
    return result instanceof Promise ? await Promise.race([result, givenUp]) : result;
  } catch (error) {
    throw timeout.signal.aborted ? late : error;
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
  }
}
