import { checkHeaderName, type PackedHeaders } from '../binding/packed-headers.ts';
import { EncodeError } from '../errors.ts';
import type { HeadersInput } from '../serde.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Packed headers as a list. */
export function unpackHeaders(packed: PackedHeaders | undefined): HeadersInput | undefined {
  if (packed === undefined) return undefined;
  const bytes = Buffer.from(packed.slab.buffer, packed.slab.byteOffset + packed.start, packed.length);
  const headers: { name: string; value: Buffer | null }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const nameEnd = at + 4 + bytes.readInt32LE(at);
    const valueLength = bytes.readInt32LE(nameEnd);
    const start = nameEnd + 4;
    const end = start + Math.max(valueLength, 0);
    headers.push({ name: bytes.toString('utf8', at + 4, nameEnd), value: valueLength < 0 ? null : bytes.subarray(start, end) });
    at = end;
  }
  return headers;
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
  checkHeaderName(name, topic);
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
