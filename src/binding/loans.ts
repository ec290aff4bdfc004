import { setTimeout as sleep } from 'node:timers/promises';

/** Calls on other threads that use a native client: it must not be freed before they are over. */
export class Loans {
  readonly #open = new Set<Promise<unknown>>();

  /** Counts a call as open until it settles. */
  async track<T>(call: Promise<T>): Promise<T> {
    this.#open.add(call);
    try {
      return await call;
    } finally {
      this.#open.delete(call);
    }
  }

  /** False when some are still open after `timeoutMs`. */
  async returned(timeoutMs: number): Promise<boolean> {
    if (this.#open.size === 0) return true;
    const all = Promise.allSettled(this.#open).then(() => true);
    return Promise.race([all, sleep(timeoutMs, false, { ref: false })]);
  }
}
