import { DecodeError, SchemaRegistryError } from '../errors.ts';
import type { Deserializer, RegisteredSchema, SchemaSource } from '../serde.ts';
import type { InternalType, Resolver, TypeInternals } from './avsc-internals.ts';
import { type AvroTypeOptions, parseAvroType } from './parse-type.ts';
import type { AvroSchema } from './schema.ts';
import { Tap } from './tap.ts';
import { peekSchemaId, readSchemaId, WIRE_HEADER_BYTES } from './wire-format.ts';

/** Options of {@link createAvroDeserializer}. */
export interface AvroDeserializerOptions<T> {
  readonly registry: SchemaSource;
  /**
   * Values are given in this schema, whichever their writer used. One with fewer fields is a projection: the others are skipped, which
   * is many times cheaper. @default the writer's schema
   */
  readonly readerSchema?: AvroSchema<T> | undefined;
  /** How longs and logical types are given. @default as the reader schema says, else numbers and underlying values */
  readonly types?: AvroTypeOptions | undefined;
}

/** Reads values of one writer schema: made once for each reader. */
type Reader = Pick<Resolver, '_read'>;

/** Readers by writer, then by reader schema or type options: consumers of one registry share them. */
const made = new WeakMap<RegisteredSchema, Map<object, Reader | DecodeError>>();
const plainTypes: AvroTypeOptions = {};
const nothing = Buffer.alloc(0);

function readerFor(schema: RegisteredSchema, readerSchema: AvroSchema<unknown> | undefined, types: AvroTypeOptions): Reader | DecodeError {
  let readers = made.get(schema);
  if (readers === undefined) {
    readers = new Map();
    made.set(schema, readers);
  }
  const key = readerSchema ?? types;
  let reader = readers.get(key);
  if (reader === undefined) {
    reader = makeReader(schema, readerSchema, types);
    readers.set(key, reader);
  }
  return reader;
}

function makeReader(
  { id, text, references }: RegisteredSchema,
  readerSchema: AvroSchema<unknown> | undefined,
  types: AvroTypeOptions,
): Reader | DecodeError {
  try {
    if (readerSchema?.text === text) return readerSchema.type as InternalType;
    const writer = parseAvroType(text, references, types) as InternalType;
    return readerSchema === undefined ? writer : resolverOf(readerSchema.type as InternalType, writer);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return new DecodeError(`schema ${id} cannot be read: ${reason}`, { schemaId: id, cause: error });
  }
}

function resolverOf(reader: InternalType, writer: InternalType): Reader {
  return (reader as TypeInternals).createResolver(writer, {});
}

/**
 * Checks that values of a schema can be given in the reader schema.
 *
 * @throws DecodeError when they cannot
 */
export function assertReadable(
  schema: RegisteredSchema,
  readerSchema: AvroSchema<unknown> | undefined,
  types: AvroTypeOptions = readerSchema?.options ?? plainTypes,
): void {
  const reader = readerFor(schema, readerSchema, types);
  if (reader instanceof DecodeError) throw reader;
}

/**
 * Reads Avro in Confluent's wire format, in place. Types and resolvers are made once per schema id; unknown ids are fetched
 * before the record is handed over. A null value stays null. Whatever the bytes are, a value costs no more memory than they account for:
 * claims of more items, bytes or levels than a record can hold are a `DecodeError` before anything is allocated.
 */
export function createAvroDeserializer<T>({ registry, readerSchema, types }: AvroDeserializerOptions<T>): Deserializer<T> {
  const typeOptions = types ?? readerSchema?.options ?? plainTypes;
  const readers = new Map<number, Reader | DecodeError>();
  /** Most topics hold values of one schema. */
  let lastId = -1;
  let last: Reader | undefined;
  /** Undefined while it is in use: a logical type of the user's may decode as well. */
  let spare: Tap | undefined = new Tap(nothing);

  function readerOf(id: number): Reader {
    let reader = readers.get(id);
    if (reader === undefined) {
      const schema = registry.peek(id);
      if (schema === undefined) {
        const cause = registry.peekUnknown(id);
        throw new DecodeError(cause?.message ?? `schema ${id} was not fetched`, { schemaId: id, cause });
      }
      reader = readerFor(schema, readerSchema, typeOptions);
      readers.set(id, reader);
    }
    if (reader instanceof DecodeError) throw reader;
    lastId = id;
    last = reader;
    return reader;
  }

  function deserializeAt(bytes: Buffer, start: number, end: number): T {
    const id = readSchemaId(bytes, start, end);
    const reader = id === lastId ? last! : readerOf(id);
    const tap = spare ?? new Tap(nothing);
    spare = undefined;
    tap.open(bytes, start + WIRE_HEADER_BYTES, end);
    try {
      const value = reader._read(tap);
      if (tap.pos === end) return value as T;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new DecodeError(`schema ${id}: ${reason}`, { schemaId: id, cause: error });
    } finally {
      spare = tap;
    }
    const left = end - tap.pos;
    throw new DecodeError(
      left > 0
        ? `schema ${id}: ${left} bytes are left over after the value`
        : `schema ${id}: the value is truncated at ${end - start - WIRE_HEADER_BYTES} bytes`,
      { schemaId: id },
    );
  }

  return {
    deserialize: (data) => (data === null ? (null as T) : deserializeAt(data, 0, data.length)),
    deserializeAt,
    prepareAt(bytes, start, end) {
      const id = peekSchemaId(bytes, start, end);
      if (id === lastId || id === undefined || readers.has(id)) return undefined;
      if (registry.peek(id) !== undefined || registry.peekUnknown(id) !== undefined) return undefined;
      return registry.schema(id).then(
        () => undefined,
        (error: unknown) => {
          // An unknown id makes this record unreadable; an outage only makes it wait.
          if (error instanceof SchemaRegistryError && registry.peekUnknown(id) !== undefined) return;
          throw error;
        },
      );
    },
  };
}
