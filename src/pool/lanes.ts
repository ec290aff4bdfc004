import { columnBytes, type RecordBatch } from '../binding/record-batch.ts';

/** Which records must be handled one after the other. */
export type PoolOrder = 'partition' | 'key' | 'none';

export type AnyBatch = RecordBatch<unknown, unknown, unknown>;

/** Some records of a batch, by their places in it, in ascending order. */
export interface Segment {
  readonly batch: AnyBatch;
  readonly indexes: Int32Array;
}

/** Splits records of a batch so that those that must keep their order get the same lane, batch after batch. */
export function splitIntoLanes(
  batch: AnyBatch,
  from: number,
  to: number,
  lanes: number,
  order: PoolOrder,
  turn: number,
): (Int32Array | undefined)[] {
  const split: (Int32Array | undefined)[] = new Array<undefined>(lanes).fill(undefined);
  if (lanes === 1 || order === 'none') {
    split[order === 'none' ? turn % lanes : 0] = indexRange(from, to);
    return split;
  }
  const counts = new Int32Array(lanes);
  const laneOf = order === 'key' ? (index: number) => keyLane(batch, index, lanes) : (index: number) => partitionLane(batch, index, lanes);
  for (let index = from; index < to; index++) {
    const lane = laneOf(index);
    split[lane] ??= new Int32Array(to - from);
    split[lane][counts[lane]!++] = index;
  }
  return split.map((indexes, lane) => indexes?.subarray(0, counts[lane]));
}

let allIndexes = new Int32Array(0);

/** `from … to - 1`, over shared memory that nobody writes to. */
export function indexRange(from: number, to: number): Int32Array {
  if (allIndexes.length < to) {
    allIndexes = new Int32Array(Math.max(1_024, 2 * to));
    for (let index = 0; index < allIndexes.length; index++) allIndexes[index] = index;
  }
  return allIndexes.subarray(from, to);
}

/** Neighbouring partitions go to different lanes, whichever topic they are of. */
function partitionLane({ topicIndexes, partitions }: AnyBatch, index: number, lanes: number): number {
  return (topicIndexes[index]! + partitions[index]!) % lanes;
}

/** By the key's bytes (FNV-1a); records without a key keep the order of their partition. */
function keyLane(batch: AnyBatch, index: number, lanes: number): number {
  const length = batch.keyLengths[index]!;
  if (length < 0) return partitionLane(batch, index, lanes);
  const { bytes } = batch;
  const start = batch.starts[index]!;
  let hash = 0x811c9dc5;
  for (let at = start; at < start + length; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return (hash >>> 0) % lanes;
}

/** Records in memory of their own, in the layout of a {@link RecordBatch}. */
export interface PackedCopy {
  readonly length: number;
  readonly bytes: ArrayBuffer;
  readonly columns: ArrayBuffer;
  readonly topics: readonly string[];
}

/** Copies records together, a run of neighbours at a time. What they were copied from stays, should a worker die over the copy. */
export function packSegments(segments: readonly Segment[]): PackedCopy {
  let length = 0;
  let size = 0;
  for (const { batch, indexes } of segments) {
    length += indexes.length;
    for (const [first, last] of runs(indexes)) size += batch.starts[last + 1]! - batch.starts[first]!;
  }
  const bytes = memory(size);
  const columns = memory(columnBytes(length)).buffer;
  const at = (offset: number): Int32Array => new Int32Array(columns, 16 * length + 4 * offset, length);
  const starts = new Int32Array(columns, 16 * length, length + 1);
  const offsets = new Float64Array(columns, 0, length);
  const timestamps = new Float64Array(columns, 8 * length, length);
  const [keyLengths, valueLengths, partitions, topicIndexes] = [0, 1, 2, 3].map((number) => at(length + 1 + number * length)) as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  const types = new Int8Array(columns, 16 * length + 4 * (5 * length + 1), length);
  let place = 0;
  let used = 0;
  for (const { batch, indexes } of segments) {
    for (const [first, last] of runs(indexes)) {
      const [from, to] = [batch.starts[first]!, batch.starts[last + 1]!];
      const shift = used - from;
      bytes.set(batch.bytes.subarray(from, to), used);
      used += to - from;
      offsets.set(batch.offsets.subarray(first, last + 1), place);
      timestamps.set(batch.timestamps.subarray(first, last + 1), place);
      keyLengths.set(batch.keyLengths.subarray(first, last + 1), place);
      valueLengths.set(batch.valueLengths.subarray(first, last + 1), place);
      partitions.set(batch.partitions.subarray(first, last + 1), place);
      topicIndexes.set(batch.topicIndexes.subarray(first, last + 1), place);
      types.set(batch.timestampTypes.subarray(first, last + 1), place);
      for (let index = first; index <= last; index++, place++) starts[place] = batch.starts[index]! + shift;
    }
  }
  starts[length] = used;
  return { length, bytes: bytes.buffer, columns, topics: segments[0]!.batch.topics.slice() };
}

/** Memory of its own that can be transferred, not cleared: all of it is written to. */
function memory(size: number): Buffer<ArrayBuffer> {
  return Buffer.allocUnsafeSlow(size);
}

/** First and last of each run of neighbours. */
function* runs(indexes: Int32Array): IterableIterator<readonly [first: number, last: number]> {
  for (let at = 0; at < indexes.length; ) {
    const first = at;
    while (at + 1 < indexes.length && indexes[at + 1] === indexes[at]! + 1) at++;
    yield [indexes[first]!, indexes[at]!];
    at++;
  }
}
