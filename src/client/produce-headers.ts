import { EncodeError } from '../errors.ts';
import type { HeadersInput } from '../serde.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Names seen, each as its length and its UTF-8 bytes: the same few come with every record. */
const packedNames = new Map<string, Buffer>();
const PACKED_NAMES_MAX = 1_000;

/** Up to so many bytes a loop is faster than a call out of JavaScript. */
const SHORT_BYTES = 128;

/** Where headers are put together; grows to the largest. */
let scratch = Buffer.allocUnsafeSlow(4_096);

/**
 * Headers in the packed layout of `RecordBatch`: name length, name, value length (-1 for null), value.
 *
 * @throws EncodeError for a header without a name, or whose value is no text, bytes or null
 */
export function packHeaders(headers: HeadersInput | undefined, topic: string): Buffer | undefined {
  if (headers === undefined) return undefined;
  let end = 0;
  if (Symbol.iterator in headers) {
    for (const { name, value } of headers as Iterable<{ name: string; value: string | Uint8Array | null }>) {
      end = packHeader(end, name, value, topic);
    }
  } else for (const [name, value] of Object.entries(headers)) end = packHeader(end, name, value, topic);
  if (end === 0) return undefined;
  const packed = Buffer.allocUnsafe(end);
  if (end > SHORT_BYTES) packed.set(scratch.subarray(0, end));
  else for (let index = 0; index < end; index++) packed[index] = scratch[index]!;
  return packed;
}

/** Writes a header at `at` of the scratch and returns where it ends. */
function packHeader(at: number, name: string, value: string | Uint8Array | null, topic: string): number {
  const packedName = packedNames.get(name) ?? packName(name, topic);
  const most = typeof value === 'string' ? value.length * 3 : (value?.length ?? 0);
  if (at + packedName.length + 4 + most > scratch.length) growScratch(at, at + packedName.length + 4 + most);
  scratch.set(packedName, at);
  const start = at + packedName.length + 4;
  let length: number;
  if (typeof value === 'string') {
    length = value.length;
    if (!writeAscii(value, start)) {
      if (!value.isWellFormed()) throw unsendable(name, 'value', topic, 'half a surrogate pair');
      length = scratch.write(value, start);
    }
  } else if (value === null) length = -1;
  else if (value instanceof Uint8Array) {
    scratch.set(value, start);
    length = value.length;
  } else {
    throw new EncodeError(`Expected the header ${name} of a record for ${topic} to be text, bytes or null, got ${typeof value}`, { topic });
  }
  scratch.writeInt32LE(length, start - 4);
  return start + Math.max(length, 0);
}

/** Writes a short text that is all ASCII; false when it is not. */
function writeAscii(text: string, start: number): boolean {
  if (text.length > SHORT_BYTES) return false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return false;
    scratch[start + index] = code;
  }
  return true;
}

function packName(name: string, topic: string): Buffer {
  checkName(name, topic);
  if (name.includes('\0') || !name.isWellFormed()) throw unsendable(name, 'name', topic, 'a NUL or half a surrogate pair');
  const packed = Buffer.alloc(4 + Buffer.byteLength(name));
  packed.writeInt32LE(packed.write(name, 4), 0);
  if (packedNames.size >= PACKED_NAMES_MAX) packedNames.clear();
  packedNames.set(name, packed);
  return packed;
}

function checkName(name: unknown, topic: string): void {
  if (typeof name === 'string' && name !== '') return;
  throw new EncodeError(`Expected every header of a record for ${topic} to have a name, got ${JSON.stringify(name)}`, { topic });
}

function growScratch(used: number, needed: number): void {
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, scratch.length * 2));
  larger.set(scratch.subarray(0, used));
  scratch = larger;
}

function unsendable(name: string, part: string, topic: string, what: string): EncodeError {
  return new EncodeError(`The header ${name} of a record for ${topic} has a ${part} that holds ${what}, which cannot be sent`, { topic });
}

/** Packed headers as a list. */
export function unpackHeaders(packed: Buffer | undefined): HeadersInput | undefined {
  if (packed === undefined) return undefined;
  const headers: { name: string; value: Buffer | null }[] = [];
  for (let at = 0; at < packed.length; ) {
    const nameEnd = at + 4 + packed.readInt32LE(at);
    const valueLength = packed.readInt32LE(nameEnd);
    const start = nameEnd + 4;
    const end = start + Math.max(valueLength, 0);
    headers.push({ name: packed.toString('utf8', at + 4, nameEnd), value: valueLength < 0 ? null : packed.subarray(start, end) });
    at = end;
  }
  return headers;
}

/** What `message.max.bytes` counts of packed headers. */
export function packedHeaderWireBytes(packed: Buffer): number {
  let total = 0;
  for (let at = 0; at < packed.length; ) {
    const nameLength = packed.readInt32LE(at);
    const valueLength = packed.readInt32LE(at + 4 + nameLength);
    total += nameLength + varintBytes(nameLength) + Math.max(valueLength, 0) + varintBytes(valueLength);
    at += 8 + nameLength + Math.max(valueLength, 0);
  }
  return total;
}

/** Bytes of a zigzag varint. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = (value < 0 ? -value * 2 - 1 : value * 2) >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

/**
 * Headers in the shape node-rdkafka takes: one object with one property each, the value as text.
 *
 * @throws EncodeError for a value that is null or no UTF-8 text: node-rdkafka would change it silently
 */
export function toRawHeaders(headers: HeadersInput | undefined, topic: string): readonly object[] | undefined {
  if (headers === undefined) return undefined;
  const raw: object[] = [];
  if (Symbol.iterator in headers) {
    for (const { name, value } of headers as Iterable<{ name: string; value: string | Uint8Array | null }>) {
      raw.push(rawHeader(name, value, topic));
    }
  } else {
    for (const [name, value] of Object.entries(headers)) raw.push(rawHeader(name, value, topic));
  }
  return raw.length === 0 ? undefined : raw;
}

function rawHeader(name: string, value: string | Uint8Array | null, topic: string): object {
  checkName(name, topic);
  let text: string;
  if (typeof value === 'string') text = value;
  else if (value === null || value === undefined) {
    throw new EncodeError(`The header ${name} of a record for ${topic} is null, which node-rdkafka cannot send; send an empty one.`, {
      topic,
    });
  } else {
    try {
      text = utf8.decode(value);
    } catch (cause) {
      throw new EncodeError(
        `The header ${name} of a record for ${topic} is no UTF-8 text, which node-rdkafka cannot send; send it as text (e.g. base64).`,
        { topic, cause },
      );
    }
  }
  for (const [what, part] of [
    ['name', name],
    ['value', text],
  ] as const) {
    // node-rdkafka cuts C strings at a NUL, and cannot write half a surrogate pair.
    if (/[\0\p{Surrogate}]/u.test(part)) {
      throw new EncodeError(
        `The header ${name} of a record for ${topic} has a ${what} that holds a NUL or half a surrogate pair, which node-rdkafka cannot send; send it as text (e.g. base64).`,
        { topic },
      );
    }
  }
  // A computed key defines an own property, for `__proto__` too.
  return { [name]: text };
}
