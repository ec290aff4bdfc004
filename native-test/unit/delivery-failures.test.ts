import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DeliveryFailures } from '../../src/client/delivery-failures.ts';
import { DeliveryError } from '../../src/errors.ts';

const failureOf = (sequence: number): DeliveryError => new DeliveryError(`record ${sequence}`, sequence);

describe('failed deliveries', () => {
  test('hold back what comes after the first of them that matters', () => {
    const failures = new DeliveryFailures();
    assert.equal(failures.heldFrom(0), Number.POSITIVE_INFINITY);
    for (const sequence of [7, 3, 12]) failures.add(failureOf(sequence));
    assert.deepEqual(
      [failures.heldFrom(0), failures.heldFrom(3), failures.heldFrom(7), failures.heldFrom(12)],
      [3, 7, 12, Number.POSITIVE_INFINITY],
    );
    assert.equal(failures.after(3)?.sequence, 7);
  });

  test('hold nothing back once they are dealt with', () => {
    const failures = new DeliveryFailures();
    const [third, seventh] = [failureOf(3), failureOf(7)];
    for (const failure of [third, seventh]) failures.add(failure);
    // Another error about the same record says nothing about who has dealt with it.
    failures.forget(failureOf(3));
    assert.equal(failures.heldFrom(0), 3);
    failures.forget(third);
    assert.deepEqual([failures.heldFrom(0), failures.after(0)?.sequence], [7, 7]);
    failures.clear();
    assert.deepEqual([failures.heldFrom(0), failures.after(0)], [Number.POSITIVE_INFINITY, undefined]);
  });

  test('of very many the first and the last are remembered, and nothing between them counts as acknowledged', () => {
    const failures = new DeliveryFailures();
    const all = Array.from({ length: 3_000 }, (_, index) => failureOf(index + 1));
    for (const failure of all) failures.add(failure);
    for (const failure of all) failures.forget(failure);
    assert.equal(failures.heldFrom(0), 1_001);
    assert.equal(failures.heldFrom(1_500), 1_501);
    assert.equal(failures.heldFrom(3_000), Number.POSITIVE_INFINITY);
  });

  test('hold back from the number their record had while it waited to be queued', () => {
    const failures = new DeliveryFailures();
    failures.add(failureOf(9), { from: 4 });
    assert.deepEqual([failures.heldFrom(0), failures.heldFrom(3), failures.heldFrom(4)], [4, 4, Number.POSITIVE_INFINITY]);
  });

  test('of which somebody is told hold nothing back where they are dealt with as a whole, those that come later among them', () => {
    const failures = new DeliveryFailures();
    for (const [sequence, observed] of [
      [3, true],
      [5, true],
      [6, false],
      [8, true],
    ] as const) {
      failures.add(failureOf(sequence), { observed });
    }
    failures.pardon(3, 7);
    failures.add(failureOf(7), { observed: true });
    failures.add(failureOf(4), { observed: false });
    const held: number[] = [];
    for (let after = failures.after(0); after !== undefined; after = failures.after(after.sequence)) held.push(after.sequence);
    assert.deepEqual(held, [3, 4, 6, 8]);
  });
});
