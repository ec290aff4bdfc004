import { definePoolHandler, type PoolHandlerFactory } from 'rdkafka-toolkit';

/** Imports what does not load in a worker. */
const handler: PoolHandlerFactory = definePoolHandler(
  () => ({}),
  () => undefined,
);

export default handler;
