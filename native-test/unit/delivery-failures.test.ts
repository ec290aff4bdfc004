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
    for (const sequence of [3, 7]) failures.add(failureOf(sequence));
    failures.forget(3);
    assert.deepEqual([failures.heldFrom(0), failures.after(0)?.sequence], [7, 7]);
    failures.clear();
    assert.deepEqual([failures.heldFrom(0), failures.after(0)], [Number.POSITIVE_INFINITY, undefined]);
  });

  test('of very many the first and the last are remembered, and nothing between them counts as acknowledged', () => {
    const failures = new DeliveryFailures();
    for (let sequence = 1; sequence <= 3_000; sequence++) failures.add(failureOf(sequence));
    for (let sequence = 1; sequence <= 3_000; sequence++) failures.forget(sequence);
    assert.equal(failures.heldFrom(0), 1_001);
    assert.equal(failures.heldFrom(1_500), 1_501);
    assert.equal(failures.heldFrom(3_000), Number.POSITIVE_INFINITY);
  });
});
