import avro from 'avsc';
import { avscTypes, type CheckHook, type InternalType, overForeignTap, type Resolver } from './avsc-internals.ts';
import { Tap } from './tap.ts';

/** How Avro's `long` is given: a number, refused where it would not be exact, or a bigint. */
export type LongAs = 'number' | 'bigint';

/** A `long` as a number: beyond ±(2^53 - 1) it is refused in both directions, where avsc would change it. */
export class ExactLong extends avscTypes.LongType {
  override _check(value: unknown, _flags: unknown, hook: CheckHook | undefined): boolean {
    const valid = Number.isSafeInteger(value);
    if (!valid) hook?.(value, this);
    return valid;
  }

  override _write(tap: Tap, value: unknown): void {
    if (!Number.isSafeInteger(value)) throw notExact(value);
    if (tap instanceof Tap) tap.writeLong(value as number);
    else overForeignTap(tap, (own) => own.writeLong(value as number));
  }

  override _read(tap: Tap): number {
    const value = tap instanceof Tap ? tap.readLong() : overForeignTap(tap, (own) => own.readLong());
    if (!Number.isSafeInteger(value)) throw notExact(value);
    return value;
  }
}

function notExact(value: unknown): RangeError {
  return new RangeError(`a long of ${String(value)} is not exact as a number: ask for bigints (long: 'bigint')`);
}

type AbstractLong = new (noUnpack: boolean) => InternalType & { readonly _concreteTypeName: string };

/** avsc's base of longs that are no numbers: unions and resolvers know it. It is not exported, so it is taken from an instance. */
const AbstractLongType = Object.getPrototypeOf(
  avro.types.LongType.__with({
    fromBuffer: () => 0n,
    toBuffer: () => Buffer.alloc(8),
    fromJSON: () => 0n,
    toJSON: () => 0,
    isValid: () => true,
    compare: () => 0,
  }),
).constructor as AbstractLong;

const BITS_64 = 64;

/** A `long` as a bigint, all 64 bits. */
export class BigLong extends AbstractLongType {
  constructor() {
    super(false);
    Object.freeze(this);
  }

  override _check(value: unknown, _flags: unknown, hook: CheckHook | undefined): boolean {
    const valid = typeof value === 'bigint' && BigInt.asIntN(BITS_64, value) === value;
    if (!valid) hook?.(value, this);
    return valid;
  }

  override _read(tap: Tap): bigint {
    return tap instanceof Tap ? tap.readBigLong() : overForeignTap(tap, (own) => own.readBigLong());
  }

  override _write(tap: Tap, value: unknown): void {
    if (!this._check(value, undefined, undefined)) throw new RangeError(`${String(value)} is no bigint of 64 bits`);
    if (tap instanceof Tap) tap.writeBigLong(value as bigint);
    else overForeignTap(tap, (own) => own.writeBigLong(value as bigint));
  }

  /** Defaults come from JSON as numbers, and go back. */
  override _copy(value: unknown, options: unknown): unknown {
    const { coerce } = (options ?? {}) as { coerce?: number };
    if (coerce === 3) return Number(value);
    return BigInt(value as number);
  }

  override _update(resolver: Resolver, writer: InternalType): void {
    if (writer.typeName === 'int') resolver._read = (tap) => BigInt(tap.readInt());
    else if (writer.typeName === 'long' || (writer.typeName as string) === 'abstract:long') resolver._read = (tap) => this._read(tap);
  }

  override compare(a: unknown, b: unknown): -1 | 0 | 1 {
    return (a as bigint) < (b as bigint) ? -1 : (a as bigint) > (b as bigint) ? 1 : 0;
  }

  /** avsc's typings take the value for a type. */
  override random(): never {
    return BigInt(Math.trunc((Math.random() - 0.5) * Number.MAX_SAFE_INTEGER)) as never;
  }
}
