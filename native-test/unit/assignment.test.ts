import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerHandle } from '../../src/binding/consumer-handle.ts';
import type { TopicPartitionOffset } from '../../src/binding/node-rdkafka.ts';
import { TopicTable } from '../../src/binding/pack.ts';
import type { RecordBatch } from '../../src/binding/record-batch.ts';
import type { RecordSource } from '../../src/binding/record-source.ts';
import { Assignment } from '../../src/client/assignment.ts';
import type { OffsetKeeper } from '../../src/client/consumer-settings.ts';
import { Fetcher } from '../../src/client/fetcher.ts';
import { StateError } from '../../src/errors.ts';

const FETCHED_AT_ONCE = 3;

/** One partition as librdkafka fetches it, from offset 0 on; seeks fail as long as `refusesSeeks`. */
class Partition {
  position = 0;
  paused = false;
  refusesSeeks = false;

  readonly handle = {
    seek: async ({ offset }: TopicPartitionOffset): Promise<void> => {
      if (this.refusesSeeks) throw new StateError('Cannot seek: timed out');
      this.position = offset;
    },
    pause: () => {
      this.paused = true;
    },
    resume: () => {
      this.paused = false;
    },
    position: () => [this.position],
  } as unknown as ConsumerHandle;

  readonly source = {
    fetch: async (): Promise<RecordBatch | undefined> => {
      if (this.paused) return undefined;
      const offsets = Array.from({ length: FETCHED_AT_ONCE }, () => this.position++);
      const zeros = new Int32Array(FETCHED_AT_ONCE);
      return { length: FETCHED_AT_ONCE, epoch: 0, offsets, partitions: zeros, topicIndexes: zeros } as unknown as RecordBatch;
    },
  } as unknown as RecordSource<unknown, unknown, unknown>;
}

const AT = { topic: 'in', partition: 0 };

function consume(): {
  partition: Partition;
  assignment: Assignment<unknown, unknown, unknown>;
  fetcher: Fetcher<unknown, unknown, unknown>;
  take: (count: number) => number[];
} {
  const partition = new Partition();
  const keeper = { assigned: () => 0, seeked: () => undefined, revoking: async () => undefined, settle: () => undefined };
  const offsetKeeper = keeper as unknown as OffsetKeeper;
  const topics = new TopicTable();
  const assignment = new Assignment<unknown, unknown, unknown>(partition.handle, topics, offsetKeeper, 10);
  const settings = { prefetchRecords: 100, maxPollIntervalMs: 300_000, missingTopics: 'fail' as const, tokens: undefined };
  const fetcher = new Fetcher(partition.source, assignment, offsetKeeper, settings, () => undefined);
  assignment.take([AT]);
  const take = (count: number): number[] => {
    const taken: number[] = [];
    for (let batch = assignment.buffer.current(); batch !== undefined && taken.length < count; batch = assignment.buffer.current()) {
      taken.push(batch.offsets[assignment.buffer.index]!);
      assignment.buffer.advance(assignment.buffer.index + 1);
    }
    return taken;
  };
  return { partition, assignment, fetcher, take };
}

test('a pause whose seek fails skips nothing: nothing is handed over until the seek is done', async () => {
  const { partition, assignment, fetcher, take } = consume();
  await fetcher.fetch(0);
  assert.deepEqual(take(1), [0]);
  partition.refusesSeeks = true;
  await assert.rejects(
    fetcher.alone(() => assignment.pause([AT])),
    StateError,
  );
  assignment.resume([AT]);
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(fetcher.fetch(0), StateError);
    assert.deepEqual(take(10), []);
    assert.deepEqual(assignment.positions([AT]), [1]);
  }
  // Paused once more meanwhile: it still goes on where it was.
  await assert.rejects(
    fetcher.alone(() => assignment.pause([AT])),
    StateError,
  );
  assignment.resume([AT]);
  partition.refusesSeeks = false;
  await fetcher.fetch(0);
  assert.deepEqual(take(10), []);
  await fetcher.fetch(0);
  await fetcher.fetch(0);
  assert.deepEqual(take(10), [1, 2, 3, 4, 5, 6]);
});

test('a seek that fails goes on from its offset when librdkafka takes it, or from that of a later seek', async () => {
  const { partition, assignment, fetcher, take } = consume();
  await fetcher.fetch(0);
  partition.refusesSeeks = true;
  const seek = (offset: number): Promise<void> => fetcher.alone(() => assignment.seek({ ...AT, offset }));
  await assert.rejects(seek(40), StateError);
  await assert.rejects(seek(50), StateError);
  assert.deepEqual(assignment.positions([AT]), [50]);
  partition.refusesSeeks = false;
  await fetcher.fetch(0);
  await fetcher.fetch(0);
  assert.deepEqual(take(10), [50, 51, 52]);
});

test('a partition that is given up and comes back has nothing left of a seek that failed', async () => {
  const { partition, assignment, fetcher, take } = consume();
  await fetcher.fetch(0);
  partition.refusesSeeks = true;
  await assert.rejects(
    fetcher.alone(() => assignment.seek({ ...AT, offset: 40 })),
    StateError,
  );
  await assignment.giveUp([AT], 'revoked', true);
  assignment.take([AT]);
  await fetcher.fetch(0);
  assert.deepEqual(take(10), [3, 4, 5]);
});

test('a partition that rests though its seek has failed goes on where it was to', async () => {
  const { partition, assignment, fetcher, take } = consume();
  await fetcher.fetch(0);
  assert.deepEqual(take(1), [0]);
  const parked = assignment.park(0, 0);
  partition.refusesSeeks = true;
  await assert.rejects(
    fetcher.alone(() => assignment.halt(parked, 1)),
    StateError,
  );
  assignment.restUntil(0, parked);
  while (assignment.isParked(parked)) await sleep(10);
  await assert.rejects(fetcher.fetch(0), StateError);
  assert.deepEqual(take(10), []);
  partition.refusesSeeks = false;
  await fetcher.fetch(0);
  await fetcher.fetch(0);
  assert.deepEqual(take(10), [1, 2, 3]);
});
