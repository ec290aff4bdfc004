/**
 * The batch pattern by hand: orders taken a hundred at a time and uploaded together.
 *
 * Guarantee: at least once. A batch's offsets are handed in only after its upload has succeeded, and are committed in the background;
 * a crash repeats the batches since the last commit and loses none. Each order has its place in the store (topic, partition, offset), so
 * a batch that comes again overwrites itself. Ordering: per partition. Needs CONSUMER_ENABLE_AUTO_COMMIT=true, the default.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Consumer,
  type ConsumerRecord,
  consumeMessageBatch,
  createConsumer,
  enqueueAutoCommits,
  handleNoMessages,
  jsonDeserializer,
  shutdownCleanup,
} from 'rdkafka-toolkit';
import { createOrdersTopic, type Order, orderOf } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 450;
const BATCH_RECORDS = 100;

/** Stands for the bulk interface of a database: one round trip, whatever the number of orders. */
class OrderStore {
  readonly orders = new Map<string, Order>();

  async upload(records: readonly ConsumerRecord<unknown, Order | null>[]): Promise<void> {
    await sleep(20);
    for (const record of records) this.orders.set(`${record.topic}/${record.partition}/${record.offset}`, orderOf(record));
  }
}

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(60_000)]);
  const topic = await createOrdersTopic(services, RECORDS);
  const store = new OrderStore();
  let consumer: Consumer<unknown, Order | null> | undefined;
  let consumed = 0;
  let batches = 0;
  try {
    consumer = await createConsumer({
      vars: services.vars('batch-upload'),
      topics: [topic],
      valueDeserializer: jsonDeserializer<Order>(),
    });
    while (consumed < RECORDS) {
      try {
        // Waits for a full batch, but no longer than timeoutMs for the records that are there.
        const records = await consumeMessageBatch(consumer, undefined, { count: BATCH_RECORDS, timeoutMs: 1_000, signal });
        await store.upload(records);
        enqueueAutoCommits(consumer, records);
        consumed += records.length;
        batches++;
      } catch (error) {
        await handleNoMessages(error);
      }
    }
  } finally {
    await shutdownCleanup({ consumer });
  }
  const stored = new Set([...store.orders.values()].map(({ id }) => id));
  return { line: `consumed ${consumed} in ${batches} batches, orders in the store ${stored.size}`, ok: stored.size === RECORDS };
}

await runMain('batch-upload', main);
