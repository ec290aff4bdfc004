/**
 * Quickstart: flights in, enriched flights out, in Avro, by the asynchronous single pattern; then every record is checked.
 *
 * Guarantee: at least once. The offset of a flight is stored only when the broker has acknowledged its output, so a crash may
 * repeat records and loses none; the order within a partition is kept. Nothing crashes here: one record lost, duplicated or
 * changed makes the exit code 1.
 *
 * Runs on an embedded Kafka and schema registry, or on those of KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
 * QUICKSTART_RECORDS limits the number of flights. DEBUG shows the stack of an error.
 */
import {
  ConfigError,
  consumeAllMessages,
  createAvroConsumer,
  createAvroProducer,
  getAvroClient,
  produceMessage,
  runAsync,
  shutdownCleanup,
} from 'rdkafka-toolkit';
import { type EnrichedFlight, enrich, enrichedFlightSchema, type Flight, flightSchema, loadFlights } from './quickstart/flights.ts';
import { startProgress } from './quickstart/progress.ts';
import { verifyEnriched } from './quickstart/verify.ts';
import { type Outcome, runMain } from './support/run-main.ts';
import { PARTITIONS, type Services } from './support/services.ts';

/** After so long without a record the enrich step ends: what is missing then counts as lost. */
const IDLE_LIMIT_MS = 30_000;

async function main(services: Services, signal: AbortSignal): Promise<Outcome> {
  const flights = await loadFlights(recordLimit(process.env.QUICKSTART_RECORDS));
  const input = await services.topic('quickstart-flights');
  const output = await services.topic('quickstart-enriched');
  console.log(`topics: ${input} → ${output}, ${PARTITIONS} partitions each`);
  await produceFlights(services, input, flights, signal);
  const { consumed, seconds, source } = await enrichFlights(services, input, output, flights.length, signal);
  const enriched = await readEnriched(services, output, flights.length, signal);
  const { lost, duplicated, wrong, firstFault } = verifyEnriched(flights, enriched);
  if (wrong > 0) console.log(`${wrong} records are wrong`);
  if (firstFault !== undefined) console.log(`first fault: ${firstFault}`);
  return {
    line:
      `produced ${flights.length}, consumed ${consumed}, lost ${lost}, duplicated ${duplicated}, ` +
      `${Math.round(consumed / seconds)} records/s, I/O: ${source}`,
    ok: consumed === flights.length && lost === 0 && duplicated === 0 && wrong === 0,
  };
}

function recordLimit(text: string | undefined): number {
  if (text === undefined || text === '') return Number.POSITIVE_INFINITY;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new ConfigError([`Expected QUICKSTART_RECORDS to be a whole number >= 1, got ${JSON.stringify(text)}`]);
}

/** Returns when the broker has acknowledged every flight. */
async function produceFlights(services: Services, topic: string, flights: readonly Flight[], signal: AbortSignal): Promise<void> {
  const producer = await createAvroProducer({ vars: services.vars('quickstart-produce'), valueSchema: flightSchema });
  try {
    const progress = startProgress('produce', flights.length);
    for (const flight of flights) {
      signal.throwIfAborted();
      await produceMessage(producer, { topic, partition: flight.id % PARTITIONS }, undefined, flight);
      progress.update(flight.id + 1);
    }
    await producer.flush();
    progress.end();
  } finally {
    await shutdownCleanup({ producer });
  }
}

interface EnrichResult {
  readonly consumed: number;
  /** From the first record to the acknowledgement of the last output. */
  readonly seconds: number;
  readonly source: 'portable' | 'packed';
}

async function enrichFlights(services: Services, input: string, output: string, count: number, signal: AbortSignal): Promise<EnrichResult> {
  const vars = services.vars('quickstart-enrich');
  const { consumer, producer } = await getAvroClient({
    consumer: { vars, topics: [input], valueSchema: flightSchema },
    producer: { vars, valueSchema: enrichedFlightSchema },
  });
  const done = new AbortController();
  const progress = startProgress('enrich', count);
  let handled = 0;
  let startMs = 0;
  let seenByWatchdog = -1;
  const watchdog = setInterval(() => {
    if (handled === seenByWatchdog) done.abort();
    seenByWatchdog = handled;
  }, IDLE_LIMIT_MS);
  try {
    const { consumed } = await runAsync({
      consumer,
      producer,
      signal: AbortSignal.any([done.signal, signal]),
      handleSignals: false,
      closeClients: false,
      handler({ value, partition }) {
        if (handled === 0) startMs = performance.now();
        progress.update(++handled);
        if (handled === count) done.abort();
        return { topic: output, partition, value: enrich(value) };
      },
    });
    signal.throwIfAborted();
    await producer.flush();
    const seconds = (performance.now() - startMs) / 1000;
    progress.end();
    return { consumed, seconds, source: consumer.source };
  } finally {
    clearInterval(watchdog);
    await shutdownCleanup({ producer, consumer });
  }
}

async function readEnriched(services: Services, topic: string, count: number, signal: AbortSignal): Promise<EnrichedFlight[]> {
  const vars = services.vars('quickstart-verify');
  const consumer = await createAvroConsumer({ vars, topics: [topic], valueSchema: enrichedFlightSchema });
  try {
    const progress = startProgress('verify', count);
    const enriched: EnrichedFlight[] = [];
    for await (const { value } of consumeAllMessages(consumer, { signal })) progress.update(enriched.push(value));
    progress.end();
    return enriched;
  } finally {
    await shutdownCleanup({ consumer });
  }
}

await runMain('quickstart', main);
