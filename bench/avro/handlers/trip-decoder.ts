import { createAvroDeserializer, definePoolDecoder, type PoolDecoderFactory } from 'rdkafka-toolkit/worker';
import type { Trip } from '../records.ts';

const decoder: PoolDecoderFactory<Trip> = definePoolDecoder(({ registry }) => createAvroDeserializer<Trip>({ registry }));

export default decoder;
