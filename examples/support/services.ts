import { randomUUID } from 'node:crypto';
import kafka, { type IAdminClient, type LibrdKafkaError } from 'node-rdkafka';
import { ConnectError, parseRuntimeVars, type RuntimeVars } from 'rdkafka-toolkit';
import { MOCK_PARTITIONS, startMockCluster, startSchemaRegistry } from 'rdkafka-toolkit/testing';

/** Partitions of every topic of the examples, on real services as on the embedded ones. */
export const PARTITIONS: number = MOCK_PARTITIONS;

/** The Kafka and the schema registry an example runs on. */
export interface Services {
  /** Which they are, in a line to print. */
  readonly description: string;
  /** Creates an empty topic of {@link PARTITIONS} partitions with a name of its own; it is deleted at the end. */
  topic(prefix: string): Promise<string>;
  /** A topic that the example's app makes by itself: on the embedded cluster, where no client can, it is made here. */
  ownTopic(topic: string): Promise<void>;
  /** True for the embedded cluster, which forgets offsets that are committed in transactions. */
  readonly embedded: boolean;
  /** The runtime variables of the environment, for these services. `APP_NAME` is new each time, and with it the consumer group. */
  vars(appName: string, extra?: Readonly<Record<string, string>>): RuntimeVars;
  /** Deletes the topics and ends what is embedded. */
  close(): Promise<void>;
}

/** The services that `KAFKA_BOOTSTRAP_SERVERS` and `SCHEMA_REGISTRY_URL` name; in place of each that is not set, an embedded one. */
export async function startServices(env: NodeJS.ProcessEnv = process.env): Promise<Services> {
  const given = parseRuntimeVars(env);
  const cluster = given.KAFKA_BOOTSTRAP_SERVERS.length === 0 ? await startMockCluster() : undefined;
  const registry = given.SCHEMA_REGISTRY_URL === undefined ? await startSchemaRegistry() : undefined;
  const addresses = {
    ...(cluster === undefined ? {} : { KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers }),
    ...(registry === undefined ? {} : { SCHEMA_REGISTRY_URL: registry.url }),
  };
  const created: string[] = [];
  return {
    description:
      `Kafka: ${cluster === undefined ? given.KAFKA_BOOTSTRAP_SERVERS.join(',') : 'embedded (mock cluster in this process)'}; ` +
      `schema registry: ${registry === undefined ? given.SCHEMA_REGISTRY_URL : 'embedded'}`,
    async topic(prefix) {
      const topic = `${prefix}-${randomUUID().slice(0, 8)}`;
      if (cluster === undefined) await withAdmin(given, (admin) => createTopic(given, admin, topic));
      else await cluster.createTopics([topic]);
      created.push(topic);
      return topic;
    },
    async ownTopic(topic) {
      await cluster?.createTopics([topic]);
      created.push(topic);
    },
    embedded: cluster !== undefined,
    vars: (appName, extra = {}) => parseRuntimeVars({ ...env, ...addresses, ...extra, APP_NAME: `${appName}-${randomUUID().slice(0, 8)}` }),
    async close() {
      try {
        if (cluster === undefined && created.length > 0) await withAdmin(given, (admin) => deleteTopics(given, admin, created));
      } finally {
        await cluster?.close();
        await registry?.close();
      }
    },
  };
}

/** The toolkit creates no topics; node-rdkafka's own admin client does, and takes librdkafka's settings. */
async function withAdmin(vars: RuntimeVars, use: (admin: IAdminClient) => Promise<void>): Promise<void> {
  const settings = {
    'bootstrap.servers': vars.KAFKA_BOOTSTRAP_SERVERS.join(','),
    'security.protocol': `${vars.USE_SASL ? 'sasl_' : ''}${vars.USE_SSL ? 'ssl' : 'plaintext'}`,
    ...(vars.USE_SSL && {
      'ssl.ca.location': vars.SSL_CA_LOCATION,
      'ssl.certificate.location': vars.SSL_CERTIFICATE_LOCATION,
      'ssl.key.location': vars.SSL_KEY_LOCATION,
      'ssl.key.password': vars.SSL_KEY_PASSWORD,
    }),
    ...(vars.USE_SASL && {
      'sasl.mechanism': vars.SASL_MECHANISM,
      'sasl.username': vars.SASL_USERNAME,
      'sasl.password': vars.SASL_PASSWORD,
    }),
  };
  const admin = kafka.AdminClient.create(Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)));
  try {
    await use(admin);
  } finally {
    admin.disconnect();
  }
}

function createTopic(vars: RuntimeVars, admin: IAdminClient, topic: string): Promise<void> {
  // A replication factor of -1 leaves it to the broker (KIP-464, Kafka 2.4).
  const definition = { topic, num_partitions: PARTITIONS, replication_factor: -1 };
  return request(vars, `Cannot create topic ${topic}`, (timeoutMs, done) => admin.createTopic(definition, timeoutMs, done));
}

async function deleteTopics(vars: RuntimeVars, admin: IAdminClient, topics: readonly string[]): Promise<void> {
  for (const topic of topics) {
    await request(vars, `Cannot delete topic ${topic}`, (timeoutMs, done) => admin.deleteTopic(topic, timeoutMs, done));
  }
}

function request(
  { KAFKA_BOOTSTRAP_SERVERS, CONNECT_TIMEOUT_SECONDS }: RuntimeVars,
  what: string,
  send: (timeoutMs: number, done: (error: LibrdKafkaError | null | undefined) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    send(CONNECT_TIMEOUT_SECONDS * 1000, (error) => {
      if (!error) resolve();
      else
        reject(
          new ConnectError(`${what} at ${KAFKA_BOOTSTRAP_SERVERS.join(',')}: ${error.message}`, { cause: error, kafkaCode: error.code }),
        );
    });
  });
}
