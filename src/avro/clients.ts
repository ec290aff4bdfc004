import type { Consumer } from '../client/consumer.ts';
import type { Producer } from '../client/producer.ts';
import { type ConsumerOptions, createConsumer, createProducer, type ProducerOptions } from '../delivery/create-clients.ts';
import { type Deserializer, type RecordHeader, type Serializer, stringDeserializer } from '../serde.ts';
import { assertReadable, createAvroDeserializer } from './deserializer.ts';
import type { AvroTypeOptions } from './parse-type.ts';
import type { AvroSchema } from './schema.ts';
import { createSchemaRegistry, type SchemaRegistryClient } from './schema-registry.ts';
import { createAvroSerializer } from './serializer.ts';
import type { SubjectNameStrategy } from './subject-name.ts';

/** Options of {@link createAvroConsumer}. */
export interface AvroConsumerOptions<K = string | null, V = unknown, H = readonly RecordHeader[]>
  extends Omit<ConsumerOptions<K, V, H>, 'valueDeserializer'> {
  /** @default createSchemaRegistry({ vars }) */
  readonly registry?: SchemaRegistryClient | undefined;
  /** Values are given in this schema. @default the schema each was written with */
  readonly valueSchema?: AvroSchema<V> | undefined;
  /** Set when keys are Avro. @default keys are text, unless a keyDeserializer is given */
  readonly keySchema?: AvroSchema<K> | undefined;
  /** How longs and logical types of the values are given. @default as the value schema says */
  readonly types?: AvroTypeOptions | undefined;
  /**
   * Subjects whose newest schemas are fetched before the consumer connects, and checked against `valueSchema`: a value schema that cannot
   * read them is an error now instead of at the first record. @default none
   */
  readonly preload?: readonly string[] | undefined;
}

/**
 * A consumer of Avro values in Confluent's wire format. `V` comes from `valueSchema`.
 *
 * @throws ConfigError | ConnectError as {@link createConsumer}
 * @throws SchemaRegistryError | DecodeError when `preload` finds the registry away or a schema that cannot be read
 * @example
 * const consumer = await createAvroConsumer({ topics: ['flights'], valueSchema: flightSchema });
 */
export async function createAvroConsumer<K = string | null, V = unknown, H = readonly RecordHeader[]>(
  options: AvroConsumerOptions<K, V, H> = {},
): Promise<Consumer<K, V, H>> {
  const { registry = createSchemaRegistry({ vars: options.vars }), valueSchema, keySchema, types, preload = [], ...rest } = options;
  for (const schema of await registry.preload(preload)) assertReadable(schema, valueSchema, types);
  const keyDeserializer =
    keySchema === undefined
      ? (rest.keyDeserializer ?? (stringDeserializer as Deserializer<unknown> as Deserializer<K>))
      : createAvroDeserializer({ registry, readerSchema: keySchema });
  return createConsumer({
    ...rest,
    keyDeserializer,
    valueDeserializer: createAvroDeserializer<V>({ registry, readerSchema: valueSchema, types }),
  });
}

/** Options of {@link createAvroProducer}. */
export interface AvroProducerOptions<K = Uint8Array | string | null, V = unknown> extends Omit<ProducerOptions<K, V>, 'valueSerializer'> {
  /** @default createSchemaRegistry({ vars }) */
  readonly registry?: SchemaRegistryClient | undefined;
  /** Registered as `<topic>-value` on first use. */
  readonly valueSchema: AvroSchema<V>;
  /** Registered as `<topic>-key`. @default keys are bytes or text, unless a keySerializer is given */
  readonly keySchema?: AvroSchema<K> | undefined;
  /** False: the schemas must be registered already. @default true */
  readonly autoRegister?: boolean | undefined;
  /** @default 'topic' */
  readonly subjectNameStrategy?: SubjectNameStrategy | undefined;
  /**
   * Topics whose schemas are registered, or looked up, before the producer connects: one that is incompatible with its subject is an
   * error now instead of at the first record. @default none
   */
  readonly preload?: readonly string[] | undefined;
}

/**
 * A producer of Avro values in Confluent's wire format. `V` comes from `valueSchema`.
 *
 * @throws ConfigError | ConnectError as {@link createProducer}
 * @throws SchemaRegistryError when `preload` finds the registry away, or an incompatible schema (status 409)
 */
export async function createAvroProducer<K = Uint8Array | string | null, V = unknown>(
  options: AvroProducerOptions<K, V>,
): Promise<Producer<K, V>> {
  const { registry = createSchemaRegistry({ vars: options.vars }), valueSchema, keySchema, preload = [], ...more } = options;
  const { autoRegister, subjectNameStrategy, ...rest } = more;
  const shared = { registry, autoRegister, subjectNameStrategy };
  const keySerializer: Serializer<K> | undefined =
    keySchema === undefined ? rest.keySerializer : createAvroSerializer({ ...shared, schema: keySchema });
  const valueSerializer = createAvroSerializer({ ...shared, schema: valueSchema });
  for (const topic of preload) {
    await valueSerializer.prepare?.({ topic, isKey: false });
    await keySerializer?.prepare?.({ topic, isKey: true });
  }
  return createProducer({ ...rest, keySerializer, valueSerializer });
}

/** What {@link getAvroClient} gives: the original's name for "the Avro clients of this service". */
export interface AvroClient<K, V, OV> {
  readonly consumer: Consumer<K, V>;
  readonly producer: Producer<Uint8Array | string | null, OV>;
  readonly registry: SchemaRegistryClient;
}

/** Options of {@link getAvroClient}. */
export interface AvroClientOptions<K, V, OV> {
  readonly consumer?: AvroConsumerOptions<K, V> | undefined;
  readonly producer: AvroProducerOptions<Uint8Array | string | null, OV>;
}

/** An Avro consumer and an Avro producer over one registry client. @throws as {@link createAvroConsumer} */
export async function getAvroClient<K = string | null, V = unknown, OV = unknown>({
  consumer = {},
  producer,
}: AvroClientOptions<K, V, OV>): Promise<AvroClient<K, V, OV>> {
  const registry = consumer.registry ?? producer.registry ?? createSchemaRegistry({ vars: consumer.vars ?? producer.vars });
  const madeProducer = await createAvroProducer({ ...producer, registry });
  try {
    return { consumer: await createAvroConsumer({ ...consumer, registry }), producer: madeProducer, registry };
  } catch (error) {
    await madeProducer.close();
    throw error;
  }
}
