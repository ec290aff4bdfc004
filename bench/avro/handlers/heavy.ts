import { createAvroDeserializer, definePoolHandler, type PoolHandlerFactory } from 'rdkafka-toolkit/worker';
import type { Trip } from '../records.ts';

/** Rounds of some 20 µs in all. */
const ROUNDS = 4_000;

/** Work for a CPU that cannot be left out. */
function spin(seed: number): number {
  let hash = seed | 0;
  for (let round = 0; round < ROUNDS; round++) hash = Math.imul(hash ^ round, 0x01000193) + (hash >>> 7);
  return hash;
}

const handler: PoolHandlerFactory = definePoolHandler(
  ({ registry }) => ({ valueDeserializer: createAvroDeserializer<Trip>({ registry }) }),
  ({ value }) => {
    if (spin(value.id) === 1) throw new RangeError(`trip ${value.id} cannot be`);
  },
);

export default handler;
