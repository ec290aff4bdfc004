import { randomBytes, randomUUID } from 'node:crypto';
import type { Producer } from '../client/producer.ts';
import { createProducer } from '../delivery/create-clients.ts';
import { ToolkitError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import { connectAdmin } from './admin.ts';
import { readRecords } from './read-records.ts';

/** Records that are sent one after the other, to see how long one takes. */
const SINGLE_RECORDS = 50;

/** An embedded cluster leaves the request unanswered. */
const CREATE_TIMEOUT_MS = 5_000;
const NO_SUCH_REQUEST: ReadonlySet<number | undefined> = new Set([kafkaCodes.unsupportedFeature, kafkaCodes.timedOut]);

export interface BenchOptions {
  readonly vars: RuntimeVars;
  readonly topic?: string | undefined;
  readonly records: number;
  /** Bytes of a value. */
  readonly size: number;
  /** Of the topic of its own. */
  readonly partitions: number;
  readonly signal: AbortSignal;
}

export interface BenchResult {
  readonly produced: { readonly recordsPerSecond: number };
  readonly consumed: { readonly records: number; readonly recordsPerSecond: number };
  readonly acknowledged: { readonly records: number; readonly medianMs: number; readonly maxMs: number };
  /** How records move between librdkafka and JavaScript here. */
  readonly io: 'packed' | 'portable';
}

/** Produces records and reads them back. @throws as the clients do */
export async function runBench(options: BenchOptions): Promise<BenchResult> {
  if (options.topic !== undefined) return measure(options, options.topic);
  const topic = `rdkafka-toolkit-bench-${randomUUID().slice(0, 8)}`;
  await using admin = await connectAdmin(options.vars);
  const created = await createTopic(() =>
    admin.handle.createTopic({ name: topic, partitions: options.partitions, replicas: -1, config: {} }, CREATE_TIMEOUT_MS),
  );
  try {
    return await measure(options, topic);
  } finally {
    if (created) await admin.handle.deleteTopic(topic);
  }
}

/** False where topics come by themselves: an embedded cluster. */
async function createTopic(create: () => Promise<void>): Promise<boolean> {
  try {
    await create();
    return true;
  } catch (error) {
    if (error instanceof ToolkitError && NO_SUCH_REQUEST.has(error.kafkaCode)) return false;
    throw error;
  }
}

async function measure(options: BenchOptions, topic: string): Promise<BenchResult> {
  await using producer = await createProducer({ vars: options.vars });
  // The first record pays for connections and metadata.
  await producer.send({ topic, value: 'first' });
  const acknowledged = await measureSingles(producer, topic, options.size);
  const produced = await measureProduce(producer, topic, options);
  const consumed = await measureConsume(topic, options);
  return { produced, consumed, acknowledged, io: producer.sink };
}

async function measureSingles(producer: Producer, topic: string, size: number): Promise<BenchResult['acknowledged']> {
  const times: number[] = [];
  const value = randomBytes(size);
  for (let index = 0; index < SINGLE_RECORDS; index++) {
    const startMs = performance.now();
    await producer.send({ topic, value });
    times.push(performance.now() - startMs);
  }
  times.sort((a, b) => a - b);
  return { records: times.length, medianMs: times[times.length >> 1]!, maxMs: times.at(-1)! };
}

async function measureProduce(
  producer: Producer,
  topic: string,
  { records, size, signal }: BenchOptions,
): Promise<BenchResult['produced']> {
  const value = randomBytes(size);
  const startMs = performance.now();
  for (let sent = 0; sent < records && !signal.aborted; sent++) {
    await producer.enqueue({ topic, key: String(sent % 1000), value });
  }
  await producer.flush();
  producer.throwIfFailed();
  return { recordsPerSecond: perSecond(records, startMs) };
}

async function measureConsume(topic: string, { vars, records, signal }: BenchOptions): Promise<BenchResult['consumed']> {
  let read = 0;
  let startMs = performance.now();
  for await (const _record of readRecords({ vars, topics: [topic], from: { kind: 'start' }, untilEnd: true, signal })) {
    // Joining the group is no part of what is measured.
    if (read === 0) startMs = performance.now();
    if (++read >= records) break;
  }
  return { records: read, recordsPerSecond: perSecond(read, startMs) };
}

function perSecond(records: number, startMs: number): number {
  return records / Math.max(0.001, (performance.now() - startMs) / 1000);
}
