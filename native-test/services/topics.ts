import { setTimeout as sleep } from 'node:timers/promises';
import kafka, { type IAdminClient, type LibrdKafkaError, type Metadata, type Producer, type TopicMetadata } from 'node-rdkafka';
import { TimeoutError, ToolkitError } from '../../src/errors.ts';

const TIMEOUT_MS = 30_000;
const REQUEST_TIMEOUT_MS = 10_000;
const METADATA_POLL_MS = 50;

export interface NewTopic {
  readonly topic: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Topic settings, e.g. `{ 'cleanup.policy': 'compact' }`. */
  readonly config?: Readonly<Record<string, string>>;
}

/**
 * Creates topics, and resolves when each has all its partitions with a leader and every replica in sync.
 * @throws {ToolkitError} with librdkafka's number in `kafkaCode` (36: the topic exists); {@link TimeoutError} after 30 s.
 */
export async function createTopics(bootstrapServers: string, topics: readonly NewTopic[]): Promise<void> {
  await withAdmin(bootstrapServers, (admin) =>
    Promise.all(
      topics.map(({ topic, partitions, replicationFactor, config }) => {
        const definition = { topic, num_partitions: partitions, replication_factor: replicationFactor, config: { ...config } };
        return request(`Cannot create topic ${topic}`, (done) => admin.createTopic(definition, REQUEST_TIMEOUT_MS, done));
      }),
    ),
  );
  await waitForMetadata(bootstrapServers, `topics ${topics.map(({ topic }) => topic).join(', ')} with leaders`, (found) =>
    topics.every(({ topic, partitions }) => isComplete(found.get(topic), partitions)),
  );
}

/** Deletes topics, and resolves when no broker asked knows them any more. @throws {ToolkitError} as {@link createTopics}. */
export async function deleteTopics(bootstrapServers: string, topics: readonly string[]): Promise<void> {
  await withAdmin(bootstrapServers, (admin) =>
    Promise.all(
      topics.map((topic) => request(`Cannot delete topic ${topic}`, (done) => admin.deleteTopic(topic, REQUEST_TIMEOUT_MS, done))),
    ),
  );
  await waitForMetadata(bootstrapServers, `the end of topics ${topics.join(', ')}`, (found) => topics.every((topic) => !found.has(topic)));
}

/** Resolves when every partition of the topics has a leader and every replica in sync. @throws {TimeoutError} after 30 s. */
export async function awaitInSync(bootstrapServers: string, topics: readonly string[]): Promise<void> {
  await waitForMetadata(bootstrapServers, `topics ${topics.join(', ')} in sync`, (found) =>
    topics.every((name) => {
      const topic = found.get(name);
      return isComplete(topic, topic?.partitions.length ?? 0);
    }),
  );
}

async function withAdmin(bootstrapServers: string, use: (admin: IAdminClient) => Promise<unknown>): Promise<void> {
  const admin = kafka.AdminClient.create({ 'metadata.broker.list': bootstrapServers });
  try {
    await use(admin);
  } finally {
    admin.disconnect();
  }
}

function request(what: string, send: (done: (error: LibrdKafkaError | null | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    send((error) => {
      if (error) reject(new ToolkitError('ERR_STATE', `${what}: ${error.message}.`, { cause: error, kafkaCode: error.code }));
      else resolve();
    });
  });
}

/** Asks for all topics, never for one by name: that could create it. node-rdkafka's admin client has no metadata request. */
async function waitForMetadata(
  bootstrapServers: string,
  what: string,
  isDone: (topics: ReadonlyMap<string, TopicMetadata>) => boolean,
): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  const client = new kafka.Producer({ 'metadata.broker.list': bootstrapServers }, {});
  await connect(client, bootstrapServers);
  try {
    for (;;) {
      const metadata = await allTopics(client);
      if (metadata !== undefined && isDone(new Map(metadata.topics.map((topic) => [topic.name, topic])))) return;
      if (Date.now() > deadline) throw new TimeoutError(`Kafka at ${bootstrapServers} did not show ${what} within ${TIMEOUT_MS} ms.`);
      await sleep(METADATA_POLL_MS);
    }
  } finally {
    await new Promise<void>((resolve) => client.disconnect(() => resolve()));
  }
}

function connect(client: Producer, bootstrapServers: string): Promise<void> {
  return request(`Cannot reach Kafka at ${bootstrapServers}`, (done) => client.connect({ timeout: REQUEST_TIMEOUT_MS }, done));
}

function allTopics(client: Producer): Promise<Metadata | undefined> {
  return new Promise((resolve) => {
    client.getMetadata({ allTopics: true, timeout: REQUEST_TIMEOUT_MS }, (error, metadata) => resolve(error ? undefined : metadata));
  });
}

function isComplete(topic: TopicMetadata | undefined, partitions: number): boolean {
  return (
    topic?.partitions.length === partitions &&
    topic.partitions.every(({ leader, replicas, isrs }) => leader >= 0 && isrs.length === replicas.length)
  );
}
