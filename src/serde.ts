import { DecodeError, type SchemaRegistryError } from './errors.ts';

/** Where a key or value comes from: what a decode error must be able to say. */
export interface RecordContext {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/**
 * Turns the bytes of a key or value into `T`.
 *
 * `deserialize` is all that is required. The two optional methods are for formats that read in place from the batch's bytes
 * (`bytes` holds many records; the value is at `[start, end)`) and for those that must fetch something first.
 */
export interface Deserializer<T> {
  /** `data` is null for a null key or value. Throw to reject the record; the error becomes a `DecodeError`'s cause. */
  deserialize(data: Buffer | null, context: RecordContext): T;
  /** Same as `deserialize` for a value that is not null, without a `Buffer` per record. */
  deserializeAt?(bytes: Buffer, start: number, end: number, context: RecordContext): T;
  /**
   * Called before a record is handed over. Returns undefined when the value can be decoded now, or a promise to wait for. A
   * rejection is an outage (e.g. the registry is down): the record is kept and offered again.
   */
  prepareAt?(bytes: Buffer, start: number, end: number): Promise<void> | undefined;
}

/** A key or value that could not be decoded, given as its bytes by {@link undecodedAsRaw}. */
export class Undecoded {
  /** Over the batch's memory, not copied. */
  readonly bytes: Buffer;
  readonly error: DecodeError;

  constructor(bytes: Buffer, error: DecodeError) {
    this.bytes = bytes;
    this.error = error;
  }
}

/**
 * The same deserializer, which gives what it cannot decode as {@link Undecoded} instead of throwing: the handler sees every record and
 * decides itself.
 *
 * @example
 * const consumer = await createConsumer({ valueDeserializer: undecodedAsRaw(jsonDeserializer<Order>()) });
 * const { value } = await consumeMessage(consumer);
 * if (value instanceof Undecoded) await keepForLater(value.bytes, value.error);
 */
export function undecodedAsRaw<T>(deserializer: Deserializer<T>): Deserializer<T | Undecoded> {
  const undecoded = (bytes: Buffer, { topic, partition, offset }: RecordContext, cause: unknown): Undecoded => {
    const message = cause instanceof Error ? cause.message : String(cause);
    const schemaId = cause instanceof DecodeError ? cause.schemaId : undefined;
    return new Undecoded(bytes, new DecodeError(message, { cause, topic, partition, offset, schemaId }));
  };
  const { prepareAt } = deserializer;
  return {
    deserialize(data, context) {
      try {
        return deserializer.deserialize(data, context);
      } catch (error) {
        if (data === null) throw error;
        return undecoded(data, context, error);
      }
    },
    deserializeAt(bytes, start, end, context) {
      try {
        return deserializer.deserializeAt === undefined
          ? deserializer.deserialize(bytes.subarray(start, end), context)
          : deserializer.deserializeAt(bytes, start, end, context);
      } catch (error) {
        return undecoded(bytes.subarray(start, end), context, error);
      }
    },
    ...(prepareAt === undefined ? {} : { prepareAt: (bytes, start, end) => prepareAt.call(deserializer, bytes, start, end) }),
  };
}

/** A schema as the registry holds it. */
export interface RegisteredSchema {
  readonly id: number;
  /** JSON text. */
  readonly text: string;
  /** Texts of the schemas it refers to, each after those it needs itself. */
  readonly references: readonly string[];
}

/** A version of a subject that a schema refers to by name. */
export interface SchemaReference {
  /** The full name of the type, as the schema uses it. */
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

/** Where schemas and their ids come from: a registry client, or in a pool's worker the main thread's. */
export interface SchemaSource {
  /** The schema of that id if it is known already. */
  peek(id: number): RegisteredSchema | undefined;
  /** The error of an id the registry said it does not know, while that is remembered. */
  peekUnknown(id: number): SchemaRegistryError | undefined;
  /** The schema of that id; asked for once however many wait. */
  schema(id: number): Promise<RegisteredSchema>;
  /** The id of a schema under a subject; registers it when it is new there. */
  register(subject: string, text: string, references?: readonly SchemaReference[]): Promise<number>;
  /** The id of a schema that is registered under the subject. */
  lookup(subject: string, text: string, references?: readonly SchemaReference[]): Promise<number>;
}

/** Turns the raw headers of a record into `H`. */
export interface HeadersDeserializer<H> {
  deserialize(headers: readonly RecordHeader[], context: RecordContext): H;
}

/** What a serializer is told about the record it writes for. */
export interface SerializeContext {
  readonly topic: string;
  readonly isKey: boolean;
}

/** Turns `T` into bytes; null makes a null key or a tombstone. */
export interface Serializer<T> {
  serialize(value: T, context: SerializeContext): Buffer | null;
  /** Called before `serialize`; returns a promise while something (a schema id) must be fetched first. */
  prepare?(context: SerializeContext): Promise<void> | undefined;
}

/** One header of a record. Names may repeat; order is kept. */
export interface RecordHeader {
  readonly name: string;
  readonly value: Buffer | null;
}

/** Headers to produce: a list (names may repeat), or an object with one value a name. Strings are written as UTF-8. */
export type HeadersInput =
  | Iterable<{ readonly name: string; readonly value: string | Uint8Array | null }>
  | { readonly [name: string]: string | Uint8Array | null };

/** Raw bytes, untouched: the default deserializer. */
export const rawDeserializer: Deserializer<Buffer | null> = {
  deserialize: (data: Buffer | null): Buffer | null => data,
};

/** UTF-8 text; null stays null. */
export const stringDeserializer: Deserializer<string | null> = {
  deserialize: (data: Buffer | null): string | null => (data === null ? null : data.toString('utf8')),
  deserializeAt: (bytes: Buffer, start: number, end: number): string => bytes.toString('utf8', start, end),
};

/** JSON text as `T` (unchecked); null stays null. Bytes that are no JSON throw. */
export function jsonDeserializer<T>(): Deserializer<T | null> {
  return {
    deserialize: (data) => (data === null ? null : (JSON.parse(data.toString('utf8')) as T)),
    deserializeAt: (bytes, start, end) => JSON.parse(bytes.toString('utf8', start, end)) as T,
  };
}

/** Bytes or UTF-8 text as they are: the default serializer. */
export const rawSerializer: Serializer<Uint8Array | string | null> = {
  serialize(value: Uint8Array | string | null): Buffer | null {
    if (value === null) return null;
    if (typeof value === 'string') return Buffer.from(value, 'utf8');
    return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  },
};

/** `JSON.stringify`, as UTF-8; null makes a tombstone. */
export function jsonSerializer<T>(): Serializer<T | null> {
  return { serialize: (value) => (value === null ? null : Buffer.from(JSON.stringify(value), 'utf8')) };
}
