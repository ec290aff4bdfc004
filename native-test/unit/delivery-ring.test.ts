import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import fc from 'fast-check';
import {
  currentSequence,
  Delivery,
  type DeliveryCallback,
  DeliveryRing,
  nextSequence,
  type RecordMetadata,
} from '../../src/client/delivery.ts';
import { DeliveryError } from '../../src/errors.ts';

const at: RecordMetadata = { topic: 'out', partition: 1, offset: 42, timestamp: 7 };
const delivery = (sequence: number, callback?: DeliveryCallback): Delivery => new Delivery(sequence, 'out', callback);
const failure = (sequence: number): DeliveryError => new DeliveryError('Not delivered', sequence, { topic: 'out' });

describe('delivery ring', () => {
  test('takes reports in any order and knows the oldest outstanding', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ push: fc.nat({ max: 700 }), take: fc.array(fc.nat()) }), { minLength: 1, maxLength: 12 }),
        (rounds) => {
          const ring = new DeliveryRing();
          const outstanding = new Map<number, Delivery>();
          let sequence = 0;
          for (const { push, take } of rounds) {
            for (let count = 0; count < push; count++) {
              // Sequences are shared with other producers, so they have gaps; tickets have none.
              sequence += 1 + (count % 3);
              const pushed = delivery(sequence);
              outstanding.set(ring.nextTicket, pushed);
              ring.push(pushed, sequence);
            }
            for (const choice of take) {
              const tickets = [...outstanding.keys()];
              const ticket = tickets[choice % tickets.length];
              if (ticket === undefined) break;
              assert.equal(ring.take(ticket), outstanding.get(ticket));
              outstanding.delete(ticket);
              assert.equal(ring.take(ticket), undefined);
            }
            assert.equal(ring.size, outstanding.size);
            assert.equal(ring.oldest, outstanding.values().next().value?.sequence);
          }
          const rest = ring.drain();
          assert.deepEqual(
            rest.map((drained) => drained.sequence),
            [...outstanding.values()].map((left) => left.sequence),
          );
          assert.deepEqual([ring.size, ring.oldest], [0, undefined]);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('holds the oldest while ten thousand younger ones are reported', () => {
    const ring = new DeliveryRing();
    for (let sequence = 1; sequence <= 10_001; sequence++) ring.push(delivery(sequence), sequence);
    for (let ticket = 10_000; ticket > 0; ticket--) assert.equal(ring.take(ticket) && ring.sequence, ticket + 1);
    assert.deepEqual([ring.size, ring.oldest], [1, 1]);
    assert.equal(ring.take(0) && ring.sequence, 1);
    assert.deepEqual([ring.size, ring.oldest], [0, undefined]);
  });

  test('drains in the order produced and goes on with new tickets', () => {
    const ring = new DeliveryRing();
    // Starts in the middle, so that the ring has wrapped when it is drained.
    for (let sequence = 1; sequence <= 200; sequence++) ring.push(delivery(sequence), sequence);
    for (let ticket = 0; ticket < 200; ticket++) ring.take(ticket);
    for (let sequence = 201; sequence <= 400; sequence++) ring.push(delivery(sequence), sequence);
    ring.take(205);
    const drained = ring.drain().map(({ sequence }) => sequence);
    assert.deepEqual(
      drained,
      Array.from({ length: 200 }, (_, index) => 201 + index).filter((sequence) => sequence !== 206),
    );
    assert.deepEqual(ring.drain(), []);
    assert.equal(ring.take(300), undefined);
    const ticket = ring.nextTicket;
    ring.push(delivery(401), 401);
    assert.equal(ring.oldest, 401);
    assert.equal(ring.take(ticket) && ring.sequence, 401);
  });

  test('gives nothing for a ticket it never gave out', () => {
    const ring = new DeliveryRing();
    ring.push(delivery(1), 1);
    for (const ticket of [-1, 1, 256, Number.NaN, undefined as unknown as number]) assert.equal(ring.take(ticket), undefined);
    assert.equal(ring.size, 1);
  });
});

describe('sequence', () => {
  test('is one for the process, without gaps', () => {
    const before = currentSequence();
    assert.deepEqual([nextSequence(), nextSequence(), currentSequence()], [before + 1, before + 2, before + 2]);
  });
});

describe('delivery', () => {
  test('resolves for whoever asked before the report and after it, with one promise', async () => {
    const early = delivery(1);
    const asked = early.delivered;
    assert.deepEqual([early.settled, early.observed], [false, true]);
    early.settle(0, at.partition, at.offset, at.timestamp);
    assert.deepEqual(await asked, at);
    assert.equal(early.delivered, asked);
    const late = delivery(2);
    late.settle(0, at.partition, at.offset, at.timestamp);
    assert.deepEqual([late.settled, late.observed], [true, false]);
    assert.deepEqual(await late.delivered, at);
  });

  test('rejects for whoever asked before the report and after it', async () => {
    const early = delivery(1);
    const asked = early.delivered;
    early.fail(0, failure(1));
    await assert.rejects(asked, (error) => error instanceof DeliveryError && error.sequence === 1);
    const late = delivery(2);
    late.fail(0, failure(2));
    assert.equal(late.observed, false);
    await assert.rejects(late.delivered, (error) => error instanceof DeliveryError && error.sequence === 2);
  });

  test('a failure nobody asks for is no unhandled rejection', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      for (let sequence = 1; sequence <= 10; sequence++) delivery(sequence).fail(0, failure(sequence));
      for (let turn = 0; turn < 3; turn++) await immediate();
      assert.deepEqual(unhandled, []);
    } finally {
      process.off('unhandledRejection', note);
    }
  });

  test('calls back once, with the place or with the error', () => {
    const calls: unknown[][] = [];
    const good = delivery(1, (...results) => calls.push(results));
    assert.equal(good.observed, true);
    good.settle(0, at.partition, at.offset, at.timestamp);
    const error = failure(2);
    delivery(2, (...results) => calls.push(results)).fail(0, error);
    assert.deepEqual(calls, [
      [undefined, at],
      [error, undefined],
    ]);
  });
});
