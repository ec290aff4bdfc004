import type { RecordContext } from '../serde.ts';
import type { Shard } from './shard.ts';
import { KeyedTable, type TableHost, type TableOptions } from './table.ts';
import type { Turn } from './turn.ts';
import { type TimeWindow, type WindowKind, windowsOf } from './window.ts';
import { WindowIndex } from './window-index.ts';

/** Options of {@link WindowedTable}. Aggregates and items are kept as JSON. */
export interface WindowedTableOptions<K, Item, Aggregate> extends TableOptions<K> {
  readonly window: WindowKind;
  /** What an empty window holds. */
  readonly initial: () => Aggregate;
  /** An aggregate with one item more. */
  readonly add: (aggregate: Aggregate, item: Item) => Aggregate;
}

/** A window of a key and what it holds. */
export interface WindowValue<Aggregate> extends TimeWindow {
  readonly value: Aggregate;
}

/** Digits of a window's start behind its key, in milliseconds; of one before the epoch as well. */
const START_DIGITS = 16;
const START_SHIFT = 1e15;

type Item = readonly [timestamp: number, item: unknown];

/**
 * A table whose values are of stretches of time, by the records' timestamps. A window closes when the records of its partition are beyond its
 * end and grace: what comes later for it is counted as late and left out, and its key is deleted. Made by `app.windowedTable`.
 */
export class WindowedTable<K, I, A> extends KeyedTable<K> {
  readonly #options: WindowedTableOptions<K, I, A>;
  readonly #indexes = new WeakMap<Shard, WindowIndex>();
  #late = 0;

  constructor(name: string, host: TableHost, options: WindowedTableOptions<K, I, A>) {
    super(name, host, options);
    this.#options = options;
  }

  /** Items that came when their windows were closed. */
  get late(): number {
    return this.#late;
  }

  get window(): WindowKind {
    return this.#options.window;
  }

  /**
   * Adds an item to the windows its record is in, by the record's timestamp.
   *
   * @param of The record it belongs to, in a batch of `take`.
   * @throws StateError outside of an agent
   */
  add(key: K, item: I, of?: RecordContext): void {
    const { shard, turn, timestamp } = this.writable(of);
    turn.advance(shard, timestamp);
    const text = this.keyText(key);
    if (this.window.kind === 'sliding') this.#addSliding(shard, turn, text, timestamp, item);
    else this.#addWindows(shard, turn, text, timestamp, item);
    this.#expire(shard, turn);
  }

  #isClosed(end: number, shard: Shard): boolean {
    return end + this.window.graceMs <= shard.streamTime;
  }

  #addWindows(shard: Shard, turn: Turn, text: string, timestamp: number, item: I): void {
    for (const { start, end } of windowsOf(this.window, timestamp)) {
      if (this.#isClosed(end, shard)) {
        this.#late++;
        continue;
      }
      const key = windowKey(text, start);
      const bytes = shard.get(key);
      const before = bytes === undefined ? this.#options.initial() : (parse(bytes) as A);
      turn.change(shard, key, json(this.#options.add(before, item)));
      if (bytes === undefined) this.#indexOf(shard).add(key, end);
    }
  }

  #addSliding(shard: Shard, turn: Turn, text: string, timestamp: number, item: I): void {
    if (this.#isClosed(timestamp + this.window.sizeMs, shard)) {
      this.#late++;
      return;
    }
    const key = windowKey(text, 0);
    const bytes = shard.get(key);
    const items = bytes === undefined ? [] : (parse(bytes) as Item[]);
    const kept = items.filter(([at]) => !this.#isClosed(at + this.window.sizeMs, shard));
    // Mostly it is the latest.
    let place = kept.length;
    while (place > 0 && kept[place - 1]![0] > timestamp) place--;
    turn.change(shard, key, json(kept.toSpliced(place, 0, [timestamp, item])));
    if (bytes === undefined) this.#indexOf(shard).add(key, timestamp + this.window.sizeMs);
  }

  #indexOf(shard: Shard): WindowIndex {
    let index = this.#indexes.get(shard);
    if (index === undefined) {
      index = new WindowIndex(shard, (key, bytes) => this.#endOf(key, bytes));
      this.#indexes.set(shard, index);
    }
    return index;
  }

  /** Deletes windows that are closed. */
  #expire(shard: Shard, turn: Turn): void {
    for (const key of this.#indexOf(shard).takeEnded(shard.streamTime - this.window.graceMs)) turn.change(shard, key, null);
  }

  #endOf(key: string, bytes: Buffer): number {
    if (this.window.kind !== 'sliding') return startOf(key) + this.window.sizeMs;
    return ((parse(bytes) as Item[]).at(-1)?.[0] ?? 0) + this.window.sizeMs;
  }

  /**
   * What the window holds that a moment is in: of windows that overlap the one that ends last, of a sliding one what came up to that moment.
   *
   * @param at Milliseconds since the epoch. @default the record under way's time, else now
   */
  value(key: K, at?: number): A {
    const record = this.host.turn?.record;
    const moment = at ?? (record === undefined || record.timestamp < 0 ? this.host.now() : record.timestamp);
    const text = this.keyText(key);
    if (this.window.kind === 'sliding') return this.#slidingValue(text, moment);
    const { start } = windowsOf(this.window, moment).at(-1)!;
    const found = this.bytesOf(windowKey(text, start));
    return found === undefined ? this.#options.initial() : (parse(found.bytes) as A);
  }

  #slidingValue(text: string, moment: number): A {
    const found = this.bytesOf(windowKey(text, 0));
    const items = found === undefined ? [] : (parse(found.bytes) as Item[]);
    return items
      .filter(([at]) => at > moment - this.window.sizeMs && at <= moment)
      .reduce((aggregate, [, item]) => this.#options.add(aggregate, item as I), this.#options.initial());
  }

  /** The open windows of a key that hold anything, the earliest first; none of a sliding table. */
  windows(key: K): WindowValue<A>[] {
    if (this.window.kind === 'sliding') return [];
    const text = this.keyText(key);
    const found: WindowValue<A>[] = [];
    for (const [itsKey, window] of this.#all()) if (itsKey === text) found.push(window);
    return found.toSorted((a, b) => a.start - b.start);
  }

  /** Every window this process holds, in no order; none of a sliding table. */
  *entries(): IterableIterator<readonly [key: K, window: WindowValue<A>]> {
    for (const [text, window] of this.#all()) yield [this.keyOf(text), window];
  }

  *#all(): IterableIterator<readonly [key: string, window: WindowValue<A>]> {
    if (this.window.kind === 'sliding') return;
    for (const shard of this.host.shards(this.name)) {
      for (const [key, bytes] of shard.entries()) {
        const start = startOf(key);
        yield [key.slice(0, -START_DIGITS), { start, end: start + this.window.sizeMs, value: parse(bytes) as A }];
      }
    }
  }
}

const windowKey = (key: string, start: number): string => `${key}${String(start + START_SHIFT).padStart(START_DIGITS, '0')}`;
const startOf = (key: string): number => Number(key.slice(-START_DIGITS)) - START_SHIFT;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value), 'utf8');
const parse = (bytes: Buffer): unknown => JSON.parse(bytes.toString('utf8'));
