/**
 * What {@link OffsetTracker} is to records finished one by one, this is to a turn that finishes everything handed over so far: the
 * synchronous pattern. It keeps two numbers, however many records a reader never finishes.
 */
export class PositionTracker {
  readonly epoch: number;
  readonly inFlightBytes = 0;
  readonly awaitsOutputs = false;
  #next = -1;
  #finished = -1;
  #required = 0;

  constructor(epoch: number) {
    this.epoch = epoch;
  }

  /** 1 while something handed over is not finished. */
  get inFlight(): number {
    return this.#next > this.#finished ? 1 : 0;
  }

  deliver(offset: number): void {
    if (offset >= this.#next) this.#next = offset + 1;
  }

  /** Records are not finished one by one here. */
  finish(): boolean {
    return false;
  }

  /** Gives up what was handed over since the last turn that was finished. */
  abandon(): void {
    this.#next = this.#finished;
  }

  /** As {@link inFlight}: outputs are flushed before a turn is finished. */
  awaited(): number {
    return this.inFlight;
  }

  finishAll(required: number): void {
    this.#finished = this.#next;
    this.#required = required;
  }

  /** The offset that may be committed, undefined while nothing is finished or its outputs are outstanding. */
  advance(acknowledged: number): number | undefined {
    return this.#finished < 0 || this.#required > acknowledged ? undefined : this.#finished;
  }
}
