import { errorOfCode } from '../binding/node-rdkafka.ts';
import { type NativeMockCluster, nativeStatus, openMockCluster } from '../binding/packed.ts';
import { ProducerHandle } from '../binding/producer-handle.ts';
import { routeConfig } from '../config/librdkafka-config.ts';
import { ConfigError, ConnectError, StateError } from '../errors.ts';

/** Partitions of a topic of a mock cluster that was not asked for another number. */
export const MOCK_PARTITIONS = 4;

/** Kafka's request types that a mock cluster can be told to answer with an error (the protocol's API keys). */
export const MOCK_APIS = {
  produce: 0,
  fetch: 1,
  listOffsets: 2,
  metadata: 3,
  offsetCommit: 8,
  offsetFetch: 9,
  findCoordinator: 10,
  joinGroup: 11,
  heartbeat: 12,
  leaveGroup: 13,
  syncGroup: 14,
  initProducerId: 22,
  addPartitionsToTxn: 24,
  addOffsetsToTxn: 25,
  endTxn: 26,
  txnOffsetCommit: 28,
} as const;

export type MockApi = keyof typeof MOCK_APIS;

/** A topic of a mock cluster. */
export interface MockTopic {
  readonly name: string;
  /** @default 4 */
  readonly partitions?: number | undefined;
}

/** Options of {@link startMockCluster}. */
export interface MockClusterOptions {
  /** @default 1 */
  readonly brokers?: number | undefined;
  /** Topics to create at once; others are created on first use, with 4 partitions. */
  readonly topics?: readonly (string | MockTopic)[] | undefined;
  /**
   * How long a group waits for more members before its first assignment, in milliseconds. librdkafka's own 3,000 without the packed
   * addon. @default 0
   */
  readonly groupJoinDelayMs?: number | undefined;
}

/**
 * A running mock cluster. What it can be told beyond topics of 4 partitions needs the packed addon.
 *
 * Brokers are numbered from 1.
 */
export interface MockCluster extends AsyncDisposable {
  /** `host:port` of each broker, as `bootstrap.servers` wants them; other processes of this machine may connect, too. */
  readonly bootstrapServers: string;
  /** @throws ConnectError when a topic was not created; StateError for another number of partitions without the packed addon */
  createTopics(topics: readonly (string | MockTopic)[]): Promise<void>;
  /** The broker closes its connections and takes no new ones, until {@link startBroker}. */
  stopBroker(brokerId: number): void;
  startBroker(brokerId: number): void;
  /** Every answer of the broker comes so much later, in milliseconds. */
  setRoundTripTime(brokerId: number, milliseconds: number): void;
  /**
   * The next requests of that type fail with these error numbers (rdkafka.h), one each; -195 closes the connection instead of an
   * answer, 0 lets one pass.
   */
  pushErrors(api: MockApi, codes: readonly number[]): void;
  /** Forgets errors that were pushed and not used. */
  clearErrors(api: MockApi): void;
  /** Moves a partition to another leader. It has none while its broker is stopped. */
  moveLeader(topic: string, partition: number, brokerId: number): void;
  /** Moves the coordinator of a group or of a `transactional.id`. */
  moveCoordinator(type: 'group' | 'transaction', id: string, brokerId: number): void;
  /** Ends the cluster; what it held is gone. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts librdkafka's own mock cluster inside this process: brokers on loopback ports that speak the Kafka protocol (groups,
 * idempotent and transactional producers included) and keep records in memory. For tests and demonstrations.
 *
 * A partition keeps the last 5 MB or 100,000 record batches; older ones are dropped.
 *
 * @throws ConfigError | ConnectError
 * @example
 * await using cluster = await startMockCluster({ topics: ['orders'] });
 * const producer = await createProducer({ config: { 'bootstrap.servers': cluster.bootstrapServers } });
 */
export async function startMockCluster({ brokers = 1, topics = [], groupJoinDelayMs = 0 }: MockClusterOptions = {}): Promise<MockCluster> {
  const faults: string[] = [];
  if (!(Number.isInteger(brokers) && brokers >= 1 && brokers <= 100)) {
    faults.push(`Expected brokers to be a whole number from 1 to 100, got ${brokers}`);
  }
  if (!(Number.isInteger(groupJoinDelayMs) && groupJoinDelayMs >= 0 && groupJoinDelayMs <= 600_000)) {
    faults.push(`Expected groupJoinDelayMs to be a whole number from 0 to 600000, got ${groupJoinDelayMs}`);
  }
  if (faults.length > 0) throw new ConfigError(faults);
  const ignore = (): void => undefined;
  const handle = new ProducerHandle(routeConfig('producer', { 'test.mock.num.brokers': brokers, log_level: 3 }), 'portable', {
    onDelivery: ignore,
    onError: ignore,
    onStatistics: ignore,
    onLog: ignore,
  });
  const metadata = await handle.connect('the mock cluster', 10_000, undefined);
  const { available, reason } = nativeStatus();
  const cluster = new RunningMockCluster(handle, available ? openMockCluster(handle.native) : undefined, reason, {
    bootstrapServers: metadata.brokers.map(({ host, port }) => `${host}:${port}`).join(','),
    brokers,
    groupJoinDelayMs,
  });
  try {
    await cluster.createTopics(topics);
  } catch (error) {
    await cluster.close();
    throw error;
  }
  return cluster;
}

class RunningMockCluster implements MockCluster {
  readonly bootstrapServers: string;
  readonly #handle: ProducerHandle;
  readonly #native: NativeMockCluster | undefined;
  readonly #reason: string | undefined;
  readonly #brokers: number;
  #closed: Promise<void> | undefined;

