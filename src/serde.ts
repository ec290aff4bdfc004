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
