import { setTimeout as sleep } from 'node:timers/promises';
import { orAborted } from '../abort.ts';
import type { TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import { NoMessageError, TimeoutError } from '../errors.ts';

/** Options of {@link consumeAllMessages}. */
export interface ConsumeAllOptions {
  /** How long the assignment may take to arrive, in milliseconds. @default 30000 */
  readonly assignmentTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Every record of the consumer's assigned partitions, from their start to the end offsets known when it is called; then it ends.
 * Records that arrive later are not given. Reads alone in its group: with other members it sees their partitions' share only.
 *
 * Ordering: per partition. Commits nothing.
 *
 * @throws TimeoutError when no partition is assigned in time
 */
export async function* consumeAllMessages<K, V, H>(
  consumer: Consumer<K, V, H>,
  { assignmentTimeoutMs = 30_000, signal }: ConsumeAllOptions = {},
): AsyncGenerator<ConsumerRecord<K, V, H>, void, undefined> {
  const ended = new Map<string, number>();
  const onEof = ({ topic, partition, offset }: TopicPartitionOffset): void => void ended.set(`${topic}/${partition}`, offset);
  consumer.on('partitionEof', onEof);
  try {
    const remaining = await seekToStart(consumer, ended, assignmentTimeoutMs, signal);
    while (remaining.size > 0) {
      let record: ConsumerRecord<K, V, H>;
      try {
        record = await consumer.consume({ timeoutMs: 200, signal });
      } catch (error) {
        if (!(error instanceof NoMessageError)) throw error;
        // The last offsets may be transaction markers or compacted away: then no record comes, but the partition's end is reported.
        for (const [key, end] of remaining) if ((ended.get(key) ?? -1) >= end) remaining.delete(key);
        continue;
      }
      const key = `${record.topic}/${record.partition}`;
      const end = remaining.get(key);
      if (end === undefined) continue;
      if (record.offset >= end - 1) remaining.delete(key);
      if (record.offset < end) yield record;
    }
  } finally {
    consumer.off('partitionEof', onEof);
  }
}

async function seekToStart(
  consumer: Consumer<unknown, unknown, unknown>,
  ended: Map<string, number>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Map<string, number>> {
  const deadline = performance.now() + timeoutMs;
  while (consumer.assignment().length === 0) {
    if (performance.now() >= deadline) {
      throw new TimeoutError(`Group ${consumer.groupId} was assigned no partition of ${consumer.topics.join(', ')} within ${timeoutMs} ms`);
    }
    await consumer.serveCallbacks();
    await orAborted(sleep(10), signal);
  }
  const remaining = new Map<string, number>();
  for (const at of consumer.assignment()) {
    const { low, high } = await consumer.watermarks(at);
    await consumer.seek({ ...at, offset: low });
    const key = `${at.topic}/${at.partition}`;
    // An end reported before the seek says nothing about what is read after it.
    ended.delete(key);
    if (high > low) remaining.set(key, high);
  }
  return remaining;
}
