import { isUtf8 } from 'node:buffer';
import { createAvroDeserializer } from '../avro/deserializer.ts';
import type { SchemaRegistryClient } from '../avro/schema-registry.ts';
import { peekSchemaId } from '../avro/wire-format.ts';
import { ConfigError, DecodeError } from '../errors.ts';
import type { Deserializer, RecordContext } from '../serde.ts';
import type { FieldFormat } from './field-format.ts';
import { note } from './terminal.ts';

/** A key or value as JSON can hold it. */
export interface Field {
  readonly value: unknown;
  /** Undefined for null. */
  readonly format: Exclude<FieldFormat, 'auto'> | undefined;
  readonly schemaId?: number;
}

/** Reads keys and values of any format. */
export class FieldReader {
  readonly #registry: SchemaRegistryClient | undefined;
  readonly #avro: Deserializer<unknown> | undefined;
  #hinted = false;

  constructor(registry: SchemaRegistryClient | undefined) {
    this.#registry = registry;
    // bigint: no long is refused for its size.
    this.#avro = registry === undefined ? undefined : createAvroDeserializer({ registry, types: { long: 'bigint' } });
  }

  /** @throws DecodeError when the bytes are not of that format; ConfigError without a registry, SchemaRegistryError when it is away */
  async read(bytes: Buffer | null, format: FieldFormat, context: RecordContext): Promise<Field> {
    if (bytes === null) return { value: null, format: undefined };
    if (format === 'base64') return { value: bytes.toString('base64'), format };
    if (format === 'text') return { value: bytes.toString('utf8'), format };
    if (format === 'json') return { value: parseJson(bytes, context), format };
    if (format === 'avro') return this.#readAvro(bytes, context);
    const looksLikeAvro = peekSchemaId(bytes, 0, bytes.length) !== undefined;
    if (looksLikeAvro && this.#avro === undefined) this.#hint(context);
    else if (looksLikeAvro) {
      try {
        return await this.#readAvro(bytes, context);
      } catch (error) {
        // Bytes that only look like Avro are no failure; a registry that does not answer is.
        if (!(error instanceof DecodeError)) throw error;
      }
    }
    return isUtf8(bytes) ? { value: bytes.toString('utf8'), format: 'text' } : { value: bytes.toString('base64'), format: 'base64' };
  }

  /** Once is enough. */
  #hint(context: RecordContext): void {
    if (!this.#hinted) note(`${placeOf(context)} looks like Avro: set SCHEMA_REGISTRY_URL to see it decoded`);
    this.#hinted = true;
  }

  async #readAvro(bytes: Buffer, context: RecordContext): Promise<Field> {
    const id = peekSchemaId(bytes, 0, bytes.length);
    if (this.#avro === undefined || this.#registry === undefined) {
      throw new ConfigError(['Expected SCHEMA_REGISTRY_URL to be set: Avro is read by the schemas of the registry']);
    }
    try {
      await this.#avro.prepareAt?.(bytes, 0, bytes.length);
      const value = plain(this.#avro.deserialize(bytes, context));
      return { value, format: 'avro', ...(id === undefined ? {} : { schemaId: id }) };
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new DecodeError(`Cannot decode ${placeOf(context)}: ${error.message}`, { ...context, schemaId: error.schemaId, cause: error });
    }
  }
}

function parseJson(bytes: Buffer, context: RecordContext): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DecodeError(`Cannot decode ${placeOf(context)}: it is no JSON: ${reason}`, { ...context, cause });
  }
}

function placeOf({ topic, partition, offset }: RecordContext): string {
  return `${topic} [${partition}] @ ${offset}`;
}

/** A decoded value as JSON can hold it: bytes as base64, longs beyond 2^53 as text. */
export function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
  return value;
}
