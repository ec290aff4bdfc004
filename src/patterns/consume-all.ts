import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import type { TopicPartition, TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import { offsetManagerOf } from '../delivery/create-clients.ts';
import { NoMessageError, TimeoutError } from '../errors.ts';

/** Options of {@link consumeAllMessages}. */
export interface ConsumeAllOptions {
  /** How long the assignment may take to arrive, in milliseconds. @default 30000 */
  readonly assignmentTimeoutMs?: number | undefined;
  /** How long nothing may come before an end that is not reached is given up, in milliseconds. @default 30000 */
  readonly stallTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How long nothing may come before partitions that have not begun are sought again. */
const SEEK_AGAIN_MS = 3_000;

/** A partition that is not read to its end yet. */
interface Remaining extends TopicPartition {
  readonly start: number;
  readonly end: number;
  /** The consumer's position before it was moved to the start: until a record came, this says nothing. */
  readonly positionBefore: number | undefined;
  started: boolean;
}

/**
 * Every record of the consumer's assigned partitions, from their start to the end offsets known when it is called; then it ends.
 * Records that arrive later are not given. Reads alone in its group: with other members it sees their partitions' share only.
 *
 * Ordering: per partition. Commits nothing: what it gives is not awaited by `enqueueAutoCommits`, what comes after it is.
 *
 * @throws TimeoutError when no partition is assigned in time, or nothing comes before the end: the broker is away, the partition
 * is paused or taken away, or its last offsets hold no record any more (a compacted topic). A consumer with the librdkafka setting
 * `enable.partition.eof=true` knows such an end by the broker's word.
 */
export async function* consumeAllMessages<K, V, H>(
  consumer: Consumer<K, V, H>,
  { assignmentTimeoutMs = 30_000, stallTimeoutMs = 30_000, signal }: ConsumeAllOptions = {},
): AsyncGenerator<ConsumerRecord<K, V, H>, void, undefined> {
  const manager = offsetManagerOf(consumer);
  const ended = new Map<string, number>();
  const onEof = ({ topic, partition, offset }: TopicPartitionOffset): void => void ended.set(`${topic}/${partition}`, offset);
  consumer.on('partitionEof', onEof);
  try {
    const remaining = await seekToStart(consumer, ended, assignmentTimeoutMs, signal);
    manager.track(false);
    let lastAt = performance.now();
    let soughtAt = lastAt;
    while (remaining.size > 0) {
      let record: ConsumerRecord<K, V, H>;
      try {
        record = await consumer.consume({ timeoutMs: 200, signal });
      } catch (error) {
        if (!(error instanceof NoMessageError)) throw error;
        for (const key of endedWithoutRecord(consumer, remaining, ended)) remaining.delete(key);
        if (performance.now() - lastAt >= stallTimeoutMs) throw stalled(remaining, stallTimeoutMs);
        if (performance.now() - Math.max(lastAt, soughtAt) >= SEEK_AGAIN_MS) {
          await seekAgain(consumer, remaining);
          soughtAt = performance.now();
        }
        continue;
      }
      lastAt = performance.now();
      const key = `${record.topic}/${record.partition}`;
      const partition = remaining.get(key);
      if (partition === undefined) continue;
      partition.started = true;
      if (record.offset >= partition.end - 1) remaining.delete(key);
      if (record.offset < partition.end) yield record;
    }
  } finally {
    manager.track(true);
    consumer.off('partitionEof', onEof);
  }
}

/** A partition of which nothing came at all is sought again: once, on a busy machine, one stood still after a seek just behind its assignment. */
async function seekAgain(consumer: Consumer<unknown, unknown, unknown>, remaining: ReadonlyMap<string, Remaining>): Promise<void> {
  const assigned = new Set(consumer.assignment().map(({ topic, partition }) => `${topic}/${partition}`));
  for (const [key, { topic, partition, start, started }] of remaining) {
    if (!started && assigned.has(key)) await consumer.seek({ topic, partition, offset: start });
  }
}

/** The last offsets may be transaction markers: then no record comes, but the position passes them. */
function endedWithoutRecord(
  consumer: Consumer<unknown, unknown, unknown>,
  remaining: ReadonlyMap<string, Remaining>,
  ended: ReadonlyMap<string, number>,
): string[] {
  const entries = [...remaining];
  if (entries.length === 0) return [];
  const positions = consumer.position(entries.map(([, at]) => at));
  return entries
    .filter(([key, { end, positionBefore, started }], index) => {
      const position = positions[index];
      const passed = position !== undefined && position >= end && (started || position !== positionBefore);
      return passed || (ended.get(key) ?? -1) >= end;
    })
    .map(([key]) => key);
}

function stalled(remaining: ReadonlyMap<string, Remaining>, stallTimeoutMs: number): TimeoutError {
  const names = [...remaining.values()].map(({ topic, partition, end }) => `${topic} [${partition}] before its end ${end}`);
  return new TimeoutError(
    `No record came for ${stallTimeoutMs} ms of ${names.join(', ')}. Is the broker reachable, the partition paused or taken away? ` +
      "If the topic is compacted, its last offsets may hold no record: config: { 'enable.partition.eof': true } tells its end.",
  );
}

async function seekToStart(
  consumer: Consumer<unknown, unknown, unknown>,
  ended: Map<string, number>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Map<string, Remaining>> {
  const deadline = performance.now() + timeoutMs;
  while (consumer.assignment().length === 0) {
    if (performance.now() >= deadline) {
      throw new TimeoutError(`Group ${consumer.groupId} was assigned no partition of ${consumer.topics.join(', ')} within ${timeoutMs} ms`);
    }
    await consumer.serveCallbacks();
    await orAborted(sleep(10), signal);
  }
  const remaining = new Map<string, Remaining>();
  for (const at of consumer.assignment()) {
    const { low, high } = await consumer.watermarks(at);
    const [positionBefore] = consumer.position([at]);
    await consumer.seek({ ...at, offset: low });
    const key = `${at.topic}/${at.partition}`;
    // An end reported before the seek says nothing about what is read after it.
    ended.delete(key);
    if (high > low) remaining.set(key, { ...at, start: low, end: high, positionBefore, started: false });
  }
  return remaining;
}
