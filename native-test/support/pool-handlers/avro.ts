import {
  type AvroSchema,
  avroSchema,
  createAvroDeserializer,
  createAvroSerializer,
  definePoolHandler,
  type PoolHandlerFactory,
  stringDeserializer,
} from 'rdkafka-toolkit/worker';

export interface Order {
  readonly id: number;
  readonly to: string;
}

export interface Invoice {
  readonly id: number;
  readonly text: string;
}

export const orderSchema: AvroSchema<Order> = avroSchema<Order>({
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'to', type: 'string' },
  ],
});

export const invoiceSchema: AvroSchema<Invoice> = avroSchema<Invoice>({
  type: 'record',
  name: 'Invoice',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'text', type: 'string' },
  ],
});

const handler: PoolHandlerFactory = definePoolHandler(
  ({ registry }) => ({
    keyDeserializer: stringDeserializer,
    valueDeserializer: createAvroDeserializer({ registry, readerSchema: orderSchema }),
    valueSerializer: createAvroSerializer({ registry, schema: invoiceSchema }),
  }),
  ({ key, value: { id, to } }) => ({ topic: to, key, value: { id, text: `invoice ${id}` } }),
);

export default handler;
