import avro, { type Type } from 'avsc';
import { ConfigError } from '../errors.ts';
import type { InternalType } from './avsc-internals.ts';
import { GuardedArray, GuardedEnum, GuardedMap, GuardedUnion, GuardedWrappedUnion } from './guard.ts';
import { DefinedLogicalType, type LogicalType, type LogicalTypes } from './logical-type.ts';
import { BigLong, ExactLong, type LongAs } from './long-types.ts';
import { ProjectedRecord } from './skip.ts';

/** How Avro's types become TypeScript's. */
export interface AvroTypeOptions {
  /** Avro's `long`: a number, refused where it would not be exact, or a bigint. @default 'number' */
  readonly long?: LongAs | undefined;
  /** E.g. `standardLogicalTypes`. @default none: values are given as their underlying types hold them */
  readonly logicalTypes?: LogicalTypes | undefined;
}

/** A schema beyond this is refused: code is made of each. */
const MAX_SCHEMA_BYTES = 1_048_576;

type Attributes = Readonly<Record<string, unknown>>;

/**
 * Parses JSON text into avsc's type, with types of ours where avsc is not safe or not exact.
 *
 * @throws ConfigError when it is no valid Avro schema, has a field called `__proto__` or more than 1 MB
 */
export function parseAvroType(text: string, references: readonly string[] = [], options: AvroTypeOptions = {}): Type {
  try {
    const size = references.reduce((sum, reference) => sum + reference.length, text.length);
    if (size > MAX_SCHEMA_BYTES) throw new RangeError(`it has ${size} bytes, more than ${MAX_SCHEMA_BYTES}`);
    // Without a prototype: a type may be called `constructor`.
    const registry = Object.create(null) as Record<string, Type>;
    const { typeHook } = new TypeHook(options);
    const parse = (json: string): Type => avro.Type.forSchema(JSON.parse(json) as avro.Schema, { registry, typeHook });
    for (const reference of references) parse(reference);
    return parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`Expected a valid Avro schema: ${reason}`], { cause: error });
  }
}

/** Chooses the class of each type as avsc comes to it. */
class TypeHook {
  readonly #options: AvroTypeOptions;
  /** Logical types under way: avsc comes to the same schema again for what is under them. */
  readonly #within = new Map<unknown, LogicalType<unknown, unknown>>();

  constructor(options: AvroTypeOptions) {
    this.#options = options;
  }

  readonly typeHook = (schema: unknown, options: object): Type | undefined => {
    if (schema === 'long') return this.#long(undefined);
    if (Array.isArray(schema)) return union(schema, options);
    if (typeof schema !== 'object' || schema === null) return undefined;
    const attributes = schema as Attributes;
    const logical = this.#within.get(schema);
    return logical === undefined
      ? (this.#logical(attributes, options) ?? this.#plain(attributes, options))
      : this.#plain(attributes, options, logical);
  };

  #logical(attributes: Attributes, options: object): Type | undefined {
    const { type, logicalType: name } = attributes;
    const { logicalTypes = {} } = this.#options;
    if (typeof type !== 'string' || typeof name !== 'string' || !Object.hasOwn(logicalTypes, name)) return undefined;
    const definition = logicalTypes[name]!;
    this.#within.set(attributes, definition);
    try {
      return new DefinedLogicalType(attributes, options, definition);
    } finally {
      this.#within.delete(attributes);
    }
  }

  #plain(attributes: Attributes, options: object, logical?: LogicalType<unknown, unknown>): Type | undefined {
    const { type, fields } = attributes;
    if (type === 'long') return this.#long(logical?.long);
    if (type === 'array') return new GuardedArray(attributes, options);
    if (type === 'enum') return new GuardedEnum(attributes, options);
    if (type === 'map') return new GuardedMap(attributes, options);
    // `{ "type": { … } }` says no more than what is in it.
    if (typeof type === 'object' && type !== null) return avro.Type.forSchema(type as avro.Schema, options);
    if (Array.isArray(fields) && fields.some((field) => (field as { name?: unknown } | null)?.name === '__proto__')) {
      throw new TypeError('a field is called __proto__, which would replace the prototype of its record');
    }
    return type === 'record' || type === 'error' ? new ProjectedRecord(attributes, options) : undefined;
  }

  #long(asked: LongAs | undefined): Type {
    return (asked ?? this.#options.long) === 'bigint' ? new BigLong() : new ExactLong();
  }
}

/** avsc hands the hook its own options, the hook among them. */
function union(schemas: readonly unknown[], options: object): Type {
  const types = schemas.map((schema) => avro.Type.forSchema(schema as avro.Schema, options) as InternalType);
  return isAmbiguous(types) ? new GuardedWrappedUnion(types, options) : new GuardedUnion(types, options);
}

/** What values of a type look like at run time, by the word a schema says for it; two branches of a union alike need their names. */
export const valueKinds: Readonly<Record<string, string>> = {
  int: 'number',
  long: 'number',
  float: 'number',
  double: 'number',
  bytes: 'buffer',
  fixed: 'buffer',
  enum: 'string',
  map: 'object',
  error: 'object',
  record: 'object',
};

function isAmbiguous(types: readonly InternalType[]): boolean {
  const kinds = types.filter(({ typeName }) => !typeName.startsWith('logical:')).map(({ typeName }) => valueKinds[typeName] ?? typeName);
  return new Set(kinds).size < kinds.length;
}
