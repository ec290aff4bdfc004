import { DecodeError } from '../errors.ts';
import {
  type Deserializer,
  type HeadersDeserializer,
  type RecordContext,
  type RecordHeader,
  rawDeserializer,
  stringDeserializer,
} from '../serde.ts';
import type { RawMessage } from './node-rdkafka.ts';

/** When a record's timestamp was set: by its producer or by the broker; undefined where the source cannot tell. */
export type TimestampType = 'createTime' | 'logAppendTime' | undefined;

/** How the keys, values and headers of a batch are turned into what the handler sees. */
export interface RecordDecoders<K, V, H> {
  readonly key: Deserializer<K>;
  readonly value: Deserializer<V>;
  /** Undefined: headers are given as they are. */
  readonly headers: HeadersDeserializer<H> | undefined;
}

/** Whom a batch's memory can be given back to. */
export interface MemoryLender {
  free(...memory: readonly ArrayBuffer[]): void;
}

/** Bytes of the column table of `length` records. */
export function columnBytes(length: number): number {
  return 8 * length * 2 + 4 * (length + 1) + 4 * length * 4 + length;
}

/**
 * Many records in two `ArrayBuffer`s: the bytes (key, value, headers of each record back to back) and a table of columns.
 * Both can be transferred to a worker whole. A null key or value has length -1.
 *
 * Column order in `columns`: offset f64, timestamp f64, start i32 (length + 1 entries), key length i32, value length i32,
 * partition i32, topic index i32, timestamp type i8 (0 unknown, 1 create time, 2 log append time).
 * Headers are a sequence of (name length u32, name, value length i32 or -1 for null, value), little-endian.
 */
export class RecordBatch<K = Buffer | null, V = Buffer | null, H = readonly RecordHeader[]> {
  readonly length: number;
  /** Index → topic name. */
  readonly topics: readonly string[];
  readonly columns: ArrayBuffer;
  readonly offsets: Float64Array;
  readonly timestamps: Float64Array;
  readonly keyLengths: Int32Array;
  readonly valueLengths: Int32Array;
  readonly partitions: Int32Array;
  readonly topicIndexes: Int32Array;
  readonly timestampTypes: Int8Array;
  readonly decoders: RecordDecoders<K, V, H>;
  /** Assignment epoch of the consumer when the batch arrived; results of an older assignment are dropped by it. */
  epoch = 0;
  /** @internal Messages as node-rdkafka made them; such a batch is packed when its bytes are asked for. */
  readonly loose: readonly RawMessage[] | undefined;
  #memory: ArrayBuffer | undefined;
  #bytes: Buffer | undefined;
  readonly #starts: Int32Array;
  readonly #lender: MemoryLender | undefined;

  constructor(
    length: number,
    bytes: ArrayBuffer | readonly RawMessage[],
    columns: ArrayBuffer,
    topics: readonly string[],
    decoders: RecordDecoders<K, V, H>,
    lender?: MemoryLender,
  ) {
    this.#lender = lender;
    this.length = length;
    this.topics = topics;
    if (bytes instanceof ArrayBuffer) this.#memory = bytes;
    else this.loose = bytes;
    this.columns = columns;
    this.offsets = new Float64Array(columns, 0, length);
    this.timestamps = new Float64Array(columns, 8 * length, length);
    let at = 16 * length;
    this.#starts = new Int32Array(columns, at, length + 1);
    at += 4 * (length + 1);
    this.keyLengths = new Int32Array(columns, at, length);
    this.valueLengths = new Int32Array(columns, at + 4 * length, length);
    this.partitions = new Int32Array(columns, at + 8 * length, length);
    this.topicIndexes = new Int32Array(columns, at + 12 * length, length);
    this.timestampTypes = new Int8Array(columns, at + 16 * length, length);
    this.decoders = decoders;
  }

  /** A view of record `index`. Views keep the whole batch alive; see {@link ConsumerRecord.detach}. */
  at(index: number): ConsumerRecord<K, V, H> {
    if (!(Number.isInteger(index) && index >= 0 && index < this.length))
      throw new RangeError(`Expected a record index from 0 to ${this.length - 1}, got ${index}`);
    return new ConsumerRecord(this, index);
  }

  *[Symbol.iterator](): IterableIterator<ConsumerRecord<K, V, H>> {
    for (let index = 0; index < this.length; index++) yield new ConsumerRecord(this, index);
  }

