import { randomUUID } from 'node:crypto';
import { startMockCluster, startSchemaRegistry } from 'rdkafka-toolkit/testing';
import { parseRuntimeVars, type RuntimeVars } from '../../src/runtime-vars.ts';
import { createTopics as createRealTopics } from '../services/topics.ts';

/** The Kafka and the registry a suite runs on. */
export interface Services extends AsyncDisposable {
  /** True on a real Kafka, false on the mock cluster. */
  readonly real: boolean;
  readonly bootstrapServers: string;
  readonly registryUrl: string;
  /** Creates a topic of 4 partitions with a name of its own. */
  topic(prefix?: string): Promise<string>;
  /** Creates a topic of that name on the mock cluster, where clients cannot create topics; elsewhere they can. */
  mockTopic(topic: string): Promise<void>;
  /** Runtime variables for these services: a group of its own, quick commits. */
  vars(extra?: Readonly<Record<string, string>>): RuntimeVars;
}

/** The services of `KAFKA_BOOTSTRAP_SERVERS` and `SCHEMA_REGISTRY_URL`, or embedded ones. */
export async function startServices(): Promise<Services> {
  const { KAFKA_BOOTSTRAP_SERVERS: given, SCHEMA_REGISTRY_URL: givenRegistry, RDKAFKA_TOOLKIT_NATIVE: native } = process.env;
  const cluster = given === undefined ? await startMockCluster() : undefined;
  const registry = givenRegistry === undefined ? await startSchemaRegistry() : undefined;
  const bootstrapServers = given ?? cluster!.bootstrapServers;
  const registryUrl = givenRegistry ?? registry!.url;
  return {
    real: cluster === undefined,
    bootstrapServers,
    registryUrl,
    async topic(prefix = 'topic') {
      const topic = `${prefix}-${randomUUID().slice(0, 8)}`;
      if (cluster === undefined) await createRealTopics(bootstrapServers, [{ topic, partitions: 4, replicationFactor: 1 }]);
      else await cluster.createTopics([topic]);
      return topic;
    },
    async mockTopic(topic) {
      await cluster?.createTopics([topic]);
    },
    vars: (extra = {}) =>
      parseRuntimeVars({
        KAFKA_BOOTSTRAP_SERVERS: bootstrapServers,
        SCHEMA_REGISTRY_URL: registryUrl,
        APP_NAME: `group-${randomUUID().slice(0, 8)}`,
        RDKAFKA_TOOLKIT_NATIVE: native,
        CONSUMER_POLL_TIMEOUT: '5',
        CONSUMER_AUTO_COMMIT_INTERVAL_SECONDS: '1',
        CONSUMER_HEARTBEAT_TIMEOUT_SECONDS: '10',
        ...extra,
      }),
    async [Symbol.asyncDispose]() {
      await cluster?.close();
      await registry?.close();
    },
  };
}

/** What a counting `MetricsRecorder` saw. */
export class CountingMetrics {
  consumed = 0;
  produced = 0;
  readonly errors: unknown[] = [];

  incMessagesConsumed(count: number): void {
    this.consumed += count;
  }

  incMessagesProduced(count: number): void {
    this.produced += count;
  }

  incMessageErrors(error: unknown): void {
    this.errors.push(error);
  }
}

/** What a runner's result says when nothing failed and nothing was filtered. */
export const noFailures: { readonly filtered: 0; readonly retried: 0; readonly deadLettered: 0 } = {
  filtered: 0,
  retried: 0,
  deadLettered: 0,
};
