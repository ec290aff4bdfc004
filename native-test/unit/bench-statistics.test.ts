import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { median, pairedRatio, quantile, summarize } from '../../bench/statistics.ts';

describe('statistics of a bench', () => {
  const medians: [values: number[], expected: number][] = [
    [[7], 7],
    [[3, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 100], 10],
  ];
  for (const [values, expected] of medians) {
    test(`median of ${values.join(', ')} is ${expected}`, () => assert.equal(median(values), expected));
  }

  test('leave the measurements in their order', () => {
    const values = [3, 1, 2];
    summarize(values);
    quantile(values, 0.5);
    assert.deepEqual(values, [3, 1, 2]);
  });

  test('give the spread as half the range over the median', () => {
    assert.deepEqual(summarize([90, 100, 130]), { median: 100, min: 90, max: 130, spread: 0.2 });
    assert.equal(summarize([5]).spread, 0);
  });

  test('pair runs of the same repeat for a ratio', () => {
    // The machine became four times slower; each pair still says 2.
    assert.equal(pairedRatio([200, 100, 50], [100, 50, 25]), 2);
    assert.equal(pairedRatio([10, 30, 20], [10, 10, 10]), 2);
    assert.throws(() => pairedRatio([1, 2], [1]), RangeError);
  });

  test('take a quantile by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    assert.equal(quantile(values, 0.5), 50);
    assert.equal(quantile(values, 0.99), 99);
    assert.equal(quantile(values, 0), 1);
    assert.equal(quantile([], 0.5), Number.NaN);
  });

  test('keep the median between the smallest and the largest value, whatever their order', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1, max: 1e9, noNaN: true }), { minLength: 1 }), (values) => {
        const { median: middle, min, max } = summarize(values);
        assert.ok(min <= middle && middle <= max);
        assert.equal(median(values.toReversed()), middle);
      }),
    );
  });
});
