import { tracingChannel } from 'node:diagnostics_channel';
import type { AnyHandler } from '../hooks.ts';

/** What subscribers of `tracing:rdkafka-toolkit:handler:*` get, one object for all events of a call. */
export interface HandlerCall {
  /** The record, or the records of a batch. */
  readonly input: unknown;
  result?: unknown;
  error?: unknown;
}

const events = tracingChannel<unknown, HandlerCall>('rdkafka-toolkit:handler');

/**
 * The same handler, each call published to `node:diagnostics_channel` as `tracing:rdkafka-toolkit:handler:start`, `end`, `asyncStart`,
 * `asyncEnd` and `error`. Who subscribes after a runner was started is not told of its calls: so a runner without subscribers pays nothing.
 */
export function publishCalls<Handler extends AnyHandler>(handler: Handler): Handler {
  const { start, end, asyncStart, asyncEnd, error } = events;
  if (![start, end, asyncStart, asyncEnd, error].some(({ hasSubscribers }) => hasSubscribers)) return handler;
  const call = handler as (input: never, context: never) => unknown;
  const fail = (told: HandlerCall, reason: unknown): void => {
    told.error = reason;
    error.publish(told);
  };
  const settle = (told: HandlerCall): void => {
    asyncStart.publish(told);
    asyncEnd.publish(told);
  };
  const published = (input: never, context: never): unknown => {
    const told: HandlerCall = { input };
    return start.runStores(told, () => {
      try {
        const result = call(input, context);
        if (!(result instanceof Promise)) {
          told.result = result;
          return result;
        }
        return result.then(
          (value: unknown) => {
            told.result = value;
            settle(told);
            return value;
          },
          (reason: unknown) => {
            fail(told, reason);
            settle(told);
            throw reason;
          },
        );
      } catch (reason) {
        fail(told, reason);
        throw reason;
      } finally {
        end.publish(told);
      }
    });
  };
  return published as Handler;
}
