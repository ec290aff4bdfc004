import avro, { type Type } from 'avsc';
import { Tap } from './tap.ts';

/** What avsc's types have beside their documented methods, as far as it is used or replaced here. Check it when avsc is upgraded. */
export interface TypeInternals {
  _read(tap: Tap): unknown;
  _skip(tap: Tap): void;
  _write(tap: Tap, value: unknown): void;
  _check(value: unknown, flags: unknown, hook: CheckHook | undefined, path: unknown): boolean;
  _copy(value: unknown, options: unknown): unknown;
  _update(resolver: Resolver, writer: InternalType, options: object): void;
  createResolver(writer: InternalType, options: object): Resolver;
}

export type CheckHook = (value: unknown, type: Type) => void;

export type InternalType = Type & TypeInternals;

/** Reads values of a writer's type as those of a reader's. */
export interface Resolver {
  _read(tap: Tap): unknown;
}

/** A type's class as it is at run time. */
export type TypeClass<More = object> = new (schema: unknown, options: object) => InternalType & More;

/** A field of a record's type. */
export interface RecordField {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: InternalType;
}

/** avsc's classes, typed by what they hold. */
export const avscTypes = avro.types as unknown as {
  readonly ArrayType: TypeClass<{ readonly itemsType: InternalType; _createBranchConstructor(): unknown }>;
  readonly MapType: TypeClass<{ readonly valuesType: InternalType; _createBranchConstructor(): unknown }>;
  readonly UnwrappedUnionType: TypeClass<{ readonly types: readonly InternalType[] }>;
  readonly WrappedUnionType: TypeClass<{ readonly types: readonly InternalType[] }>;
  readonly EnumType: TypeClass<{ readonly _indices: object; _createBranchConstructor(): unknown }>;
  readonly RecordType: TypeClass<{ readonly fields: readonly RecordField[] }>;
  readonly LongType: new () => InternalType;
  readonly LogicalType: TypeClass<{ readonly underlyingType: InternalType }>;
};

/** A tap of avsc's own: its `fromBuffer`, `toBuffer` and encoded defaults still use it. */
interface ForeignTap {
  readonly buf: Buffer;
  pos: number;
}

/** Calls `use` with our tap at the place of avsc's own, and moves that one on. */
export function overForeignTap<T>(foreign: ForeignTap, use: (tap: Tap) => T): T {
  const tap = new Tap(foreign.buf);
  tap.open(foreign.buf, foreign.pos, foreign.buf.length);
  const result = use(tap);
  foreign.pos = tap.pos;
  return result;
}

/** The bytes a value of the type has at least; 0 for null, empty records and the like. */
export function leastBytes(type: InternalType, within: ReadonlySet<Type> = new Set()): number {
  // A record within itself ends somewhere; what it has there is left out.
  if (within.has(type)) return 0;
  switch (type.typeName.replace(/:.*/, '')) {
    case 'null':
      return 0;
    case 'float':
      return 4;
    case 'double':
      return 8;
    case 'fixed':
      return (type as unknown as { size: number }).size;
    case 'logical':
      return leastBytes((type as unknown as { underlyingType: InternalType }).underlyingType, within);
    case 'union': {
      const { types } = type as unknown as { types: readonly InternalType[] };
      return 1 + Math.min(...types.map((branch) => leastBytes(branch, new Set([...within, type]))));
    }
    case 'record':
    case 'error': {
      const { fields } = type as unknown as { fields: readonly { type: InternalType }[] };
      return fields.reduce((sum, field) => sum + leastBytes(field.type, new Set([...within, type])), 0);
    }
    default:
      return 1;
  }
}
