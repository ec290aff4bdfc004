/** Where records are handled: on the main thread, or in workers. */
export type PoolMode = 'inline' | 'pool';

/** What a stretch of records took. */
export interface PoolWindow {
  readonly records: number;
  /** For which the main thread was at work, in milliseconds: its event loop, everything included. */
  readonly mainMs: number;
  /** Decoding, handling and encoding, in milliseconds: summed over all threads that did it. */
  readonly workMs: number;
  /** How long it took, in milliseconds, if more records waited all the while; undefined: then it says nothing. */
  readonly elapsedMs?: number | undefined;
}

/** Another mode must be cheaper by so much: what differs by less changes by itself from one look to the next. */
const MARGIN = 1.1;

/** A pool that costs less than this beside inline is looked at once more before it is left: its threads may still be warming up. */
const CLOSE_CALL = 1.5;

/** Below this share of the main thread's time the work is not worth moving: moving it costs about as much. */
const LEAST_SHARE = 0.15;

/** A cost that moved by so much since the last decision is another load: the other mode is tried again. */
const DRIFT = 1.5;

const FIRST_RETRIAL_MS = 30_000;
const LAST_RETRIAL_MS = 600_000;

/** What one more look weighs in the running cost. */
const WEIGHT = 0.3;

/**
 * Decides on the live stream whether workers pay. A mode's cost, in microseconds a record, is the time it really takes while more records wait:
 * that counts cores which are busy with something else, too. Where the stream gives no more it is what would limit the throughput: inline
 * the main thread's time; in a pool the main thread's or the workers' share, whichever is more. The other mode is tried now and then, and taken
 * only when it is clearly cheaper.
 */
export class ModeChooser {
  readonly #workers: number;
  readonly #now: () => number;
  #mode: PoolMode = 'inline';
  #phase: 'warm-up' | 'trial' | 'second look' | 'settled' = 'warm-up';
  readonly #micros: Record<PoolMode, number | undefined> = { inline: undefined, pool: undefined };
  #decidedAt: number | undefined;
  #retrialMs = FIRST_RETRIAL_MS;
  #nextTrial = 0;
  #switches = 0;

  constructor(workers: number, now: () => number = () => performance.now()) {
    this.#workers = workers;
    this.#now = now;
  }

  get mode(): PoolMode {
    return this.#mode;
  }

  /** Changes of mode so far, those for a trial included. */
  get switches(): number {
    return this.#switches;
  }

  /** Cost of each mode in microseconds a record, where it was measured. */
  get micros(): { readonly inline: number | undefined; readonly pool: number | undefined } {
    return { ...this.#micros };
  }

  /** Takes a stretch of records that were all handled in the present mode; `mode` is the next one's. */
  observe(window: PoolWindow): void {
    if (this.#phase === 'warm-up') {
      // New workers and new code are slow at first.
      this.#phase = 'trial';
      return;
    }
    const micros = this.#costOf(window);
    if (this.#phase === 'settled') this.#follow(micros, window);
    else this.#decide(micros, window);
  }

  #costOf({ elapsedMs, mainMs, records, workMs }: PoolWindow): number {
    const limiting = this.#mode === 'inline' ? mainMs : Math.max(mainMs, workMs / this.#workers);
    return ((elapsedMs ?? limiting) * 1000) / records;
  }

  /** The end of a trial. */
  #decide(micros: number, window: PoolWindow): void {
    const mode = this.#mode;
    const other = mode === 'inline' ? 'pool' : 'inline';
    this.#micros[mode] = micros;
    const others = this.#micros[other];
    if (others === undefined) {
      if (mode === 'inline' && !worthMoving(window)) this.#settle(mode);
      else this.#try(other);
      return;
    }
    // The trial was of this mode: the one before stays unless this one is clearly cheaper.
    if (micros * MARGIN < others) this.#settle(mode);
    else if (mode === 'pool' && micros < others * CLOSE_CALL && this.#phase === 'trial') this.#phase = 'second look';
    else this.#settle(other);
  }

  /** Between trials. */
  #follow(micros: number, window: PoolWindow): void {
    const known = this.#micros[this.#mode] ?? micros;
    const smooth = known + WEIGHT * (micros - known);
    this.#micros[this.#mode] = smooth;
    const decidedAt = this.#decidedAt ?? smooth;
    const drifted = smooth > decidedAt * DRIFT || smooth * DRIFT < decidedAt;
    if (drifted) this.#retrialMs = FIRST_RETRIAL_MS;
    else if (this.#now() < this.#nextTrial) return;
    if (this.#mode === 'inline' && !worthMoving(window)) this.#settle('inline');
    else this.#try(this.#mode === 'inline' ? 'pool' : 'inline');
  }

  #try(mode: PoolMode): void {
    this.#phase = 'warm-up';
    this.#change(mode);
  }

  #settle(mode: PoolMode): void {
    this.#phase = 'settled';
    this.#change(mode);
    this.#decidedAt = this.#micros[mode];
    this.#nextTrial = this.#now() + this.#retrialMs;
    this.#retrialMs = Math.min(LAST_RETRIAL_MS, this.#retrialMs * 2);
  }

  #change(mode: PoolMode): void {
    if (mode !== this.#mode) this.#switches++;
    this.#mode = mode;
  }
}

function worthMoving({ mainMs, workMs }: PoolWindow): boolean {
  return workMs >= LEAST_SHARE * mainMs;
}
