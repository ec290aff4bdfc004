import { inspect } from 'node:util';
import type avro from 'avsc';
import { DecodeError, EncodeError, SchemaRegistryError } from '../errors.ts';
import type { Deserializer, SerializeContext, Serializer } from '../serde.ts';
import { type AvroSchema, parseAvroType } from './schema.ts';
import type { SchemaRegistryClient } from './schema-registry.ts';
import { peekSchemaId, readSchemaId, WIRE_HEADER_BYTES, writeWireHeader } from './wire-format.ts';

/** Options of {@link createAvroDeserializer}. */
export interface AvroDeserializerOptions<T> {
  readonly registry: SchemaRegistryClient;
  /** Values are given in this schema, whichever their writer used. @default the writer's schema */
  readonly readerSchema?: AvroSchema<T> | undefined;
}

/** How values of one writer schema are read: made once per schema id. */
interface Reader {
  readonly type: avro.Type;
  readonly resolver: unknown;
}

/** avsc's in-place decode; its typings leave the resolver out. */
interface InPlace {
  decode(bytes: Buffer, position: number, resolver?: unknown): { value: unknown; offset: number };
  encode(value: unknown, bytes: Buffer, position: number): number;
}

/**
 * Reads Avro in Confluent's wire format, in place. Types and resolvers are made once per schema id; unknown ids are fetched
 * before the record is handed over. A null value stays null.
 */
