import { createAvroDeserializer, createAvroSerializer, definePoolHandler, type PoolHandlerFactory } from 'rdkafka-toolkit/worker';
import { type FieldCount, type Trip, tripSchemas } from '../records.ts';

/** The work of the pipelines: a field changed. */
export function charge(trip: Trip): Trip {
  return { ...trip, fare: trip.fare + 1 };
}

/** Subject under which the bench has registered the schema of so many fields. */
export function subjectOf(fields: FieldCount): string {
  return `bench-${fields}`;
}

/** Decodes, charges and encodes; from `<run>-in-…` to `<run>-out-0`, which is how the bench calls its topics. */
export function chargeHandler(fields: FieldCount): PoolHandlerFactory {
  return definePoolHandler(
    ({ registry }) => ({
      valueDeserializer: createAvroDeserializer<Trip>({ registry }),
      valueSerializer: createAvroSerializer({ registry, schema: tripSchemas[fields], autoRegister: false, subject: subjectOf(fields) }),
    }),
    ({ topic, key, value }) => ({ topic: `${topic.slice(0, topic.indexOf('-in-'))}-out-0`, key, value: charge(value) }),
  );
}
