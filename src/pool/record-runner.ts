import { setImmediate as immediate } from 'node:timers/promises';
import type { PackedRecords } from '../binding/packed-records.ts';
import { ConsumerRecord, decodeNow, type RecordBatch, type RecordDecoders } from '../binding/record-batch.ts';
import { type EncodeSettings, encodeRecord, type ProducerRecord, prepareRecord } from '../client/encode-record.ts';
import { toRawHeaders } from '../client/produce-headers.ts';
import { StateError } from '../errors.ts';
import { rawDeserializer, rawSerializer, type Serializer } from '../serde.ts';
import type { PoolContext, PoolEnvironment, PoolHandler, PoolHandlerFactory } from './handler.ts';
import { loadFactory, notMade } from './load-module.ts';
import { PackedOutput } from './packed-output.ts';

/** A long task gives the event loop a turn every so many milliseconds, looked at every so many records. */
const TURN_MS = 20;
const LOOK_MASK = 15;

/** What of the main thread's clients a runner must know. */
export interface RunnerSettings {
  /** URL of the handler module. */
  readonly handler: string;
  /** The producer's; outputs beyond it are refused at their record. */
  readonly recordMaxBytes: number;
  /** Which headers can be sent. */
  readonly sink: 'portable' | 'packed';
  /** False: a handler that returns records is at fault. */
  readonly produces: boolean;
}

/** What became of some records. */
export interface RunnerOutcome {
  /** So many records from the first were handled; `error` is that of the next one. */
  readonly done: number;
  readonly error: unknown;
  readonly output: PackedRecords | undefined;
}

/** The default export of a handler module, made. @throws ConfigError when it is none */
export async function loadHandler(url: string, environment: PoolEnvironment): Promise<PoolHandler> {
  const madeBy = 'definePoolHandler';
  const factory = await loadFactory<PoolHandlerFactory>(url, madeBy);
  const handler = await factory(environment);
  if (typeof (handler as Partial<PoolHandler> | undefined)?.handle !== 'function') throw notMade(url, madeBy);
  return handler;
}

/** Decodes records, hands them to the handler one after the other and encodes what it returns: in a worker, or inline. */
export class RecordRunner {
  readonly decoders: RecordDecoders<unknown, unknown, unknown>;
  readonly #handler: PoolHandler;
  readonly #encode: EncodeSettings<unknown, unknown>;
  readonly #settings: RunnerSettings;

  constructor(handler: PoolHandler, settings: RunnerSettings) {
    this.#handler = handler;
    this.#settings = settings;
    this.decoders = {
      key: handler.keyDeserializer ?? rawDeserializer,
      value: handler.valueDeserializer ?? rawDeserializer,
      headers: handler.headersDeserializer,
    };
    this.#encode = {
      keySerializer: handler.keySerializer ?? (rawSerializer as Serializer<unknown>),
      valueSerializer: handler.valueSerializer ?? (rawSerializer as Serializer<unknown>),
      // Outputs are packed whichever sink takes them; that they can be sent is checked below.
      sink: 'packed',
      recordMaxBytes: settings.recordMaxBytes,
    };
  }

  /** The records of `batch` at `indexes`. `onRecord` is told of each before it is handled. Never rejects. */
  async run(
    batch: RecordBatch<unknown, unknown, unknown>,
    indexes: Int32Array,
    context: PoolContext,
    onRecord?: (place: number) => void,
  ): Promise<RunnerOutcome> {
    const output = new PackedOutput();
    let turnAt = performance.now();
    for (let place = 0; place < indexes.length; place++) {
      const index = indexes[place]!;
      output.mark();
      onRecord?.(place);
      if ((place & LOOK_MASK) === LOOK_MASK && performance.now() - turnAt > TURN_MS) {
        await immediate();
        turnAt = performance.now();
      }
      try {
        const pending = batch.prepare(index);
        if (pending !== undefined) await pending;
        const record = new ConsumerRecord(batch, index);
        decodeNow(record);
        const result = this.#handler.handle(record, context);
        const records = result instanceof Promise ? await result : result;
        if (records === undefined) continue;
        const adding = this.#addAll(output, records);
        if (adding !== undefined) await adding;
      } catch (error) {
        output.rewind();
        return { done: place, error, output: output.take() };
      }
    }
    return { done: indexes.length, error: undefined, output: output.take() };
  }

  /** A promise only where a schema id must be fetched first. */
  #addAll(
    output: PackedOutput,
    records: ProducerRecord<unknown, unknown> | readonly ProducerRecord<unknown, unknown>[],
  ): Promise<void> | undefined {
    if (!this.#settings.produces) throw new StateError('The handler returned records to produce, but the pool was given no producer');
    if (!isMany(records)) return this.#add(output, records);
    for (let index = 0; index < records.length; index++) {
      const pending = this.#add(output, records[index]!);
      if (pending !== undefined) return pending.then(() => this.#addAll(output, records.slice(index + 1)));
    }
    return undefined;
  }

  #add(output: PackedOutput, record: ProducerRecord<unknown, unknown>): Promise<void> | undefined {
    const pending = prepareRecord(record, this.#encode);
    if (pending !== undefined) return pending.then(() => this.#put(output, record));
    this.#put(output, record);
    return undefined;
  }

  #put(output: PackedOutput, record: ProducerRecord<unknown, unknown>): void {
    if (this.#settings.sink === 'portable') toRawHeaders(record.headers, record.topic);
    output.add(record, encodeRecord(record, this.#encode));
  }
}

function isMany(
  records: ProducerRecord<unknown, unknown> | readonly ProducerRecord<unknown, unknown>[],
): records is readonly ProducerRecord<unknown, unknown>[] {
  return Array.isArray(records);
}
