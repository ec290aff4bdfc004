/**
 * The asynchronous single pattern by hand: order in, invoice out, the broker's answers taken in the background.
 *
 * Guarantee: at least once. `enqueueAutoCommits` has an order's offset stored only when every invoice produced so far is
 * acknowledged; stored offsets are committed every CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS and at the end. A crash repeats the orders
 * since the last commit and loses none. Ordering: per partition. Needs CONSUMER_ENABLE_AUTO_COMMIT=true, the default.
 */
import {
  type Consumer,
  consumeMessage,
  createConsumer,
  createProducer,
  enqueueAutoCommits,
  handleNoMessages,
  jsonDeserializer,
  jsonSerializer,
  produceMessage,
  shutdownCleanup,
  stringDeserializer,
} from 'rdkafka-toolkit';
import { createOrdersTopic, type Invoice, invoiceOf, type Order, orderOf, readTopic } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 500;

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(60_000)]);
  const input = await createOrdersTopic(services, RECORDS);
  const output = await services.topic('invoices');
  const vars = services.vars('async-app');
  const producer = await createProducer({ vars, valueSerializer: jsonSerializer<Invoice>() });
  let consumer: Consumer<string | null, Order | null> | undefined;
  let consumed = 0;
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
        enqueueAutoCommits(consumer, record);
        consumed++;
      } catch (error) {
        await handleNoMessages(error, { producer });
      }
    }
  } finally {
    await shutdownCleanup({ consumer, producer });
  }
  const invoices = new Set((await readTopic<Invoice>(services, output, signal)).map(({ orderId }) => orderId));
  return {
    line: `consumed ${consumed}, invoices in the output topic ${invoices.size}`,
    ok: invoices.size === RECORDS,
  };
}

await runMain('async-app', main);
