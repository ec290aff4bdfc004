import type { RoutedConfig } from '../config/librdkafka-config.ts';
import { ConnectError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import { fromLibrdkafka, type RawError, rdkafka } from './node-rdkafka.ts';

/** A topic to be created. */
export interface NewTopic {
  readonly topic: string;
  readonly partitions: number;
  /** @default the broker's own (KIP-464, Kafka 2.4) */
  readonly replicationFactor?: number | undefined;
  /** Topic settings, e.g. `{ 'cleanup.policy': 'compact' }`. */
  readonly config?: Readonly<Record<string, string>> | undefined;
}

/**
 * Creates topics; one that is there already is left as it is.
 *
 * @throws ConnectError when a broker refuses one, or does not answer in time
 */
export async function createTopics(config: RoutedConfig, topics: readonly NewTopic[], timeoutMs: number): Promise<void> {
  if (topics.length === 0) return;
  const admin = rdkafka.AdminClient.create(config.global);
  try {
    for (const { topic, partitions, replicationFactor = -1, config: settings = {} } of topics) {
      const definition = { topic, num_partitions: partitions, replication_factor: replicationFactor, config: settings };
      const error = await new Promise<RawError | null | undefined>((resolve) => admin.createTopic(definition, timeoutMs, resolve));
      if (error && error.code !== kafkaCodes.topicAlreadyExists) {
        throw fromLibrdkafka(`Cannot create topic ${topic}`, error, (message, options) => new ConnectError(message, options), { topic });
      }
    }
  } finally {
    admin.disconnect();
  }
}
