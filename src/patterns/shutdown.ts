import type { Consumer } from '../client/consumer.ts';
import type { Producer } from '../client/producer.ts';
import { offsetManagerOf } from '../delivery/create-clients.ts';
import { CommitError, type Leftovers, ShutdownError, TimeoutError } from '../errors.ts';

/** A consumer of any key, value and headers. */
export type AnyConsumer = Consumer<unknown, unknown, unknown>;

/** A producer of any key and value. */
export type AnyProducer = Producer<never, never>;

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** What flush, commit and leaving the group get of a deadline that a handler would use up. */
const RESERVED_SHARE = 1 / 3;
const RESERVED_MAX_MS = 5_000;

/** How long a process that was told to end by a signal, and is done, takes no notice of further ones. */
const SIGNALS_AFTER_MS = 1_000;

/** Least time for a step of the end, however little is left. */
const STEP_MIN_MS = 100;

/** The request to stop, from wherever it comes first, and the deadline it starts. */
export class StopRequest {
  readonly #timeoutMs: number;
  readonly #stop = new AbortController();
  readonly #outer: AbortSignal | undefined;
  #by = 'its signal';
  #bySignal = false;
  #deadline: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cutNow: () => void = () => undefined;
  /** Resolves when what is under way must not be waited for any longer. */
  readonly cut: Promise<void> = new Promise((resolve) => {
    this.#cutNow = resolve;
  });

  constructor(options: {
    readonly timeoutMs: number;
    readonly signal?: AbortSignal | undefined;
    readonly handleSignals?: boolean | undefined;
  }) {
    this.#timeoutMs = options.timeoutMs;
    this.#outer = options.signal;
    if (this.#outer?.aborted) this.#onAbort();
    this.#outer?.addEventListener('abort', this.#onAbort, { once: true });
    if (options.handleSignals ?? true) for (const name of SIGNALS) process.on(name, this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** What asked for it. */
  get by(): string {
    return this.#by;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** What is left of the deadline; all of it while nobody has asked to stop. */
  get remainingMs(): number {
    return this.#deadline === undefined ? this.#timeoutMs : Math.max(STEP_MIN_MS, this.#deadline - performance.now());
  }

  readonly #onAbort = (): void => this.#request(this.#outer?.reason);

  readonly #onSignal = (name: NodeJS.Signals): void => {
    if (this.#deadline === undefined) {
      this.#by = name;
      this.#bySignal = true;
    }
    this.#request(undefined);
  };

  /** Asks for it because something failed here. */
  fail(): void {
    if (this.#deadline === undefined) this.#by = 'a failure';
    this.#request(undefined);
  }

  #request(reason: unknown): void {
    if (this.#deadline !== undefined) return;
    this.#deadline = performance.now() + this.#timeoutMs;
    const reservedMs = Math.min(RESERVED_MAX_MS, this.#timeoutMs * RESERVED_SHARE);
    this.#timer = setTimeout(this.#cutNow, this.#timeoutMs - reservedMs);
    this.#stop.abort(reason);
  }

  /** Signals are the process's own again; after one that stopped it, a moment later: the next of the same kind must not spoil a clean exit. */
  release(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#onAbort);
    const letGo = (): void => {
      for (const name of SIGNALS) process.off(name, this.#onSignal);
    };
    if (this.#bySignal) setTimeout(letGo, SIGNALS_AFTER_MS).unref();
    else letGo();
  }
}

/** How the clients of a service ended. */
export interface EndedClients {
  /** The first thing that went wrong, an uncommitted offset last. */
  readonly failure: unknown;
  readonly left: Leftovers;
}

/**
 * Flushes the producer, commits what that finished, closes the consumer, closes the producer; or only counts what is under way. Never
 * rejects.
 */
export async function endClients(
  { consumer, producer }: { readonly consumer?: AnyConsumer | undefined; readonly producer?: AnyProducer | undefined },
  close: boolean,
  timeoutMs: number | undefined,
): Promise<EndedClients> {
  const manager = consumer === undefined ? undefined : offsetManagerOf(consumer);
  if (!close) {
    manager?.settle();
    return { failure: undefined, left: { records: manager?.inFlightRecords ?? 0, outputs: producer?.inFlight ?? 0 } };
  }
  const deadline = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
  const rest = (): { timeoutMs?: number } =>
    deadline === undefined ? {} : { timeoutMs: Math.max(STEP_MIN_MS, deadline - performance.now()) };
  const failures: unknown[] = [];
  const attempt = (step: Promise<void> | undefined): Promise<void> | undefined =>
    step?.catch((error: unknown) => void failures.push(error));
  if (producer?.closed === false) await attempt(producer.flush(rest()));
  await attempt(consumer?.close(rest()));
  const outputs = producer?.inFlight ?? 0;
  await attempt(producer?.close(rest()));
  return {
    failure: failures.find((error) => !(error instanceof CommitError)) ?? failures[0],
    left: { records: manager?.leftAtClose ?? 0, outputs },
  };
}

/** Whether something was left, or Kafka did not take the end: the last commit, or the leave. */
export function endedUnclean({ failure, left: { records, outputs } }: EndedClients): boolean {
  if (failure === undefined) return false;
  return records > 0 || outputs > 0 || failure instanceof CommitError || failure instanceof TimeoutError;
}

function whyCut(failure: unknown): string {
  if (failure instanceof CommitError || failure instanceof TimeoutError) return `Kafka did not confirm its end: ${failure.message}`;
  return 'Raise SHUTDOWN_TIMEOUT_SECONDS, or have the handler end when its signal fires.';
}

/** The error of a service that did not end in time. */
export function cutOff(name: string, stop: StopRequest, { failure, left }: EndedClients): ShutdownError {
  return new ShutdownError(
    `${name} was stopped by ${stop.by} and did not end cleanly within ${stop.timeoutMs} ms: ${left.records} records were not finished and come again, ` +
      `${left.outputs} outputs were not acknowledged. ${whyCut(failure)}`,
    left,
    { cause: failure },
  );
}
