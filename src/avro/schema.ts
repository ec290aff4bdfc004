import avro from 'avsc';
import { ConfigError } from '../errors.ts';

/** An Avro schema as JSON: a name, a list (union) or an object. */
export type AvroSchemaJson = string | readonly unknown[] | { readonly [attribute: string]: unknown };

declare const valueType: unique symbol;

/** An Avro schema that knows the TypeScript type of its values. Made by {@link avroSchema}. */
export interface AvroSchema<T> {
  /** The schema as JSON text, as it is registered. */
  readonly text: string;
  readonly type: avro.Type;
  /** Never there at run time: carries `T`. */
  readonly [valueType]?: T;
}

/**
 * An Avro schema for values of type `T`.
 *
 * @throws ConfigError when it is no valid Avro schema
 * @example
 * const flight = avroSchema<{ id: number; delay: number }>({
 *   type: 'record', name: 'Flight', fields: [{ name: 'id', type: 'int' }, { name: 'delay', type: 'int' }],
 * });
 */
export function avroSchema<T>(schema: AvroSchemaJson): AvroSchema<T> {
  const text = typeof schema === 'string' && /^\s*[[{"]/.test(schema) ? schema : JSON.stringify(schema);
  return { text, type: parseAvroType(text) };
}

/** Parses JSON text into avsc's type. @throws ConfigError */
export function parseAvroType(text: string, references: readonly string[] = []): avro.Type {
  try {
    const registry = {};
    for (const reference of references) avro.Type.forSchema(JSON.parse(reference) as avro.Schema, { registry, typeHook });
    return avro.Type.forSchema(JSON.parse(text) as avro.Schema, { registry, typeHook });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError([`Expected a valid Avro schema: ${reason}`], { cause: error });
  }
}

/** avsc computes in doubles: outside these bounds its zigzag coding silently changes a value. */
const isExactLong = (value: unknown): boolean => typeof value === 'number' && value >= -(2 ** 52) && value < 2 ** 52;

type Internals = new () => avro.Type & {
  _check(value: unknown, flags: unknown, hook: ((value: unknown, type: avro.Type) => void) | undefined): boolean;
  _write(tap: unknown, value: unknown): void;
  _read(tap: unknown): number;
};

/** A subclass, because avsc freezes its types. */
class ExactLong extends (avro.types.LongType as unknown as Internals) {
  override _check(value: unknown, flags: unknown, hook: ((value: unknown, type: avro.Type) => void) | undefined): boolean {
    if (isExactLong(value)) return super._check(value, flags, hook);
    hook?.(value, this);
    return false;
  }

  override _write(tap: unknown, value: unknown): void {
    if (!isExactLong(value)) throw new RangeError(`a long of ${String(value)} is not exact as a number`);
    super._write(tap, value);
  }

  override _read(tap: unknown): number {
    const value = super._read(tap);
    if (!isExactLong(value)) throw new RangeError('a long is not exact as a number');
    return value;
  }
}

function typeHook(attributes: unknown): avro.Type | undefined {
  const { type, logicalType } = (typeof attributes === 'object' && attributes !== null ? attributes : { type: attributes }) as Record<
    string,
    unknown
  >;
  return type === 'long' && logicalType === undefined ? (new ExactLong() as avro.Type) : undefined;
}
