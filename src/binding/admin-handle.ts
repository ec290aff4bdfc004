import type { RoutedConfig } from '../config/librdkafka-config.ts';
import { StateError, type ToolkitError, type ToolkitErrorOptions } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import { fromLibrdkafka, type Metadata, type RawAdmin, type RawError, rdkafka } from './node-rdkafka.ts';
import { ProducerHandle } from './producer-handle.ts';

/** A topic to create. */
export interface NewTopic {
  readonly name: string;
  /** -1 leaves it to the broker. */
  readonly partitions: number;
  /** -1 leaves it to the broker. */
  readonly replicas: number;
  /** The topic's own settings, e.g. `cleanup.policy`. */
  readonly config: Readonly<Record<string, string>>;
}

/** Long enough for a controller that is busy; the calls wait so long at most. */
const REQUEST_TIMEOUT_MS = 15_000;

const stateError = (message: string, options: ToolkitErrorOptions): ToolkitError => new StateError(message, options);

/** What the CLI asks of a cluster beside records: its brokers and topics. */
export class AdminHandle implements AsyncDisposable {
  readonly #config: RoutedConfig;
  /** node-rdkafka's admin client gives no metadata: a producer that produces nothing does. */
  readonly #producer: ProducerHandle;

  constructor(config: RoutedConfig) {
    this.#config = config;
    const ignore = (): void => undefined;
    this.#producer = new ProducerHandle(config, 'portable', {
      onDelivery: ignore,
      onError: ignore,
      onStatistics: ignore,
      onLog: ignore,
    });
  }

  /** @throws ConnectError when no broker answers in time or the sign-in is refused */
  connect(bootstrapServers: string, timeoutMs: number): Promise<Metadata> {
    return this.#producer.connect(bootstrapServers, timeoutMs, undefined);
  }

  /** All brokers and topics. Names no topic: asking for one may create it. */
  metadata(timeoutMs: number): Promise<Metadata> {
    return new Promise((resolve, reject) => {
      this.#producer.native.getMetadata({ allTopics: true, timeout: timeoutMs }, (error, metadata) => {
        if (error) reject(fromLibrdkafka('Cannot read the topics', error, stateError));
        else resolve(metadata!);
      });
    });
  }

  /** First and next offset of a partition. */
  watermarks(topic: string, partition: number, timeoutMs: number): Promise<{ low: number; high: number }> {
    return new Promise((resolve, reject) => {
      this.#producer.native.queryWatermarkOffsets(topic, partition, timeoutMs, (error, offsets) => {
        const where = { topic, partition };
        if (error) reject(fromLibrdkafka(`Cannot read the offsets of ${topic} [${partition}]`, error, stateError, where));
        else resolve({ low: offsets!.lowOffset, high: offsets!.highOffset });
      });
    });
  }

  /** @throws StateError with librdkafka's number, e.g. 36 for a topic that exists */
  createTopic({ name, partitions, replicas, config }: NewTopic, timeoutMs: number = REQUEST_TIMEOUT_MS): Promise<void> {
    const topic = { topic: name, num_partitions: partitions, replication_factor: replicas, config };
    return this.#ask(`Cannot create topic ${name}`, name, (admin, done) => admin.createTopic(topic, timeoutMs, done));
  }

  deleteTopic(name: string): Promise<void> {
    return this.#ask(`Cannot delete topic ${name}`, name, (admin, done) => admin.deleteTopic(name, REQUEST_TIMEOUT_MS, done));
  }

  async #ask(what: string, topic: string, ask: (admin: RawAdmin, done: (error?: RawError | null) => void) => void): Promise<void> {
    const admin = rdkafka.AdminClient.create({ ...this.#config.global });
    try {
      await new Promise<void>((resolve, reject) => {
        ask(admin, (error) => {
          if (error) reject(fromLibrdkafka(what, error, (message, options) => refusal(message, options), { topic }));
          else resolve();
        });
      });
    } finally {
      admin.disconnect();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#producer.disconnect(10_000);
  }
}

/** An embedded cluster does not answer these requests at all. */
function refusal(message: string, options: ToolkitErrorOptions): StateError {
  const silent = options.kafkaCode === kafkaCodes.unsupportedFeature || options.kafkaCode === kafkaCodes.timedOut;
  return new StateError(
    silent ? `${message}. An embedded broker has no such request: it creates topics on first use, and deletes none.` : message,
    options,
  );
}
