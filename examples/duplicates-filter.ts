/**
 * A duplicates filter as a stream app: payments that came twice are dropped, by a table of the ids that were seen.
 *
 * Guarantee: exactly once on a real Kafka: the table, the output and the offset change in one transaction, so that not even a crash lets a
 * duplicate through. (On the embedded cluster at least once: it forgets the offsets of transactions.) Ordering: per partition. Ids are the records' keys: all that
 * come with an id are in one partition, whose process has that part of the table.
 */
import { createProducer, jsonSerializer } from 'rdkafka-toolkit';
import { StreamAppWrapper } from 'rdkafka-toolkit/stream';
import { readTopic } from './support/orders.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import type { Services } from './support/services.ts';

interface Payment {
  readonly id: string;
  readonly cents: number;
}

const PAYMENTS = 300;

async function main(services: Services, stop: AbortSignal): Promise<Outcome> {
  const [input, output] = [await services.topic('payments'), await services.topic('unique-payments')];
  const vars = services.vars('duplicates-filter', { CONSUMER_STATIC_MEMBERSHIP: 'false' });
  await services.ownTopic(`${vars.APP_NAME}-seen-changelog`);

  const app = new StreamAppWrapper({ vars, signal: stop, guarantee: services.embedded ? 'at-least-once' : 'exactly-once' });
  const payments = app.topic<string, Payment>(input);
  const unique = app.topic<string, Payment>(output);
  const seen = app.table<string, boolean>('seen');
  const filter = app.agent(payments, ({ key, value }) => {
    if (seen.has(key)) return undefined;
    seen.set(key, true);
    return unique.record(key, value);
  });

  // Every third payment comes twice, every fifth three times.
  const times = (number: number): number => (number % 5 === 0 ? 3 : number % 3 === 0 ? 2 : 1);
  let sent = 0;
  await using producer = await createProducer({ vars, valueSerializer: jsonSerializer<Payment>() });
  for (let round = 0; round < 3; round++) {
    for (let number = 0; number < PAYMENTS; number++) {
      if (times(number) <= round) continue;
      const id = `payment-${number}`;
      await producer.enqueue({ topic: input, key: id, value: { id, cents: 100 + number } });
      sent++;
    }
  }
  await producer.flush();

  const running = app.run();
  const watch = setInterval(() => {
    if (filter.handled >= sent) void app.stop();
  }, 20);
  await running.finally(() => clearInterval(watch));

  const left = (await readTopic<Payment>(services, output, stop)).map(({ id }) => id);
  return {
    line: `payments ${sent}, of them unique ${new Set(left).size}, let through ${left.length}`,
    ok: left.length === PAYMENTS && new Set(left).size === PAYMENTS,
  };
}

await runMain('duplicates-filter', main);
