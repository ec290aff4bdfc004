import type { DeliveryError } from '../errors.ts';

/** So many failures can be forgotten again one by one. */
const REMEMBERED_MAX = 1_000;

/** The failed deliveries of a producer, by the numbers of their records: offsets behind them are held back. */
export class DeliveryFailures {
  readonly #remembered = new Map<number, DeliveryError>();
  /** Of those beyond, the lowest and the highest number. */
  #first: DeliveryError | undefined;
  #last: DeliveryError | undefined;

  add(error: DeliveryError): void {
    if (this.#remembered.size < REMEMBERED_MAX) {
      this.#remembered.set(error.sequence, error);
      return;
    }
    if (error.sequence < (this.#first?.sequence ?? Number.POSITIVE_INFINITY)) this.#first = error;
    if (error.sequence > (this.#last?.sequence ?? 0)) this.#last = error;
  }

  /** The record is dealt with. Does nothing for one of those beyond the remembered. */
  forget(sequence: number): void {
    this.#remembered.delete(sequence);
  }

  clear(): void {
    this.#remembered.clear();
    this.#first = undefined;
    this.#last = undefined;
  }

  /** The failure with the lowest number above `since`, as far as it is known. */
  after(since: number): DeliveryError | undefined {
    let lowest = [this.#first, this.#last].find((error) => error !== undefined && error.sequence > since);
    for (const error of this.#remembered.values()) {
      if (error.sequence > since && error.sequence < (lowest?.sequence ?? Number.POSITIVE_INFINITY)) lowest = error;
    }
    return lowest;
  }

  /** Records with this number and above `since` do not count as acknowledged. Infinity when all of them may. */
  heldFrom(since: number): number {
    if (this.#remembered.size === 0 && this.#last === undefined) return Number.POSITIVE_INFINITY;
    // Beyond the remembered only two numbers are known: when the first is too old to matter, nothing since then counts.
    if (this.#last !== undefined && this.#first!.sequence <= since && this.#last.sequence > since) return since + 1;
    return this.after(since)?.sequence ?? Number.POSITIVE_INFINITY;
  }
}