  /** The same records, decoded otherwise. */
  withDecoders<OK, OV, OH>(decoders: RecordDecoders<OK, OV, OH>): RecordBatch<OK, OV, OH> {
    const other = new RecordBatch<OK, OV, OH>(this.length, this.#memory ?? this.loose!, this.columns, this.topics, decoders);
    other.epoch = this.epoch;
    return other;
  }

  /**
   * @internal Gives the memory back at once, when no view of it is left: the collector sees small objects, and would let hundreds of
   * megabytes behind them wait for it.
   */
  free(): void {
    if (this.#memory !== undefined) this.#lender?.free(this.#memory, this.columns);
  }

  /** Keys, values and headers back to back. */
  get bytes(): Buffer {
    this.#bytes ??= Buffer.from(this.#packed());
    return this.#bytes;
  }

  /** Where each record starts within `bytes`, and after the last one where it ends. */
  get starts(): Int32Array {
    this.#packed();
    return this.#starts;
  }

  /** The memory of {@link bytes}, packed first where it is not. */
  #packed(): ArrayBuffer {
    this.#memory ??= packBytes(this.loose!, this.#starts);
    return this.#memory;
  }

  /** @internal `length` bytes from `start` of `bytes`, not copied. */
  view(start: number, length: number): Buffer {
    return new BufferView(this.#packed(), start, length);
  }

  /** Start of the value of record `index` within `bytes`. */
  valueStart(index: number): number {
    return this.starts[index]! + Math.max(this.keyLengths[index]!, 0);
  }

  /** @internal True when {@link prepare} has anything to do. */
  get preparesRecords(): boolean {
    return this.decoders.key.prepareAt !== undefined || this.decoders.value.prepareAt !== undefined;
  }

  /** @internal Starts whatever the deserializers of record `index` must fetch; undefined when nothing. */
  prepare(index: number): Promise<void> | undefined {
    const { key, value } = this.decoders;
    if (!this.preparesRecords) return undefined;
    const forKey = key.prepareAt === undefined ? undefined : this.#prepare(key, 'key', index);
    const forValue = value.prepareAt === undefined ? undefined : this.#prepare(value, 'value', index);
    if (forKey === undefined || forValue === undefined) return forKey ?? forValue;
    return Promise.all([forKey, forValue]).then(() => undefined);
  }

  #prepare(deserializer: Deserializer<unknown>, part: 'key' | 'value', index: number): Promise<void> | undefined {
    const length = (part === 'key' ? this.keyLengths : this.valueLengths)[index]!;
    if (length < 0) return undefined;
    const own = this.loose?.[index]?.[part];
    if (own) return deserializer.prepareAt!(own, 0, length);
    const start = part === 'key' ? this.starts[index]! : this.valueStart(index);
    return deserializer.prepareAt!(this.bytes, start, start + length);
  }
}

function packBytes(messages: readonly RawMessage[], starts: Int32Array): ArrayBuffer {
  let total = 0;
  const parts = messages.flatMap(({ key, value, headers }, index) => {
    const own = [key, value, headers === undefined ? null : packRawHeaders(headers)].filter((part) => part !== null);
    starts[index] = total;
    for (const part of own) total += part.length;
    return own;
  });
  starts[messages.length] = total;
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.buffer;
}

/**
 * node-rdkafka gives each header as an object with one property. A header called `__proto__` lands in its prototype slot
 * instead; it is read back from there. A null header value arrives as an empty one (the packed source tells them apart).
 */
function readRawHeaders(headers: readonly object[]): RecordHeader[] {
  return headers.map((header) => {
    const own = Object.keys(header)[0];
    const value: unknown = own === undefined ? Object.getPrototypeOf(header) : (header as Record<string, unknown>)[own];
    return { name: own ?? '__proto__', value: Buffer.isBuffer(value) ? value : Buffer.from(String(value), 'utf8') };
  });
}

function packRawHeaders(headers: readonly object[]): Buffer {
  const parts: Buffer[] = [];
  for (const { name, value } of readRawHeaders(headers)) {
    const nameBytes = Buffer.from(name, 'utf8');
    const valueBytes = value ?? Buffer.alloc(0);
    const head = Buffer.allocUnsafe(4 + nameBytes.length + 4);
    head.writeUInt32LE(nameBytes.length, 0);
    nameBytes.copy(head, 4);
    head.writeInt32LE(valueBytes.length, 4 + nameBytes.length);
    parts.push(head, valueBytes);
  }
  return Buffer.concat(parts);
}

/** What makes a Buffer over memory without the checks of `Buffer.from` and `subarray`: a tenth of a batch's cost. */
const BufferView = (Buffer as unknown as Record<symbol, unknown>)[Symbol.species] as new (
  memory: ArrayBufferLike,
  start: number,
  length: number,
) => Buffer;

/** `bytes.subarray(start, end)` without its checks. */
export function viewOf(bytes: Buffer, start: number, end: number): Buffer {
  return new BufferView(bytes.buffer, bytes.byteOffset + start, end - start);
}

const unset: unique symbol = Symbol('unset');

/**
 * One consumed record: a light view into its {@link RecordBatch}. `key`, `value` and `headers` are decoded on first access
 * and remembered. The view keeps its batch (up to a thousand records) alive: keep `detach()`ed copies, not views.
 */
export class ConsumerRecord<K = Buffer | null, V = Buffer | null, H = readonly RecordHeader[]> implements RecordContext {
  readonly batch: RecordBatch<K, V, H>;
  readonly index: number;
  #key: K | typeof unset = unset;
  #value: V | typeof unset = unset;
  #headers: H | typeof unset = unset;

