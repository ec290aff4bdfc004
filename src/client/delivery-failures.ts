import type { DeliveryError } from '../errors.ts';

/** So many failures can be forgotten again one by one. */
const REMEMBERED_MAX = 1_000;

/** So many stretches whose failures are dealt with, before their reports are in, are kept in mind. */
const PARDONED_MAX = 1_000;

/** A failed delivery, and what it holds back. */
interface Failure {
  readonly error: DeliveryError;
  /** Offsets that were noted from this number on wait: the record's own, or the one it had while it waited to be queued. */
  readonly from: number;
  /** Whether somebody was told. */
  readonly observed: boolean;
}

/** The failed deliveries of a producer, by the numbers of their records: offsets behind them are held back. */
export class DeliveryFailures {
  readonly #remembered = new Map<number, Failure>();
  /** Of those beyond, the lowest and the highest number. */
  #first: Failure | undefined;
  #last: Failure | undefined;
  /** The latest last. */
  readonly #pardoned: { readonly since: number; readonly until: number }[] = [];

  add(error: DeliveryError, { from = error.sequence, observed = false }: Partial<Omit<Failure, 'error'>> = {}): void {
    const failure = { error, from, observed };
    if (observed && this.#pardoned.some(({ since, until }) => from > since && from <= until)) return;
    if (this.#remembered.size < REMEMBERED_MAX) {
      this.#remembered.set(error.sequence, failure);
      return;
    }
    if (from < (this.#first?.from ?? Number.POSITIVE_INFINITY)) this.#first = failure;
    if (from > (this.#last?.from ?? 0)) this.#last = failure;
  }

  /** The record of this very error is dealt with. Does nothing for one of those beyond the remembered. */
  forget(error: DeliveryError): void {
    if (this.#remembered.get(error.sequence)?.error === error) this.#remembered.delete(error.sequence);
  }

  /** What somebody was told of, or will be, with a number above `since` and up to `until`, is dealt with. */
  pardon(since: number, until: number): void {
    for (const [sequence, { from, observed }] of this.#remembered) {
      if (observed && from > since && from <= until) this.#remembered.delete(sequence);
    }
    // Some of them may fail only later.
    if (this.#pardoned.push({ since, until }) > PARDONED_MAX) this.#pardoned.shift();
  }

  clear(): void {
    this.#remembered.clear();
    this.#first = undefined;
    this.#last = undefined;
  }

  /** The failure with the lowest number above `since`, as far as it is known. */
  after(since: number): DeliveryError | undefined {
    return this.#after(since)?.error;
  }

  #after(since: number): Failure | undefined {
    let lowest = [this.#first, this.#last].find((failure) => failure !== undefined && failure.from > since);
    for (const failure of this.#remembered.values()) {
      if (failure.from > since && failure.from < (lowest?.from ?? Number.POSITIVE_INFINITY)) lowest = failure;
    }
    return lowest;
  }

  /** Records with this number and above `since` do not count as acknowledged. Infinity when all of them may. */
  heldFrom(since: number): number {
    if (this.#remembered.size === 0 && this.#last === undefined) return Number.POSITIVE_INFINITY;
    // Beyond the remembered only two numbers are known: when the first is too old to matter, nothing since then counts.
    if (this.#last !== undefined && this.#first!.from <= since && this.#last.from > since) return since + 1;
    return this.#after(since)?.from ?? Number.POSITIVE_INFINITY;
  }
}
