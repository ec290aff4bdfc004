import type { Bench } from 'tinybench';
import { OffsetTracker } from '../../src/delivery/offset-tracker.ts';
import { ROUND } from './round.ts';

export function addTrackerTasks(bench: Bench): void {
  const inOrder = new OffsetTracker(1);
  let next = 0;
  bench.add('offset tracker: deliver, finish in order, advance', () => {
    for (let record = 0; record < ROUND; record++) inOrder.deliver(next + record, 150);
    for (let record = 0; record < ROUND; record++) inOrder.finish(next + record, 0);
    next += ROUND;
    return inOrder.advance(0);
  });
  const backwards = new OffsetTracker(1);
  let last = 0;
  bench.add('offset tracker: the same, finished backwards', () => {
    for (let record = 0; record < ROUND; record++) backwards.deliver(last + record, 150);
    for (let record = ROUND - 1; record >= 0; record--) backwards.finish(last + record, 0);
    last += ROUND;
    return backwards.advance(0);
  });
}
