import { createAvroDeserializer, createAvroSerializer, definePoolHandler, type PoolHandlerFactory } from 'rdkafka-toolkit/worker';
import { charge, type FieldCount, subjectOf, type Trip, tripSchemas } from './records.ts';

/** Decodes, charges and encodes; from `…-in-N` to `…-out-0`, which is how the bench calls its topics. */
export function chargeHandler(fields: FieldCount): PoolHandlerFactory {
  return definePoolHandler(
    ({ registry }) => ({
      valueDeserializer: createAvroDeserializer<Trip>({ registry }),
      valueSerializer: createAvroSerializer({ registry, schema: tripSchemas[fields], autoRegister: false, subject: subjectOf(fields) }),
    }),
    ({ topic, key, value }) => ({ topic: `${topic.slice(0, topic.lastIndexOf('-in-'))}-out-0`, key, value: charge(value) }),
  );
}
