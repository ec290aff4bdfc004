import type { ProducerRecord } from '../client/encode-record.ts';
import { EncodeError } from '../errors.ts';
import type { RecordHeader } from '../serde.ts';

/** How lines become records. */
export interface InputOptions {
  readonly topic: string;
  /** Lines are objects as `consume --json` writes them. */
  readonly json: boolean;
  /** Values are handed to an Avro serializer: as objects, not as text. */
  readonly avro: boolean;
  readonly keySeparator: string | undefined;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly partition: number | undefined;
}

type InputRecord = ProducerRecord<Uint8Array | string | null, unknown>;

/** What a line of `--json` may hold; other properties (`offset` …) are left alone. */
interface JsonLine {
  readonly key?: unknown;
  readonly keyFormat?: unknown;
  readonly value?: unknown;
  readonly valueFormat?: unknown;
  readonly headers?: unknown;
  readonly partition?: unknown;
  readonly timestamp?: unknown;
}

/** @throws EncodeError for a line that is none of what was asked for, with its number */
export function readInput(line: string, number: number, options: InputOptions): InputRecord {
  const { topic, json, avro, keySeparator, partition } = options;
  if (json) return readJson(parse(line, number), number, options);
  let key: string | null = options.key ?? null;
  let value = line;
  if (keySeparator !== undefined) {
    const at = line.indexOf(keySeparator);
    if (at < 0) throw new EncodeError(`Expected a key and ${JSON.stringify(keySeparator)} before the value in line ${number}`);
    key = line.slice(0, at);
    value = line.slice(at + keySeparator.length);
  }
  return { topic, key, value: avro ? parse(value, number) : value, headers: options.headers, partition };
}

function readJson(parsed: unknown, number: number, { topic, avro, key, headers, partition }: InputOptions): InputRecord {
  if (typeof parsed !== 'object' || parsed === null || !('value' in parsed)) {
    throw new EncodeError(`Expected line ${number} to be a JSON object with a value`);
  }
  const line = parsed as JsonLine;
  if (line.valueFormat === 'avro' && !avro) {
    throw new EncodeError(`The value of line ${number} was Avro and would be produced as JSON text: pass --avro or --schema`);
  }
  return {
    topic,
    key: line.key === undefined ? (key ?? null) : bytesOf(line.key, line.keyFormat),
    value: avro ? line.value : bytesOf(line.value, line.valueFormat),
    headers: line.headers === undefined ? headers : headersOf(line.headers, number),
    partition,
    timestamp: timestampOf(line.timestamp, number),
  };
}

/** Text and base64 as they were; anything else as JSON. */
function bytesOf(value: unknown, format: unknown): Uint8Array | string | null {
  if (value === null) return null;
  if (format === 'base64' && typeof value === 'string') return Buffer.from(value, 'base64');
  return typeof value === 'string' && format !== 'json' ? value : JSON.stringify(value);
}

function headersOf(given: unknown, number: number): RecordHeader[] {
  const list: unknown[] = Array.isArray(given)
    ? given
    : typeof given === 'object' && given !== null
      ? Object.entries(given).map(([name, value]) => ({ name, value: value as unknown }))
      : [undefined];
  return list.map((each) => {
    const { name, value = null, format } = (each ?? {}) as { name?: unknown; value?: unknown; format?: unknown };
    if (typeof name !== 'string')
      throw new EncodeError(`Expected headers of line ${number} to be an object, or a list of names and values`);
    const bytes = bytesOf(value, format);
    return { name, value: bytes === null ? null : Buffer.from(bytes) };
  });
}

function timestampOf(given: unknown, number: number): number | undefined {
  if (given === undefined || given === null) return undefined;
  const timestamp = typeof given === 'number' ? given : Date.parse(String(given));
  if (!Number.isSafeInteger(timestamp)) throw new EncodeError(`Expected the timestamp of line ${number} to be an ISO time or milliseconds`);
  return timestamp;
}

function parse(text: string, number: number): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new EncodeError(`Expected JSON in line ${number}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
