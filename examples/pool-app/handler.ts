/**
 * The handler module of `pool-app.ts`: loaded by each worker. It imports from `rdkafka-toolkit/worker`, which holds all that loads there.
 */
import {
  type AvroSchema,
  type AvroValue,
  createAvroDeserializer,
  createAvroSerializer,
  definePoolHandler,
  defineSchema,
  type PoolHandlerFactory,
  stringDeserializer,
} from 'rdkafka-toolkit/worker';

const orderFields = [
  { name: 'id', type: 'int' },
  { name: 'customer', type: 'string' },
  { name: 'quantity', type: 'int' },
  { name: 'unitPriceCents', type: 'long' },
  { name: 'invoiceTopic', type: 'string' },
] as const;

export interface Order {
  id: number;
  customer: string;
  quantity: number;
  unitPriceCents: number;
  invoiceTopic: string;
}

/** Its type is read off the schema; `Order` is what it comes to. */
export const orderSchema: AvroSchema<Order> = defineSchema({ type: 'record', name: 'Order', fields: orderFields });

export const invoiceSchema: AvroSchema<{ orderId: number; totalCents: number }> = defineSchema({
  type: 'record',
  name: 'Invoice',
  fields: [
    { name: 'orderId', type: 'int' },
    { name: 'totalCents', type: 'long' },
  ],
});

export type Invoice = AvroValue<typeof invoiceSchema>;

const handler: PoolHandlerFactory = definePoolHandler(
  ({ registry }) => ({
    keyDeserializer: stringDeserializer,
    valueDeserializer: createAvroDeserializer({ registry, readerSchema: orderSchema }),
    valueSerializer: createAvroSerializer({ registry, schema: invoiceSchema }),
  }),
  ({ key, value: { id, quantity, unitPriceCents, invoiceTopic } }) => ({
    topic: invoiceTopic,
    key,
    value: { orderId: id, totalCents: quantity * unitPriceCents },
  }),
);

export default handler;
