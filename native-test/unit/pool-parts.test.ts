import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { unpackRecords } from '../../src/binding/packed-records.ts';
import { columnBytes, type MemoryLender, RecordBatch } from '../../src/binding/record-batch.ts';
import { encodeRecord } from '../../src/client/encode-record.ts';
import { unpackHeaders } from '../../src/client/produce-headers.ts';
import { BatchPool } from '../../src/pool/batch-pool.ts';
import { packSegments, splitIntoLanes } from '../../src/pool/lanes.ts';
import { ModeChooser, type PoolMode } from '../../src/pool/mode-chooser.ts';
import { PackedOutput } from '../../src/pool/packed-output.ts';
import { Lane, type PoolTask } from '../../src/pool/pool-task.ts';
import { RemoteSchemas, SchemaService } from '../../src/pool/schema-channel.ts';
import { rawDeserializer, rawSerializer } from '../../src/serde.ts';
import { until } from '../support/until.ts';

const raw = { key: rawDeserializer, value: rawDeserializer, headers: undefined };

interface Plain {
  readonly partition: number;
  readonly key: string | null;
  readonly value: string | null;
}

/** A batch as the addon makes it, without headers. */
function batchOf(records: readonly Plain[], lender?: MemoryLender): RecordBatch<unknown, unknown, unknown> {
  const parts = records.flatMap(({ key, value }) => [Buffer.from(key ?? ''), Buffer.from(value ?? '')]);
  const bytes = new Uint8Array(Buffer.concat(parts)).buffer;
  const { length } = records;
  const columns = new ArrayBuffer(columnBytes(length));
  const starts = new Int32Array(columns, 16 * length, length + 1);
  const batch = new RecordBatch<unknown, unknown, unknown>(length, bytes, columns, ['topic'], raw, lender);
  for (const [index, { partition, key, value }] of records.entries()) {
    batch.offsets[index] = 100 + index;
    batch.timestamps[index] = 5_000 + index;
    batch.partitions[index] = partition;
    batch.keyLengths[index] = key === null ? -1 : Buffer.byteLength(key);
    batch.valueLengths[index] = value === null ? -1 : Buffer.byteLength(value);
    starts[index + 1] = starts[index]! + Buffer.byteLength(key ?? '') + Buffer.byteLength(value ?? '');
  }
  return batch;
}

const plain = fc.record({
  partition: fc.nat({ max: 5 }),
  key: fc.option(fc.string({ maxLength: 5 })),
  value: fc.option(fc.string({ maxLength: 9 })),
});

