import { EncodeError } from '../errors.ts';
import type { HeadersInput } from '../serde.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Headers in the packed layout of `RecordBatch`: name length, name, value length (-1 for null), value.
 *
 * @throws EncodeError for a header without a name, or whose value is no text, bytes or null
 */
export function packHeaders(headers: HeadersInput | undefined, topic: string): Buffer | undefined {
  if (headers === undefined) return undefined;
  const parts: (string | Uint8Array | null)[] = [];
  let bytes = 0;
  const add = (name: string, value: string | Uint8Array | null): void => {
    checkName(name, topic);
    if (typeof value === 'string') checkText(name, 'value', value, topic, /\p{Surrogate}/u, 'half a surrogate pair');
    else if (value !== null && !(value instanceof Uint8Array)) {
      throw new EncodeError(`Expected the header ${name} of a record for ${topic} to be text, bytes or null, got ${typeof value}`, {
        topic,
      });
    }
    parts.push(name, value);
    bytes += 8 + Buffer.byteLength(name) + (value === null ? 0 : typeof value === 'string' ? Buffer.byteLength(value) : value.length);
  };
  if (Symbol.iterator in headers) {
    for (const { name, value } of headers as Iterable<{ name: string; value: string | Uint8Array | null }>) add(name, value);
  } else for (const [name, value] of Object.entries(headers)) add(name, value);
  if (bytes === 0) return undefined;
  const packed = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const part of parts) {
    if (part === null) {
      at = packed.writeInt32LE(-1, at);
      continue;
    }
    const length = typeof part === 'string' ? packed.write(part, at + 4) : part.length;
    packed.writeInt32LE(length, at);
    if (typeof part !== 'string') packed.set(part, at + 4);
    at += 4 + length;
  }
  return packed;
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

function checkName(name: string, topic: string): void {
  if (typeof name !== 'string' || name === '') {
    throw new EncodeError(`Expected every header of a record for ${topic} to have a name, got ${JSON.stringify(name)}`, { topic });
  }
  checkText(name, 'name', name, topic, /[\0\p{Surrogate}]/u, 'a NUL or half a surrogate pair');
}

function checkText(name: string, part: string, text: string, topic: string, wrong: RegExp, what: string): void {
  if (!wrong.test(text)) return;
  throw new EncodeError(`The header ${name} of a record for ${topic} has a ${part} that holds ${what}, which cannot be sent`, { topic });
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
  if (typeof name !== 'string' || name === '') {
    throw new EncodeError(`Expected every header of a record for ${topic} to have a name, got ${JSON.stringify(name)}`, { topic });
  }
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
