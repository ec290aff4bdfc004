import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { expectTypeOf } from 'expect-type';
import {
  type AvroDecimal,
  type AvroSchema,
  type AvroValue,
  avroSchema,
  type Consumer,
  type ConsumerRecord,
  consumeMessage,
  consumeMessageBatch,
  createAvroConsumer,
  createAvroDeserializer,
  createAvroProducer,
  createAvroSerializer,
  createConsumer,
  createProducer,
  type Delivery,
  type Deserializer,
  definePoolHandler,
  defineSchema,
  enqueueAutoCommits,
  type HeadersDeserializer,
  isToolkitError,
  jsonDeserializer,
  jsonSerializer,
  type MetricsManager,
  type MetricsRecorder,
  type Producer,
  type ProducerRecord,
  produceMessage,
  produceMessageCallback,
  type RecordHeader,
  type RecordMetadata,
  runAsync,
  runBatch,
  runSync,
  standardLogicalTypes,
  stringDeserializer,
  type ToolkitError,
  type Tracing,
  Undecoded,
  type undecodedAsRaw,
} from 'rdkafka-toolkit';

// The compiler checks this file: what stands inside the functions below is never called.

interface Flight {
  readonly id: number;
  readonly delay: number;
}

interface Alert {
  readonly text: string;
}

interface Trace {
  readonly traceId: string;
}

const flightSchema = avroSchema<Flight>({
  type: 'record',
  name: 'Flight',
  fields: [
    { name: 'id', type: 'int' },
    { name: 'delay', type: 'int' },
  ],
});
const traceHeaders: HeadersDeserializer<Trace> = { deserialize: (headers) => ({ traceId: String(headers[0]?.value) }) };

/** Keeps code from running and the compiler from calling it unused. */
function compiled(...checks: readonly ((...args: never[]) => unknown)[]): void {
  assert.ok(checks.length > 0);
}

describe('types of a consumer', () => {
  test('are raw bytes unless deserializers say otherwise', () => {
    const plain = () => createConsumer();
    expectTypeOf(plain).returns.resolves.toEqualTypeOf<Consumer<Buffer | null, Buffer | null, readonly RecordHeader[]>>();
    const typed = () =>
      createConsumer({
        keyDeserializer: stringDeserializer,
        valueDeserializer: jsonDeserializer<Flight>(),
        headersDeserializer: traceHeaders,
      });
    expectTypeOf(typed).returns.resolves.toEqualTypeOf<Consumer<string | null, Flight | null, Trace>>();
    const onlyValue = () => createConsumer({ valueDeserializer: jsonDeserializer<Flight>() });
    expectTypeOf(onlyValue).returns.resolves.toEqualTypeOf<Consumer<Buffer | null, Flight | null, readonly RecordHeader[]>>();
  });

  test('come from the Avro schemas', () => {
    expectTypeOf(flightSchema).toEqualTypeOf<AvroSchema<Flight>>();
    const byValue = () => createAvroConsumer({ topics: ['flights'], valueSchema: flightSchema });
    expectTypeOf(byValue).returns.resolves.toEqualTypeOf<Consumer<string | null, Flight, readonly RecordHeader[]>>();
    const both = () =>
      createAvroConsumer({ valueSchema: flightSchema, keySchema: avroSchema<number>('long'), headersDeserializer: traceHeaders });
    expectTypeOf(both).returns.resolves.toEqualTypeOf<Consumer<number, Flight, Trace>>();
    const open = () => createAvroConsumer();
    expectTypeOf(open).returns.resolves.toEqualTypeOf<Consumer<string | null, unknown, readonly RecordHeader[]>>();
  });

  test('flow to consumeMessage, batches and for await', () => {
    type Flights = Consumer<string, Flight, Trace>;
    const one = (consumer: Flights) => consumeMessage(consumer);
    expectTypeOf(one).returns.resolves.toEqualTypeOf<ConsumerRecord<string, Flight, Trace>>();
    const many = (consumer: Flights) => consumeMessageBatch(consumer, undefined, { count: 10 });
    expectTypeOf(many).returns.resolves.toEqualTypeOf<ConsumerRecord<string, Flight, Trace>[]>();
    compiled(async () => {
      const consumer = await createAvroConsumer({ valueSchema: flightSchema, headersDeserializer: traceHeaders });
      for await (const record of consumer) {
        expectTypeOf(record.key).toEqualTypeOf<string | null>();
        expectTypeOf(record.value).toEqualTypeOf<Flight>();
        expectTypeOf(record.headers).toEqualTypeOf<Trace>();
        expectTypeOf(record.rawHeaders).toEqualTypeOf<readonly RecordHeader[]>();
        expectTypeOf(record.offset).toEqualTypeOf<number>();
        enqueueAutoCommits(consumer, record);
        // @ts-expect-error a Flight has no such field
        record.value.destination;
        // @ts-expect-error records are read-only
        record.offset = 1;
      }
    });
  });

  test('refuse a deserializer of another type than the one asked for', () => {
    const texts: Deserializer<string | null> = stringDeserializer;
    compiled(
      // @ts-expect-error the values of a Consumer of Flights are no text
      () => createConsumer<string | null, Flight>({ valueDeserializer: texts }),
      // @ts-expect-error the schema's values are Flights, not Alerts
      () => createAvroConsumer<string | null, Alert>({ valueSchema: flightSchema }),
      // @ts-expect-error Avro values have one deserializer: the schema's
      () => createAvroConsumer({ valueDeserializer: texts }),
    );
  });
});