export function createAvroDeserializer<T>({ registry, readerSchema }: AvroDeserializerOptions<T>): Deserializer<T> {
  const readers = new Map<number, Reader | DecodeError>();

  function makeReader(id: number, text: string, references: readonly string[]): Reader | DecodeError {
    try {
      const writer = parseAvroType(text, references);
      if (readerSchema === undefined) return { type: writer, resolver: undefined };
      const same = readerSchema.text === text;
      return { type: readerSchema.type, resolver: same ? undefined : readerSchema.type.createResolver(writer) };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return new DecodeError(`schema ${id} cannot be read: ${reason}`, { schemaId: id, cause: error });
    }
  }

  function readerOf(id: number): Reader {
    let reader = readers.get(id);
    if (reader === undefined) {
      const schema = registry.peek(id);
      if (schema === undefined) {
        const cause = registry.peekUnknown(id);
        throw new DecodeError(cause?.message ?? `schema ${id} was not fetched`, { schemaId: id, cause });
      }
      reader = makeReader(id, schema.text, schema.references);
      readers.set(id, reader);
    }
    if (reader instanceof DecodeError) throw reader;
    return reader;
  }

  function deserializeAt(bytes: Buffer, start: number, end: number): T {
    const id = readSchemaId(bytes, start, end);
    const { type, resolver } = readerOf(id);
    let result: { value: unknown; offset: number };
    try {
      // The slice ends where the record ends: avsc cannot read into the next one.
      const body = bytes.subarray(start + WIRE_HEADER_BYTES, end);
      result = (type as unknown as InPlace).decode(body, 0, resolver);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new DecodeError(`schema ${id}: ${reason}`, { schemaId: id, cause: error });
    }
    const length = end - start - WIRE_HEADER_BYTES;
    if (result.offset < 0) throw new DecodeError(`schema ${id}: the value is truncated at ${length} bytes`, { schemaId: id });
    if (result.offset !== length) {
      throw new DecodeError(`schema ${id}: ${length - result.offset} bytes are left over after the value`, { schemaId: id });
    }
    return result.value as T;
  }

  return {
    deserialize: (data) => (data === null ? (null as T) : deserializeAt(data, 0, data.length)),
    deserializeAt,
    prepareAt(bytes, start, end) {
      const id = peekSchemaId(bytes, start, end);
      if (id === undefined || readers.has(id) || registry.peek(id) !== undefined || registry.peekUnknown(id) !== undefined)
        return undefined;
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

/** Options of {@link createAvroSerializer}. */
export interface AvroSerializerOptions<T> {
  readonly registry: SchemaRegistryClient;
  readonly schema: AvroSchema<T>;
  /** The subject to register under. @default `<topic>-value` or `<topic>-key` (Confluent's TopicNameStrategy) */
  readonly subject?: string | undefined;
  /** False: the schema must be registered already. @default true */
  readonly autoRegister?: boolean | undefined;
}

/** Values are written into slabs of this size, so that a record costs no allocation of its own. */
const SLAB_BYTES = 256 * 1024;

/** Writes Avro in Confluent's wire format. The schema is registered once per subject. Null makes a null key or a tombstone. */
export function createAvroSerializer<T>({ registry, schema, subject, autoRegister = true }: AvroSerializerOptions<T>): Serializer<T> {
  /** Topic → id, for keys and for values. */
  const keyIds = new Map<string, number>();
  const valueIds = new Map<string, number>();
  const type = schema.type as unknown as InPlace;
  let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  let used = 0;

  function subjectOf({ topic, isKey }: SerializeContext): string {
    return subject ?? `${topic}-${isKey ? 'key' : 'value'}`;
  }

  function write(value: T, id: number): Buffer {
    let end = slab.length - used < WIRE_HEADER_BYTES ? -1 : type.encode(value, slab, used + WIRE_HEADER_BYTES);
    if (end < 0 || end > slab.length) {
      // Did not fit; avsc says how much is missing. The old slab lives on in the records that point into it.
      const needed = end < 0 ? -end + WIRE_HEADER_BYTES : end;
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * needed, 2 * (slab.length - used)));
      used = 0;
      end = type.encode(value, slab, WIRE_HEADER_BYTES);
      if (end < 0) {
        slab = Buffer.allocUnsafeSlow(slab.length - end + WIRE_HEADER_BYTES);
        end = type.encode(value, slab, WIRE_HEADER_BYTES);
      }
    }
    writeWireHeader(slab, used, id);
    const written = slab.subarray(used, end);
    used = end;
    return written;
  }

  return {
    serialize(value, context) {
      if (value === null) return null;
      const id = (context.isKey ? keyIds : valueIds).get(context.topic);
      if (id === undefined) throw new EncodeError(`the schema of ${subjectOf(context)} has no id yet; await prepare() first`);
      try {
        return write(value, id);
      } catch (error) {
        throw invalidValue(schema, value, error);
      }
    },
    prepare(context) {
      const ids = context.isKey ? keyIds : valueIds;
      if (ids.has(context.topic)) return undefined;
      const name = subjectOf(context);
      const asked = autoRegister ? registry.register(name, schema.text) : registry.lookup(name, schema.text);
      return asked.then((id) => void ids.set(context.topic, id));
    },
  };
}

function invalidValue(schema: AvroSchema<unknown>, value: unknown, cause: unknown): EncodeError {
  let fault: { path: string; got: string; type: string } | undefined;
  // avsc cannot even look at a bigint.
  schema.type.isValid(withoutBigints(value), {
    errorHook: (path: string[], any: unknown, type: avro.Type) => {
      fault ??= { path: path.join('.'), got: describe(any), type: type.typeName };
    },
  });
  if (fault === undefined) return new EncodeError(cause instanceof Error ? cause.message : String(cause), { cause });
  const { path, got, type } = fault;
  return new EncodeError(`expected ${path === '' ? 'the value' : path} to be Avro ${type}, got ${got}`, { path, cause });
}

/** A copy with bigints as text, so that the check finds them where they are. */
function withoutBigints(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || depth > 32) return value;
  if (Array.isArray(value)) return value.map((item) => withoutBigints(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withoutBigints(item, depth + 1)]));
}

function describe(value: unknown): string {
  if (value === undefined) return 'undefined';
  if (typeof value === 'bigint') return `${value}n`;
  const text =
    typeof value === 'object' && value !== null
      ? inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY })
      : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
