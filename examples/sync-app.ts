/**
 * The synchronous single pattern by hand: order in, invoice out, one at a time.
 *
 * Guarantee: at least once, with at most one record in doubt. A turn ends when the broker has acknowledged the invoice and the
 * commit of the order's offset; a crash repeats the order under way, no other. Ordering: per partition. Cost: two round trips a
 * record. Needs CONSUMER_ENABLE_AUTO_COMMIT=false.
 */
import {
  type Consumer,
  consumeMessage,
  createConsumer,
  createProducer,
  handleNoMessages,
  jsonDeserializer,
  jsonSerializer,
  produceMessage,
  shutdownCleanup,
  stringDeserializer,
  synchronousMessageHandling,
} from 'rdkafka-toolkit';
import { createOrdersTopic, type Invoice, invoiceOf, type Order, orderOf, readTopic } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 200;

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(60_000)]);
  const input = await createOrdersTopic(services, RECORDS);
  const output = await services.topic('invoices');
  const vars = services.vars('sync-app', { CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
  const producer = await createProducer({ vars, valueSerializer: jsonSerializer<Invoice>() });
  let consumer: Consumer<string | null, Order | null> | undefined;
  let consumed = 0;
  let committed = 0;
  try {
    consumer = await createConsumer({
      vars,
      topics: [input],
      keyDeserializer: stringDeserializer,
      valueDeserializer: jsonDeserializer<Order>(),
    });
    while (consumed < RECORDS) {
      try {
        const record = await consumeMessage(consumer, undefined, { signal });
        await produceMessage(producer, { topic: output, key: record.key }, undefined, invoiceOf(orderOf(record)));
        await synchronousMessageHandling({ consumer, producer });
        consumed++;
      } catch (error) {
        await handleNoMessages(error, { producer });
      }
    }
    for (const offset of await consumer.committed()) committed += offset ?? 0;
  } finally {
    await shutdownCleanup({ consumer, producer });
  }
  const invoices = new Set((await readTopic<Invoice>(services, output, signal)).map(({ orderId }) => orderId));
  return {
    line: `consumed ${consumed}, committed ${committed}, invoices in the output topic ${invoices.size}`,
    ok: committed === RECORDS && invoices.size === RECORDS,
  };
}

await runMain('sync-app', main);
