/**
 * Retries and dead letters: orders whose payment fails are tried again, then rest in a retry topic, then are dead letters; those are put
 * back once the cause is gone.
 *
 * Guarantee: at least once. An order's offset is stored when its invoice is acknowledged, or the retry or dead-letter topic has the order.
 * Ordering: per partition, but for the orders that went to the retry topic. Needs CONSUMER_ENABLE_AUTO_COMMIT=true, the default. The
 * same by variables: PRODUCE_RETRY_TOPICS, RETRY_COUNT_MAX, RETRY_DELAY_SECONDS, PRODUCE_FAILURE_TOPICS.
 */
import {
  createConsumer,
  createProducer,
  jsonDeserializer,
  jsonSerializer,
  replayDeadLetters,
  runAsync,
  stringDeserializer,
} from 'rdkafka-toolkit';
import { createOrdersTopic, type Invoice, invoiceOf, type Order, orderOf, readTopic } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 100;

class PaymentRefused extends Error {
  override readonly name = 'PaymentRefused';
}

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(60_000)]);
  const input = await createOrdersTopic(services, RECORDS);
  const [invoices, later, dead] = [await services.topic('invoices'), await services.topic('later'), await services.topic('dead')];
  const vars = services.vars('retries', { CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '6' });
  let cardsAccepted = false;
  /** Takes orders until `count` of them are paid, or refused for good. */
  const serve = async (count: number): Promise<{ retried: number; deadLettered: number }> => {
    const done = new AbortController();
    const calls = new Map<number, number>();
    let settled = 0;
    const settle = (): void => {
      if (++settled === count) setImmediate(() => done.abort());
    };
    return runAsync({
      consumer: await createConsumer({
        vars,
        // Named here as well, the retry topic is part of the first subscription.
        topics: [input, later],
        keyDeserializer: stringDeserializer,
        valueDeserializer: jsonDeserializer<Order>(),
      }),
      producer: await createProducer({ vars, valueSerializer: jsonSerializer<Invoice>() }),
      signal: AbortSignal.any([signal, done.signal]),
      failures: {
        attempts: 2,
        backoff: { initialMs: 10, maxMs: 50 },
        retryTopics: [{ topic: later, delayMs: 500 }],
        deadLetterTopics: [dead],
      },
      handler(record) {
        const order = orderOf(record);
        const call = (calls.get(order.id) ?? 0) + 1;
        calls.set(order.id, call);
        // Some come right at the second call, some in the retry topic, some never.
        if (order.id % 10 === 1 && call === 1) throw new Error('the bank did not answer');
        if (order.id % 10 === 2 && call <= 2) throw new Error('the bank is closed for lunch');
        if (order.id % 10 === 3 && !cardsAccepted) {
          if (call === 4) settle();
          throw new PaymentRefused('we do not take cards');
        }
        settle();
        return { topic: invoices, key: record.key, value: invoiceOf(order) };
      },
    });
  };
  const first = await serve(RECORDS);
  cardsAccepted = true;
  const { replayed } = await replayDeadLetters({
    vars,
    topics: [dead],
    signal,
    filter: ({ origin }) => origin?.exception === 'PaymentRefused',
  });
  await serve(replayed);
  const paid = new Set((await readTopic<Invoice>(services, invoices, signal)).map(({ orderId }) => orderId));
  return {
    line: `retried ${first.retried}, dead letters ${first.deadLettered}, put back ${replayed}, invoices ${paid.size}`,
    ok: paid.size === RECORDS,
  };
}

await runMain('retries', main);
