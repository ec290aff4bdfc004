import type { Producer } from '../client/producer.ts';

/** Records on their way to retry and dead-letter topics while the loop goes on. */
const BACKGROUND_MAX = 500;

/** Holds offsets back until it is told that they may go. */
export type Holder = Pick<Producer<never, never>, 'hold'>;

/**
 * Records that are put aside while their loop goes on: the offsets noted after them wait for them. As soon as one does not arrive at the
 * first try, nothing more is taken until it has.
 */
export class AsideQueue {
  readonly #holder: Holder;
  readonly #isStop: (error: unknown) => boolean;
  readonly #sending = new Set<Promise<void>>();
  #inTrouble = false;
  #failure: { readonly error: unknown } | undefined;

  /** @param isStop Whether an error only says that the runner stops: then the record comes again */
  constructor(holder: Holder, isStop: (error: unknown) => boolean) {
    this.#holder = holder;
    this.#isStop = isStop;
  }

  /** Nothing is taken until what is on its way has arrived. */
  trouble(): void {
    this.#inTrouble = true;
  }

  /** Resolves once `send` is under way and its record's offset is held. */
  async add(send: () => Promise<void>): Promise<void> {
    while (this.#inTrouble ? this.#sending.size > 0 : this.#sending.size >= BACKGROUND_MAX) await Promise.race(this.#sending);
    this.throwIfFailed();
    this.#inTrouble = false;
    const release = this.#holder.hold();
    const sending = send().then(release, (error: unknown) => {
      // Not released: the offset stays before the record.
      if (!this.#isStop(error)) this.#failure ??= { error };
    });
    this.#sending.add(sending);
    void sending.then(() => this.#sending.delete(sending));
  }

  /** @throws what kept a record from being put aside for good */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Waits for all that is on its way. */
  async settled(): Promise<void> {
    await Promise.all(this.#sending);
    this.throwIfFailed();
  }
}