  constructor(batch: RecordBatch<K, V, H>, index: number) {
    this.batch = batch;
    this.index = index;
  }

  get topic(): string {
    return this.batch.topics[this.batch.topicIndexes[this.index]!]!;
  }

  get partition(): number {
    return this.batch.partitions[this.index]!;
  }

  /** Exact up to 2^53. */
  get offset(): number {
    return this.batch.offsets[this.index]!;
  }

  /** Milliseconds since the epoch, -1 when the record has none. */
  get timestamp(): number {
    return this.batch.timestamps[this.index]!;
  }

  get timestampType(): TimestampType {
    const type = this.batch.timestampTypes[this.index];
    return type === 1 ? 'createTime' : type === 2 ? 'logAppendTime' : undefined;
  }

  /** Bytes of key and value together. */
  get sizeBytes(): number {
    return Math.max(this.batch.keyLengths[this.index]!, 0) + Math.max(this.batch.valueLengths[this.index]!, 0);
  }

  /** The key's bytes over the batch, not copied. */
  get rawKey(): Buffer | null {
    const own = this.batch.loose?.[this.index]?.key;
    if (own !== undefined) return own;
    const length = this.batch.keyLengths[this.index]!;
    const start = this.batch.starts[this.index]!;
    return length < 0 ? null : this.batch.view(start, length);
  }

  /** The value's bytes over the batch, not copied. */
  get rawValue(): Buffer | null {
    const own = this.batch.loose?.[this.index]?.value;
    if (own !== undefined) return own;
    const length = this.batch.valueLengths[this.index]!;
    const start = this.batch.valueStart(this.index);
    return length < 0 ? null : this.batch.view(start, length);
  }

  /** All headers in order, names repeated as sent, values over the batch. */
  get rawHeaders(): readonly RecordHeader[] {
    const { batch, index } = this;
    if (batch.loose !== undefined) {
      const own = batch.loose[index]!.headers;
      return own === undefined ? [] : readRawHeaders(own);
    }
    const start = batch.valueStart(index) + Math.max(batch.valueLengths[index]!, 0);
    return readHeaders(batch, start, batch.starts[index + 1]!);
  }

  /** @throws DecodeError when the bytes do not fit the deserializer. */
  get key(): K {
    if (this.#key === unset) {
      this.#key = decode(this, 'key', this.batch.decoders.key);
    }
    return this.#key as K;
  }

  /** @throws DecodeError when the bytes do not fit the deserializer. */
  get value(): V {
    if (this.#value === unset) {
      this.#value = decode(this, 'value', this.batch.decoders.value);
    }
    return this.#value as V;
  }

  /** @throws DecodeError when the headers deserializer rejects them. */
  get headers(): H {
    if (this.#headers === unset) {
      const deserializer = this.batch.decoders.headers;
      if (deserializer === undefined) this.#headers = this.rawHeaders as H;
      else {
        try {
          this.#headers = deserializer.deserialize(this.rawHeaders, this);
        } catch (error) {
          throw asDecodeError(this, 'headers', error);
        }
      }
    }
    return this.#headers as H;
  }