  constructor(
    handle: ProducerHandle,
    native: NativeMockCluster | undefined,
    reason: string | undefined,
    { bootstrapServers, brokers, groupJoinDelayMs }: { bootstrapServers: string; brokers: number; groupJoinDelayMs: number },
  ) {
    this.bootstrapServers = bootstrapServers;
    this.#handle = handle;
    this.#native = native;
    this.#reason = reason;
    this.#brokers = brokers;
    native?.setGroupJoinDelay(groupJoinDelayMs);
  }

  async createTopics(topics: readonly (string | MockTopic)[]): Promise<void> {
    for (const topic of topics) {
      const { name, partitions = MOCK_PARTITIONS } = typeof topic === 'string' ? { name: topic } : topic;
      if (this.#native !== undefined || partitions !== MOCK_PARTITIONS) {
        const replicas = Math.min(3, this.#brokers);
        this.#control(`create ${name} with ${partitions} partitions`, (native) => native.createTopic(name, partitions, replicas));
      }
      await this.#seen(name);
    }
  }

  /** The first question for a topic creates it, where that is left to librdkafka. */
  async #seen(name: string): Promise<void> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const answer = await this.#handle.metadata(name, 1_000);
      if (!('message' in answer) && answer.topics.some((topic) => topic.name === name && topic.partitions.length > 0)) return;
      if (Date.now() >= deadline) throw new ConnectError(`The mock cluster did not create ${name}`);
    }
  }

  stopBroker(brokerId: number): void {
    this.#control(`stop broker ${brokerId}`, (native) => native.setBrokerUp(brokerId, false));
  }

  startBroker(brokerId: number): void {
    this.#control(`start broker ${brokerId}`, (native) => native.setBrokerUp(brokerId, true));
  }

  setRoundTripTime(brokerId: number, milliseconds: number): void {
    this.#control(`set the round-trip time of broker ${brokerId}`, (native) => native.setRoundTripTime(brokerId, milliseconds));
  }

  pushErrors(api: MockApi, codes: readonly number[]): void {
    this.#control(`push errors for ${api}`, (native) => native.pushErrors(apiKey(api), codes));
  }

  clearErrors(api: MockApi): void {
    this.#control(`clear the errors for ${api}`, (native) => native.clearErrors(apiKey(api)));
  }

  moveLeader(topic: string, partition: number, brokerId: number): void {
    // librdkafka takes -1 for no leader, and crashes at the next record for the partition.
    if (!(brokerId >= 1)) throw new StateError(`Expected a broker from 1 to lead ${topic} [${partition}], got ${brokerId}`);
    this.#control(`move the leader of ${topic} [${partition}]`, (native) => native.setLeader(topic, partition, brokerId));
  }

  moveCoordinator(type: 'group' | 'transaction', id: string, brokerId: number): void {
    this.#control(`move the coordinator of ${type} ${id}`, (native) => native.setCoordinator(type, id, brokerId));
  }

  #control(what: string, control: (native: NativeMockCluster) => number): void {
    if (this.#closed !== undefined) throw new StateError(`Cannot ${what}: the mock cluster is closed`);
    if (this.#native === undefined) throw new StateError(`Cannot ${what}: that needs the packed addon, and ${this.#reason}`);
    let code: number;
    try {
      code = control(this.#native);
    } catch (error) {
      throw new StateError(`Cannot ${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    if (code !== 0) throw new StateError(`Cannot ${what}: ${errorOfCode(code).message} (librdkafka ${code})`, { kafkaCode: code });
  }

  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#native?.close();
      this.#closed = this.#handle.disconnect(10_000).then(() => undefined);
    }
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function apiKey(api: MockApi): number {
  const key = MOCK_APIS[api];
  if (key === undefined) throw new StateError(`Expected one of ${Object.keys(MOCK_APIS).join(', ')}, got ${JSON.stringify(api)}`);
  return key;
}