describe('types of a producer', () => {
  test('are text or bytes unless serializers or schemas say otherwise', () => {
    const plain = () => createProducer();
    expectTypeOf(plain).returns.resolves.toEqualTypeOf<Producer<Uint8Array | string | null, Uint8Array | string | null>>();
    const json = () => createProducer({ valueSerializer: jsonSerializer<Alert>() });
    expectTypeOf(json).returns.resolves.toEqualTypeOf<Producer<Uint8Array | string | null, Alert | null>>();
    const avro = () => createAvroProducer({ valueSchema: flightSchema, keySchema: avroSchema<number>('long') });
    expectTypeOf(avro).returns.resolves.toEqualTypeOf<Producer<number, Flight>>();
  });

  test('hold the value to what the producer takes', () => {
    const produce = (producer: Producer<string, Flight>) =>
      produceMessage(producer, { topic: 'out', key: 'a' }, undefined, { id: 1, delay: 2 });
    expectTypeOf(produce).returns.resolves.toEqualTypeOf<Delivery>();
    expectTypeOf<Delivery['delivered']>().toEqualTypeOf<Promise<RecordMetadata>>();
    compiled(async (producer: Producer<string, Flight>) => {
      const to = { topic: 'out' };
      const flight: Flight = { id: 1, delay: 2 };
      // @ts-expect-error a text is no Flight
      await produceMessage(producer, to, undefined, 'text');
      // @ts-expect-error a Flight without its delay
      await produceMessage(producer, to, undefined, { id: 1 });
      // @ts-expect-error the key of this producer is text
      await produceMessage(producer, { ...to, key: 7 }, undefined, flight);
      // @ts-expect-error a record needs a topic
      await produceMessage(producer, {}, undefined, flight);
      // @ts-expect-error the value is an argument of its own
      await produceMessage(producer, { topic: 'out', value: 1 }, undefined, flight);
      // @ts-expect-error a text is no Flight with a callback either
      await produceMessageCallback(producer, to, undefined, 'text');
      // @ts-expect-error nor is an Alert for the method
      await producer.send({ ...to, value: { text: 'late' } });
    });
  });
});

describe('types of a runner', () => {
  type Flights = Consumer<string, Flight, Trace>;
  type Alerts = Producer<string, Alert>;

  test('give the handler the record of the consumer and take the records of the producer', () => {
    compiled(
      (consumer: Flights, producer: Alerts) => {
        const handler = (record: ConsumerRecord<string, Flight, Trace>): ProducerRecord<string, Alert> | undefined =>
          record.value.delay > 0 ? { topic: 'alerts', key: record.key, value: { text: record.headers.traceId } } : undefined;
        return [runAsync({ consumer, producer, handler }), runSync({ consumer, producer, handler })];
      },
      (consumer: Flights, producer: Alerts) =>
        runAsync({
          consumer,
          producer,
          handler: (record, { signal }) => {
            expectTypeOf(record).toEqualTypeOf<ConsumerRecord<string, Flight, Trace>>();
            expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
            return [{ topic: 'alerts', key: record.key, value: { text: 'late' } }];
          },
        }),
      (consumer: Flights) =>
        runBatch({
          consumer,
          handler: (records) => {
            expectTypeOf(records).toEqualTypeOf<readonly ConsumerRecord<string, Flight, Trace>[]>();
          },
        }),
    );
  });

  test('know the record inside a handler that is traced or measured, too', () => {
    compiled((consumer: Flights, producer: Alerts, tracing: Tracing, metrics: MetricsManager) => {
      expectTypeOf(metrics).toExtend<MetricsRecorder>();
      return runAsync({
        consumer,
        producer,
        metrics,
        handler: tracing.handler((record: ConsumerRecord<string, Flight, Trace>) => ({
          topic: 'alerts',
          key: record.key,
          value: { text: String(record.value.delay) },
        })),
      });
    });
  });

  test('refuse outputs the producer cannot write', () => {
    compiled(async (consumer: Flights, producer: Alerts) => {
      const clients = { consumer, producer };
      const alert: Alert = { text: '' };
      // @ts-expect-error the producer writes Alerts, the handler returns Flights
      await runAsync({ ...clients, handler: (record) => ({ topic: 'alerts', value: record.value }) });
      // @ts-expect-error the producer's keys are text
      await runSync({ ...clients, handler: () => ({ topic: 'alerts', key: 1, value: alert }) });
      const mixed = [
        { topic: 'alerts', value: alert },
        { topic: 'alerts', value: 3 },
      ];
      // @ts-expect-error one of a batch's outputs is no Alert
      await runBatch({ ...clients, handler: async () => mixed });
    });
  });
});

