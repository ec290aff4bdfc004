import { avscTypes, type InternalType, leastBytes, overForeignTap, type Resolver } from './avsc-internals.ts';
import { Tap } from './tap.ts';

/** What a reader of blocks must know of its items; looked up once, when all types are made. */
class ItemSize {
  #bytes: number | undefined;
  readonly #type: () => InternalType;

  constructor(type: () => InternalType) {
    this.#type = type;
  }

  get bytes(): number {
    this.#bytes ??= leastBytes(this.#type());
    return this.#bytes;
  }
}

/** avsc's arrays, whose item counts are checked before anything is allocated. */
export class GuardedArray extends avscTypes.ArrayType {
  declare readonly _items: ItemSize;

  /** avsc freezes its types as soon as they are made; this is called just before. */
  override _createBranchConstructor(): unknown {
    Object.assign(this, { _items: new ItemSize(() => this.itemsType) });
    return super._createBranchConstructor();
  }

  override _read(tap: Tap): unknown {
    return tap instanceof Tap
      ? readArray(tap, this.itemsType, this._items.bytes)
      : overForeignTap(tap, (own) => readArray(own, this.itemsType, this._items.bytes));
  }

  override _skip(tap: Tap): void {
    skipBlocks(tap, this._items.bytes, () => this.itemsType._skip(tap));
  }

  override _update(resolver: Resolver, writer: InternalType, options: object): void {
    if (!(writer instanceof GuardedArray)) return;
    const items = this.itemsType.createResolver(writer.itemsType, options);
    const size = writer._items;
    resolver._read = (tap) => readArray(tap, items, size.bytes);
  }
}

function readArray(tap: Tap, items: Resolver, itemBytes: number): unknown[] {
  tap.enter();
  const list: unknown[] = [];
  for (let count = tap.readBlockSize(itemBytes); count > 0; count = tap.readBlockSize(itemBytes)) {
    while (count-- > 0) {
      list.push(items._read(tap));
      tap.checkEnd();
    }
  }
  tap.leave();
  return list;
}

/** avsc's maps, guarded as {@link GuardedArray}; a key `__proto__` is a key like any other. */
export class GuardedMap extends avscTypes.MapType {
  declare readonly _items: ItemSize;

  override _createBranchConstructor(): unknown {
    Object.assign(this, { _items: new ItemSize(() => this.valuesType) });
    return super._createBranchConstructor();
  }

  override _read(tap: Tap): unknown {
    return tap instanceof Tap
      ? readMap(tap, this.valuesType, this._items.bytes)
      : overForeignTap(tap, (own) => readMap(own, this.valuesType, this._items.bytes));
  }

  override _skip(tap: Tap): void {
    skipBlocks(tap, 1 + this._items.bytes, () => {
      tap.skipString();
      this.valuesType._skip(tap);
    });
  }

  override _update(resolver: Resolver, writer: InternalType, options: object): void {
    if (!(writer instanceof GuardedMap)) return;
    const values = this.valuesType.createResolver(writer.valuesType, options);
    const size = writer._items;
    resolver._read = (tap) => readMap(tap, values, size.bytes);
  }

  /** avsc's own loses a key `__proto__`. */
  override _copy(value: unknown, options: unknown): unknown {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, PROTO)) return super._copy(value, options);
    const copy: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) set(copy, key, this.valuesType._copy(item, options));
    return copy;
  }
}

const PROTO = '__proto__';

/** Sets a property of that name, whatever the name. */
function set(map: Record<string, unknown>, key: string, value: unknown): void {
  if (key === PROTO) Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
  else map[key] = value;
}

function readMap(tap: Tap, values: Resolver, valueBytes: number): Record<string, unknown> {
  tap.enter();
  const map: Record<string, unknown> = {};
  for (let count = tap.readBlockSize(1 + valueBytes); count > 0; count = tap.readBlockSize(1 + valueBytes)) {
    while (count-- > 0) {
      const key = tap.readString();
      set(map, key, values._read(tap));
      tap.checkEnd();
    }
  }
  tap.leave();
  return map;
}

function skipBlocks(tap: Tap, itemBytes: number, skipItem: () => void): void {
  tap.enter();
  for (;;) {
    const { pos } = tap;
    const claimed = tap.readLong();
    if (claimed === 0) break;
    if (claimed < 0) {
      tap.skipBlock();
      continue;
    }
    tap.pos = pos;
    for (let count = tap.readBlockSize(itemBytes); count > 0; count--) {
      skipItem();
      tap.checkEnd();
    }
  }
  tap.leave();
}

function readBranch(tap: Tap, branches: readonly InternalType[]): InternalType {
  tap.enter();
  const index = tap.readLong();
  const branch = branches[index];
  if (branch === undefined) throw new RangeError(`invalid union index: ${index}`);
  return branch;
}

function skipUnion(tap: Tap, branches: readonly InternalType[]): void {
  readBranch(tap, branches)._skip(tap);
  tap.leave();
}

/** avsc's enums, to whom `constructor` is no symbol. */
export class GuardedEnum extends avscTypes.EnumType {
  override _createBranchConstructor(): unknown {
    Object.setPrototypeOf(this._indices, null);
    return super._createBranchConstructor();
  }
}

/** Counts the levels of a union's resolver: recursive values go through it. */
function countLevels(resolver: Resolver): void {
  const read = resolver._read as Resolver['_read'] | null;
  // None: the writer's type fits no branch, which avsc reports.
  if (read === null) return;
  resolver._read = (tap) => {
    tap.enter();
    const value = read.call(resolver, tap);
    tap.leave();
    return value;
  };
}

/** avsc's unions of values that tell their branch by themselves. */
export class GuardedUnion extends avscTypes.UnwrappedUnionType {
  override _read(tap: Tap): unknown {
    if (!(tap instanceof Tap)) return overForeignTap(tap, (own) => this._read(own));
    const value = readBranch(tap, this.types)._read(tap);
    tap.leave();
    return value;
  }

  override _skip(tap: Tap): void {
    skipUnion(tap, this.types);
  }

  override _update(resolver: Resolver, writer: InternalType, options: object): void {
    super._update(resolver, writer, options);
    countLevels(resolver);
  }
}

/** avsc's unions of values that need their branch's name: `{ int: 1 }`. */
export class GuardedWrappedUnion extends avscTypes.WrappedUnionType {
  override _read(tap: Tap): unknown {
    if (!(tap instanceof Tap)) return overForeignTap(tap, (own) => this._read(own));
    const branch = readBranch(tap, this.types);
    const value = branch.typeName === 'null' ? null : branch.wrap(branch._read(tap));
    tap.leave();
    return value;
  }

  override _skip(tap: Tap): void {
    skipUnion(tap, this.types);
  }

  override _update(resolver: Resolver, writer: InternalType, options: object): void {
    super._update(resolver, writer, options);
    countLevels(resolver);
  }
}
