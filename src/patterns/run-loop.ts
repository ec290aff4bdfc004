import { IncompatibleEnvironmentError } from '../errors.ts';
import { isStopReason } from './failures.ts';
import type { RunBaseOptions, RunResult } from './run-options.ts';
import { type AnyProducer, cutOff, endClients, endedUnclean, StopRequest } from './shutdown.ts';

/** What a runner's loop is made of. */
export interface Loop {
  /** A producer that the loop has made, to be closed at the end. */
  readonly producer?: AnyProducer | undefined;
  readonly result: Omit<RunResult, 'left'>;
  start(): Promise<void>;
  turn(): Promise<void>;
  /** Waits for what is under way after the last turn. */
  end(): Promise<void>;
  /** Gives up whatever is still under way: called last, also when it was cut off. */
  close?(): Promise<void>;
}

/**
 * Runs a loop from its start to its closed clients: turn after turn until it is told to stop, its consumer is closed or a turn fails.
 *
 * @param autoCommit What the pattern needs `CONSUMER_ENABLE_AUTO_COMMIT` to be.
 */
export async function runLoop<K, V, H>(
  name: string,
  autoCommit: boolean,
  options: RunBaseOptions<K, V, H> & { readonly producer?: AnyProducer | (() => unknown) | undefined },
  makeLoop: (stop: StopRequest) => Loop,
): Promise<RunResult> {
  const { consumer, closeClients = true } = options;
  const stop = new StopRequest({ ...options, timeoutMs: options.shutdownTimeoutMs ?? consumer.shutdownTimeoutMs });
  let made: Loop | undefined;
  let failure: unknown;
  let wasCut = false;
  try {
    if (consumer.autoCommit !== autoCommit) throw wrongAutoCommit(name, consumer.autoCommit);
    const loop = makeLoop(stop);
    made = loop;
    const running = (async () => {
      try {
        await loop.start();
        while (!stop.signal.aborted && !consumer.closed) await loop.turn();
      } finally {
        await loop.end();
      }
    })();
    // One that is cut off settles late or never; what it says then concerns nobody.
    running.catch(() => undefined);
    wasCut = await Promise.race([running.then(() => false), stop.cut.then(() => true)]);
  } catch (error) {
    if (!((stop.signal.aborted || consumer.closed) && isStopReason(error, stop.signal))) failure = error;
  }
  await made?.close?.();
  const producer = typeof options.producer === 'function' ? made?.producer : options.producer;
  const ended = await endClients({ consumer, producer }, closeClients, stop.remainingMs);
  // What the runner has made nobody else can close.
  if (!closeClients && producer !== options.producer) await producer?.close().catch(() => undefined);
  stop.release();
  const cut = wasCut || (stop.signal.aborted && endedUnclean(ended));
  failure ??= cut ? cutOff(name, stop, ended) : ended.failure;
  if (failure !== undefined) throw failure;
  // Without a failure there was a loop.
  return { ...made!.result, left: ended.left };
}

function wrongAutoCommit(name: string, made: boolean): IncompatibleEnvironmentError {
  const message = `${name} needs CONSUMER_ENABLE_AUTO_COMMIT=${!made}, and the consumer was made with ${made}.`;
  return new IncompatibleEnvironmentError('CONSUMER_ENABLE_AUTO_COMMIT', message);
}
