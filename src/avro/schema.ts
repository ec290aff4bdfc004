import type { Type } from 'avsc';
import type { AsOptions, Infer } from './infer.ts';
import { type AvroTypeOptions, parseAvroType } from './parse-type.ts';

/** An Avro schema as JSON: a name, a list (union) or an object. */
export type AvroSchemaJson = string | readonly unknown[] | { readonly [attribute: string]: unknown };

declare const valueType: unique symbol;

/** An Avro schema that knows the TypeScript type of its values. Made by {@link avroSchema} and `defineSchema`. */
export interface AvroSchema<T> {
  /** The schema as JSON text, as it is registered. */
  readonly text: string;
  readonly type: Type;
  /** How its longs and logical types are given, those of its writers' schemas included. */
  readonly options: AvroTypeOptions;
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
export function avroSchema<T>(schema: AvroSchemaJson, options: AvroTypeOptions = {}): AvroSchema<T> {
  const text = typeof schema === 'string' && /^\s*[[{"]/.test(schema) ? schema : JSON.stringify(schema);
  return { text, type: parseAvroType(text, [], options), options };
}

/**
 * An Avro schema whose TypeScript type is read off the schema itself, written as a literal: records, arrays, maps, enums, unions that need no
 * wrapping, names of types within it, and logical types as `options` give them. What cannot be read is `unknown`: use {@link avroSchema}
 * or the types `rdkafka-toolkit codegen` writes.
 *
 * @throws ConfigError when it is no valid Avro schema
 * @example
 * const flight = defineSchema({ type: 'record', name: 'Flight', fields: [{ name: 'id', type: 'int' }, { name: 'gate', type: ['null', 'string'] }] });
 * type Flight = AvroValue<typeof flight>; // { id: number; gate: string | null }
 */
export function defineSchema<const S extends AvroSchemaJson, const O extends AvroTypeOptions = Record<never, never>>(
  schema: S,
  options?: O,
): AvroSchema<Infer<S, S, AsOptions<O>>> {
  return avroSchema(schema, options);
}

/** The type of a schema's values. */
export type AvroValue<S> = S extends AvroSchema<infer T> ? T : never;
