import { EncodeError } from '../errors.ts';
import type { HeadersInput } from '../serde.ts';

/** Bytes of a slab: headers of many records share one. */
const SLAB_BYTES = 64 * 1024;

/** Up to so many bytes a loop is faster than a call out of JavaScript. */
const SHORT_BYTES = 128;

const MOST_NAMES = 1_000;

/**
 * Headers of one record in the layout of `RecordBatch`: name length, name, value length (-1 for null), value. They lie within a slab, so
 * that a record costs no buffer of its own, and are never written over.
 */
export class PackedHeaders {
  readonly slab: Uint8Array;
  readonly start: number;
  readonly length: number;

  constructor(slab: Uint8Array, start: number, length: number) {
    this.slab = slab;
    this.start = start;
    this.length = length;
  }

  /** Copies the bytes to `target` at `at`. */
  copy(target: Uint8Array, at: number): void {
    copyBytes(this.slab, this.start, this.length, target, at);
  }

  /** What `message.max.bytes` counts of them: lengths are varints on the wire. */
  get wireBytes(): number {
    const { slab, start, length } = this;
    const bytes = Buffer.from(slab.buffer, slab.byteOffset + start, length);
    let total = 0;
    for (let at = 0; at < length; ) {
      const nameLength = bytes.readInt32LE(at);
      const valueLength = bytes.readInt32LE(at + 4 + nameLength);
      total += nameLength + varintBytes(nameLength) + Math.max(valueLength, 0) + varintBytes(valueLength);
      at += 8 + nameLength + Math.max(valueLength, 0);
    }
    return total;
  }
}

/** Bytes of a zigzag varint. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = (value < 0 ? -value * 2 - 1 : value * 2) >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

function copyBytes(from: Uint8Array, start: number, length: number, to: Uint8Array, at: number): void {
  if (length > SHORT_BYTES) to.set(from.subarray(start, start + length), at);
  else for (let index = 0; index < length; index++) to[at + index] = from[start + index]!;
}

/** A name as it is packed, and the value it came with last: services send the same few with every record. */
interface KnownName {
  /** Its length and its UTF-8 bytes. */
  readonly packed: Uint8Array;
  value: string | undefined;
  /** The whole header, once its value came twice in a row. */
  whole: Uint8Array | undefined;
}

const knownNames = new Map<string, KnownName>();

let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
/** Where the next headers go. */
let used = 0;

/**
 * Packs the headers of a record; undefined when there are none.
 *
 * @throws EncodeError for a header without a name, or whose value is no text, bytes or null
 */
export function packHeaders(headers: HeadersInput | undefined, topic: string): PackedHeaders | undefined {
  if (headers === undefined) return undefined;
  let end = used;
  if (Array.isArray(headers)) {
    for (let index = 0; index < headers.length; index++) {
      const header = headers[index] as { name: string; value: string | Uint8Array | null };
      end = packHeader(end, header.name, header.value, topic);
    }
  } else if (Symbol.iterator in headers) {
    for (const { name, value } of headers as Iterable<{ name: string; value: string | Uint8Array | null }>) {
      end = packHeader(end, name, value, topic);
    }
  } else for (const [name, value] of Object.entries(headers)) end = packHeader(end, name, value, topic);
  if (end === used) return undefined;
  const packed = new PackedHeaders(slab, used, end - used);
  used = end;
  return packed;
}

/** Writes a header at `at` of the slab and returns where it ends, which is within a new slab when this one was full. */
function packHeader(at: number, name: string, value: string | Uint8Array | null, topic: string): number {
  const known = knownNames.get(name) ?? learnName(name, topic);
  if (known.whole !== undefined && known.value === value) {
    const { whole } = known;
    const start = roomFor(at, whole.length);
    copyBytes(whole, 0, whole.length, slab, start);
    return start + whole.length;
  }
  const { packed } = known;
  const most = typeof value === 'string' ? value.length * 3 : (value?.length ?? 0);
  const first = roomFor(at, packed.length + 4 + most);
  copyBytes(packed, 0, packed.length, slab, first);
  const start = first + packed.length + 4;
  const length = writeValue(start, name, value, topic);
  slab.writeInt32LE(length, start - 4);
  const end = start + Math.max(length, 0);
  remember(known, value, first, end);
  return end;
}

/** A value is kept when it came before, so that one that changes with each record costs no copy. */
function remember(known: KnownName, value: string | Uint8Array | null, start: number, end: number): void {
  if (typeof value !== 'string' || value.length > SHORT_BYTES) return;
  known.whole = known.value === value ? Uint8Array.prototype.slice.call(slab, start, end) : undefined;
  known.value = value;
}

/** Gives the value's length, -1 for null. */
function writeValue(start: number, name: string, value: string | Uint8Array | null, topic: string): number {
  if (typeof value === 'string') {
    if (writeAscii(value, start)) return value.length;
    if (!value.isWellFormed()) throw unsendable(name, 'value', topic, 'half a surrogate pair');
    return slab.write(value, start);
  }
  if (value === null) return -1;
  if (value instanceof Uint8Array) {
    copyBytes(value, 0, value.length, slab, start);
    return value.length;
  }
  throw new EncodeError(`Expected the header ${name} of a record for ${topic} to be text, bytes or null, got ${typeof value}`, { topic });
}

/** Writes a short text that is all ASCII; false when it is not. */
function writeAscii(text: string, start: number): boolean {
  if (text.length > SHORT_BYTES) return false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return false;
    slab[start + index] = code;
  }
  return true;
}

/** Where `length` bytes have room: at `at`, or in a new slab, to which the record's headers so far move. */
function roomFor(at: number, length: number): number {
  if (at + length <= slab.length) return at;
  const written = at - used;
  const next = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (written + length)));
  next.set(slab.subarray(used, at));
  slab = next;
  used = 0;
  return written;
}

function learnName(name: string, topic: string): KnownName {
  checkHeaderName(name, topic);
  if (name.includes('\0') || !name.isWellFormed()) throw unsendable(name, 'name', topic, 'a NUL or half a surrogate pair');
  const packed = Buffer.alloc(4 + Buffer.byteLength(name));
  packed.writeInt32LE(packed.write(name, 4), 0);
  if (knownNames.size >= MOST_NAMES) knownNames.clear();
  const known: KnownName = { packed, value: undefined, whole: undefined };
  knownNames.set(name, known);
  return known;
}

/** @throws EncodeError for what is no name */
export function checkHeaderName(name: unknown, topic: string): void {
  if (typeof name === 'string' && name !== '') return;
  throw new EncodeError(`Expected every header of a record for ${topic} to have a name, got ${JSON.stringify(name)}`, { topic });
}

function unsendable(name: string, part: string, topic: string, what: string): EncodeError {
  return new EncodeError(`The header ${name} of a record for ${topic} has a ${part} that holds ${what}, which cannot be sent`, { topic });
}
