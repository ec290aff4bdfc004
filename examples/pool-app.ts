/**
 * Handlers in worker threads: whole batches of orders go to a worker, are decoded, handled and encoded there; the invoices come back packed.
 *
 * Guarantee: at least once, as the asynchronous pattern; a worker that dies costs a second try of what it was at, never an
 * acknowledgement. Ordering: per partition, invoices included. `mode: 'auto'`, the default, would measure whether workers pay.
 */
import {
  consumeAllMessages,
  createAvroConsumer,
  createAvroProducer,
  createConsumer,
  createPoolRunner,
  createProducer,
  createSchemaRegistry,
} from 'rdkafka-toolkit';
import { type Invoice, invoiceSchema, orderSchema } from './pool-app/handler.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 2_000;

async function createOrders(services: Services, invoiceTopic: string): Promise<string> {
  const topic = await services.topic('orders');
  await using producer = await createAvroProducer({ vars: services.vars('orders'), valueSchema: orderSchema });
  for (let id = 0; id < RECORDS; id++) {
    const customer = `customer-${id % 17}`;
    await producer.enqueue({
      topic,
      key: customer,
      value: { id, customer, quantity: 1 + (id % 5), unitPriceCents: 250 + id, invoiceTopic },
    });
  }
  await producer.flush();
  return topic;
}

async function countInvoices(services: Services, topic: string, signal: AbortSignal): Promise<number> {
  await using consumer = await createAvroConsumer<string | null, Invoice>({
    vars: services.vars('check'),
    topics: [topic],
    valueSchema: invoiceSchema,
  });
  const ids = new Set<number>();
  for await (const { value } of consumeAllMessages(consumer, { signal })) ids.add(value.orderId);
  return ids.size;
}

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const output = await services.topic('invoices');
  const input = await createOrders(services, output);
  const vars = services.vars('pool-app');
  const done = new AbortController();
  const pool = createPoolRunner({
    // Bytes in, bytes out: decoding and encoding are the workers'.
    consumer: await createConsumer({ vars, topics: [input] }),
    producer: await createProducer({ vars }),
    registry: createSchemaRegistry({ vars }),
    handler: new URL('./pool-app/handler.js', import.meta.url),
    mode: 'pool',
    concurrency: 2,
    signal: AbortSignal.any([stop, done.signal, AbortSignal.timeout(60_000)]),
  });
  // A service runs until it is told to stop; this one ends when all orders are handled.
  const watch = setInterval(() => pool.stats().handledRecords >= RECORDS && done.abort(), 20);
  const { consumed, produced, skipped } = await pool.run().finally(() => clearInterval(watch));
  const invoices = await countInvoices(services, output, stop);
  return {
    line: `consumed ${consumed}, produced ${produced}, skipped ${skipped}, invoices in the output topic ${invoices}`,
    ok: invoices === RECORDS,
  };
}

await runMain('pool-app', main);
