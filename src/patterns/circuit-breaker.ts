import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';

/**
 * What a runner asks of a circuit breaker: cockatiel's `circuitBreaker(…)` policies are such, alone or in a `wrap(…)`. Anything else will
 * do whose `execute` rejects without calling `work` while the circuit is open, with an error that has `isBrokenCircuitError: true` or
 * `isIsolatedCircuitError: true`.
 */
export interface CircuitBreaker {
  execute<T>(work: () => PromiseLike<T> | T): Promise<T>;
}

/** How a runner uses a circuit breaker. */
export interface CircuitBreakerOptions {
  readonly breaker: CircuitBreaker;
  /** Calls the dependency without a record. While the circuit is open only this is called. @default the record that waits is tried */
  readonly probe?: ((context: { readonly signal: AbortSignal }) => unknown) | undefined;
  /** Time between two looks at an open circuit, in milliseconds. @default 1000 */
  readonly probeIntervalMs?: number | undefined;
}

/** Calls through a breaker; while it is open, everybody waits for the one probe. */
export class CircuitGate {
  readonly #options: CircuitBreakerOptions;
  readonly #signal: AbortSignal;
  #closing: Promise<void> | undefined;

  constructor(options: CircuitBreakerOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** Resolves with the outcome of `work`, however long the circuit is open before. An open circuit is no failure of the record. */
  async call<T>(work: () => PromiseLike<T> | T): Promise<T> {
    for (;;) {
      if (this.#closing !== undefined) await this.#closing;
      try {
        return await this.#options.breaker.execute(work);
      } catch (error) {
        if (!isOpenCircuit(error)) throw error;
      }
      this.#closing ??= this.#untilProbed().finally(() => {
        this.#closing = undefined;
      });
    }
  }

  async #untilProbed(): Promise<void> {
    const { breaker, probe, probeIntervalMs = 1_000 } = this.#options;
    for (;;) {
      await orAborted(sleep(probeIntervalMs), this.#signal);
      if (probe === undefined) return;
      try {
        await orAborted(
          breaker.execute(async () => probe({ signal: this.#signal })),
          this.#signal,
        );
        return;
      } catch {
        // Still down: the breaker counts it.
        this.#signal.throwIfAborted();
      }
    }
  }
}

function isOpenCircuit(error: unknown): boolean {
  const { isBrokenCircuitError, isIsolatedCircuitError } = (error ?? {}) as Readonly<Record<string, unknown>>;
  return isBrokenCircuitError === true || isIsolatedCircuitError === true;
}
