import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import fc from 'fast-check';
import { Lanes } from '../../src/patterns/lanes.ts';

interface Item {
  readonly lane: string | undefined;
  readonly number: number;
}

/** Lanes whose records are done when the test says so. */
function manual(concurrency: number, maxRecords = 1_000) {
  const open = new Map<Item, { resolve(): void; reject(error: unknown): void }>();
  const started: Item[] = [];
  let failures = 0;
  const lanes = new Lanes<Item>({
    concurrency,
    maxRecords,
    laneOf: ({ lane }) => lane,
    work(item) {
      started.push(item);
      return new Promise((resolve, reject) => open.set(item, { resolve: () => resolve(), reject }));
    },
    onFailure: () => void failures++,
  });
  return {
    lanes,
    started,
    open,
    get failures() {
      return failures;
    },
    async end(item: Item, error?: Error) {
      const { resolve, reject } = open.get(item)!;
      open.delete(item);
      if (error === undefined) resolve();
      else reject(error);
      await immediate();
    },
  };
}

describe('lanes', () => {
  test('hold a record until those of its lane before it are done, never more at once than they may, and none starves', async () => {
    const lane = fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(
        fc.array(lane, { maxLength: 60 }),
        fc.integer({ min: 1, max: 6 }),
        fc.infiniteStream(fc.nat()),
        async (keys, concurrency, picks) => {
          const { lanes, started, open, end } = manual(concurrency);
          for (const [number, key] of keys.entries()) lanes.add({ lane: key, number });
          while (open.size > 0) {
            assert.ok(open.size <= concurrency);
            const inLanes = [...open.keys()].flatMap(({ lane: key }) => key ?? []);
            assert.equal(new Set(inLanes).size, inLanes.length, 'two of a lane at once');
            // As many as there may be, unless those that are left wait for their lane.
            const waiting = keys.length - started.length;
            if (open.size < concurrency && waiting > 0) assert.ok(inLanes.length > 0);
            const items = [...open.keys()];
            await end(items[picks.next().value % items.length]!);
          }
          assert.equal(started.length, keys.length);
          assert.equal(lanes.size, 0);
          for (const key of new Set(keys.filter((each) => each !== undefined))) {
            const numbers = started.filter((item) => item.lane === key).map(({ number }) => number);
            assert.deepEqual(
              numbers,
              numbers.toSorted((a, b) => a - b),
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('count what waits and what is handled against their bound', async () => {
    const { lanes, open, end } = manual(1, 3);
    for (const number of [0, 1, 2]) lanes.add({ lane: 'a', number });
    assert.deepEqual([lanes.room, lanes.running], [0, 1]);
    const changed = lanes.change();
    await end([...open.keys()][0]!);
    await changed;
    assert.equal(lanes.room, 1);
  });

  test('give back what is not begun, and go on with the rest of a lane', async () => {
    const { lanes, started, open, end } = manual(2);
    for (const [number, lane] of ['a', 'a', 'b', 'a', undefined, undefined].entries()) lanes.add({ lane, number });
    assert.deepEqual(
      started.map(({ number }) => number),
      [0, 2],
    );
    const withdrawn = lanes.withdraw(({ number }) => number === 1 || number === 4);
    assert.deepEqual(withdrawn.map(({ number }) => number).toSorted(), [1, 4]);
    assert.equal(lanes.size, 4);
    while (open.size > 0) await end([...open.keys()][0]!);
    assert.deepEqual(started.map(({ number }) => number).toSorted(), [0, 2, 3, 5]);
    assert.equal(lanes.size, 0);
  });

  test('start nothing after a failure, wait for what is handled, and throw the first error', async () => {
    const fixture = manual(2);
    const { lanes, started, open, end } = fixture;
    for (const number of [0, 1, 2, 3]) lanes.add({ lane: undefined, number });
    const [first, second] = [...open.keys()] as [Item, Item];
    await end(first, new RangeError('first'));
    const stopped = assert.rejects(lanes.stop(), RangeError);
    await end(second, new TypeError('second'));
    await stopped;
    assert.deepEqual([started.length, fixture.failures], [2, 1]);
  });
});
