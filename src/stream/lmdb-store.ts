import { mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Database, RootDatabase } from 'lmdb';
import { ConfigError } from '../errors.ts';
import type { ShardStore, StateStore, StoreChange } from './store.ts';

/** LMDB's own limit of a key, with its defaults. */
const KEY_MAX_BYTES = 1_978;

const POSITION = 'position';

/** Options of {@link lmdbStore}. */
export interface LmdbStoreOptions {
  /** Where the databases are, one directory a partition of a table. Of this process alone. */
  readonly directory: string;
}

interface Lmdb {
  open(options: object): RootDatabase;
}

function loadLmdb(): Lmdb {
  try {
    return createRequire(import.meta.url)('lmdb') as Lmdb;
  } catch (cause) {
    throw new ConfigError(['Expected the package lmdb to be there for lmdbStore: npm install lmdb'], { cause });
  }
}

class LmdbShard implements ShardStore {
  readonly maxKeyBytes: number = KEY_MAX_BYTES;
  readonly #root: RootDatabase;
  readonly #values: Database<Buffer, Buffer>;
  readonly #meta: Database<number, string>;

  constructor(lmdb: Lmdb, path: string) {
    mkdirSync(path, { recursive: true });
    // What a crash of the machine loses is read again from the changelog: the position is written with the values.
    this.#root = lmdb.open({ path, noSync: true, maxDbs: 2 });
    this.#values = this.#root.openDB<Buffer, Buffer>('values', { keyEncoding: 'binary', encoding: 'binary' });
    this.#meta = this.#root.openDB<number, string>('meta', {});
  }

  get position(): number | undefined {
    return this.#meta.get(POSITION);
  }

  get size(): number {
    return (this.#values.getStats() as { entryCount: number }).entryCount;
  }

  get(key: string): Buffer | undefined {
    return this.#values.get(Buffer.from(key, 'latin1'));
  }

  *entries(): Iterable<readonly [string, Buffer]> {
    for (const { key, value } of this.#values.getRange()) yield [key.toString('latin1'), value];
  }

  write(changes: Iterable<StoreChange>, position: number): void {
    this.#root.transactionSync(() => {
      for (const [key, value] of changes) {
        const bytes = Buffer.from(key, 'latin1');
        if (value === null) this.#values.removeSync(bytes);
        else this.#values.putSync(bytes, value);
      }
      this.#meta.putSync(POSITION, position);
    });
  }

  clear(): void {
    this.#root.transactionSync(() => {
      this.#values.clearSync();
      this.#meta.clearSync();
    });
  }

  close(): void {
    void this.#root.close();
  }
}

/**
 * Tables in LMDB, an embedded database (optional peer `lmdb`): larger than memory, and at the next start only what the changelogs have
 * more is read. A database that does not open is deleted and read anew.
 *
 * @throws ConfigError without the package
 */
export function lmdbStore({ directory }: LmdbStoreOptions): StateStore {
  const lmdb = loadLmdb();
  return {
    open(table, partition) {
      const path = join(directory, `${encodeURIComponent(table)}-${partition}`);
      try {
        return new LmdbShard(lmdb, path);
      } catch {
        rmSync(path, { recursive: true, force: true });
        return new LmdbShard(lmdb, path);
      }
    },
    close: () => undefined,
  };
}
