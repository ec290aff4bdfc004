import type { PoolHandlerFactory } from 'rdkafka-toolkit/worker';
import { chargeHandler } from '../charge-handler.ts';

const handler: PoolHandlerFactory = chargeHandler(9);

export default handler;
