import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OffsetTracker } from '../../src/delivery/offset-tracker.ts';
import { PositionTracker } from '../../src/delivery/position-tracker.ts';
import { Random } from '../support/random.ts';

test('the position of a turn that finishes everything agrees with the tracker of single records', () => {
  const random = new Random(7);
  const single = new OffsetTracker(1);
  const position = new PositionTracker(1);
  let offset = 0;
  let sequence = 0;
  for (let step = 0; step < 100_000; step++) {
    const choice = random.integer(0, 2);
    if (choice === 0) {
      offset += 1 + random.integer(0, 2);
      for (const tracker of [single, position]) tracker.deliver(offset);
    } else if (choice === 1) {
      sequence += random.integer(0, 2);
      for (const tracker of [single, position]) tracker.finishAll(sequence);
    } else {
      // A turn flushes before it finishes, so all outputs are acknowledged by then. Nothing is committed within a turn.
      const finished = single.advance(sequence);
      if (single.inFlight === 0) assert.equal(position.advance(sequence), finished);
      assert.equal(position.inFlight > 0, single.inFlight > 0);
    }
  }
});

test('a reader that never finishes a record holds two numbers, not a list', () => {
  const tracker = new PositionTracker(1);
  for (let offset = 0; offset < 1_000_000; offset++) tracker.deliver(offset);
  assert.deepEqual([tracker.inFlight, tracker.inFlightBytes, tracker.advance(0)], [1, 0, undefined]);
  tracker.finishAll(5);
  assert.deepEqual([tracker.inFlight, tracker.advance(4), tracker.advance(5)], [0, undefined, 1_000_000]);
});
