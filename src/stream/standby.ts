import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumerHandle } from '../binding/consumer-handle.ts';
import { TopicTable } from '../binding/pack.ts';
import type { RecordSource } from '../binding/record-source.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import { type RecordHeader, rawDeserializer } from '../serde.ts';
import { applyChangelog, changelogHandle, placeOf } from './changelog.ts';
import type { Shard } from './shard.ts';

/** Records a fetch takes at most, and how long it waits for the first. */
const FETCH_RECORDS = 10_000;
const FETCH_MS = 200;
const DISCONNECT_MS = 5_000;
const RETRY_MS = 1_000;

/** librdkafka's word for the start of a partition. */
const BEGINNING = -2;

interface Followed {
  readonly shard: Shard;
  readonly changelog: string;
}

/**
 * Copies of the shards that other processes have, kept up to date from their changelogs: a partition that comes here is read from where
 * its copy is.
 */
export class Standby {
  readonly #handle: ConsumerHandle;
  readonly #source: RecordSource<Buffer | null, Buffer | null, readonly RecordHeader[]>;
  readonly #vars: RuntimeVars;
  readonly #onError: (error: unknown) => void;
  readonly #followed = new Map<string, Followed>();
  #following: Promise<void> | undefined;
  #changed = false;
  #closed = false;

  constructor(vars: RuntimeVars, source: 'packed' | 'portable', onError: (error: unknown) => void) {
    this.#vars = vars;
    this.#onError = onError;
    this.#handle = changelogHandle(vars, 'read_committed', {
      onEnd: () => undefined,
      onError: (error) => {
        if (!error.retriable) onError(error);
      },
    });
    this.#source = this.#handle.source(source, new TopicTable(), { key: rawDeserializer, value: rawDeserializer, headers: undefined });
  }

  /** @throws ConnectError when no broker answers in time */
  async start(): Promise<void> {
    await this.#handle.connect(this.#vars.KAFKA_BOOTSTRAP_SERVERS.join(','), this.#vars.CONNECT_TIMEOUT_SECONDS * 1000, undefined);
    this.#following = this.#follow();
  }

  /** Shards that are copied. */
  get size(): number {
    return this.#followed.size;
  }

  /** Copies a shard from now on. */
  give(shard: Shard, changelog: string): void {
    this.#followed.set(placeOf(changelog, shard.partition), { shard, changelog });
    this.#changed = true;
  }

  /** The copy of a shard, which is no longer kept up to date. */
  take(changelog: string, partition: number): Shard | undefined {
    const place = placeOf(changelog, partition);
    const followed = this.#followed.get(place);
    if (followed === undefined) return undefined;
    this.#followed.delete(place);
    this.#changed = true;
    return followed.shard;
  }

  async #follow(): Promise<void> {
    while (!this.#closed) {
      try {
        if (this.#changed) this.#assign();
        const batch = this.#followed.size === 0 ? await sleep(FETCH_MS, undefined) : await this.#source.fetch(FETCH_RECORDS, FETCH_MS);
        // What was taken meanwhile is read by its owner, from where its store is.
        if (batch !== undefined) applyChangelog(batch, (changelog, partition) => this.#followed.get(placeOf(changelog, partition))?.shard);
      } catch (error) {
        if (this.#closed) return;
        this.#onError(error);
        await sleep(RETRY_MS);
      }
    }
  }

  #assign(): void {
    this.#changed = false;
    this.#handle.assign(
      [...this.#followed.values()].map(({ changelog, shard }) => ({
        topic: changelog,
        partition: shard.partition,
        offset: shard.store.position ?? BEGINNING,
      })),
    );
  }

  /** Ends the copying, and closes the copies. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#following;
    await this.#handle.disconnect(DISCONNECT_MS);
    for (const { shard } of this.#followed.values()) shard.close();
    this.#followed.clear();
  }
}
