/**
 * Transactions: order in, invoice out, both or neither.
 *
 * Guarantee: exactly once within Kafka. Invoices and the orders' offsets are committed together; a crash repeats the orders of the
 * transaction under way, whose invoices readers with isolation.level=read_committed (the default) never see. What a handler does outside
 * Kafka may happen twice. Ordering: per partition. Needs CONSUMER_ENABLE_AUTO_COMMIT=false, and a transactional.id that this process alone
 * uses and keeps.
 */
import { createConsumer, createProducer, jsonDeserializer, jsonSerializer, runTransaction, stringDeserializer } from 'rdkafka-toolkit';
import { createOrdersTopic, type Invoice, invoiceOf, type Order, orderOf, readTopic } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 500;

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const input = await createOrdersTopic(services, RECORDS);
  const output = await services.topic('invoices');
  const vars = services.vars('transactions', { CONSUMER_ENABLE_AUTO_COMMIT: 'false' });
  const done = new AbortController();
  const signal = AbortSignal.any([stop, done.signal, AbortSignal.timeout(60_000)]);
  let handled = 0;
  const { consumed, produced } = await runTransaction({
    consumer: await createConsumer({
      vars,
      topics: [input],
      keyDeserializer: stringDeserializer,
      valueDeserializer: jsonDeserializer<Order>(),
    }),
    producer: () =>
      createProducer({
        vars,
        valueSerializer: jsonSerializer<Invoice>(),
        config: { 'transactional.id': `${vars.APP_NAME}-${process.env.HOSTNAME ?? 'local'}` },
      }),
    signal,
    handler(record) {
      if (++handled === RECORDS) setImmediate(() => done.abort());
      return { topic: output, key: record.key, value: invoiceOf(orderOf(record)) };
    },
  });
  const invoices = await readTopic<Invoice>(services, output, AbortSignal.timeout(60_000));
  return {
    line: `consumed ${consumed}, produced ${produced}, invoices in the output topic ${invoices.length}`,
    ok: invoices.length === RECORDS,
  };
}

await runMain('transactions', main);
