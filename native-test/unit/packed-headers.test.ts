import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type PackedHeaders, packHeaders } from '../../src/binding/packed-headers.ts';
import { EncodeError } from '../../src/errors.ts';
import type { HeadersInput } from '../../src/serde.ts';

type Pair = readonly [name: string, value: string | Uint8Array | null];

function bytesOf(packed: PackedHeaders | undefined): Buffer {
  const bytes = Buffer.alloc(packed?.length ?? 0);
  packed?.copy(bytes, 0);
  return bytes;
}

/** The headers that lie in packed bytes, values as hexadecimal text. */
function read(bytes: Buffer): [string, string | null][] {
  const headers: [string, string | null][] = [];
  for (let at = 0; at < bytes.length; ) {
    const name = bytes.toString('utf8', at + 4, at + 4 + bytes.readInt32LE(at));
    at += 4 + Buffer.byteLength(name);
    const length = bytes.readInt32LE(at);
    at += 4;
    headers.push([name, length < 0 ? null : bytes.toString('hex', at, at + length)]);
    at += Math.max(length, 0);
  }
  return headers;
}

const expected = (pairs: readonly Pair[]): [string, string | null][] =>
  pairs.map(([name, value]) => [name, value === null ? null : Buffer.from(value as string).toString('hex')]);

const listed = (pairs: readonly Pair[]): HeadersInput => pairs.map(([name, value]) => ({ name, value }));

/** Text that can be sent as a header: whole characters, and names without NUL. */
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((each) => each.isWellFormed());
const name = fc.oneof(
  fc.constantFrom('a', 'trace', '__proto__', 'é', '日本'),
  text.filter((each) => each !== '' && !each.includes('\0')),
);
const value = fc.oneof(text, fc.constantFrom('same', 'x'.repeat(300)), fc.uint8Array({ maxLength: 300 }), fc.constant(null));

describe('packed headers', () => {
  test('keep names, order, repetitions, null and every byte, whatever was packed before or is packed after', () => {
    const pairs = fc.array(fc.tuple(name, value), { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(pairs, { minLength: 1, maxLength: 20 }), (records) => {
        const packed = records.map((record) => packHeaders(listed(record), 'out'));
        assert.deepEqual(
          packed.map((each) => read(bytesOf(each))),
          records.map(expected),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  test('larger than a slab are whole', () => {
    const pairs: Pair[] = [
      ['small', 'x'],
      ['large', Buffer.alloc(300_000, 7)],
      ['text', 'ü'.repeat(100_000)],
    ];
    assert.deepEqual(read(bytesOf(packHeaders(listed(pairs), 'out'))), expected(pairs));
  });

  test('a value that comes again, changes and comes again is always its own', () => {
    const values = ['one', 'one', 'one', 'two', 'one', 'one', 'two', 'two', 'two', 'one'];
    const packed = values.map((each) => packHeaders({ service: each }, 'out'));
    assert.deepEqual(
      packed.map((each) => read(bytesOf(each))[0]?.[1]),
      values.map((each) => Buffer.from(each).toString('hex')),
    );
  });

  test('wireBytes are what the record format takes for them', () => {
    // name: 1 + 1, value: 1 + 2; name: 1 + 1, null: 1; name: 1 + 1, value: 2 + 100
    const pairs: Pair[] = [
      ['a', 'bc'],
      ['d', null],
      ['e', 'f'.repeat(100)],
    ];
    assert.equal(packHeaders(listed(pairs), 'out')?.wireBytes, 5 + 3 + 104);
  });

  test('an iterable is read once, an object gives one header a name', () => {
    function* once(): Generator<{ name: string; value: string }> {
      yield { name: 'a', value: '1' };
    }
    assert.deepEqual(read(bytesOf(packHeaders(once(), 'out'))), [['a', '31']]);
    assert.deepEqual(read(bytesOf(packHeaders(JSON.parse('{"__proto__":"2"}') as HeadersInput, 'out'))), [['__proto__', '32']]);
    for (const none of [undefined, [], {}]) assert.equal(packHeaders(none, 'out'), undefined);
  });

  const refused: [string, unknown, RegExp][] = [
    ['a number', { retries: 3 }, /header retries of a record for out to be text, bytes or null/],
    ['a value left out', [{ name: 'a' }], /header a of a record for out to be text, bytes or null/],
    ['an empty name', { '': 'x' }, /header of a record for out to have a name/],
    ['a name with a zero in it', { 'a\0b': 'x' }, /name that holds a NUL/],
    ['half a surrogate pair', { id: '\ud83d' }, /value that holds half a surrogate pair/],
  ];
  for (const [what, headers, message] of refused) {
    test(`${what} is refused, naming the header and the topic, and spoils no other record`, () => {
      const before = packHeaders({ before: 'x' }, 'out');
      assert.throws(
        () => packHeaders([{ name: 'good', value: '1' }, ...asList(headers)] as HeadersInput, 'out'),
        (error) => error instanceof EncodeError && error.topic === 'out' && message.test(error.message),
      );
      assert.deepEqual(read(bytesOf(packHeaders({ after: 'y' }, 'out'))), [['after', '79']]);
      assert.deepEqual(read(bytesOf(before)), [['before', '78']]);
    });
  }
});

function asList(headers: unknown): unknown[] {
  return Array.isArray(headers) ? headers : Object.entries(headers as object).map(([name, value]) => ({ name, value }));
}
