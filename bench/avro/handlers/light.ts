import { createAvroDeserializer, definePoolHandler, type PoolHandlerFactory } from 'rdkafka-toolkit/worker';
import type { Trip } from '../records.ts';

/** Reads two fields: nearly all of the work is decoding. */
const handler: PoolHandlerFactory = definePoolHandler(
  ({ registry }) => ({ valueDeserializer: createAvroDeserializer<Trip>({ registry }) }),
  ({ value }) => {
    if (value.fare < 0 || value.id < 0) throw new RangeError(`trip ${value.id} has a fare of ${value.fare}`);
  },
);

export default handler;
