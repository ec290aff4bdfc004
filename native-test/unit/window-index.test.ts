import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Shard } from '../../src/stream/shard.ts';
import { memoryStore } from '../../src/stream/store.ts';
import { WindowIndex } from '../../src/stream/window-index.ts';

const bytesOf = (end: number): Buffer => Buffer.from(String(end));
const endOf = (_key: string, bytes: Buffer): number => Number(bytes.toString());

function makeIndex(): { readonly shard: Shard; readonly index: WindowIndex } {
  const shard = new Shard('windows', 0, memoryStore().open('windows', 0), false);
  return { shard, index: new WindowIndex(shard, endOf) };
}

describe('an index of windows', () => {
  test('gives the windows that ended, a second late at most, whatever is added, extended, deleted or taken back meanwhile', () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      what: fc.constantFrom('set', 'set', 'set', 'delete', 'undo', 'abort'),
      end: fc.integer({ min: 0, max: 20_000 }),
      time: fc.integer({ min: 0, max: 25_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { shard, index } = makeIndex();
        let now = 0;
        for (const { key, what, end, time } of steps) {
          now = Math.max(now, time);
          if (what === 'abort') shard.abort();
          else if (what === 'delete') shard.change(key, null);
          else {
            const before = shard.get(key);
            // A window is extended at most.
            const later = Math.max(now + end, before === undefined ? 0 : endOf(key, before));
            const { undo } = shard.change(key, bytesOf(later));
            if (before === undefined) index.add(key, later);
            if (what === 'undo') undo();
          }
          const ended = index.takeEnded(now);
          const held = [...shard.entries()].map(([name, bytes]) => ({ name, end: endOf(name, bytes) }));
          for (const name of ended) assert.ok(held.some((each) => each.name === name && each.end <= now));
          // Its step is the next whole second.
          for (const each of held) if (each.end <= now - 1_000) assert.ok(ended.includes(each.name), `${each.name} ends at ${each.end}`);
          for (const name of ended) shard.change(name, null);
        }
      }),
    );
  });

  test('holds as many ends as there are, and time may leap over them', () => {
    const { shard, index } = makeIndex();
    const count = 200_000;
    shard.store.write(
      Array.from({ length: count }, (_, number) => [String(number), bytesOf(1_000 * number)] as const),
      1,
    );
    assert.equal(index.takeEnded(999_000).length, 1_000);
    assert.equal(index.takeEnded(Number.MAX_SAFE_INTEGER).length, count - 1_000);
  });

  test('finds the windows a store had before', () => {
    const { shard, index } = makeIndex();
    shard.store.write([['a', bytesOf(5_000)]], 1);
    assert.deepEqual(index.takeEnded(4_999), []);
    assert.deepEqual(index.takeEnded(5_000), ['a']);
  });
});
