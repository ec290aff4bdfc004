import { ConfigError } from '../errors.ts';

/** Work that is done every so often. */
export interface Timer {
  readonly everyMs: number;
  readonly work: () => void | Promise<void>;
}

/** Timers of an app, never twice at once: one that takes longer than its interval leaves turns out. */
export class Timers {
  readonly all: Timer[] = [];
  readonly #onError: (error: unknown) => void;
  readonly #handles = new Set<NodeJS.Timeout>();
  #running = false;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** @throws ConfigError when the interval is no number of seconds above 0 */
  add(seconds: number, work: () => void | Promise<void>): void {
    if (!(seconds > 0 && seconds <= 2_000_000)) {
      throw new ConfigError([`Expected a timer's interval to be a number of seconds above 0, got ${seconds}`]);
    }
    const timer: Timer = { everyMs: seconds * 1000, work };
    this.all.push(timer);
    if (this.#running) this.#schedule(timer, performance.now() + timer.everyMs);
  }

  start(): void {
    this.#running = true;
    for (const timer of this.all) this.#schedule(timer, performance.now() + timer.everyMs);
  }

  stop(): void {
    this.#running = false;
    for (const handle of this.#handles) clearTimeout(handle);
    this.#handles.clear();
  }

  #schedule(timer: Timer, dueAt: number): void {
    const handle = setTimeout(
      () => {
        this.#handles.delete(handle);
        void this.#run(timer, dueAt);
      },
      Math.max(0, dueAt - performance.now()),
    );
    this.#handles.add(handle);
  }

  async #run(timer: Timer, dueAt: number): Promise<void> {
    try {
      await timer.work();
    } catch (error) {
      this.#onError(error);
    }
    if (!this.#running) return;
    const missed = Math.max(0, Math.floor((performance.now() - dueAt) / timer.everyMs));
    this.#schedule(timer, dueAt + (missed + 1) * timer.everyMs);
  }
}
