/**
 * The asynchronous single pattern by hand: order in, invoice out, the broker's answers taken in the background.
 *
 * Guarantee: at least once. `enqueueAutoCommits` stores an order's offset only when every invoice produced so far is acknowledged;
 * stored offsets are committed every CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS and at the end. A crash repeats the orders since the
 * last commit and loses none. Ordering: per partition. Needs CONSUMER_ENABLE_AUTO_COMMIT=true, the default.
 */
import {
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
import { createOrdersTopic, type Order, readTopic, valueOf } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 500;

interface Invoice {
  readonly orderId: number;
  readonly totalCents: number;
}
