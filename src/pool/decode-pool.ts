import { availableParallelism } from 'node:os';
import type { ResourceLimits } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import type { ConsumerRecord } from '../binding/record-batch.ts';
import { Slots } from '../binding/slots.ts';
import { ClosedError, ConfigError, WorkerError } from '../errors.ts';
import type { SchemaSource } from '../serde.ts';
import type { Column, DecodeAnswer, DecodeTask, DecodeWorkerSettings } from './decode-worker.ts';
import { type AnyBatch, packSegments, type Segment } from './lanes.ts';
import { openWorkers } from './open-workers.ts';
import { SchemaService } from './schema-channel.ts';
import { fromThreadError } from './thread-error.ts';

/** Options of {@link createDecodePool}. */
export interface DecodePoolOptions {
  /**
   * URL of the decoder module, `new URL('./decoder.js', import.meta.url)`: a compiled file whose default export is made by
   * `definePoolDecoder`.
   */
  readonly decoder: URL;
  /** Where the module's Avro schemas come from. Workers reach it through the main thread, each schema once. */
  readonly registry?: SchemaSource | undefined;
  /** Workers. @default the machine's cores, less one for the main thread (at least one) */
  readonly concurrency?: number | undefined;
  /** Memory of a worker; one that exceeds it is replaced. @default Node's own */
  readonly resourceLimits?: ResourceLimits | undefined;
}

type AnyRecord = ConsumerRecord<unknown, unknown, unknown>;

/** Records a worker is given at once, at most. */
const TASK_RECORDS = 1_000;

/**
 * Decodes values of consumed records in worker threads and gives them back to the main thread. The values are cloned on their way, which
 * costs more than decoding them: whole values are for schemas that are expensive to decode and small once decoded. Prefer a projection
 * (a reader schema with the fields you need), or columns, whose numbers are transferred; and {@link runPool} where the handler can run in
 * the worker.
 */
export class DecodePool<V> {
  readonly #workers: Piscina<DecodeTask, DecodeAnswer>;
  readonly #schemas: SchemaService;
  /** One task for each worker, and one that waits for it. */
  readonly #slots: Slots;
  #closed = false;

  private constructor(workers: Piscina<DecodeTask, DecodeAnswer>, schemas: SchemaService, slots: Slots) {
    this.#workers = workers;
    this.#schemas = schemas;
    this.#slots = slots;
  }

  /** @internal As {@link createDecodePool}. */
  static async open<V>({ decoder, registry, concurrency, resourceLimits }: DecodePoolOptions): Promise<DecodePool<V>> {
    const workers = concurrency ?? Math.max(1, availableParallelism() - 1);
    if (!(Number.isInteger(workers) && workers > 0)) {
      throw new ConfigError([`Expected concurrency to be a whole number above 0, got ${workers}`]);
    }
    const schemas = new SchemaService(registry);
    const settings: DecodeWorkerSettings = { decoder: decoder.href, channel: schemas.link };
    const threads = await openWorkers<DecodeTask, DecodeAnswer>(new URL('./decode-worker.js', import.meta.url), settings, {
      workers,
      resourceLimits,
    });
    const pool = new DecodePool<V>(threads, schemas, new Slots(2 * workers));
    try {
      await threads.run({ length: 0, bytes: new ArrayBuffer(0), columns: new ArrayBuffer(4), topics: [], fields: undefined });
      return pool;
    } catch (error) {
      await pool.close();
      const reason = (error instanceof Error ? error.message : String(error)).replace(/^Invalid configuration: /, '');
      throw new ConfigError([reason], { cause: error });
    }
  }

  /**
   * The values of the records, in their order; null for null ones. They are plain objects and `Uint8Array`s: a clone keeps no classes.
   * Records of a consumer without a deserializer are best: theirs are not used.
   *
   * @throws DecodeError of the first record that cannot be decoded
   * @throws WorkerError when a worker ended over them; the records are still the caller's
   * @throws ClosedError when the pool is closed
   */
  async decodeBatch(records: readonly AnyRecord[]): Promise<V[]> {
    const answers = await this.#decode(records, undefined);
    return answers.flatMap((answer) => ('values' in answer ? (answer.values as V[]) : []));
  }

