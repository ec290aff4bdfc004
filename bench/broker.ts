import rdkafka from 'node-rdkafka';
import { createProducer, parseRuntimeVars } from 'rdkafka-toolkit';
import { startMockCluster } from 'rdkafka-toolkit/testing';
import { routeConfig } from '../src/config/librdkafka-config.ts';
import { producerSettings } from '../src/config/producer-config.ts';
import { PARTITIONS_PER_TOPIC } from './job.ts';
import type { BenchOptions } from './options.ts';
import { RECORD_BYTES, RecordMaker } from './records.ts';

/** A mock partition drops its oldest records above 5 MB; the rest of the record's bytes is what the batch format adds. */
const MOCK_PARTITION_BYTES = 4_500_000;
const RECORD_OVERHEAD_BYTES = 16;
const HEADER_BYTES = 44;

const ADMIN_TIMEOUT_MS = 30_000;

/** Where the contenders' records are. Lives in the parent's process, whose CPU is nobody's. */
export interface Broker extends AsyncDisposable {
  readonly kind: 'mock' | 'kafka';
  readonly bootstrapServers: string;
  /** Topics of records with so many headers. */
  readonly inputTopics: ReadonlyMap<number, readonly string[]>;
  readonly outputTopics: readonly string[];
  /** Empty topics, one for each run of the mode `concurrent`, which fills its own. */
  readonly keyTopics: readonly string[];
}

/** How many records the topics of the mock cluster can hold without compression. */
export function mockRecordsMax(topics: number, headers: number): number {
  const recordBytes = RECORD_BYTES + RECORD_OVERHEAD_BYTES + headers * HEADER_BYTES;
  return Math.floor((topics * PARTITIONS_PER_TOPIC * MOCK_PARTITION_BYTES) / recordBytes);
}

/** Starts the mock cluster, or uses the Kafka at `bootstrapServers`, and makes the bench's topics there. */
export async function openBroker({
  bootstrapServers,
  topics,
  headers,
  modes,
  repeats,
}: Pick<BenchOptions, 'bootstrapServers' | 'topics' | 'headers' | 'modes' | 'repeats'>): Promise<Broker> {
  const run = `bench-${process.pid}-${Date.now().toString(36)}`;
  const names = (kind: string, length = topics): string[] => Array.from({ length }, (_, number) => `${run}-${kind}-${number}`);
  const inputTopics = new Map(headers.map((count) => [count, names(`in-${count}`)]));
  const outputTopics = names('out');
  const keyTopics = names('keys', modes.includes('concurrent') ? 2 * repeats : 0);
  const all = [...[...inputTopics.values()].flat(), ...outputTopics, ...keyTopics];
  if (bootstrapServers === undefined) {
    const cluster = await startMockCluster({ topics: all });
    return {
      kind: 'mock',
      bootstrapServers: cluster.bootstrapServers,
      inputTopics,
      outputTopics,
      keyTopics,
      [Symbol.asyncDispose]: () => cluster.close(),
    };
  }
  await createTopics(bootstrapServers, all);
  return {
    kind: 'kafka',
    bootstrapServers,
    inputTopics,
    outputTopics,
    keyTopics,
    [Symbol.asyncDispose]: () => deleteTopics(bootstrapServers, all),
  };
}

/** Produces `records` records, each partition's in the order {@link RecordMaker} numbers them. */
export async function fillInput({ bootstrapServers, inputTopics }: Broker, records: number): Promise<void> {
  await using producer = await createProducer({
    vars: parseRuntimeVars({ ...process.env, KAFKA_BOOTSTRAP_SERVERS: bootstrapServers }),
    // The mock broker answers a fetch with one batch a partition: small batches would make the broker the limit.
    config: { 'linger.ms': 1000, 'batch.num.messages': 2000, 'compression.codec': 'none' },
  });
  for (const [headers, topics] of inputTopics) {
    const maker = new RecordMaker(topics, headers);
    for (let index = 0; index < records; index++) await producer.enqueue(maker.make(index));
  }
  await producer.flush({ timeoutMs: 60_000 });
}

function adminConfig(bootstrapServers: string): Record<string, unknown> {
  const settings = producerSettings(parseRuntimeVars({ ...process.env, KAFKA_BOOTSTRAP_SERVERS: bootstrapServers }));
  return routeConfig('producer', settings).global;
}

async function createTopics(bootstrapServers: string, topics: readonly string[]): Promise<void> {
  const admin = rdkafka.AdminClient.create(adminConfig(bootstrapServers));
  try {
    for (const topic of topics) {
      await new Promise<void>((resolve, reject) => {
        const settings = { topic, num_partitions: PARTITIONS_PER_TOPIC, replication_factor: 1 };
        admin.createTopic(settings, ADMIN_TIMEOUT_MS, (error) => (error ? reject(error) : resolve()));
      });
    }
  } finally {
    admin.disconnect();
  }
}

async function deleteTopics(bootstrapServers: string, topics: readonly string[]): Promise<void> {
  const admin = rdkafka.AdminClient.create(adminConfig(bootstrapServers));
  try {
    for (const topic of topics) {
      await new Promise<void>((resolve, reject) => {
        admin.deleteTopic(topic, ADMIN_TIMEOUT_MS, (error) => (error ? reject(error) : resolve()));
      });
    }
  } finally {
    admin.disconnect();
  }
}
