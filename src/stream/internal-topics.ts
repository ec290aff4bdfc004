import { AdminHandle } from '../binding/admin-handle.ts';
import type { ConsumerHandle } from '../binding/consumer-handle.ts';
import { routeConfig } from '../config/librdkafka-config.ts';
import { producerSettings } from '../config/producer-config.ts';
import { ConfigError, ConnectError, isToolkitError } from '../errors.ts';
import { kafkaCodes } from '../kafka-codes.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import { changelogHandle } from './changelog.ts';
import type { StreamCore } from './core.ts';

const POLL_MS = 100;
const DISCONNECT_MS = 5_000;

/** How changelogs are kept: the latest value of each key; of windows, until they are long closed. */
const COMPACTED = { 'cleanup.policy': 'compact' } as const;

/** Twice a window's life, and an hour at least. */
function windowRetention(sizeMs: number, graceMs: number): Readonly<Record<string, string>> {
  const retentionMs = Math.max(3_600_000, 2 * (sizeMs + graceMs));
  return { 'cleanup.policy': 'compact,delete', 'retention.ms': String(Math.ceil(retentionMs)) };
}

/**
 * Looks at the topics of an app, and creates those that are its own: changelogs and topics under another key. Gives the partitions of each
 * table.
 *
 * @throws ConfigError when topics that go together have different numbers of partitions
 * @throws ConnectError when a topic is missing and cannot be created
 */
export class InternalTopics {
  readonly #core: StreamCore;
  readonly #vars: RuntimeVars;
  readonly #handle: ConsumerHandle;

  constructor(core: StreamCore, vars: RuntimeVars) {
    this.#core = core;
    this.#vars = vars;
    // Its errors show in what is asked.
    this.#handle = changelogHandle(vars, 'read_uncommitted', { onEnd: () => undefined, onError: () => undefined });
  }

  /** Called once. */
  async prepare(): Promise<ReadonlyMap<string, number>> {
    try {
      await this.#handle.connect(this.#vars.KAFKA_BOOTSTRAP_SERVERS.join(','), this.#timeoutMs, undefined);
      return await this.#prepare();
    } finally {
      await this.#handle.disconnect(DISCONNECT_MS);
    }
  }

  async #prepare(): Promise<ReadonlyMap<string, number>> {
    const partitions = new Map<string, number>();
    for (const { topic, from } of this.#core.repartitions) await this.#ensure(topic, await this.#partitionsOf(from), {});
    for (const table of this.#core.tables.values()) {
      const topics = this.#core.topicsOf(table);
      const counts = await Promise.all(topics.map((topic) => this.#partitionsOf(topic)));
      if (new Set(counts).size > 1) {
        const found = topics.map((topic, index) => `${topic} has ${counts[index]}`).join(', ');
        throw new ConfigError([
          `Expected the topics of table ${table.name} to have as many partitions each: ${found}. Name those that write it in topics`,
        ]);
      }
      const window = table.windowed?.window;
      const config = window === undefined ? COMPACTED : windowRetention(window.sizeMs, window.graceMs);
      await this.#ensure(table.changelog, counts[0] ?? 1, config);
      partitions.set(table.name, counts[0] ?? 1);
    }
    return partitions;
  }

  /** Undefined: it does not exist. */
  async #find(topic: string): Promise<number | undefined> {
    const metadata = await this.#handle.metadata(topic, this.#timeoutMs);
    const partitions = metadata.topics.find(({ name }) => name === topic)?.partitions.length ?? 0;
    return partitions === 0 ? undefined : partitions;
  }

  get #timeoutMs(): number {
    return this.#vars.CONNECT_TIMEOUT_SECONDS * 1000;
  }

  async #partitionsOf(topic: string): Promise<number> {
    const partitions = await this.#find(topic);
    if (partitions !== undefined) return partitions;
    throw new ConnectError(`Unknown topic ${topic}: create it before the stream app ${this.#core.name} starts`, {
      code: 'ERR_UNKNOWN_TOPIC',
      kafkaCode: kafkaCodes.unknownTopicOrPartition,
      topic,
    });
  }

  async #ensure(topic: string, partitions: number, config: Readonly<Record<string, string>>): Promise<void> {
    let found = await this.#find(topic);
    if (found === undefined) {
      await this.#create(topic, partitions, config);
      // It takes a moment to be known everywhere.
      for (const deadline = performance.now() + this.#timeoutMs; found === undefined && performance.now() < deadline; ) {
        found = await this.#find(topic);
        if (found === undefined) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    if (found === partitions) return;
    throw new ConfigError([`Expected topic ${topic} to have ${partitions} partitions, as the topics it goes with, got ${found ?? 'none'}`]);
  }

  async #create(topic: string, partitions: number, config: Readonly<Record<string, string>>): Promise<void> {
    const routed = routeConfig('producer', producerSettings(this.#vars));
    try {
      await using admin = new AdminHandle(routed);
      await admin.createTopic({ name: topic, partitions, replicas: -1, config }, this.#timeoutMs);
    } catch (error) {
      // Another process of the app was first.
      if (isToolkitError(error) && error.kafkaCode === kafkaCodes.topicAlreadyExists) return;
      const settings = Object.entries(config).map(([name, value]) => `${name}=${value}`);
      const reason = error instanceof Error ? error.message : String(error);
      throw new ConnectError(
        `${reason}. The stream app ${this.#core.name} needs topic ${topic} with ${partitions} partitions${settings.length === 0 ? '' : ` and ${settings.join(', ')}`}: ` +
          'create it, or give its user the permission to.',
        { cause: error, topic },
      );
    }
  }
}
