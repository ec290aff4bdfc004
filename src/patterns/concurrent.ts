import type { ConsumerRecord } from '../binding/record-batch.ts';
import { partitionKey } from '../client/record-buffer.ts';
import { offsetManagerOf } from '../delivery/create-clients.ts';
import { ConfigError } from '../errors.ts';
import { enqueueAutoCommits } from './consume.ts';
import { Engine } from './engine.ts';
import { Lanes } from './lanes.ts';
import type { Order, RunRecordOptions } from './run-options.ts';
import type { StopRequest } from './shutdown.ts';

/** Records taken for each that is handled, so that enough of different keys are at hand. */
const TAKEN_PER_HANDLED = 4;
const TAKEN_MIN = 1_000;

/** The loop of a runner that handles many records at once. */
export class ConcurrentEngine<K, V, H, OK, OV> extends Engine<K, V, H, OK, OV> {
  readonly #lanes: Lanes<ConsumerRecord<K, V, H>>;
  readonly #stop: StopRequest;
  readonly #stopWatching: () => void;

  /** @throws ConfigError for a concurrency that is none */
  constructor(
    options: RunRecordOptions<K, V, H, OK, OV>,
    stop: StopRequest,
    { concurrency, order }: { readonly concurrency: number; readonly order: Order },
  ) {
    if (!(Number.isInteger(concurrency) && concurrency >= 1)) {
      throw new ConfigError([`Expected concurrency to be a whole number from 1, got ${concurrency}`]);
    }
    if (!Object.hasOwn(laneOf, order)) throw new ConfigError([`Expected order to be partition, key or none, got ${JSON.stringify(order)}`]);
    super(options, stop.signal, () => this.#turnOnce(), { alone: false });
    const { consumer, handler } = options;
    const finish = (record: ConsumerRecord<K, V, H>): void => enqueueAutoCommits(consumer, record);
    this.#stop = stop;
    this.#lanes = new Lanes<ConsumerRecord<K, V, H>>({
      concurrency,
      maxRecords: Math.max(TAKEN_MIN, concurrency * TAKEN_PER_HANDLED),
      laneOf: laneOf[order],
      work: (record) => {
        const handling = this.handle(record, handler);
        if (handling !== undefined) return handling.then(() => finish(record));
        finish(record);
        return undefined;
      },
      onFailure: () => stop.fail(),
    });
    const manager = offsetManagerOf(consumer);
    this.#stopWatching = manager.onRevoking((partitions) => {
      const leaving = new Set(partitions.map(({ topic, partition }) => `${topic}/${partition}`));
      manager.abandon(this.#lanes.withdraw(({ topic, partition }) => leaving.has(`${topic}/${partition}`)));
    });
  }

  async #turnOnce(): Promise<void> {
    while (this.#lanes.room <= 0 && !this.#stop.signal.aborted) await this.#lanes.change();
    if (this.#stop.signal.aborted) return;
    const record = this.takeBuffered() ?? (await this.take());
    if (record !== undefined) this.#lanes.add(record);
  }

  override async end(): Promise<void> {
    try {
      await this.#lanes.stop();
      await super.end();
    } finally {
      this.#stopWatching();
    }
  }
}

/** What the records of a lane have in common; undefined for a record that waits for nobody. */
const laneOf: Readonly<Record<Order, (record: ConsumerRecord<unknown, unknown, unknown>) => unknown>> = {
  partition: ({ batch, index }) => partitionKey(batch.topicIndexes[index]!, batch.partitions[index]!),
  // Byte for byte: every byte is one character.
  key: ({ rawKey }) => rawKey?.toString('latin1'),
  none: () => undefined,
};
