import { AvroDecimal, readUnscaled, writeUnscaled } from './decimal.ts';
import type { LogicalType, LogicalTypeAttributes } from './logical-type.ts';

const DAY_MS = 86_400_000;

/** `decimal` on bytes or fixed, exact. Text such as `'12.34'` is taken, too. */
const decimal: LogicalType<Uint8Array, AvroDecimal> = {
  fromAvro: (raw, attributes) => new AvroDecimal(readUnscaled(raw), scaleOf(attributes)),
  toAvro(value, attributes) {
    const given: unknown = value;
    const number = typeof given === 'string' ? AvroDecimal.parse(given) : given;
    if (!(number instanceof AvroDecimal)) throw new RangeError(`Expected an AvroDecimal or text such as 12.34, got ${String(given)}`);
    const { unscaled } = number.rescale(scaleOf(attributes));
    const { precision, size } = attributes as { precision: number; size?: number };
    if ((unscaled < 0n ? -unscaled : unscaled) >= 10n ** BigInt(precision)) {
      throw new RangeError(`${number.toString()} has more than ${precision} digits`);
    }
    return writeUnscaled(unscaled, size);
  },
  check(attributes) {
    const { precision } = attributes;
    const scale = scaleOf(attributes);
    if (!(Number.isInteger(precision) && (precision as number) > 0)) throw new RangeError('a decimal needs a precision above 0');
    if (!(Number.isInteger(scale) && scale >= 0 && scale <= (precision as number)))
      throw new RangeError('a decimal needs a scale from 0 to its precision');
  },
};

function scaleOf({ scale = 0 }: LogicalTypeAttributes): number {
  return scale as number;
}

/** `date` on int: midnight UTC of that day. */
const date: LogicalType<number, Date> = {
  fromAvro: (days) => new Date(days * DAY_MS),
  toAvro(value) {
    const time = timeOf(value);
    if (time % DAY_MS !== 0) throw new RangeError(`${value.toISOString()} is no midnight UTC, and a date has no time of day`);
    return time / DAY_MS;
  },
};

/** `timestamp-millis` on long. */
const timestampMillis: LogicalType<number, Date> = {
  fromAvro(milliseconds) {
    const value = new Date(milliseconds);
    if (Number.isNaN(value.getTime())) throw new RangeError(`${milliseconds} ms is beyond what a Date can hold`);
    return value;
  },
  toAvro: timeOf,
};

function timeOf(value: Date): number {
  const time = value instanceof Date ? value.getTime() : Number.NaN;
  if (Number.isNaN(time)) throw new RangeError(`Expected a valid Date, got ${String(value)}`);
  return time;
}

/** A bigint as it is: microseconds and nanoseconds do not fit into a Date. */
const bigCount: LogicalType<bigint, bigint> = { long: 'bigint', fromAvro: (raw) => raw, toAvro: (value) => value };

function timeOfDay(unitsADay: number): LogicalType<number, number> {
  const check = (value: number): number => {
    if (Number.isInteger(value) && value >= 0 && value < unitsADay) return value;
    throw new RangeError(`Expected a time of day from 0 to ${unitsADay - 1}, got ${String(value)}`);
  };
  return { fromAvro: check, toAvro: check };
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** `uuid` on string, or on a fixed of 16 bytes. */
const uuid: LogicalType<string | Uint8Array, string> = {
  fromAvro(raw) {
    const text =
      typeof raw === 'string'
        ? raw
        : Buffer.from(raw)
            .toString('hex')
            .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    return checkUuid(text);
  },
  toAvro(value, { size }) {
    checkUuid(value);
    return size === undefined ? value : Buffer.from(value.replaceAll('-', ''), 'hex');
  },
};

function checkUuid(text: unknown): string {
  if (typeof text === 'string' && UUID.test(text)) return text;
  throw new RangeError(`Expected a UUID, got ${JSON.stringify(text)}`);
}

/** Avro's `duration`: three counts that do not convert into each other. */
export interface AvroDuration {
  readonly months: number;
  readonly days: number;
  readonly milliseconds: number;
}

/** `duration` on a fixed of 12 bytes. */
const duration: LogicalType<Uint8Array, AvroDuration> = {
  fromAvro(raw) {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
    return { months: view.getUint32(0, true), days: view.getUint32(4, true), milliseconds: view.getUint32(8, true) };
  },
  toAvro({ months, days, milliseconds }) {
    const bytes = Buffer.alloc(12);
    bytes.writeUInt32LE(months, 0);
    bytes.writeUInt32LE(days, 4);
    bytes.writeUInt32LE(milliseconds, 8);
    return bytes;
  },
  check({ size }) {
    if (size !== 12) throw new RangeError('a duration needs a fixed of 12 bytes');
  },
};

/**
 * Avro's own logical types: `decimal` as {@link AvroDecimal}; `date` and `timestamp-millis` as `Date`; `timestamp-micros` and `-nanos` as
 * bigints; `time-millis` and `time-micros` as numbers; `uuid` as checked text; `duration` as {@link AvroDuration}; local timestamps as
 * the others. Add your own beside them.
 *
 * @example
 * const options = { logicalTypes: { ...standardLogicalTypes, money: { fromAvro: (cents: number) => cents / 100, toAvro: … } } };
 */
export const standardLogicalTypes: {
  readonly decimal: LogicalType<Uint8Array, AvroDecimal>;
  readonly date: LogicalType<number, Date>;
  readonly 'time-millis': LogicalType<number, number>;
  readonly 'time-micros': LogicalType<number, number>;
  readonly 'timestamp-millis': LogicalType<number, Date>;
  readonly 'timestamp-micros': LogicalType<bigint, bigint>;
  readonly 'timestamp-nanos': LogicalType<bigint, bigint>;
  readonly 'local-timestamp-millis': LogicalType<number, Date>;
  readonly 'local-timestamp-micros': LogicalType<bigint, bigint>;
  readonly 'local-timestamp-nanos': LogicalType<bigint, bigint>;
  readonly uuid: LogicalType<string | Uint8Array, string>;
  readonly duration: LogicalType<Uint8Array, AvroDuration>;
} = {
  decimal,
  date,
  'time-millis': timeOfDay(DAY_MS),
  'time-micros': timeOfDay(DAY_MS * 1000),
  'timestamp-millis': timestampMillis,
  'timestamp-micros': bigCount,
  'timestamp-nanos': bigCount,
  'local-timestamp-millis': timestampMillis,
  'local-timestamp-micros': bigCount,
  'local-timestamp-nanos': bigCount,
  uuid,
  duration,
};
