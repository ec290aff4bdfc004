/**
 * A plain client app with metrics: the manager and its pusher are made in the main function, the loop is given the manager. Counts go to
 * the cache (here a stand-in in this process) by a thread of their own, and once more at the end.
 *
 * Guarantee: at least once, as in async-app. `examples/monitoring/` has the Prometheus configuration, rules and dashboard that go with it.
 */
import {
  createConsumer,
  createMetricsPusher,
  createProducer,
  jsonDeserializer,
  jsonSerializer,
  MetricsManager,
  runAsync,
  startPushingMetrics,
  stringDeserializer,
} from 'rdkafka-toolkit';
import { startMetricsCache } from './support/metrics-cache.ts';
import { createOrdersTopic, type Invoice, invoiceOf, type Order, orderOf } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

const RECORDS = 500;

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const input = await createOrdersTopic(services, RECORDS);
  const output = await services.topic('invoices');
  await using cache = await startMetricsCache();
  const vars = services.vars('metrics-app', {
    HOSTNAME: 'metrics-app-0',
    CONSUMER_STATIC_MEMBERSHIP: 'false',
    METRICS_SERVICE_NAME: cache.address,
    METRICS_POD_PORT: String(cache.port),
  });
  const metrics = new MetricsManager({ vars, metricsPusher: createMetricsPusher(vars) });
  // The service's own metrics carry its labels, too.
  const cents = metrics.counter({ name: 'invoiced_cents', help: 'Total of all invoices.' });
  await using pushing = startPushingMetrics(metrics, vars.METRICS_PUSH_RATE, { vars });
  const producer = await createProducer({ vars, valueSerializer: jsonSerializer<Invoice>() });
  const consumer = await createConsumer({
    vars,
    topics: [input],
    keyDeserializer: stringDeserializer,
    valueDeserializer: jsonDeserializer<Order>(),
  });
  metrics.watchConsumer(consumer);
  metrics.watchProducer(producer);

  const done = new AbortController();
  let handled = 0;
  await runAsync({
    consumer,
    producer,
    metrics,
    signal: AbortSignal.any([stop, done.signal, AbortSignal.timeout(60_000)]),
    handler: (record) => {
      const invoice = invoiceOf(orderOf(record));
      cents.inc(invoice.totalCents);
      if (++handled === RECORDS) done.abort();
      return { topic: output, key: record.key, value: invoice };
    },
  });
  // The last values are pushed before the process ends.
  await pushing.stop();
  const [consumed, produced] = ['messages_consumed', 'messages_produced'].map((name) => cache.valueOf(name));
  return { line: `in the metrics cache: consumed ${consumed}, produced ${produced}`, ok: consumed === RECORDS && produced === RECORDS };
}

await runMain('metrics-app', main);
