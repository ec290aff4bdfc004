import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { consumeAllMessages, createConsumer, createProducer, parseRuntimeVars } from 'rdkafka-toolkit';
import { startMockCluster } from 'rdkafka-toolkit/testing';

const RECORDS = 100_000;
const PARTITIONS = 8;

interface Message {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly Record<string, Buffer>[];
}

const require = createRequire(import.meta.url);

const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString('hex'));

/** What a record is, in one text. A null header value reads as an empty one in node-rdkafka. */
function fields(
  key: Buffer | null,
  value: Buffer | null,
  timestamp: number,
  headers: readonly (readonly [string, Buffer | null])[],
): string {
  return JSON.stringify([hex(key), hex(value), timestamp, headers.map(([name, bytes]) => [name, hex(bytes) ?? ''])]);
}

test(`${RECORDS} random records with headers are the same as in node-rdkafka's own messages`, async () => {
  await using cluster = await startMockCluster({ topics: [{ name: 'random', partitions: PARTITIONS }] });
  const vars = parseRuntimeVars({
    KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers,
    APP_NAME: 'agrees',
    CONSUMER_STATIC_MEMBERSHIP: 'false',
    RDKAFKA_TOOLKIT_NATIVE: 'on',
  });
  const bytes = fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 24 }));
  const name = fc.constantFrom('a', 'b', 'trace', 'é', '日本');
  const record = fc.record({
    partition: fc.integer({ min: 0, max: PARTITIONS - 1 }),
    key: bytes,
    value: bytes,
    timestamp: fc.integer({ min: 1, max: 2_000_000_000_000 }),
    headers: fc.array(fc.record({ name, value: bytes }), { maxLength: 3 }),
  });
  const records = fc.sample(record, RECORDS);
  const producer = await createProducer({ vars, config: { 'batch.num.messages': 1000 } });
  for (let from = 0; from < RECORDS; from += 1_000) {
    await producer.enqueueBatch(records.slice(from, from + 1_000).map((each) => ({ topic: 'random', ...each })));
  }
  await producer.flush();
  await producer.close();

  const packed = new Map<string, string>();
  await using consumer = await createConsumer({ vars, topics: ['random'], producers: [] });
  assert.equal(consumer.source, 'packed');
  for await (const each of consumeAllMessages(consumer)) {
    const headers = each.headers.map((header) => [header.name, header.value] as const);
    packed.set(`${each.partition}/${each.offset}`, fields(each.key, each.value, each.timestamp, headers));
  }
  assert.equal(packed.size, RECORDS);

  const raw = await readRaw(cluster.bootstrapServers);
  assert.equal(raw.length, RECORDS);
  let differing = 0;
  for (const { partition, offset, key, value, timestamp, headers = [] } of raw) {
    const own = headers.map((header) => Object.entries(header)[0]!);
    if (packed.get(`${partition}/${offset}`) !== fields(key, value, timestamp, own)) differing++;
  }
  assert.equal(differing, 0);

  // And as what was produced, which tells null headers from empty ones.
  const next = new Array<number>(PARTITIONS).fill(0);
  for (const { partition, key, value, timestamp, headers } of records) {
    const expected = fields(
      key === null ? null : Buffer.from(key),
      value === null ? null : Buffer.from(value),
      timestamp,
      headers.map((header) => [header.name, header.value === null ? null : Buffer.from(header.value)] as const),
    );
    assert.equal(packed.get(`${partition}/${next[partition]!++}`), expected);
  }
});

/** Every record of the topic as node-rdkafka converts it. */
async function readRaw(bootstrapServers: string): Promise<Message[]> {
  const { KafkaConsumer } = require('node-rdkafka') as {
    KafkaConsumer: new (
      global: object,
      topic: object,
    ) => {
      connect(options: object, callback: (error: Error | null) => void): void;
      disconnect(callback: () => void): void;
      assign(partitions: readonly object[]): void;
      consume(count: number, callback: (error: Error | null, messages: Message[]) => void): void;
      setDefaultConsumeTimeout(milliseconds: number): void;
    };
  };
  const consumer = new KafkaConsumer({ 'metadata.broker.list': bootstrapServers, 'group.id': 'raw', 'enable.auto.commit': false }, {});
  await new Promise<void>((resolve, reject) => consumer.connect({}, (error) => (error ? reject(error) : resolve())));
  consumer.setDefaultConsumeTimeout(200);
  consumer.assign(Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: 'random', partition, offset: 0 })));
  const messages: Message[] = [];
  for (const deadline = Date.now() + 30_000; messages.length < RECORDS && Date.now() < deadline; ) {
    const some = await new Promise<Message[]>((resolve, reject) =>
      consumer.consume(1_000, (error, found) => (error ? reject(error) : resolve(found))),
    );
    messages.push(...some);
  }
  await new Promise<void>((resolve) => consumer.disconnect(resolve));
  return messages;
}
