import { createAvroDeserializer, createAvroSerializer, definePoolHandler, type PoolHandlerFactory } from 'rdkafka-toolkit/worker';
import { charge, subjectOf, type Trip, tripSchemas } from '../records.ts';

/** Decodes, charges and encodes; from `…-in-N` to `…-out-0`, which is how the bench calls its topics. */
const handler: PoolHandlerFactory = definePoolHandler(
  ({ registry }) => ({
    valueDeserializer: createAvroDeserializer<Trip>({ registry }),
    valueSerializer: createAvroSerializer({ registry, schema: tripSchemas[9], autoRegister: false, subject: subjectOf(9) }),
  }),
  ({ topic, key, value }) => ({ topic: `${topic.slice(0, topic.lastIndexOf('-in-'))}-out-0`, key, value: charge(value) }),
);

export default handler;