  /**
   * Fields of the records' values as a column each, in the order of the records: a `Float64Array` where all are numbers, a plain array
   * otherwise, `undefined` where a value is null or has no such field.
   *
   * @throws as {@link decodeBatch}
   */
  async decodeColumns<Field extends keyof V & string>(
    records: readonly AnyRecord[],
    fields: readonly Field[],
  ): Promise<Readonly<Record<Field, Column>>> {
    const answers = await this.#decode(records, fields);
    const parts = answers.map((answer) => ('columns' in answer ? answer.columns : []));
    return Object.fromEntries(fields.map((field, index) => [field, joined(parts.map((columns) => columns[index]!))])) as Record<
      Field,
      Column
    >;
  }

  #decode(records: readonly AnyRecord[], fields: readonly string[] | undefined): Promise<DecodeAnswer[]> {
    const tasks: Promise<DecodeAnswer>[] = [];
    for (let from = 0, to = 0; from < records.length; from = to) {
      const { topics } = records[from]!.batch;
      // A task's records have one table of topics: those of two consumers go apart.
      while (to < records.length && to < from + TASK_RECORDS && records[to]!.batch.topics === topics) to++;
      tasks.push(this.#run(records.slice(from, to), fields));
    }
    return Promise.all(tasks);
  }

  async #run(records: readonly AnyRecord[], fields: readonly string[] | undefined): Promise<DecodeAnswer> {
    const pending = this.#slots.take();
    if (pending !== undefined) await pending;
    try {
      const answer = await this.#post(records, fields);
      if (!('error' in answer)) return answer;
      throw fromThreadError(answer.error, records[answer.place]);
    } finally {
      this.#slots.release();
    }
  }

  async #post(records: readonly AnyRecord[], fields: readonly string[] | undefined): Promise<DecodeAnswer> {
    if (this.#closed) throw new ClosedError('The decode pool is closed');
    const { bytes, columns, length, topics } = packSegments(segmentsOf(records));
    try {
      return await this.#workers.run({ bytes, columns, length, topics, fields }, { transferList: [bytes, columns] });
    } catch (cause) {
      if (this.#closed) throw new ClosedError('The decode pool was closed', { cause });
      const { topic, partition, offset } = records[0]!;
      const reason = cause instanceof Error ? cause.message : String(cause);
      const message = `A worker ended while it decoded ${records.length} records from ${topic} [${partition}] @ ${offset}: ${reason}`;
      throw new WorkerError(message, 0, { cause, topic, partition, offset });
    }
  }

  /** Ends the workers, whatever they are at. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#schemas.close();
    await this.#workers.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Starts workers that decode values of records.
 *
 * @throws ConfigError when the decoder module cannot be loaded
 * @example
 * await using pool = await createDecodePool<{ fare: number }>({ decoder: new URL('./decoder.js', import.meta.url), registry });
 * const { fare } = await pool.decodeColumns(await consumeMessageBatch(consumer, metrics), ['fare']);
 */
export function createDecodePool<V>(options: DecodePoolOptions): Promise<DecodePool<V>> {
  return DecodePool.open<V>(options);
}

/** Runs of records of one batch; their places need not be neighbours. */
function segmentsOf(records: readonly AnyRecord[]): Segment[] {
  const runs: { readonly batch: AnyBatch; readonly indexes: number[] }[] = [];
  for (const { batch, index } of records) {
    const last = runs.at(-1);
    if (last?.batch === batch) last.indexes.push(index);
    else runs.push({ batch, indexes: [index] });
  }
  return runs.map(({ batch, indexes }) => ({ batch, indexes: Int32Array.from(indexes) }));
}

function joined(parts: readonly Column[]): Column {
  if (parts.length === 1) return parts[0]!;
  if (!parts.every((part) => part instanceof Float64Array)) return parts.flatMap((part) => [...part]);
  const whole = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
