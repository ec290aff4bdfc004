import type { ConsumerHandle } from '../binding/consumer-handle.ts';
import type { TopicPartitionOffset } from '../binding/node-rdkafka.ts';
import { TopicTable } from '../binding/pack.ts';
import type { RecordSource } from '../binding/record-source.ts';
import { ClosedError } from '../errors.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import { type RecordHeader, rawDeserializer } from '../serde.ts';
import { applyChangelog, type ChangelogCallbacks, changelogHandle, placeOf } from './changelog.ts';
import type { Shard } from './shard.ts';

/** Records a fetch takes at most, and how long it waits for the first. */
const FETCH_RECORDS = 10_000;
const FETCH_MS = 200;
const DISCONNECT_MS = 5_000;

/** A shard and the changelog it is read from. */
export interface Recovering {
  readonly shard: Shard;
  readonly changelog: string;
}

/** What a recovery did. */
export interface RecoveryResult {
  readonly records: number;
  readonly milliseconds: number;
}

interface Remaining extends Recovering {
  readonly end: number;
  position: number;
}

/**
 * Reads changelogs into their shards, from where each store is up to the end known when it begins; committed changes only. While a transaction
 * of another process is open before that end, this waits for its outcome.
 */
export class Recovery {
  readonly #handle: ConsumerHandle;
  /** Asks for ends: the other one, which reads what is committed only, would be told of none behind a transaction that is open. */
  readonly #asking: ConsumerHandle;
  readonly #source: RecordSource<Buffer | null, Buffer | null, readonly RecordHeader[]>;
  readonly #vars: RuntimeVars;
  readonly #timeoutMs: number;
  readonly #ends = new Map<string, number>();
  #failure: unknown;
  #closed = false;

  constructor(vars: RuntimeVars, source: 'packed' | 'portable') {
    this.#vars = vars;
    this.#timeoutMs = vars.CONNECT_TIMEOUT_SECONDS * 1000;
    const callbacks: ChangelogCallbacks = {
      onEnd: (topic, partition, offset) => void this.#ends.set(placeOf(topic, partition), offset),
      onError: (error) => {
        if (!error.retriable) this.#failure ??= error;
      },
    };
    this.#handle = changelogHandle(vars, 'read_committed', callbacks);
    this.#asking = changelogHandle(vars, 'read_uncommitted', callbacks);
    this.#source = this.#handle.source(source, new TopicTable(), { key: rawDeserializer, value: rawDeserializer, headers: undefined });
  }

  /** @throws ConnectError when no broker answers in time */
  async connect(signal: AbortSignal): Promise<void> {
    const servers = this.#vars.KAFKA_BOOTSTRAP_SERVERS.join(',');
    await Promise.all([this.#handle, this.#asking].map((handle) => handle.connect(servers, this.#timeoutMs, signal)));
  }

  /**
   * Called once, when connected. Shards that are not `isOurs` any more are left out.
   *
   * @throws ConsumeError when a changelog cannot be read, ClosedError when it was closed meanwhile
   */
  async run(recovering: readonly Recovering[], signal: AbortSignal, isOurs: (shard: Shard) => boolean): Promise<RecoveryResult> {
    const from = performance.now();
    const remaining = new Map<string, Remaining>();
    for (const each of recovering) {
      if (!isOurs(each.shard)) continue;
      const start = await this.#start(each);
      if (start.position < start.end) remaining.set(placeOf(each.changelog, each.shard.partition), start);
    }
    let records = 0;
    if (remaining.size > 0) {
      this.#handle.assign(
        [...remaining.values()].map(
          ({ changelog, shard, position }): TopicPartitionOffset => ({ topic: changelog, partition: shard.partition, offset: position }),
        ),
      );
      while (remaining.size > 0) {
        if (this.#closed || signal.aborted) throw new ClosedError('The recovery of tables was given up');
        if (this.#failure !== undefined) throw this.#failure;
        const batch = await this.#source.fetch(FETCH_RECORDS, FETCH_MS);
        if (batch !== undefined) {
          applyChangelog(batch, (changelog, partition, position) => {
            const at = remaining.get(placeOf(changelog, partition));
            // One that was given up meanwhile is somebody else's to write.
            if (at === undefined || !isOurs(at.shard)) return undefined;
            at.position = position;
            return at.shard;
          });
          records += batch.length;
        }
        for (const [place, { shard }] of remaining) if (!isOurs(shard)) remaining.delete(place);
        this.#removeEnded(remaining);
      }
    }
    return { records, milliseconds: performance.now() - from };
  }

  /** Where a shard's reading begins. A store that does not fit its changelog is made anew. */
  async #start({ shard, changelog }: Recovering): Promise<Remaining> {
    const { low, high } = await this.#asking.watermarks({ topic: changelog, partition: shard.partition }, this.#timeoutMs);
    const { store } = shard;
    const { position } = store;
    if (position !== undefined && (position > high || position < low)) store.clear();
    return { shard, changelog, end: high, position: Math.max(low, store.position ?? low) };
  }

  /** The last offsets may be markers of transactions, of which no record tells. */
  #removeEnded(remaining: Map<string, Remaining>): void {
    for (const [place, at] of remaining) {
      const known = this.#ends.get(place) ?? -1;
      if (at.position < at.end && known < at.end) continue;
      if (known > at.position) at.shard.store.write([], known);
      remaining.delete(place);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#handle.disconnect(DISCONNECT_MS), this.#asking.disconnect(DISCONNECT_MS)]);
  }
}
