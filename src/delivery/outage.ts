const FIRST_MS = 100;
const MOST_MS = 5_000;

/** How long to wait during an outage of brokers or registry before the next try: longer each time, until something succeeds. */
export class Outage {
  #restMs = 0;

  /** Milliseconds until the next try. */
  next(): number {
    this.#restMs = Math.min(MOST_MS, Math.max(FIRST_MS, this.#restMs * 2));
    return this.#restMs;
  }

  /** Something succeeded. */
  over(): void {
    this.#restMs = 0;
  }
}
