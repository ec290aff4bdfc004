import type { Deserializer } from '../serde.ts';
import type { PoolEnvironment } from './handler.ts';

/** What the default export of a decoder module must be. Made by {@link definePoolDecoder}. */
export type PoolDecoderFactory<V = unknown> = (environment: PoolEnvironment) => Promise<Deserializer<V>>;

/**
 * Declares a decoder module: the file whose URL is passed to `createDecodePool`. Import from `rdkafka-toolkit/worker` there.
 *
 * @example
 * export default definePoolDecoder(({ registry }) => createAvroDeserializer({ registry, readerSchema: fareSchema }));
 */
export function definePoolDecoder<V>(
  make: (environment: PoolEnvironment) => Deserializer<V> | Promise<Deserializer<V>>,
): PoolDecoderFactory<V> {
  return async (environment) => await make(environment);
}
