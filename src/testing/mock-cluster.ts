import { ProducerHandle } from '../binding/producer-handle.ts';
import { routeConfig } from '../config/librdkafka-config.ts';
import { ConfigError, ConnectError } from '../errors.ts';

/** Partitions of every topic of a mock cluster: librdkafka makes topics on first use and takes no number. */
export const MOCK_PARTITIONS = 4;

/** Options of {@link startMockCluster}. */
export interface MockClusterOptions {
  /** @default 1 */
  readonly brokers?: number | undefined;
  /** Topics to create at once; others are created on first use. Each has 4 partitions. */
  readonly topics?: readonly string[] | undefined;
}

/** A running mock cluster. */
export interface MockCluster extends AsyncDisposable {
  /** `host:port` of each broker, as `bootstrap.servers` wants them; other processes of this machine may connect, too. */
  readonly bootstrapServers: string;
  /** Creates topics, 4 partitions each. */
  createTopics(topics: readonly string[]): Promise<void>;
  /** Ends the cluster; what it held is gone. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts librdkafka's own mock cluster inside this process: brokers on loopback ports that speak the Kafka protocol (groups,
 * idempotent and transactional producers included) and keep records in memory. For tests and demonstrations.
 *
 * A partition keeps the last 5 MB or 100,000 record batches; older ones are dropped. Topics have 4 partitions.
 *
 * @throws ConfigError | ConnectError
 * @example
 * await using cluster = await startMockCluster({ topics: ['orders'] });
 * const producer = await createProducer({ config: { 'bootstrap.servers': cluster.bootstrapServers } });
 */
export async function startMockCluster({ brokers = 1, topics = [] }: MockClusterOptions = {}): Promise<MockCluster> {
  if (!(Number.isInteger(brokers) && brokers >= 1 && brokers <= 100)) {
    throw new ConfigError([`Expected brokers to be a whole number from 1 to 100, got ${brokers}`]);
  }
  const ignore = (): void => undefined;
  const handle = new ProducerHandle(routeConfig('producer', { 'test.mock.num.brokers': brokers, log_level: 3 }), {
    onDelivery: ignore,
    onError: ignore,
    onStatistics: ignore,
    onLog: ignore,
  });
  const metadata = await handle.connect('the mock cluster', 10_000, undefined);
  const bootstrapServers = metadata.brokers.map(({ host, port }) => `${host}:${port}`).join(',');
  let closed: Promise<void> | undefined;

  async function createTopics(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const deadline = Date.now() + 10_000;
      for (;;) {
        const answer = await handle.metadata(name, 1_000);
        if (!('message' in answer) && answer.topics.some((topic) => topic.name === name && topic.partitions.length > 0)) break;
        if (Date.now() >= deadline) throw new ConnectError(`The mock cluster did not create ${name}`);
      }
    }
  }

  function close(): Promise<void> {
    closed ??= handle.disconnect(10_000).then(() => undefined);
    return closed;
  }

  try {
    await createTopics(topics);
  } catch (error) {
    await close();
    throw error;
  }
  return { bootstrapServers, createTopics, close, [Symbol.asyncDispose]: close };
}
