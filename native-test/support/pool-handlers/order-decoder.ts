import { createAvroDeserializer, definePoolDecoder, type PoolDecoderFactory } from 'rdkafka-toolkit/worker';
import { type Order, orderSchema } from './avro.ts';

/** An order for this address ends the worker that decodes it. */
export const DEADLY = 'the end';

const decoder: PoolDecoderFactory<Order> = definePoolDecoder(({ registry }) => {
  const { deserialize, prepareAt, deserializeAt } = createAvroDeserializer({ registry, readerSchema: orderSchema });
  return {
    deserialize,
    ...(prepareAt === undefined ? {} : { prepareAt }),
    deserializeAt(bytes, start, end, context) {
      const order = deserializeAt!(bytes, start, end, context);
      if (order.to === DEADLY) process.exit(3);
      return order;
    },
  };
});

export default decoder;
