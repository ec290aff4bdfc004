import { setTimeout as sleep } from 'node:timers/promises';
import type { TopicPartition } from '../binding/node-rdkafka.ts';
import { chooseSource } from '../delivery/create-clients.ts';
import { ClosedError, isToolkitError } from '../errors.ts';
import type { RuntimeVars } from '../runtime-vars.ts';
import type { AnyRecord } from './agent.ts';
import type { StreamAppEvents } from './app-options.ts';
import type { StreamCore } from './core.ts';
import { type Recovering, Recovery } from './recovery.ts';
import { Shard } from './shard.ts';
import { Standby } from './standby.ts';
import type { StateStore } from './store.ts';

/** How shards are kept, and who is told of what becomes of them. */
export interface TableShardsOptions {
  readonly transactional: boolean;
  /** Fires when the app is to stop: shards that are given up then are not copied any more. */
  readonly stopping: AbortSignal;
  onRecovered(recovery: StreamAppEvents['recovered'][0]): void;
  /** Something went wrong, and is tried again. */
  onError(error: unknown): void;
  /** Tables were not read: the app ends. */
  onFailed(error: unknown): void;
}

/**
 * The tables' shards as partitions come and go: each is read from its changelog before a record of its partition is handled, and given up with
 * the partition, or copied on where the app keeps copies.
 */
export class TableShards {
  readonly #core: StreamCore;
  readonly #vars: RuntimeVars;
  readonly #store: StateStore;
  readonly #options: TableShardsOptions;
  #standby: Standby | undefined;
  readonly #ending = new AbortController();
  #endingBy: AbortSignal | undefined;
  /** Readings under way, by their shards. */
  readonly #recovering = new Map<string, Promise<void>>();
  readonly #recoveries = new Set<Recovery>();
  /** Which reading a shard is of. */
  readonly #readBy = new WeakMap<Shard, object>();
  #recoveredRecords = 0;

  constructor(core: StreamCore, vars: RuntimeVars, store: StateStore, options: TableShardsOptions) {
    this.#core = core;
    this.#vars = vars;
    this.#store = store;
    this.#options = options;
  }

  /** Records that were read to bring shards up to date. */
  get recoveredRecords(): number {
    return this.#recoveredRecords;
  }

  /** Copies of shards that other processes have. */
  get copies(): number {
    return this.#standby?.size ?? 0;
  }

  get #sourceKind(): 'packed' | 'portable' {
    return chooseSource(this.#vars.RDKAFKA_TOOLKIT_NATIVE);
  }

