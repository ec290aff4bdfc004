/** Records that are handled one after the other. */
interface Lane<R> {
  readonly key: unknown;
  readonly queue: R[];
  /** Lanes with a record to start next, in the order they became so. */
  next: Lane<R> | undefined;
}

/** What {@link Lanes} are made of. */
export interface LanesOptions<R> {
  /** Records handled at once. */
  readonly concurrency: number;
  /** Records that may wait for their turn or be handled. */
  readonly maxRecords: number;
  /** Records of one lane are handled one after the other; undefined: in no order with any other. */
  readonly laneOf: (record: R) => unknown;
  /** Handles a record; undefined when it is done already. */
  readonly work: (record: R) => Promise<void> | undefined;
  /** Told once, of the first record whose work failed: nothing is started after it. */
  readonly onFailure: () => void;
}

/**
 * Handles many records at once, those of a lane in their order. A lane with work to do waits in line behind those that came before, so none
 * starves; what it holds is bounded, whoever fills it asks for {@link room}.
 */
export class Lanes<R> {
  readonly #options: LanesOptions<R>;
  readonly #lanes = new Map<unknown, Lane<R>>();
  #first: Lane<R> | undefined;
  #last: Lane<R> | undefined;
  #running = 0;
  #size = 0;
  #stopped = false;
  #failure: { readonly error: unknown } | undefined;
  #onChange: (() => void)[] = [];

  constructor(options: LanesOptions<R>) {
    this.#options = options;
  }

  /** Records that wait or are handled. */
  get size(): number {
    return this.#size;
  }

  get running(): number {
    return this.#running;
  }

  /** How many records may be added. */
  get room(): number {
    return this.#options.maxRecords - this.#size;
  }

  add(record: R): void {
    this.#size++;
    const key = this.#options.laneOf(record);
    const waiting = key === undefined ? undefined : this.#lanes.get(key);
    if (waiting !== undefined) {
      waiting.queue.push(record);
      return;
    }
    const lane: Lane<R> = { key, queue: [record], next: undefined };
    if (key !== undefined) this.#lanes.set(key, lane);
    this.#lineUp(lane);
    this.#start();
  }

  /** Resolves at the next record that is done. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve));
  }

  /**
   * Starts nothing any more, and waits for what is being handled.
   *
   * @throws what the first record failed with
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    while (this.#running > 0) await this.change();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Takes out the records that are not started yet and for which `leaves` says so. */
  withdraw(leaves: (record: R) => boolean): R[] {
    const withdrawn: R[] = [];
    for (const lane of this.#all()) {
      const kept: R[] = [];
      for (const record of lane.queue) (leaves(record) ? withdrawn : kept).push(record);
      // A lane in line that has become empty is passed over when its turn comes.
      lane.queue.splice(0, lane.queue.length, ...kept);
    }
    this.#size -= withdrawn.length;
    if (withdrawn.length > 0) this.#changed();
    return withdrawn;
  }

  /** Those with a key, at work or in line, and those without one, in line. */
  #all(): ReadonlySet<Lane<R>> {
    const lanes = new Set(this.#lanes.values());
    for (let lane = this.#first; lane !== undefined; lane = lane.next) lanes.add(lane);
    return lanes;
  }

  #lineUp(lane: Lane<R>): void {
    lane.next = undefined;
    if (this.#last === undefined) this.#first = lane;
    else this.#last.next = lane;
    this.#last = lane;
  }

  #start(): void {
    while (this.#first !== undefined && this.#running < this.#options.concurrency && !this.#stopped) {
      const lane = this.#first;
      this.#first = lane.next;
      if (this.#first === undefined) this.#last = undefined;
      if (lane.queue.length === 0) this.#lanes.delete(lane.key);
      else this.#run(lane);
    }
  }

  #run(lane: Lane<R>): void {
    this.#running++;
    const record = lane.queue.shift()!;
    let work: Promise<void> | undefined;
    try {
      work = this.#options.work(record);
    } catch (error) {
      this.#done(lane, { error });
      return;
    }
    if (work === undefined) this.#done(lane, undefined);
    else
      work.then(
        () => this.#done(lane, undefined),
        (error: unknown) => this.#done(lane, { error }),
      );
  }

  #done(lane: Lane<R>, failure: { readonly error: unknown } | undefined): void {
    this.#running--;
    this.#size--;
    if (failure !== undefined) {
      this.#failure ??= failure;
      const wasStopped = this.#stopped;
      this.#stopped = true;
      if (!wasStopped) this.#options.onFailure();
    }
    if (lane.queue.length > 0) this.#lineUp(lane);
    else this.#lanes.delete(lane.key);
    this.#changed();
    this.#start();
  }

  #changed(): void {
    const waiting = this.#onChange;
    if (waiting.length === 0) return;
    this.#onChange = [];
    for (const resolve of waiting) resolve();
  }
}
