import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OffsetTracker } from '../../src/delivery/offset-tracker.ts';
import { Random } from '../support/random.ts';

interface Delivered {
  readonly offset: number;
  readonly bytes: number;
  required: number | undefined;
}

/** The rule of the watermark, word for word, in arrays: slow and plain. */
class NaiveTracker {
  readonly #delivered: Delivered[] = [];
  #watermark = 0;

  /** Records not yet passed by the watermark. */
  get pending(): readonly Delivered[] {
    return this.#delivered.slice(this.#watermark);
  }

  deliver(offset: number, bytes: number): void {
    if (offset > (this.#delivered.at(-1)?.offset ?? -1)) this.#delivered.push({ offset, bytes, required: undefined });
  }

  finish(offset: number, required: number): boolean {
    const record = this.pending.find((candidate) => candidate.offset === offset);
    if (record === undefined) return false;
    record.required ??= required;
    return true;
  }

  finishAll(required: number): void {
    for (const record of this.pending) record.required ??= required;
  }

  advance(acknowledged: number): number | undefined {
    const first = this.pending.findIndex(({ required }) => required === undefined || required > acknowledged);
    this.#watermark = first < 0 ? this.#delivered.length : this.#watermark + first;
    if (this.#delivered.length === 0) return undefined;
    return this.pending[0]?.offset ?? this.#delivered.at(-1)!.offset + 1;
  }

  /** Drops what is passed, but for the last one, so that a long run stays fast. */
  compact(): void {
    const passed = Math.max(0, this.#watermark - 1);
    this.#delivered.splice(0, passed);
    this.#watermark -= passed;
  }
}

function sumOf(records: readonly Delivered[]): number {
  return records.reduce((sum, { bytes }) => sum + bytes, 0);
}

interface Counts {
  steps: number;
  moved: number;
  /** Times the watermark stood still although its record's handler was done: an output was outstanding. */
  heldByOutput: number;
  outOfOrder: number;
  unknown: number;
  highestInFlight: number;
}

/** Runs one seed on both trackers and compares every answer. */
function runSeed(seed: number, steps: number, capacity: number, counts: Counts): void {
  const numbers = new Random(seed);
  const random = (below: number): number => numbers.integer(0, below - 1);
  const tracker = new OffsetTracker(0);
  const naive = new NaiveTracker();
  let nextOffset = random(3) === 0 ? 2 ** 40 : random(5);
  let sequence = 0;
  let acknowledged = 0;
  let watermark: number | undefined;
  const where = (step: number): string => `seed ${seed}, step ${step}`;
  for (let step = 0; step < steps; step++) {
    const choice = random(100);
    const { pending } = naive;
    if (choice < 45 && pending.length < capacity) {
      const bytes = random(5_000);
      tracker.deliver(nextOffset, bytes);
      naive.deliver(nextOffset, bytes);
      // Now and then the same record once more, as after a pause; mostly the next one, sometimes a gap.
      nextOffset += random(20) === 0 ? 0 : 1 + (random(4) === 0 ? random(7) : 0);
    } else if (choice < 75 && pending.length > 0) {
      const index =
        random(3) === 0
          ? random(pending.length)
          : Math.max(
              0,
              pending.findIndex(({ required }) => required === undefined),
            );
      const { offset } = pending[index]!;
      if (index > 0 && pending[index - 1]!.required === undefined) counts.outOfOrder++;
      sequence += random(3);
      const required = random(4) === 0 ? 0 : sequence;
      assert.equal(tracker.finish(offset, required), naive.finish(offset, required), where(step));
    } else if (choice < 80) {
      // Before all, after all, in a gap, or passed already.
      const offset = [-1, nextOffset + 1 + random(9), Math.max(0, nextOffset - random(200)), random(10)][random(4)]!;
      const known = naive.finish(offset, sequence);
      if (!known) counts.unknown++;
      assert.equal(tracker.finish(offset, sequence), known, where(step));
    } else if (choice < 98) {
      acknowledged = Math.min(sequence, acknowledged + random(4));
      const reported = random(6) === 0 && acknowledged === sequence ? Number.MAX_SAFE_INTEGER : acknowledged;
      const expected = naive.advance(reported);
      assert.equal(tracker.advance(reported), expected, where(step));
      if (expected !== watermark) counts.moved++;
      watermark = expected;
      if (naive.pending[0]?.required !== undefined) counts.heldByOutput++;
      naive.compact();
    } else if (random(10) === 0) {
      tracker.finishAll(sequence);
      naive.finishAll(sequence);
    }
    counts.highestInFlight = Math.max(counts.highestInFlight, tracker.inFlight);
    assert.equal(tracker.inFlight, naive.pending.length, where(step));
    if (step % 16 !== 0) continue;
    const left = naive.pending;
    assert.equal(tracker.inFlightBytes, sumOf(left), where(step));
    assert.equal(tracker.awaitsOutputs, left.length > 0 && left.every(({ required }) => required !== undefined), where(step));
  }
  counts.steps += steps;
}

describe('offset tracker against a naive model', () => {
  test('gives the same answers over 1,050,000 random steps', () => {
    const counts: Counts = { steps: 0, moved: 0, heldByOutput: 0, outOfOrder: 0, unknown: 0, highestInFlight: 0 };
    for (let seed = 0; seed < 1_000; seed++) runSeed(seed, 1_000, 24, counts);
    for (let seed = 1_000; seed < 1_010; seed++) runSeed(seed, 5_000, 500, counts);
    assert.ok(counts.steps >= 1_000_000);
    // The run has met what it is for; otherwise agreement would mean little.
    assert.ok(counts.moved > 10_000, `moved ${counts.moved}`);
    assert.ok(counts.heldByOutput > 1_000, `held ${counts.heldByOutput}`);
    assert.ok(counts.outOfOrder > 1_000, `out of order ${counts.outOfOrder}`);
    assert.ok(counts.unknown > 1_000, `unknown ${counts.unknown}`);
    assert.ok(counts.highestInFlight > 128, `the ring grew twice: ${counts.highestInFlight}`);
  });
});

describe('offset tracker', () => {
  test('has nothing to store while nothing was delivered', () => {
    const tracker = new OffsetTracker(3);
    assert.equal(tracker.epoch, 3);
    assert.equal(tracker.advance(Number.MAX_SAFE_INTEGER), undefined);
    assert.equal(tracker.finish(0, 0), false);
    tracker.finishAll(0);
    assert.equal(tracker.advance(0), undefined);
  });

  test('steps over gaps: 0, 2, 4 finished gives 2, 4, then 5', () => {
    const tracker = new OffsetTracker(0);
    for (const offset of [0, 2, 4]) tracker.deliver(offset);
    assert.equal(tracker.advance(0), 0);
    const seen = [0, 2, 4].map((offset) => [tracker.finish(offset, 0), tracker.advance(0)]);
    assert.deepEqual(seen, [
      [true, 2],
      [true, 4],
      [true, 5],
    ]);
    for (const gap of [1, 3, 5]) assert.equal(tracker.finish(gap, 0), false);
  });

  test('stays at the lowest unfinished record however many behind it are finished', () => {
    const tracker = new OffsetTracker(0);
    for (let offset = 10; offset < 20; offset++) tracker.deliver(offset);
    for (let offset = 19; offset > 10; offset--) tracker.finish(offset, 0);
    assert.equal(tracker.advance(0), 10);
    assert.equal(tracker.inFlight, 10);
    tracker.finish(10, 0);
    assert.equal(tracker.advance(0), 20);
    assert.equal(tracker.inFlight, 0);
  });

  test('an output that failed holds the offset for good', () => {
    const tracker = new OffsetTracker(0);
    for (const [offset, required] of [
      [0, 1],
      [1, 2],
      [2, 3],
    ] as const) {
      tracker.deliver(offset);
      tracker.finish(offset, required);
    }
    // Number 2 failed: the producer's acknowledged sequence stays at 1 whatever comes later.
    for (let turn = 0; turn < 3; turn++) assert.equal(tracker.advance(1), 1);
    tracker.deliver(3);
    tracker.finish(3, 0);
    assert.equal(tracker.advance(1), 1);
  });

  test('a record finished twice waits for the outputs of its first report', () => {
    const tracker = new OffsetTracker(0);
    tracker.deliver(7);
    assert.equal(tracker.finish(7, 5), true);
    assert.equal(tracker.finish(7, 0), true);
    assert.equal(tracker.advance(4), 7);
    assert.equal(tracker.advance(5), 8);
    assert.equal(tracker.finish(7, 0), false);
  });

  test('ignores a record delivered again, passed or not', () => {
    const tracker = new OffsetTracker(0);
    for (const offset of [5, 6]) tracker.deliver(offset);
    tracker.finish(5, 0);
    assert.equal(tracker.advance(0), 6);
    for (const offset of [5, 6]) tracker.deliver(offset);
    assert.equal(tracker.inFlight, 1);
    tracker.finish(6, 0);
    assert.equal(tracker.advance(0), 7);
  });

  test('keeps every record when the ring grows around its end', () => {
    const tracker = new OffsetTracker(0);
    for (let offset = 0; offset < 60; offset++) tracker.deliver(offset);
    tracker.finishAll(0);
    tracker.advance(0);
    for (let offset = 60; offset < 1_060; offset++) tracker.deliver(offset);
    assert.equal(tracker.inFlight, 1_000);
    for (let offset = 1_059; offset >= 60; offset--) assert.equal(tracker.finish(offset, 0), true);
    assert.equal(tracker.advance(0), 1_060);
  });
});
