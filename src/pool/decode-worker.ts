import { createRequire } from 'node:module';
import { workerData } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { RecordBatch } from '../binding/record-batch.ts';
import { type Deserializer, rawDeserializer } from '../serde.ts';
import type { PoolDecoderFactory } from './decoder.ts';
import { loadFactory, notMade } from './load-module.ts';
import { RemoteSchemas, type SchemaLink } from './schema-channel.ts';
import { type ThreadError, toThreadError } from './thread-error.ts';

/** What a worker is made with. */
export interface DecodeWorkerSettings {
  /** URL of the decoder module. */
  readonly decoder: string;
  /** The way to the main thread's registry client. */
  readonly channel: SchemaLink;
}

/** Records whose values are to be decoded, in memory that is transferred. */
export interface DecodeTask {
  readonly length: number;
  readonly bytes: ArrayBuffer;
  readonly columns: ArrayBuffer;
  readonly topics: readonly string[];
  /** Fields to give as columns; undefined: whole values. */
  readonly fields: readonly string[] | undefined;
}

/** A field of many values: numbers where all are, whatever they are otherwise. */
export type Column = Float64Array | readonly unknown[];

/** The values, or a column for each field asked for, or the first record that could not be decoded. */
export type DecodeAnswer =
  | { readonly values: readonly unknown[] }
  | { readonly columns: readonly Column[] }
  | { readonly place: number; readonly error: ThreadError };

const settings = workerData as DecodeWorkerSettings;
const schemas = new RemoteSchemas(settings.channel);
let decoder: Promise<Deserializer<unknown>> | undefined;

/** Piscina's CommonJS entry: its ESM one does not load in a worker on Node 20. */
const { move, transferableSymbol, valueSymbol } = createRequire(import.meta.url)('piscina') as typeof Piscina;

async function load(): Promise<Deserializer<unknown>> {
  const madeBy = 'definePoolDecoder';
  const factory = await loadFactory<PoolDecoderFactory>(settings.decoder, madeBy);
  const made = await factory({ registry: schemas });
  if (typeof (made as Partial<typeof made> | undefined)?.deserialize !== 'function') throw notMade(settings.decoder, madeBy);
  return made;
}

/** Called by Piscina for each task. */
export default async function decodeTask({ length, bytes, columns, topics, fields }: DecodeTask): Promise<unknown> {
  decoder ??= load();
  const batch = new RecordBatch<unknown, unknown>(length, bytes, columns, topics, {
    key: rawDeserializer,
    value: await decoder,
    headers: undefined,
  });
  const values: unknown[] = [];
  for (let index = 0; index < length; index++) {
    try {
      const pending = batch.prepare(index);
      if (pending !== undefined) await pending;
      values.push(batch.at(index).value);
    } catch (error) {
      return { place: index, error: toThreadError(error) } satisfies DecodeAnswer;
    }
  }
  if (fields === undefined) return { values } satisfies DecodeAnswer;
  const made = fields.map((field) => columnOf(values, field));
  const memory = made.filter((column) => column instanceof Float64Array).map(({ buffer }) => buffer);
  return move({ [transferableSymbol]: memory, [valueSymbol]: { columns: made } satisfies DecodeAnswer } as never);
}

function columnOf(values: readonly unknown[], field: string): Column {
  const column = values.map((value) => (value as Readonly<Record<string, unknown>> | null)?.[field]);
  return column.every((item) => typeof item === 'number') ? Float64Array.from(column) : column;
}