  /** The last header of that name, undefined when there is none. */
  header(name: string): Buffer | null | undefined {
    return this.rawHeaders.findLast((header) => header.name === name)?.value;
  }

  /** A plain copy that does not keep the batch alive. */
  detach(): DetachedRecord {
    const copy = (data: Buffer | null): Buffer | null => (data === null ? null : Buffer.from(data));
    return {
      topic: this.topic,
      partition: this.partition,
      offset: this.offset,
      timestamp: this.timestamp,
      timestampType: this.timestampType,
      key: copy(this.rawKey),
      value: copy(this.rawValue),
      headers: this.rawHeaders.map(({ name, value }) => ({ name, value: copy(value) })),
    };
  }
}

/** A record's bytes, copied out of its batch. */
export interface DetachedRecord extends RecordContext {
  readonly timestamp: number;
  readonly timestampType: TimestampType;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly RecordHeader[];
}

/** Decodes key and value, so that an error shows before anything is done with the record. */
export function decodeNow(record: ConsumerRecord<unknown, unknown, unknown>): void {
  const { key, value } = record.batch.decoders;
  if (canFail(key)) record.key;
  if (canFail(value)) record.value;
}

/** Raw bytes and text decode whatever they are: that is left until somebody asks. */
function canFail(deserializer: Deserializer<unknown>): boolean {
  return deserializer !== rawDeserializer && deserializer !== stringDeserializer;
}

function decode<T>(record: ConsumerRecord<unknown, unknown, unknown>, part: 'key' | 'value', deserializer: Deserializer<T>): T {
  const { batch, index } = record;
  try {
    if (deserializer.deserializeAt === undefined) {
      return deserializer.deserialize(part === 'key' ? record.rawKey : record.rawValue, record);
    }
    const length = (part === 'key' ? batch.keyLengths : batch.valueLengths)[index]!;
    if (length < 0) return deserializer.deserialize(null, record);
    const own = batch.loose?.[index]?.[part];
    if (own) return deserializer.deserializeAt(own, 0, length, record);
    const start = part === 'key' ? batch.starts[index]! : batch.valueStart(index);
    return deserializer.deserializeAt(batch.bytes, start, start + length, record);
  } catch (error) {
    throw asDecodeError(record, part, error);
  }
}

function asDecodeError(record: RecordContext, part: string, error: unknown): DecodeError {
  const { topic, partition, offset } = record;
  const reason = error instanceof Error ? error.message : String(error);
  return new DecodeError(`Cannot decode the ${part} of ${topic} [${partition}] @ ${offset}: ${reason}`, {
    cause: error,
    topic,
    partition,
    offset,
    schemaId: error instanceof DecodeError ? error.schemaId : undefined,
  });
}

function readHeaders(batch: RecordBatch<unknown, unknown, unknown>, start: number, end: number): readonly RecordHeader[] {
  const { bytes } = batch;
  const headers: RecordHeader[] = [];
  let at = start;
  while (at < end) {
    const nameLength = int32At(bytes, at);
    const name = readName(bytes, at + 4, nameLength);
    at += 4 + nameLength;
    const valueLength = int32At(bytes, at);
    at += 4;
    headers.push({ name, value: valueLength < 0 ? null : batch.view(at, valueLength) });
    if (valueLength > 0) at += valueLength;
  }
  return headers;
}

function int32At(bytes: Buffer, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Names read lately with their bytes, by their length and two of their bytes: the same few come with every record. */
const knownNames: ({ readonly bytes: Uint8Array; readonly name: string } | undefined)[] = new Array(256).fill(undefined);

function readName(bytes: Buffer, start: number, length: number): string {
  const slot = (length * 31 + bytes[start]! * 7 + bytes[start + length - 1]!) & 0xff;
  const known = knownNames[slot];
  if (known !== undefined && known.bytes.length === length) {
    let same = 0;
    while (same < length && known.bytes[same] === bytes[start + same]) same++;
    if (same === length) return known.name;
  }
  const name = bytes.toString('utf8', start, start + length);
  if (length <= 64) knownNames[slot] = { bytes: Uint8Array.prototype.slice.call(bytes, start, start + length), name };
  return name;
}
