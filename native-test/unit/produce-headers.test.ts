import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { toRawHeaders } from '../../src/client/produce-headers.ts';
import { EncodeError } from '../../src/errors.ts';
import type { HeadersInput } from '../../src/serde.ts';

/** What node-rdkafka reads of a header object: its first own property. */
function read(raw: readonly object[] | undefined): [string, unknown][] | undefined {
  return raw?.map((header) => {
    const names = Object.getOwnPropertyNames(header);
    assert.equal(names.length, 1);
    return [names[0]!, Object.getOwnPropertyDescriptor(header, names[0]!)!.value];
  });
}

/** Text that node-rdkafka hands on unchanged: it ends a value at a zero byte, and half a surrogate pair is no text. */
const text = (options: fc.StringConstraints = {}): fc.Arbitrary<string> =>
  fc.string({ unit: 'grapheme', ...options }).filter((value) => !/[\0\p{Surrogate}]/u.test(value));

describe('headers to produce', () => {
  test('keep names, order, repetitions and text, from strings and from bytes', () => {
    const pair = fc.tuple(fc.oneof(text({ minLength: 1 }), fc.constantFrom('__proto__', 'constructor', '0')), text(), fc.boolean());
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1 }), (pairs) => {
        const headers = pairs.map(([name, value, asBytes]) => ({ name, value: asBytes ? new TextEncoder().encode(value) : value }));
        assert.deepEqual(
          read(toRawHeaders(headers, 'out')),
          pairs.map(([name, value]) => [name, value]),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  test('an object gives one header a name, __proto__ among them', () => {
    const headers = JSON.parse('{"trace":"1","__proto__":"2","empty":""}') as Record<string, string>;
    const expected = [
      ['trace', '1'],
      ['__proto__', '2'],
      ['empty', ''],
    ];
    assert.deepEqual(read(toRawHeaders(headers, 'out')), expected);
  });

  test('an iterable is read once, a byte order mark is kept', () => {
    function* once(): Generator<{ name: string; value: Uint8Array }> {
      yield { name: 'bom', value: Buffer.from('\ufefftext') };
    }
    assert.deepEqual(read(toRawHeaders(once(), 'out')), [['bom', '\ufefftext']]);
  });

  const none: [string, HeadersInput | undefined][] = [
    ['undefined', undefined],
    ['an empty list', []],
    ['an empty object', {}],
  ];
  for (const [name, headers] of none) test(`${name} means no headers`, () => assert.equal(toRawHeaders(headers, 'out'), undefined));

  const refused: [string, unknown, RegExp][] = [
    ['a null value', [{ name: 'a', value: null }], /header a of a record for out is null/],
    ['a null value in an object', { a: null }, /header a of a record for out is null/],
    ['a value left out', [{ name: 'a' }], /header a of a record for out is null/],
    ['bytes that are no UTF-8', [{ name: 'id', value: Uint8Array.of(0xff, 0xfe) }], /header id of a record for out is no UTF-8/],
    ['a number', { retries: 3 }, /header retries of a record for out/],
    ['an empty name', { '': 'x' }, /header of a record for out to have a name/],
    ['a Map, whose entries have no name', new Map([['a', 'b']]), /header of a record for out to have a name/],
    // node-rdkafka ends a value at a zero byte and replaces what is no text, without a word.
    ['bytes with a zero in them', { id: Uint8Array.of(0, 0, 0, 7) }, /header id of a record for out/],
    ['text with a zero in it', { id: 'a\0b' }, /header id of a record for out/],
    ['half a surrogate pair', { id: '\ud83d' }, /header id of a record for out/],
  ];
  for (const [name, headers, message] of refused) {
    test(`${name} is refused, naming the header and the topic`, () => {
      assert.throws(
        () => toRawHeaders(headers as HeadersInput, 'out'),
        (error) => error instanceof EncodeError && error.topic === 'out' && message.test(error.message),
      );
    });
  }
});