describe('defineSchema', () => {
  const order = defineSchema({
    type: 'record',
    name: 'Order',
    namespace: 'shop',
    fields: [
      { name: 'id', type: 'long' },
      { name: 'note', type: ['null', 'string'], default: null },
      { name: 'state', type: { type: 'enum', name: 'State', symbols: ['NEW', 'DONE'] } },
      { name: 'lines', type: { type: 'array', items: { type: 'record', name: 'Line', fields: [{ name: 'sku', type: 'string' }] } } },
      { name: 'counts', type: { type: 'map', values: 'int' } },
      { name: 'first', type: ['null', 'Line'] },
      { name: 'last', type: 'shop.State' },
      { name: 'mac', type: { type: 'fixed', name: 'Mac', size: 6 } },
      { name: 'parent', type: ['null', 'Order'] },
    ],
  });

  test('reads the type off a literal, names within it included', () => {
    type Order = AvroValue<typeof order>;
    expectTypeOf<Order['id']>().toEqualTypeOf<number>();
    expectTypeOf<Order['note']>().toEqualTypeOf<string | null>();
    expectTypeOf<Order['state']>().toEqualTypeOf<'NEW' | 'DONE'>();
    expectTypeOf<Order['lines']>().toEqualTypeOf<{ sku: string }[]>();
    expectTypeOf<Order['counts']>().toEqualTypeOf<{ [key: string]: number }>();
    expectTypeOf<Order['first']>().toEqualTypeOf<{ sku: string } | null>();
    expectTypeOf<Order['last']>().toEqualTypeOf<'NEW' | 'DONE'>();
    expectTypeOf<Order['mac']>().toEqualTypeOf<Buffer>();
    expectTypeOf<NonNullable<Order['parent']>['parent']>().toEqualTypeOf<Order['parent']>();
  });

  test('types longs and logical types as the options give them', () => {
    const price = { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } as const;
    const money = { fromAvro: (raw: number): `${number} EUR` => `${raw} EUR`, toAvro: (value: string): number => Number.parseFloat(value) };
    const typed = defineSchema(
      {
        type: 'record',
        name: 'T',
        fields: [
          { name: 'big', type: 'long' },
          { name: 'price', type: price },
          { name: 'at', type: ['null', { type: 'long', logicalType: 'timestamp-millis' }] },
          { name: 'own', type: { type: 'long', logicalType: 'money' } },
          { name: 'unknown', type: { type: 'int', logicalType: 'else' } },
        ],
      },
      { long: 'bigint', logicalTypes: { ...standardLogicalTypes, money } },
    );
    expectTypeOf<AvroValue<typeof typed>>().branded.toEqualTypeOf<{
      big: bigint;
      price: AvroDecimal;
      at: Date | null;
      own: `${number} EUR`;
      unknown: number;
    }>();
    const plain = defineSchema({ type: 'array', items: price });
    expectTypeOf<AvroValue<typeof plain>>().toEqualTypeOf<Buffer[]>();
  });

  test('its types reach the handler of a pool, and its outputs are checked', () => {
    compiled(() => {
      const invoice = defineSchema({ type: 'record', name: 'Invoice', fields: [{ name: 'total', type: 'double' }] });
      definePoolHandler(
        ({ registry }) => ({
          keyDeserializer: stringDeserializer,
          valueDeserializer: createAvroDeserializer({ registry, readerSchema: order }),
          valueSerializer: createAvroSerializer({ registry, schema: invoice }),
        }),
        ({ key, value }) => {
          expectTypeOf(key).toEqualTypeOf<string | null>();
          expectTypeOf(value.state).toEqualTypeOf<'NEW' | 'DONE'>();
          return { topic: 'invoices', value: { total: 1 } };
        },
      );
      definePoolHandler(
        ({ registry }) => ({ valueSerializer: createAvroSerializer({ registry, schema: invoice }) }),
        // @ts-expect-error the total is a number
        () => ({ topic: 'invoices', value: { total: '1' } }),
      );
    });
  });
});

test('what cannot be decoded is told apart by type', () => {
  compiled((value: ReturnType<ReturnType<typeof undecodedAsRaw<Flight>>['deserialize']>) => {
    if (value instanceof Undecoded) expectTypeOf(value.bytes).toEqualTypeOf<Buffer>();
    else expectTypeOf(value).toEqualTypeOf<Flight>();
  });
});

test('the guard narrows what a catch gives', () => {
  expectTypeOf(isToolkitError).guards.toEqualTypeOf<ToolkitError>();
});
