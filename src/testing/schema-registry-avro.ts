import avsc, { type Type } from 'avsc';

/** Levels the Confluent Schema Registry knows. `*_TRANSITIVE` checks against every version, the others against the latest. */
export const COMPATIBILITY_LEVELS = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const;

/** One of {@link COMPATIBILITY_LEVELS}. */
export type CompatibilityLevel = (typeof COMPATIBILITY_LEVELS)[number];

/** True for the exact, upper-case name of a level. */
export function isCompatibilityLevel(value: unknown): value is CompatibilityLevel {
  return (COMPATIBILITY_LEVELS as readonly unknown[]).includes(value);
}

/** An Avro schema as the registry keeps it. */
export interface ParsedAvro {
  /** The schema as compact JSON, attributes in the order they were written. */
  readonly text: string;
  /** Equal for schemas that differ only in white space, attribute order or how names are qualified. */
  readonly key: string;
  readonly type: Type;
}

/**
 * Parses an Avro schema.
 *
 * @param dependencies JSON of the schemas it names, each after those it depends on.
 * @throws whatever JSON or avsc object to; the message says what is wrong with the schema.
 */
export function parseAvro(json: string, dependencies: Iterable<string> = []): ParsedAvro {
  // No prototype: a schema may well name a type `toString`.
  const registry: Record<string, Type> = Object.create(null);
  for (const dependency of dependencies) toType(JSON.parse(dependency), registry);
  const schema: unknown = JSON.parse(json);
  const type = toType(schema, registry);
  return { text: JSON.stringify(schema), key: JSON.stringify(canonical(schema, '')), type };
}

function toType(schema: unknown, registry: Record<string, Type>): Type {
  // Wrapped unions accept every union Avro does; avsc's unwrapped ones refuse some that are ambiguous in JavaScript only.
  return avsc.Type.forSchema(schema as avsc.Schema, { registry, wrapUnions: 'always' });
}

/** A tree with one form for all spellings of a schema. Arrays of entries, not objects: attribute names are the user's. */
function canonical(schema: unknown, namespace: string): unknown {
  if (typeof schema === 'string') return PRIMITIVES.has(schema) ? schema : qualify(schema, namespace);
  if (Array.isArray(schema)) return ['[', ...schema.map((branch) => canonical(branch, namespace))];
  const attributes = new Map(Object.entries(schema as object));
  const name = attributes.get('name');
  let inner = namespace;
  if (typeof name === 'string') {
    const own = attributes.get('namespace');
    const fullName = qualify(name, typeof own === 'string' ? own : namespace);
    attributes.set('name', fullName).delete('namespace');
    inner = fullName.slice(0, Math.max(0, fullName.lastIndexOf('.')));
  }
  const type: unknown = attributes.get('type');
  if (attributes.size === 1) return canonical(type, namespace);
  const nested = new Map<string, unknown>();
  if (typeof type !== 'string' || !COMPLEX.has(type)) nested.set('type', canonical(type, inner));
  if (type === 'array') nested.set('items', canonical(attributes.get('items'), inner));
  if (type === 'map') nested.set('values', canonical(attributes.get('values'), inner));
  const fields: unknown = attributes.get('fields');
  if (Array.isArray(fields)) nested.set('fields', ['[', ...fields.map((field: unknown) => canonicalField(field, inner))]);
  return entriesOf(attributes, nested);
}

function canonicalField(field: unknown, namespace: string): unknown {
  const attributes = new Map(Object.entries(field as object));
  return entriesOf(attributes, new Map([['type', canonical(attributes.get('type'), namespace)]]));
}

function entriesOf(attributes: ReadonlyMap<string, unknown>, nested: ReadonlyMap<string, unknown>): unknown {
  const names = [...attributes.keys()].sort();
  return ['{', ...names.map((name) => [name, nested.has(name) ? nested.get(name) : sortKeys(attributes.get(name))])];
}

/** The same tree for a plain JSON value: equal for values that differ only in the order of their keys. */
export function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return ['[', ...value.map(sortKeys)];
  if (value === null || typeof value !== 'object') return value;
  return entriesOf(new Map(Object.entries(value)), new Map());
}

const PRIMITIVES: ReadonlySet<string> = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string']);
const COMPLEX: ReadonlySet<string> = new Set(['record', 'error', 'enum', 'fixed', 'array', 'map']);

function qualify(name: string, namespace: string): string {
  return namespace === '' || name.includes('.') ? name : `${namespace}.${name}`;
}

/** One side of a compatibility check. `type` is undefined for what is not Avro. */
export interface Checked {
  readonly schemaType: string;
  readonly type: Type | undefined;
}

/**
 * Says how `next` breaks `level` against earlier versions; empty when it does not. Avro is resolved by avsc; a change of
 * schema type breaks every level but `NONE`; JSON and PROTOBUF schemas are not compared.
 *
 * @param earlier Oldest first.
 */
export function findIncompatibilities(
  level: CompatibilityLevel,
  next: Checked,
  earlier: readonly (Checked & { readonly version: number })[],
): string[] {
  if (level === 'NONE') return [];
  const messages: string[] = [];
  for (const old of level.endsWith('_TRANSITIVE') ? earlier : earlier.slice(-1)) {
    if (old.schemaType !== next.schemaType) {
      messages.push(`Version ${old.version} is ${old.schemaType}, the new schema is ${next.schemaType}.`);
    } else if (old.type !== undefined && next.type !== undefined) {
      const backward = level.startsWith('FORWARD') ? undefined : whyUnreadable(next.type, old.type);
      if (backward !== undefined) messages.push(`The new schema cannot read data written with version ${old.version}: ${backward}`);
      const forward = level.startsWith('BACKWARD') ? undefined : whyUnreadable(old.type, next.type);
      if (forward !== undefined) messages.push(`Version ${old.version} cannot read data written with the new schema: ${forward}`);
    }
  }
  return messages;
}

function whyUnreadable(reader: Type, writer: Type): string | undefined {
  try {
    reader.createResolver(writer);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
