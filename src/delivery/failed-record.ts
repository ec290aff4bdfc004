import type { RecordHeader } from '../serde.ts';

/** The headers a record carries that was put aside, in the order they are appended to its own. `kafka_retry_count` is the original's name. */
export const failureHeaders = {
  retryCount: 'kafka_retry_count',
  notBefore: 'kafka_retry_not_before',
  topic: 'kafka_original_topic',
  partition: 'kafka_original_partition',
  offset: 'kafka_original_offset',
  timestamp: 'kafka_original_timestamp',
  exception: 'kafka_exception',
  message: 'kafka_exception_message',
  attempts: 'kafka_attempts',
} as const;

const ownNames: ReadonlySet<string> = new Set(Object.values(failureHeaders));

/** A message may hold a whole response; a header of that size could make the record too large to be put aside. */
const MESSAGE_MAX_CHARACTERS = 1_000;

/** A record's bytes and place: what `ConsumerRecord.detach()` gives. */
export interface FailedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch, -1 when the record has none. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly RecordHeader[];
}

/** Bytes to produce as they are. */
export interface RawRecord {
  readonly topic: string;
  readonly partition?: number | undefined;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly { readonly name: string; readonly value: string | Buffer | null }[];
  readonly timestamp?: number | undefined;
}

/** Where a record that was put aside came from, and what became of it since. */
export interface RecordOrigin {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch, -1 when unknown. */
  readonly timestamp: number;
  /** Retry topics it went through. */
  readonly retryCount: number;
  /** Calls of a handler that failed, in all. */
  readonly attempts: number;
  /** Class of the last error, undefined when it never failed. */
  readonly exception: string | undefined;
  readonly exceptionMessage: string | undefined;
  /** When a delayed record is due, in milliseconds since the epoch. */
  readonly notBefore: number | undefined;
}

/**
 * Where a record of a retry or dead-letter topic comes from, by the headers it was put aside with; undefined for any other record.
 *
 * @example
 * const origin = recordOrigin(record); // { topic: 'orders', partition: 2, offset: 4711, retryCount: 1, … }
 */
export function recordOrigin(record: { readonly rawHeaders: readonly RecordHeader[] }): RecordOrigin | undefined {
  return originOf(record.rawHeaders);
}

/** @internal As {@link recordOrigin}, of headers. */
export function originOf(headers: readonly RecordHeader[]): RecordOrigin | undefined {
  const start = ownHeadersStart(headers);
  const own = new Map(headers.slice(start).map(({ name, value }) => [name, value?.toString('utf8')]));
  const topic = own.get(failureHeaders.topic);
  if (topic === undefined) return undefined;
  const number = (name: string, fallback: number): number => {
    const value = Number(own.get(name) ?? Number.NaN);
    return Number.isSafeInteger(value) ? value : fallback;
  };
  const notBefore = number(failureHeaders.notBefore, -1);
  return {
    topic,
    partition: number(failureHeaders.partition, -1),
    offset: number(failureHeaders.offset, -1),
    timestamp: number(failureHeaders.timestamp, -1),
    retryCount: number(failureHeaders.retryCount, 0),
    attempts: number(failureHeaders.attempts, 0),
    exception: own.get(failureHeaders.exception),
    exceptionMessage: own.get(failureHeaders.message),
    notBefore: notBefore < 0 ? undefined : notBefore,
  };
}

/** The record's own headers: without those it was put aside with. */
export function originalHeaders(headers: readonly RecordHeader[]): readonly RecordHeader[] {
  return headers.slice(0, ownHeadersStart(headers));
}

/** Ours come last, `kafka_retry_count` first among them: a record's own header of such a name stands before that, and stays. */
function ownHeadersStart(headers: readonly RecordHeader[]): number {
  for (let start = headers.length - 1; start >= 0 && ownNames.has(headers[start]!.name); start--) {
    if (headers[start]!.name === failureHeaders.retryCount) return start;
  }
  return headers.length;
}

/** Where a failed record goes, and what it is told to carry. */
export interface PutAside {
  readonly topic: string;
  readonly error: unknown;
  /** Calls of the handler that failed, earlier ones included. */
  readonly attempts: number;
  readonly retryCount: number;
  /** When it is due, in milliseconds since the epoch; undefined for a dead letter. */
  readonly notBefore: number | undefined;
}

/**
 * The record to produce: the original's key, value and headers byte for byte, then ours. `origin` is that of the record when it was put
 * aside before.
 */
export function putAside(record: FailedRecord, origin: RecordOrigin | undefined, to: PutAside): RawRecord {
  const from = origin ?? record;
  const own: readonly (readonly [string, string | undefined])[] = [
    [failureHeaders.retryCount, String(to.retryCount)],
    [failureHeaders.notBefore, to.notBefore === undefined ? undefined : String(to.notBefore)],
    [failureHeaders.topic, from.topic],
    [failureHeaders.partition, String(from.partition)],
    [failureHeaders.offset, String(from.offset)],
    [failureHeaders.timestamp, String(from.timestamp)],
    [failureHeaders.exception, exceptionOf(to.error)],
    [failureHeaders.message, messageOf(to.error)],
    [failureHeaders.attempts, String(to.attempts)],
  ];
  return {
    topic: to.topic,
    key: record.key,
    value: record.value,
    headers: [
      ...(origin === undefined ? record.headers : originalHeaders(record.headers)),
      ...own.flatMap(([name, value]) => (value === undefined ? [] : [{ name, value }])),
    ],
  };
}

/** The class name of what was thrown; of what is no error, its type. */
function exceptionOf(error: unknown): string {
  return sendable(error instanceof Error ? error.name || error.constructor.name : typeof error);
}

function messageOf(error: unknown): string {
  return sendable(error instanceof Error ? error.message : describe(error));
}

function sendable(text: string): string {
  return text.slice(0, MESSAGE_MAX_CHARACTERS).toWellFormed().replaceAll('\0', ' ');
}

/** What has no text of its own (an object without a prototype, a throwing `toString`) must not get a record lost. */
function describe(value: unknown): string {
  try {
    return String(value);
  } catch {
    return typeof value;
  }
}
