/** Where records are handled: on the main thread, or in workers. */
export type PoolMode = 'inline' | 'pool';

const OTHER = { inline: 'pool', pool: 'inline' } as const;

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

/** Differences from which on one look at each mode is enough, or two: looks differ from one another, and so does what else the machine is at. */
const CLEAR = [1.2, 1.1] as const;

/** Looks at each mode at most. */
const LOOKS = CLEAR.length + 1;

/** A mode that was decided on stays unless the other one is cheaper by so much. */
const MARGIN = 1.05;

/** Below this share of the main thread's time the work is not worth moving: moving it costs about as much. */
const LEAST_SHARE = 0.15;

/** A cost that moved by so much since the last decision is another load: the other mode is tried again. */
const DRIFT = 1.5;

/** A stretch of a trial: the collector's pauses are shorter. */
const TRIAL_MS = 100;
/** Code that is new to a thread is slow until it is compiled: a stretch that is cheaper than the one before by so much was part of that. */
const WARMER = 1.1;
/** Stretches of a trial at most; and of the first of new workers, unless they are clearly cheaper before: theirs take half a second to get warm. */
const MOST_STRETCHES = 10;
const FIRST_STRETCHES = 8;
/** A stretch between trials. */
const SETTLED_MS = 250;

/** The other mode is tried again after so long at least, and twice as long each time; or when the loss of a trial is a hundredth of the time since. */
const FIRST_RETRIAL_MS = 5_000;
const LAST_RETRIAL_MS = 600_000;
const RETRIAL_MS_PER_LOSS = 100 * 3 * TRIAL_MS;

/** What one more look weighs in the running cost. */
const WEIGHT = 0.3;

/**
 * Decides on the live stream whether workers pay. A mode's cost, in microseconds a record, is the time it really takes while more records wait:
 * that counts cores which are busy with something else, too. Where the stream gives no more it is what would limit the throughput: inline
 * the main thread's time; in a pool the main thread's or the workers' share, whichever is more. Where one look at each does not tell them apart,
 * they take turns: that costs little, since they cost about the same. The other mode is tried again now and then.
 */
export class ModeChooser {
  readonly #workers: number;
  readonly #now: () => number;
  #mode: PoolMode = 'inline';
  #settled = false;
  /** Of the present trial: stretches so far, and what the last one cost. */
  #stretches = 0;
  #stretchMicros = 0;
  /** Which mode the trial may replace. */
  #incumbent: PoolMode | undefined;
  readonly #looks: Record<PoolMode, number> = { inline: 0, pool: 0 };
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

  /** How long the next stretch should be at least, in milliseconds. */
  get windowMs(): number {
    return this.#settled ? SETTLED_MS : TRIAL_MS;
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
    const micros = this.#costOf(window);
    if (this.#settled) this.#follow(micros, window);
    else this.#look(micros, window);
  }

  #costOf({ elapsedMs, mainMs, records, workMs }: PoolWindow): number {
    const limiting = this.#mode === 'inline' ? mainMs : Math.max(mainMs, workMs / this.#workers);
    return ((elapsedMs ?? limiting) * 1000) / records;
  }

  /** The first stretch of a trial counts nothing; then two are a look, of which the second is not much cheaper than the first. */
  #look(micros: number, window: PoolWindow): void {
    const before = this.#stretchMicros;
    this.#stretchMicros = micros;
    const stretches = ++this.#stretches;
    if (stretches < 3) return;
    const mean = (before + micros) / 2;
    const fresh = this.#mode === 'pool' && this.#micros.pool === undefined && mean * CLEAR[0] > this.#micros.inline!;
    const warming = micros * WARMER < before || (fresh && stretches < FIRST_STRETCHES);
    if (!warming || stretches >= MOST_STRETCHES) this.#decide(mean, window);
  }

  /** After a look at the present mode. */
  #decide(micros: number, window: PoolWindow): void {
    const mode = this.#mode;
    const other = OTHER[mode];
    const looks = ++this.#looks[mode];
    const known = this.#micros[mode] ?? 0;
    this.#micros[mode] = known + (micros - known) / looks;
    if (this.#looks[other] === 0) {
      if (mode === 'inline' && !worthMoving(window)) this.#settle(mode);
      else this.#try(other);
      return;
    }
    // Above 1: the pool is cheaper.
    const ratio = this.#micros.inline! / this.#micros.pool!;
    const least = Math.min(looks, this.#looks[other]);
    const clear = CLEAR[least - 1];
    if (clear === undefined) this.#settle(this.#cheaper(ratio));
    else if (ratio > clear || ratio * clear < 1) this.#settle(ratio > 1 ? 'pool' : 'inline');
    else this.#try(this.#looks[other] > least ? mode : other);
  }

  /** When both were looked at as often as they are. */
  #cheaper(ratio: number): PoolMode {
    if (this.#incumbent === 'inline') return ratio > MARGIN ? 'pool' : 'inline';
    if (this.#incumbent === 'pool') return ratio * MARGIN < 1 ? 'inline' : 'pool';
    return ratio > 1 ? 'pool' : 'inline';
  }

  /** Between trials. */
  #follow(micros: number, window: PoolWindow): void {
    const mode = this.#mode;
    const known = this.#micros[mode] ?? micros;
    const smooth = known + WEIGHT * (micros - known);
    this.#micros[mode] = smooth;
    const decidedAt = this.#decidedAt ?? smooth;
    const drifted = smooth > decidedAt * DRIFT || smooth * DRIFT < decidedAt;
    if (drifted) this.#retrialMs = FIRST_RETRIAL_MS;
    else if (this.#now() < this.#nextTrial) return;
    if (mode === 'inline' && !worthMoving(window)) {
      this.#settle('inline');
      return;
    }
    const other = OTHER[mode];
    this.#incumbent = mode;
    // What it has cost all the while is known better than by one look.
    this.#looks[mode] = LOOKS;
    this.#looks[other] = 0;
    this.#try(other);
  }

  #try(mode: PoolMode): void {
    this.#settled = false;
    this.#stretches = 0;
    this.#change(mode);
  }

  #settle(mode: PoolMode): void {
    this.#settled = true;
    this.#change(mode);
    this.#decidedAt = this.#micros[mode];
    const { inline = 1, pool = inline } = this.#micros;
    const loss = Math.max(inline / pool, pool / inline) - 1;
    this.#nextTrial = this.#now() + Math.min(LAST_RETRIAL_MS, Math.max(this.#retrialMs, loss * RETRIAL_MS_PER_LOSS));
    this.#retrialMs *= 2;
  }

  #change(mode: PoolMode): void {
    if (mode !== this.#mode) this.#switches++;
    this.#mode = mode;
  }
}

function worthMoving({ mainMs, workMs }: PoolWindow): boolean {
  return workMs >= LEAST_SHARE * mainMs;
}
