import { channel } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import type { Consumer } from '../client/consumer.ts';
import type { ConsumerEvents, ProducerEvents } from '../client/events.ts';
import type { Producer } from '../client/producer.ts';

/** Events that are published; those that come with every record or report are not events of a client. */
const CONSUMER_EVENTS = ['assigned', 'revoked', 'committed', 'stalled', 'eventLoopBlocked', 'clientError', 'closed'] as const;
const PRODUCER_EVENTS = ['deliveryError', 'clientError', 'closed'] as const;

/**
 * Publishes a consumer's events to `node:diagnostics_channel`, as `rdkafka-toolkit:consumer:<event>`: `{ consumer, args }`, the arguments
 * as listeners of the event get them. Costs an event nothing but a look while nobody subscribes.
 */
export function publishConsumerEvents(consumer: Consumer<unknown, unknown, unknown>): void {
  publish<ConsumerEvents>(consumer, 'consumer', CONSUMER_EVENTS);
}

/** As {@link publishConsumerEvents}: `rdkafka-toolkit:producer:<event>`, `{ producer, args }`. */
export function publishProducerEvents(producer: Producer<never, never>): void {
  publish<ProducerEvents>(producer, 'producer', PRODUCER_EVENTS);
}

function publish<Events>(client: EventEmitter, kind: 'consumer' | 'producer', events: readonly (keyof Events & string)[]): void {
  for (const event of events) {
    const published = channel(`rdkafka-toolkit:${kind}:${event}`);
    client.on(event, (...args: unknown[]) => {
      if (published.hasSubscribers) published.publish({ [kind]: client, args });
    });
  }
}
