/** How many lost, disordered and unknown records a verdict names. */
const SAMPLES = 5;

/** An output as it was read: the place and the number of the input it was made of, and who made it. */
export interface OutputRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: number;
  readonly number: number;
  /** Number of the process that made it: one that follows a killed one has a number of its own. */
  readonly source: number;
}

/** What became of the inputs. */
export interface Verdict {
  /** Inputs that were acknowledged. */
  readonly records: number;
  readonly outputs: number;
  /** Acknowledged inputs without an output. */
  readonly lost: number;
  /** Outputs of inputs that have one already. */
  readonly duplicates: number;
  /** The most duplicates that one source made. */
  readonly duplicatesOfWorstSource: number;
  /** First outputs that came after the output of a later number of their key. */
  readonly outOfOrder: number;
  /** Outputs that no input accounts for. */
  readonly unknown: number;
  /** Some of what is wrong, for a reader. */
  readonly samples: readonly string[];
}

/**
 * The inputs of one topic: record `index` has key `index % keys` and, within that key, the number `floor(index / keys)`. Notes which
 * were acknowledged, and where they are.
 */
export class Ledger {
  readonly topic: string;
  readonly keys: number;
  #size = 0;
  #acknowledged = 0;
  #partitions: Int16Array;
  #offsets: Float64Array;

  constructor(topic: string, keys: number, capacity = 1024) {
    this.topic = topic;
    this.keys = keys;
    this.#partitions = new Int16Array(capacity);
    this.#offsets = new Float64Array(capacity);
  }

  /** Records that were numbered, acknowledged or not. */
  get size(): number {
    return this.#size;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Numbers the next record. */
  add(): { readonly index: number; readonly key: number; readonly number: number } {
    if (this.#size === this.#partitions.length) this.#grow();
    const index = this.#size++;
    this.#partitions[index] = -1;
    return { index, key: index % this.keys, number: Math.floor(index / this.keys) };
  }

  /** @param offset Below 0 when the broker did not say: an answer to a retried request may not. */
  acknowledge(index: number, partition: number, offset: number): void {
    if (this.#partitions[index] === -1) this.#acknowledged++;
    this.#partitions[index] = partition;
    this.#offsets[index] = offset;
  }

  indexOf(key: number, number: number): number | undefined {
    const index = number * this.keys + key;
    const valid = Number.isInteger(key) && Number.isInteger(number) && key >= 0 && key < this.keys && number >= 0 && index < this.#size;
    return valid ? index : undefined;
  }

  isAcknowledged(index: number): boolean {
    return this.#partitions[index] !== -1;
  }

  /** False when the record is known to be elsewhere. */
  mayBeAt(index: number, partition: number, offset: number): boolean {
    if (!this.isAcknowledged(index)) return true;
    return this.#partitions[index] === partition && (this.#offsets[index]! < 0 || this.#offsets[index] === offset);
  }

  /** The offset after the last acknowledged record of each partition that has one. */
  ends(): Map<number, number> {
    const ends = new Map<number, number>();
    for (let index = 0; index < this.#size; index++) {
      const partition = this.#partitions[index]!;
      if (partition >= 0) ends.set(partition, Math.max(ends.get(partition) ?? 0, this.#offsets[index]! + 1));
    }
    return ends;
  }

  describe(index: number): string {
    const place = this.isAcknowledged(index) ? `[${this.#partitions[index]}] @ ${this.#offsets[index]}` : 'unacknowledged';
    return `${this.topic} ${place} (key ${index % this.keys}, number ${Math.floor(index / this.keys)})`;
  }

  #grow(): void {
    const partitions = new Int16Array(this.#size * 2);
    const offsets = new Float64Array(this.#size * 2);
    partitions.set(this.#partitions);
    offsets.set(this.#offsets);
    this.#partitions = partitions;
    this.#offsets = offsets;
  }
}

/** Takes the outputs in the order of their topic's partitions and says what is wrong with them. */
export class Verifier {
  readonly #ledger: Ledger;
  readonly #seen: Uint8Array;
  readonly #highest: Int32Array;
  readonly #duplicatesOf = new Map<number, number>();
  readonly #samples: string[] = [];
  #outputs = 0;
  #duplicates = 0;
  #outOfOrder = 0;
  #unknown = 0;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#seen = new Uint8Array(ledger.size);
    this.#highest = new Int32Array(ledger.keys).fill(-1);
  }

  add({ topic, partition, offset, key, number, source }: OutputRecord): void {
    this.#outputs++;
    const index = topic === this.#ledger.topic ? this.#ledger.indexOf(key, number) : undefined;
    if (index === undefined || !this.#ledger.mayBeAt(index, partition, offset)) {
      this.#unknown++;
      this.#sample(`unknown: ${topic} [${partition}] @ ${offset} (key ${key}, number ${number})`);
      return;
    }
    if (this.#seen[index] === 1) {
      this.#duplicates++;
      this.#duplicatesOf.set(source, (this.#duplicatesOf.get(source) ?? 0) + 1);
      return;
    }
    this.#seen[index] = 1;
    if (number > this.#highest[key]!) {
      this.#highest[key] = number;
      return;
    }
    this.#outOfOrder++;
    this.#sample(`out of order: ${this.#ledger.describe(index)} came after number ${this.#highest[key]}, made by ${source}`);
  }

  verdict(): Verdict {
    let lost = 0;
    for (let index = 0; index < this.#ledger.size; index++) {
      if (this.#seen[index] === 1 || !this.#ledger.isAcknowledged(index)) continue;
      lost++;
      this.#sample(`lost: ${this.#ledger.describe(index)}`);
    }
    return {
      records: this.#ledger.acknowledged,
      outputs: this.#outputs,
      lost,
      duplicates: this.#duplicates,
      duplicatesOfWorstSource: Math.max(0, ...this.#duplicatesOf.values()),
      outOfOrder: this.#outOfOrder,
      unknown: this.#unknown,
      samples: this.#samples,
    };
  }

  #sample(text: string): void {
    if (this.#samples.length < SAMPLES) this.#samples.push(text);
  }
}
