import rdkafka from 'node-rdkafka';
import { parseRuntimeVars, ToolkitError } from 'rdkafka-toolkit';
import { startMockCluster } from 'rdkafka-toolkit/testing';
import { startKafka } from '../native-test/services/kafka-cluster.ts';
import { routeConfig } from '../src/config/librdkafka-config.ts';
import { producerSettings } from '../src/config/producer-config.ts';

const ADMIN_TIMEOUT_MS = 30_000;

/** A topic of the bench. */
export interface BenchTopic {
  readonly name: string;
  readonly partitions: number;
}

/** Where the contenders' records are. Its process is the parent's or another one, whose CPU is nobody's. Takes its topics with it. */
export interface Broker extends AsyncDisposable {
  readonly kind: 'mock' | 'kafka';
  readonly bootstrapServers: string;
  createTopics(topics: readonly BenchTopic[]): Promise<void>;
}

/** Which broker is measured on. */
export interface BrokerChoice {
  /** A broker that runs already. */
  readonly bootstrapServers: string | undefined;
  /** Without one: starts Apache Kafka from its jars instead of the embedded mock cluster. */
  readonly kafka: boolean;
}

/** Starts the mock cluster or Apache Kafka, or uses the brokers at `bootstrapServers`, where only the bench's own topics are touched. */
export async function openBroker({ bootstrapServers, kafka }: BrokerChoice): Promise<Broker> {
  if (bootstrapServers !== undefined) return brokerAt(bootstrapServers);
  if (kafka) {
    const cluster = await startKafka();
    return { ...brokerAt(cluster.bootstrapServers), [Symbol.asyncDispose]: () => cluster.close() };
  }
  const cluster = await startMockCluster();
  return {
    kind: 'mock',
    bootstrapServers: cluster.bootstrapServers,
    createTopics: (topics) => cluster.createTopics(topics),
    [Symbol.asyncDispose]: () => cluster.close(),
  };
}

function brokerAt(bootstrapServers: string): Broker {
  const made: string[] = [];
  return {
    kind: 'kafka',
    bootstrapServers,
    async createTopics(topics) {
      await administer(bootstrapServers, topics, async (admin, { name, partitions }) => {
        const settings = { topic: name, num_partitions: partitions, replication_factor: -1 };
        await new Promise<void>((resolve, reject) => {
          admin.createTopic(settings, ADMIN_TIMEOUT_MS, (error) =>
            error ? reject(new ToolkitError('ERR_STATE', `Cannot create topic ${name}: ${error.message}`, { cause: error })) : resolve(),
          );
        });
        made.push(name);
      });
    },
    async [Symbol.asyncDispose]() {
      await administer(bootstrapServers, made, async (admin, name) => {
        await new Promise<void>((resolve, reject) => {
          admin.deleteTopic(name, ADMIN_TIMEOUT_MS, (error) =>
            error ? reject(new ToolkitError('ERR_STATE', `Cannot delete topic ${name}: ${error.message}`, { cause: error })) : resolve(),
          );
        });
      });
    },
  };
}

type Admin = ReturnType<typeof rdkafka.AdminClient.create>;

async function administer<T>(bootstrapServers: string, items: readonly T[], act: (admin: Admin, item: T) => Promise<void>): Promise<void> {
  if (items.length === 0) return;
  const settings = producerSettings(parseRuntimeVars({ ...process.env, KAFKA_BOOTSTRAP_SERVERS: bootstrapServers }));
  const admin = rdkafka.AdminClient.create(routeConfig('producer', settings).global);
  try {
    for (const item of items) await act(admin, item);
  } finally {
    admin.disconnect();
  }
}
