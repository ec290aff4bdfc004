import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TopicPartition } from '../binding/node-rdkafka.ts';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { Consumer } from '../client/consumer.ts';
import { createConsumer, offsetManagerOf } from '../delivery/create-clients.ts';
import { ConfigError, NoMessageError, TimeoutError } from '../errors.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import { type StartPoint, startOffset } from './start-point.ts';

const ASSIGNMENT_TIMEOUT_MS = 30_000;

export interface ReadOptions {
  readonly vars: RuntimeVars;
  readonly topics: readonly string[];
  readonly from: StartPoint;
  /** Only this partition of each topic. */
  readonly partition?: number | undefined;
  /** Ends where the topics end now, instead of waiting for more. */
  readonly untilEnd: boolean;
  readonly signal: AbortSignal;
}

/** Records of topics, read beside every group: commits nothing. Ends when the signal is aborted, too. */
export async function* readRecords(options: ReadOptions): AsyncGenerator<ConsumerRecord, void, undefined> {
  const { vars, topics, from, partition, untilEnd, signal } = options;
  await using consumer = await createConsumer({
    vars,
    topics,
    groupId: `${vars.APP_NAME ?? 'rdkafka-toolkit'}.cli-${randomUUID().slice(0, 8)}`,
    config: { 'group.instance.id': '', 'enable.auto.commit': false },
    producers: [],
  });
  // Records that nobody finishes would fill what may be in flight.
  offsetManagerOf(consumer).track(false);
  await assigned(consumer, signal);
  const wanted = consumer.assignment().filter((at) => partition === undefined || at.partition === partition);
  if (partition !== undefined && wanted.length === 0 && !signal.aborted) {
    const last = Math.max(...consumer.assignment().map((at) => at.partition));
    throw new ConfigError([`Expected --partition to be at most ${last} for ${topics.join(', ')}, got ${partition}`]);
  }
  const remaining = await moveTo(consumer, wanted, from, untilEnd);
  while (!signal.aborted && (!untilEnd || remaining.size > 0)) {
    const record = await nextRecord(consumer, signal);
    if (record === undefined) {
      for (const at of endedWithoutRecord(consumer, remaining)) remaining.delete(at);
      continue;
    }
    const key = `${record.topic}/${record.partition}`;
    const end = remaining.get(key)?.end;
    if (untilEnd && end === undefined) continue;
    if (end !== undefined && record.offset >= end - 1) remaining.delete(key);
    if (end === undefined || record.offset < end) yield record;
  }
}

async function assigned(consumer: Consumer, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + ASSIGNMENT_TIMEOUT_MS;
  while (consumer.assignment().length === 0 && !signal.aborted) {
    if (performance.now() >= deadline) {
      throw new TimeoutError(`No partition of ${consumer.topics.join(', ')} was assigned within ${ASSIGNMENT_TIMEOUT_MS} ms`);
    }
    await consumer.serveCallbacks();
    await sleep(10);
  }
}

/** Begins each partition where it was asked for; the others rest. Gives the ends to reach. */
async function moveTo(
  consumer: Consumer,
  wanted: readonly TopicPartition[],
  from: StartPoint,
  untilEnd: boolean,
): Promise<Map<string, TopicPartition & { readonly end: number }>> {
  const remaining = new Map<string, TopicPartition & { readonly end: number }>();
  const others = consumer.assignment().filter((at) => !wanted.some((each) => each.topic === at.topic && each.partition === at.partition));
  if (others.length > 0) await consumer.pause(others);
  for (const at of wanted) {
    const ends = await consumer.watermarks(at);
    const offset = await startOffset(consumer, at, from, ends);
    await consumer.seek({ ...at, offset });
    if (untilEnd && offset < ends.high) remaining.set(`${at.topic}/${at.partition}`, { ...at, end: ends.high });
  }
  return remaining;
}

async function nextRecord(consumer: Consumer, signal: AbortSignal): Promise<ConsumerRecord | undefined> {
  try {
    return await consumer.consume({ timeoutMs: 200, signal });
  } catch (error) {
    if (error instanceof NoMessageError || signal.aborted) return undefined;
    throw error;
  }
}

/** The last offsets may be transaction markers: then no record comes, but the position passes them. */
function endedWithoutRecord(consumer: Consumer, remaining: ReadonlyMap<string, TopicPartition & { readonly end: number }>): string[] {
  const entries = [...remaining];
  if (entries.length === 0) return [];
  const positions = consumer.position(entries.map(([, at]) => at));
  return entries.filter(([, { end }], index) => (positions[index] ?? -1) >= end).map(([key]) => key);
}
