import type { Delivery, DeliveryCallback } from '../client/delivery.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import type { MetricsRecorder } from '../hooks.ts';

/** Where a record goes: all of a record but its value. */
export type ProduceOptions<K> = Omit<ProducerRecord<K, never>, 'value'>;

/**
 * Produces one record: resolves once it is in the local queue and is counted as produced. That is what a fast loop awaits; the
 * guarantee comes from `enqueueAutoCommits` or `synchronousMessageHandling`. To wait for the broker, await `delivered`:
 *
 * @example
 * await produceMessage(producer, { topic: 'out', key: record.key }, metrics, value);
 * const { offset } = await (await produceMessage(producer, { topic: 'out' }, metrics, value)).delivered;
 *
 * @throws EncodeError | RecordTooLargeError | QueueFullError: the record was not taken
 */
export async function produceMessage<K, V>(
  producer: Pick<Producer<K, V>, 'enqueue'>,
  options: ProduceOptions<K>,
  metrics: MetricsRecorder | undefined,
  message: V,
): Promise<Delivery> {
  const delivery = await producer.enqueue({ ...options, value: message });
  metrics?.incMessagesProduced(1);
  return delivery;
}

/**
 * Produces one record and calls back once the broker has answered: for web routes. A failed delivery is counted as an error;
 * a delivered one as produced.
 *
 * @throws as {@link produceMessage}, when the record was not even taken
 */
export async function produceMessageCallback<K, V>(
  producer: Producer<K, V>,
  options: ProduceOptions<K>,
  metrics: MetricsRecorder | undefined,
  message: V,
  onDelivery?: DeliveryCallback | undefined,
): Promise<Delivery> {
  return producer.enqueue({ ...options, value: message }, (error, metadata) => {
    if (error === undefined) metrics?.incMessagesProduced(1);
    else metrics?.incMessageErrors(error);
    onDelivery?.(error, metadata);
  });
}