  /** Keeps copies. Until partitions are assigned, all shards are. `partitions`: how many each table has. */
  async openStandby(partitions: ReadonlyMap<string, number>): Promise<void> {
    const standby = new Standby(this.#vars, this.#sourceKind, (error) => this.#options.onError(error));
    await standby.start();
    this.#standby = standby;
    for (const { changelog, name } of this.#core.tables.values()) {
      for (let partition = 0; partition < (partitions.get(name) ?? 0); partition++)
        standby.give(this.#newShard(name, partition), changelog);
    }
  }

  #newShard(table: string, partition: number): Shard {
    return new Shard(table, partition, this.#store.open(table, partition), this.#options.transactional);
  }

  assigned(partitions: readonly TopicPartition[]): void {
    const shards: Recovering[] = [];
    for (const { topic, partition } of partitions) {
      for (const { name, changelog } of this.#core.tablesOf(topic)) {
        if (this.#core.shard(name, partition) !== undefined) continue;
        const shard = this.#standby?.take(changelog, partition) ?? this.#newShard(name, partition);
        this.#core.addShard(shard);
        shards.push({ shard, changelog });
      }
    }
    if (shards.length > 0) this.#recover(shards, partitions);
  }

  #recover(shards: readonly Recovering[], partitions: readonly TopicPartition[]): void {
    // What was given up since is not this reading's any more, were it to come back in the meantime.
    const token = {};
    for (const { shard } of shards) this.#readBy.set(shard, token);
    const isOurs = (shard: Shard): boolean => this.#readBy.get(shard) === token;
    const work = this.#recoverOnce(shards, partitions, isOurs).catch((error: unknown) => {
      // Given up because they were: others have them now.
      if (!this.#ending.signal.aborted && shards.some(({ shard }) => isOurs(shard))) this.#options.onFailed(error);
      // No record is handled on a table that was read in part: a runner that stops leaves it undone.
      throw new ClosedError('The tables of a partition were not read', { cause: error });
    });
    for (const { shard } of shards) {
      const key = keyOf(shard);
      const mine = work.then(() => {
        if (this.#recovering.get(key) === mine) this.#recovering.delete(key);
      });
      // It may be that nobody waits for it.
      mine.catch(() => undefined);
      this.#recovering.set(key, mine);
    }
  }

  async #recoverOnce(
    shards: readonly Recovering[],
    partitions: readonly TopicPartition[],
    isOurs: (shard: Shard) => boolean,
  ): Promise<void> {
    const { signal } = this.#ending;
    for (let attempt = 0; ; attempt++) {
      const recovery = new Recovery(this.#vars, this.#sourceKind);
      this.#recoveries.add(recovery);
      try {
        await recovery.connect(signal);
        const { milliseconds, records } = await recovery.run(shards, signal, isOurs);
        for (const { shard } of shards) if (isOurs(shard)) shard.recovered = true;
        this.#recoveredRecords += records;
        this.#options.onRecovered({ records, milliseconds, partitions });
        return;
      } catch (error) {
        if (!isToolkitError(error) || !error.retriable || signal.aborted) throw error;
        this.#options.onError(error);
        await sleep(Math.min(5_000, 100 * 2 ** attempt), undefined, { signal });
      } finally {
        this.#recoveries.delete(recovery);
        await recovery.close();
      }
    }
  }

  /** Resolves when the shards of a record's partition are there; undefined when nothing of it is being read. */
  readonly ready = (record: AnyRecord): Promise<void> | undefined => (this.#recovering.size === 0 ? undefined : this.#whenRead(record));

  #whenRead({ topic, partition }: AnyRecord): Promise<void> | undefined {
    const pending = this.#core.tablesOf(topic).flatMap(({ name }) => this.#recovering.get(keyOf({ table: name, partition })) ?? []);
    return pending.length === 0 ? undefined : Promise.all(pending).then(() => undefined);
  }

  revoked(partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      for (const { changelog, name } of this.#core.tablesOf(topic)) {
        const shard = this.#core.shard(name, partition);
        if (shard !== undefined) this.#giveUp(shard, changelog);
      }
    }
  }

  /** Others have it from now on. */
  #giveUp(shard: Shard, changelog: string): void {
    this.#core.removeShard(shard);
    this.#recovering.delete(keyOf(shard));
    this.#readBy.delete(shard);
    if (this.#standby === undefined || this.#options.stopping.aborted) {
      shard.close();
      return;
    }
    shard.rest();
    this.#standby.give(shard, changelog);
  }

  /** Readings of changelogs end with whatever stops the app. */
  endWith(signal: AbortSignal): void {
    if (this.#endingBy === signal) return;
    this.#endingBy = signal;
    if (signal.aborted) this.end();
    else signal.addEventListener('abort', () => this.end(), { once: true });
  }

  /** Readings of changelogs end. */
  end(): void {
    this.#ending.abort();
  }

  /** Closes what reads changelogs. */
  async closeRecoveries(): Promise<void> {
    for (const recovery of this.#recoveries) await recovery.close();
  }

  /** Closes the shards, copies included. */
  async closeShards(): Promise<void> {
    for (const shard of this.#core.allShards()) shard.close();
    await this.#standby?.close();
  }

  closeStore(): void {
    this.#store.close();
  }
}

function keyOf({ table, partition }: Pick<Shard, 'table' | 'partition'>): string {
  return `${table}/${partition}`;
}
