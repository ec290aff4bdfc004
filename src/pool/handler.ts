import type { ConsumerRecord } from '../binding/record-batch.ts';
import type { ProducerRecord } from '../client/encode-record.ts';
import type { Deserializer, HeadersDeserializer, RecordHeader, SchemaSource, Serializer } from '../serde.ts';

/** What a pool's handler may give back: records to produce, one, many or none. */
// biome-ignore lint/suspicious/noConfusingVoidType: an async handler without a return statement is a Promise<void>.
export type PoolOutput<OK, OV> = ProducerRecord<OK, OV> | readonly ProducerRecord<OK, OV>[] | undefined | void;

/** What a pool's handler is given beside the record. */
export interface PoolContext {
  /** Fires when the runner is stopping. A handler that never gives the event loop a turn does not see it. */
  readonly signal: AbortSignal;
}

/** How a handler module's records are decoded and its outputs encoded. */
export interface PoolCodec<K, V, H, OK, OV> {
  /** @default raw bytes */
  readonly keyDeserializer?: Deserializer<K> | undefined;
  /** @default raw bytes */
  readonly valueDeserializer?: Deserializer<V> | undefined;
  /** @default the list of headers as sent */
  readonly headersDeserializer?: HeadersDeserializer<H> | undefined;
  /** @default bytes or UTF-8 text as they are */
  readonly keySerializer?: Serializer<OK> | undefined;
  /** @default bytes or UTF-8 text as they are */
  readonly valueSerializer?: Serializer<OV> | undefined;
}

/** Handles one record, a view: keep `record.detach()`ed copies. */
export type PoolRecordHandler<K, V, H, OK, OV> = (
  record: ConsumerRecord<K, V, H>,
  context: PoolContext,
) => PoolOutput<OK, OV> | Promise<PoolOutput<OK, OV>>;

/** What a codec is made with: once in each worker, and once on the main thread where records are handled inline. */
export interface PoolEnvironment {
  /** The registry client that `runPool` was given, reached from any thread: each schema comes to a worker once. */
  readonly registry: SchemaSource;
}

/** A handler whose key, value and header types are its own affair: what the pool works with. */
export interface PoolHandler extends PoolCodec<unknown, unknown, unknown, unknown, unknown> {
  readonly handle: PoolRecordHandler<unknown, unknown, unknown, unknown, unknown>;
}

/** What the default export of a handler module must be. Made by {@link definePoolHandler}. */
export type PoolHandlerFactory = (environment: PoolEnvironment) => Promise<PoolHandler>;

/**
 * Declares a handler module: the file whose URL is passed to `runPool`. Import from `rdkafka-toolkit/worker` there: the package's main
 * entry does not load in a worker.
 *
 * @example
 * export default definePoolHandler(
 *   ({ registry }) => ({
 *     valueDeserializer: createAvroDeserializer({ registry, readerSchema: orderSchema }),
 *     valueSerializer: createAvroSerializer({ registry, schema: invoiceSchema }),
 *   }),
 *   ({ key, value }) => ({ topic: 'invoices', key, value: { id: value.id, total: value.amount * 1.2 } }),
 * );
 */
export function definePoolHandler<
  K = Buffer | null,
  V = Buffer | null,
  H = readonly RecordHeader[],
  OK = Uint8Array | string | null,
  OV = Uint8Array | string | null,
>(
  codec: (environment: PoolEnvironment) => PoolCodec<K, V, H, OK, OV> | Promise<PoolCodec<K, V, H, OK, OV>>,
  handle: PoolRecordHandler<K, V, H, OK, OV>,
): PoolHandlerFactory {
  // Codec and handler fit each other; what they agree on need not be known outside.
  return async (environment) => ({ ...(await codec(environment)), handle }) as unknown as PoolHandler;
}
