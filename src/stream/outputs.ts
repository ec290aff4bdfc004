import type { DeliveryCallback } from '../client/delivery.ts';
import type { Producer, ProducerRecord } from '../client/producer.ts';
import { createProducer } from '../delivery/create-clients.ts';
import { isToolkitError, StateError, TransactionError } from '../errors.ts';
import type { MetricsManager } from '../metrics/manager.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import type { Output } from './agent.ts';
import type { StreamCore } from './core.ts';
import type { ShardChange } from './shard.ts';
import type { StreamTopic } from './topic.ts';

type AppProducer = Producer<unknown, unknown>;

/** Under exactly-once a transaction of a process that died is over after so long: the others wait for it. */
const TRANSACTION_TIMEOUT_MS = 10_000;

/** How records are produced, and who is told of what goes wrong. */
export interface OutputsOptions {
  /** True when outputs and changes are produced in transactions. */
  readonly transactional: boolean;
  readonly metrics: MetricsManager | undefined;
  onClientError(error: unknown): void;
  /** A change of a table was not delivered: the app ends. */
  onFailed(error: unknown): void;
}

/** What an app produces: outputs of records and changes of tables, in transactions or not, and what is sent outside of agents, which never is. */
export class Outputs {
  readonly #core: StreamCore;
  readonly #vars: RuntimeVars;
  readonly #options: OutputsOptions;
  #plain: AppProducer | undefined;
  #producer: AppProducer | undefined;

  constructor(core: StreamCore, vars: RuntimeVars, options: OutputsOptions) {
    this.#core = core;
    this.#vars = vars;
    this.#options = options;
  }

  /** That of outputs and changes, once there is one. */
  get producer(): AppProducer {
    return this.#producer!;
  }

  /** Makes the producer outside of transactions; under at-least-once it is that of everything. */
  async open(): Promise<AppProducer> {
    this.#plain = await this.#makeProducer({});
    if (!this.#options.transactional) this.#producer = this.#plain;
    return this.#plain;
  }

  /** Makes the producer of transactions, anew when one was of no use any more. Whoever asks for it closes it. */
  async openTransactional(): Promise<AppProducer> {
    const id = `${this.#core.name}-${this.#vars.HOSTNAME ?? process.pid}`;
    this.#producer = await this.#makeProducer({ 'transactional.id': id, 'transaction.timeout.ms': TRANSACTION_TIMEOUT_MS });
    return this.#producer;
  }

  async #makeProducer(config: Readonly<Record<string, string | number>>): Promise<AppProducer> {
    const { keySerializer, valueSerializer } = this.#core.codecs;
    const producer = await createProducer<unknown, unknown>({ vars: this.#vars, keySerializer, valueSerializer, config });
    producer.on('clientError', (error) => this.#options.onClientError(error));
    return producer;
  }

  async close(): Promise<void> {
    await this.#plain?.close().catch(() => undefined);
  }

  /** Produces the outputs of one record, or batch, as parts of one whole. */
  async produce(outputs: readonly Output[]): Promise<void> {
    let queued = 0;
    for (const output of outputs) {
      await this.#enqueue(output, queued++ > 0);
      this.#options.metrics?.incMessagesProduced(1);
    }
  }

  /** Produces changes to their tables' changelogs. */
  async change(changes: Iterable<ShardChange>): Promise<void> {
    for (const change of changes) {
      const { shard, key, value } = change;
      const topic = this.#core.tables.get(shard.table)!.changelog;
      // Outputs of the record, if it has any, are before it.
      await this.#enqueue({ topic, partition: shard.partition, key: Buffer.from(key, 'latin1'), value }, true, (error, metadata) => {
        if (error === undefined) shard.acknowledged(change, metadata!.offset);
        // In a transaction it fails by itself, and is tried again.
        else if (!this.#options.transactional) this.#options.onFailed(error);
      });
    }
  }

  /** What does not get into a transaction that has other parts of its record already is the transaction's failure. */
  async #enqueue(record: Output, isPart: boolean, onDelivery?: DeliveryCallback): Promise<void> {
    try {
      await this.#producer!.enqueue(record, onDelivery);
    } catch (error) {
      if (!isPart || !this.#options.transactional) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new TransactionError(`A record for ${record.topic} did not get into the transaction: ${reason}`, 'abortable', {
        cause: error,
        retriable: isToolkitError(error) && error.retriable,
      });
    }
  }

  /**
   * Produces a record outside of an agent, and of a transaction; resolves when it is acknowledged.
   *
   * @throws as `Producer.send`; StateError when the app does not run
   */
  async send<K, V>(topic: StreamTopic<K, V>, record: Omit<ProducerRecord<K, V>, 'topic'>): Promise<void> {
    if (this.#plain === undefined || this.#plain.closed) throw new StateError(`The stream app ${this.#core.name} does not run`);
    this.#core.codecs.add(topic as StreamTopic<never, never>);
    await (await this.#plain.enqueue({ ...record, topic: topic.name } as Output)).delivered;
    this.#options.metrics?.incMessagesProduced(1);
  }
}