describe('lanes', () => {
  test('every record is in one lane, in order; those of a partition or key share one; a copy of a lane reads as its records', () => {
    fc.assert(
      fc.property(
        fc.array(plain, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom('partition', 'key', 'none'),
        (records, count, order) => {
          const batch = batchOf(records);
          const from = records.length >> 2;
          const lanes = splitIntoLanes(batch, from, records.length, count, order, 3);
          const all = lanes.flatMap((indexes) => [...(indexes ?? [])]);
          assert.deepEqual(
            all.toSorted((a, b) => a - b),
            records.map((_, index) => index).slice(from),
          );
          const homes = new Map<string, number>();
          for (const [lane, indexes] of lanes.entries()) {
            if (indexes === undefined || indexes.length === 0) continue;
            assert.deepEqual(
              [...indexes],
              [...indexes].toSorted((a, b) => a - b),
            );
            const copy = packSegments([
              { batch, indexes },
              { batch, indexes },
            ]);
            const view = new RecordBatch<unknown, unknown, unknown>(copy.length, copy.bytes, copy.columns, copy.topics, raw);
            for (const [place, index] of [...indexes, ...indexes].entries()) {
              const [a, b] = [view.at(place), batch.at(index)];
              assert.deepEqual([a.detach(), a.topic], [b.detach(), b.topic]);
            }
            for (const index of indexes) {
              const { key, partition } = records[index]!;
              const home = order === 'partition' || key === null ? `p${partition}` : `k${key}`;
              if (order !== 'none') assert.equal(homes.get(home) ?? lane, lane);
              homes.set(home, lane);
            }
          }
        },
      ),
    );
  });

  test('a task is cut at any place without a record lost or twice', () => {
    const batch = batchOf(Array.from({ length: 10 }, (_, index) => ({ partition: 0, key: null, value: String(index) })));
    const lane = new Lane();
    lane.push({ batch, indexes: Int32Array.of(0, 2, 4) });
    lane.push({ batch, indexes: Int32Array.of(5, 6, 7, 9) });
    const task = lane.take(5)!;
    assert.deepEqual(indexesOf(task), [0, 2, 4, 5, 6]);
    for (let cut = 0; cut <= 5; cut++) {
      assert.deepEqual([...indexesOf(task.slice(0, cut)), ...indexesOf(task.slice(cut, 5))], [0, 2, 4, 5, 6]);
      if (cut < 5) assert.equal(task.at(cut).index, indexesOf(task)[cut]);
    }
    lane.putBack(task.slice(1, 2), task.slice(2, 5));
    assert.deepEqual([lane.take(9), lane.take(9), lane.take(9), lane.take(9)].map(indexesOf), [[2], [4, 5, 6], [7, 9], []]);
  });

  const indexesOf = (task: PoolTask | undefined): number[] => task?.segments.flatMap(({ indexes }) => [...indexes]) ?? [];
});

test('a worker learns that handlers are to end, whether it starts before or afterwards', async () => {
  const service = new SchemaService(undefined);
  const before = new RemoteSchemas(service.link);
  assert.equal(before.signal.aborted, false);
  service.stop();
  const afterwards = new RemoteSchemas(service.link);
  assert.equal(afterwards.signal.aborted, true);
  await until('the message', () => before.signal.aborted);
  service.close();
});

describe('memory of a batch', () => {
  /** Runs one batch of 40 records through a pool; how much of its memory was given back, and when. */
  async function run(
    mode: PoolMode,
    actions: (index: number) => string,
  ): Promise<{ readonly freed: unknown[]; readonly finished: number[] }> {
    const freed: unknown[] = [];
    const finished: number[] = [];
    const records = Array.from({ length: 40 }, (_, index) => ({
      partition: index % 3,
      key: null,
      value: `out|${actions(index)}|${index}`,
    }));
    const batch = batchOf(records, { free: (...memory) => freed.push([finished.length, ...memory]) });
    const pool = new BatchPool(
      {
        handler: new URL('../support/pool-handlers/text.js', import.meta.url).href,
        mode,
        workers: 2,
        tasksPerWorker: 2,
        order: 'partition',
        taskRecords: 4,
        taskTimeoutMs: undefined,
        resourceLimits: undefined,
        registry: undefined,
        recordMaxBytes: 1_000,
        sink: 'packed',
        produces: true,
      },
      {
        produce: () => Promise.resolve(),
        finish: (_, indexes) => finished.push(...indexes),
        failed: () => Promise.resolve(false),
        behind: () => false,
      },
    );
    await pool.start();
    await pool.submit(batch, 0, 15);
    await pool.drain();
    assert.deepEqual([freed, finished.length], [[], 15]);
    await pool.submit(batch, 15, 40);
    await pool.drain();
    await pool.close();
    assert.deepEqual(
      finished.toSorted((a, b) => a - b),
      records.map((_, index) => index),
    );
    return { freed: freed.map((each) => (each as unknown[]).map((part) => (part === batch.columns ? 'columns' : part))), finished };
  }

  test('goes back when the last of its records is finished in workers', async () => {
    const { freed } = await run('pool', () => 'echo');
    assert.equal(freed.length, 1);
    const [[finished, bytes, columns]] = freed as [[number, ArrayBuffer, string]];
    assert.deepEqual([finished, bytes instanceof ArrayBuffer, columns], [40, true, 'columns']);
  });

  test('stays where a listener, or a handler on this thread, may have kept a record', async () => {
    assert.deepEqual((await run('pool', (index) => (index === 30 ? 'throw' : 'echo'))).freed, []);
    assert.deepEqual((await run('inline', () => 'echo')).freed, []);
  });
});

test('outputs come out of their block as they went in; what is rewound is not there', () => {
  const settings = { keySerializer: rawSerializer, valueSerializer: rawSerializer, sink: 'packed', recordMaxBytes: 1_000_000 } as const;
  const output = new PackedOutput();
  const records = Array.from({ length: 3_000 }, (_, index) => ({
    topic: `topic-${index % 3}`,
    key: index % 5 === 0 ? null : `k${index}`,
    value: index % 7 === 0 ? null : 'v'.repeat(index % 600),
    partition: index % 2 === 0 ? undefined : index % 9,
    timestamp: index % 4 === 0 ? undefined : 1_000 + index,
    headers: index % 3 === 0 ? undefined : { a: String(index), b: null },
  }));
  for (const record of records) {
    output.add(record, encodeRecord(record, settings));
    output.mark();
    output.add(record, encodeRecord(record, settings));
    output.rewind();
  }
  const block = output.take()!;
  const read = [...unpackRecords(block, 0, 1_000), ...unpackRecords(block, 1_000, block.length)];
  const text = (bytes: Uint8Array | null): string | null => (bytes === null ? null : String(bytes));
  assert.equal(read.length, records.length);
  for (const [index, { headers, ...rest }] of read.entries()) {
    const { headers: sent, ...expected } = records[index]!;
    assert.deepEqual({ ...rest, key: text(rest.key), value: text(rest.value) }, expected);
    const list = [...((unpackHeaders(headers) ?? []) as Iterable<{ name: string; value: Uint8Array | null }>)];
    assert.deepEqual(Object.fromEntries(list.map(({ name, value }) => [name, text(value)])), { ...sent });
  }
});

describe('auto', () => {
  /** Feeds windows of a load until the chooser has settled; gives the modes it went through. */
  function settle(
    chooser: ModeChooser,
    load: Readonly<Record<PoolMode, readonly [mainMs: number, workMs: number]>>,
    windows = 8,
  ): PoolMode[] {
    const modes: PoolMode[] = [];
    for (let window = 0; window < windows; window++) {
      const [mainMs, workMs] = load[chooser.mode];
      modes.push(chooser.mode);
      chooser.observe({ records: 1_000, mainMs, workMs });
    }
    return modes;
  }

  test('takes the pool for a heavy handler, and tries inline again when that costs a hundredth of the time', () => {
    let now = 0;
    const chooser = new ModeChooser(2, () => now);
    const load = { inline: [25, 24], pool: [2, 26] } as const;
    settle(chooser, load);
    assert.equal(chooser.mode, 'pool');
    assert.deepEqual(chooser.micros, { inline: 25, pool: 13 });
    const { switches } = chooser;
    now = 20_000;
    settle(chooser, load);
    assert.equal(chooser.switches, switches);
    now = 30_000;
    settle(chooser, load);
    assert.deepEqual([chooser.mode, chooser.switches], ['pool', switches + 2]);
  });

  test('stays inline for a light one, without a trial when there is nothing to move', () => {
    const light = new ModeChooser(2, () => 0);
    settle(light, { inline: [3, 0.3], pool: [3, 1] });
    assert.deepEqual([light.mode, light.switches], ['inline', 0]);
    const dearer = new ModeChooser(2, () => 0);
    settle(dearer, { inline: [3, 1.5], pool: [6, 4] }, 12);
    assert.deepEqual([dearer.mode, dearer.switches], ['inline', 2]);
  });

  test('takes turns where one look does not tell the modes apart, and takes the one that was cheaper on the whole', () => {
    // The pool is cheaper by 4 %, and each look is off by up to 5.
    for (const noise of [
      [1.05, 1, 0.95, 1.05, 0.95, 0.95],
      [0.95, 1.05, 1, 0.95, 1.04, 0.95],
    ]) {
      const chooser = new ModeChooser(2, () => 0);
      const looked: PoolMode[] = [];
      for (const [look, factor] of noise.entries()) {
        looked.push(chooser.mode);
        const micros = (chooser.mode === 'pool' ? 9.6 : 10) * factor;
        // New code is slow at first, which counts nothing; new workers are given more time.
        const warmUp = look === 1 ? [90, 80, 70, 60, 50, 40] : [50];
        for (const elapsedMs of [...warmUp, micros + 0.1, micros - 0.1]) {
          chooser.observe({ records: 1_000, mainMs: 9, workMs: 8, elapsedMs });
        }
      }
      assert.deepEqual(looked, ['inline', 'pool', 'inline', 'pool', 'inline', 'pool']);
      assert.equal(chooser.mode, 'pool');
      const { inline, pool } = chooser.micros;
      assert.ok(Math.abs(inline! / 10 - 1) < 0.05 && Math.abs(pool! / 9.6 - 1) < 0.05, `${inline} ${pool}`);
      // Decided: the next stretches are only followed.
      settle(chooser, { inline: [10, 9], pool: [2, 19.2] }, 20);
      assert.deepEqual([chooser.mode, chooser.switches], ['pool', 5]);
    }
  });

  test('waits until new workers are warm, but not for ever', () => {
    const chooser = new ModeChooser(2, () => 0);
    const look = (mode: PoolMode, elapsed: readonly number[]): void => {
      for (const elapsedMs of elapsed) {
        assert.equal(chooser.mode, mode);
        chooser.observe({ records: 1_000, mainMs: 5, workMs: 4, elapsedMs });
      }
    };
    look('inline', [90, 26, 24]);
    look('pool', [180, 90, 90, 90, 40, 26, 15, 15]);
    assert.deepEqual([chooser.mode, chooser.micros], ['pool', { inline: 25, pool: 15 }]);
    const never = new ModeChooser(2, () => 0);
    for (let elapsedMs = 1_000, count = 0; count < 20; count++, elapsedMs /= 1.2) {
      never.observe({ records: 1_000, mainMs: 5, workMs: 4, elapsedMs });
    }
    assert.ok(never.micros.inline! > 0 && never.micros.pool! > 0);
  });

  test('goes by the time it really took while records wait, whatever the threads say of their own', () => {
    const chooser = new ModeChooser(2, () => 0);
    // By the threads' time the pool would cost 7 µs; but it had no core to itself.
    const elapsed = { inline: 12, pool: 20 };
    for (let window = 0; window < 16; window++) {
      const load = chooser.mode === 'inline' ? { mainMs: 10, workMs: 9 } : { mainMs: 2, workMs: 14 };
      chooser.observe({ records: 1_000, ...load, elapsedMs: elapsed[chooser.mode] });
    }
    assert.equal(chooser.mode, 'inline');
    assert.deepEqual(chooser.micros, { inline: 12, pool: 20 });
  });

  test('does not go back and forth over a difference within the margin', () => {
    let now = 0;
    const chooser = new ModeChooser(2, () => now);
    settle(chooser, { inline: [10, 9], pool: [2, 20.2] }, 30);
    assert.equal(String(chooser.mode), 'inline');
    const before = chooser.switches;
    for (let minute = 0; minute < 60; minute++) {
      now += 60_000;
      settle(chooser, { inline: [10, 9], pool: [2, 19.2] }, 16);
      assert.equal(chooser.mode, 'inline');
    }
    // Trials, ever rarer: two changes each.
    assert.ok(chooser.switches - before <= 30, `${chooser.switches - before}`);
  });

  test('follows a handler that becomes heavy, and light again', () => {
    let now = 0;
    const chooser = new ModeChooser(4, () => now);
    settle(chooser, { inline: [2, 1], pool: [2.5, 3] }, 12);
    assert.equal(chooser.mode, 'inline');
    settle(chooser, { inline: [40, 39], pool: [2, 42] }, 12);
    assert.equal(chooser.mode, 'pool');
    now += 700_000;
    settle(chooser, { inline: [2, 1], pool: [3, 3] }, 12);
    assert.equal(chooser.mode, 'inline');
  });
});
