import { type ConsumerRecord, consumeAllMessages, createConsumer, createProducer, jsonDeserializer, jsonSerializer } from 'rdkafka-toolkit';
import type { Services } from './services.ts';

/** The records of the short examples. */
export interface Order {
  readonly id: number;
  readonly customer: string;
  readonly quantity: number;
  readonly unitPriceCents: number;
}

/** What the examples make of an order. */
export interface Invoice {
  readonly orderId: number;
  readonly totalCents: number;
}

export function invoiceOf({ id, quantity, unitPriceCents }: Order): Invoice {
  return { orderId: id, totalCents: quantity * unitPriceCents };
}

/** A topic with `count` orders, ids from 0, keyed by customer, all acknowledged. */
export async function createOrdersTopic(services: Services, count: number): Promise<string> {
  const topic = await services.topic('orders');
  await using producer = await createProducer({ vars: services.vars('orders'), valueSerializer: jsonSerializer<Order>() });
  for (let id = 0; id < count; id++) {
    const customer = `customer-${id % 17}`;
    await producer.enqueue({ topic, key: customer, value: { id, customer, quantity: 1 + (id % 5), unitPriceCents: 250 + id } });
  }
  await producer.flush();
  return topic;
}

/** Every JSON value in a topic, by a consumer group of its own. */
export async function readTopic<T>(services: Services, topic: string, signal: AbortSignal): Promise<T[]> {
  await using consumer = await createConsumer({ vars: services.vars('check'), topics: [topic], valueDeserializer: jsonDeserializer<T>() });
  const values: T[] = [];
  for await (const record of consumeAllMessages(consumer, { signal })) values.push(orderOf(record));
  return values;
}

/** The value of a record of a topic that holds no tombstones. */
export function orderOf<T>({ topic, partition, offset, value }: ConsumerRecord<unknown, T | null>): T {
  if (value === null) throw new TypeError(`Unexpected tombstone: ${topic} [${partition}] @ ${offset}`);
  return value;
}
