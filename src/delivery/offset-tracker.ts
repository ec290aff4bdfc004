/** `required` of a record that is not finished. */
const UNFINISHED = Number.POSITIVE_INFINITY;

/** `required` of a record that never will be: the watermark does not pass it, and nobody waits for it. */
const ABANDONED = Number.NaN;

/**
 * Which records of one partition, in one assignment, are finished, and how far its offset may be stored.
 *
 * The watermark is the lowest unfinished delivered offset, or the highest delivered + 1 when none is unfinished. Offsets have
 * gaps (transaction markers, compaction), so only delivered ones count. A record is finished when it was reported so and every
 * output numbered up to its `required` sequence is acknowledged. `binding-notes/architecture.md` draws it.
 */
export class OffsetTracker {
  /** Epoch of the assignment: results of records fetched before it are not for this tracker. */
  readonly epoch: number;
  #offsets = new Float64Array(64);
  #required = new Float64Array(64);
  /** Bytes handed over up to and including each record, and up to the last one that the watermark has passed. */
  #bytes = new Float64Array(64);
  #deliveredBytes = 0;
  #passedBytes = 0;
  /** Ring positions, growing for ever; a slot is `position & mask`. */
  #head = 0;
  #tail = 0;
  /** Where the next finished record is looked for first: in-order completion finds it at once. */
  #cursor = 0;
  #next = -1;

  constructor(epoch: number) {
    this.epoch = epoch;
  }

  /** Records handed over and not yet passed by the watermark. */
  get inFlight(): number {
    return this.#tail - this.#head;
  }

  /** Bytes of keys and values of the records in flight. */
  get inFlightBytes(): number {
    return this.#deliveredBytes - this.#passedBytes;
  }

  /** True when every record in flight was reported as done, so that only outputs are waited for. */
  get awaitsOutputs(): boolean {
    const mask = this.#offsets.length - 1;
    for (let position = this.#head; position < this.#tail; position++) {
      if (this.#required[position & mask] === UNFINISHED) return false;
    }
    return this.inFlight > 0;
  }

  /** Notes that a record was handed over. Offsets of one assignment come in ascending order; a repeated one is ignored. */
  deliver(offset: number, bytes = 0): void {
    if (offset < this.#next) return;
    if (this.#tail - this.#head === this.#offsets.length) this.#grow();
    const slot = this.#tail++ & (this.#offsets.length - 1);
    this.#offsets[slot] = offset;
    this.#required[slot] = UNFINISHED;
    this.#deliveredBytes += bytes;
    this.#bytes[slot] = this.#deliveredBytes;
    this.#next = offset + 1;
  }

  /**
   * Notes that a record is done, once the outputs numbered up to `required` are acknowledged (0: it has none outstanding).
   * False when the record is not awaited here: never delivered, or passed already.
   */
  finish(offset: number, required: number): boolean {
    const position = this.#find(offset);
    if (position < 0) return false;
    const slot = position & (this.#offsets.length - 1);
    if (this.#required[slot] === UNFINISHED) this.#required[slot] = required;
    this.#cursor = position + 1;
    return true;
  }

  /** Notes that every record handed over so far is done. */
  finishAll(required: number): void {
    const mask = this.#offsets.length - 1;
    for (let position = this.#head; position < this.#tail; position++) {
      if (this.#required[position & mask] === UNFINISHED) this.#required[position & mask] = required;
    }
    this.#cursor = this.#tail;
  }

  /** Notes that a record that was handed over will not be handled in this assignment: it comes again in the next. */
  abandon(offset: number): void {
    const position = this.#find(offset);
    const slot = position & (this.#offsets.length - 1);
    if (position >= 0 && this.#required[slot] === UNFINISHED) this.#required[slot] = ABANDONED;
  }

  /** Records that are being handled, or whose outputs are not acknowledged. */
  awaited(acknowledged: number): number {
    const mask = this.#offsets.length - 1;
    let count = 0;
    for (let position = this.#head; position < this.#tail; position++) {
      if (this.#required[position & mask]! > acknowledged) count++;
    }
    return count;
  }

  /**
   * Moves the watermark over records that are finished, their outputs numbered up to `acknowledged` being delivered.
   * Returns the offset that may be stored, undefined while nothing was delivered.
   */
  advance(acknowledged: number): number | undefined {
    const mask = this.#offsets.length - 1;
    const before = this.#head;
    while (this.#head < this.#tail && this.#required[this.#head & mask]! <= acknowledged) this.#head++;
    if (this.#head > before) this.#passedBytes = this.#bytes[(this.#head - 1) & mask]!;
    if (this.#cursor < this.#head) this.#cursor = this.#head;
    if (this.#head < this.#tail) return this.#offsets[this.#head & mask];
    return this.#next < 0 ? undefined : this.#next;
  }

  #find(offset: number): number {
    const mask = this.#offsets.length - 1;
    if (this.#cursor < this.#tail && this.#offsets[this.#cursor & mask] === offset) return this.#cursor;
    let low = this.#head;
    let high = this.#tail - 1;
    while (low <= high) {
      const middle = low + ((high - low) >>> 1);
      const found = this.#offsets[middle & mask]!;
      if (found === offset) return middle;
      if (found < offset) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  #grow(): void {
    const size = this.#offsets.length;
    const offsets = new Float64Array(size * 2);
    const required = new Float64Array(size * 2);
    const bytes = new Float64Array(size * 2);
    for (let position = this.#head; position < this.#tail; position++) {
      offsets[position & (size * 2 - 1)] = this.#offsets[position & (size - 1)]!;
      required[position & (size * 2 - 1)] = this.#required[position & (size - 1)]!;
      bytes[position & (size * 2 - 1)] = this.#bytes[position & (size - 1)]!;
    }
    this.#offsets = offsets;
    this.#required = required;
    this.#bytes = bytes;
  }
}
