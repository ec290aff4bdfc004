import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { RawMessage } from '../../src/binding/node-rdkafka.ts';
import { packMessages, TopicTable } from '../../src/binding/pack.ts';
import { type ConsumerRecord, RecordBatch, type RecordDecoders } from '../../src/binding/record-batch.ts';
import { DecodeError } from '../../src/errors.ts';
import { type RecordHeader, rawDeserializer, stringDeserializer } from '../../src/serde.ts';

type Raw = Buffer | null;

const rawDecoders: RecordDecoders<Raw, Raw, readonly RecordHeader[]> = { key: rawDeserializer, value: rawDeserializer, headers: undefined };

interface Message {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number | undefined;
  readonly key: Raw;
  readonly value: Raw;
  readonly headers: readonly (readonly [name: string, value: Buffer])[] | undefined;
}

/** A message as node-rdkafka hands it out: each header set by assignment, so that `__proto__` lands in the prototype slot. */
function rawMessage({ headers, timestamp, ...rest }: Message): RawMessage {
  const raw = headers?.map(([name, value]) => {
    const header: Record<string, unknown> = {};
    header[name] = value;
    return header;
  });
  return { ...rest, ...(timestamp === undefined ? {} : { timestamp }), ...(raw === undefined ? {} : { headers: raw }) };
}

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const headerName = fc.oneof(
  fc.constantFrom('', '__proto__', 'constructor', 'toString', '0', 'trace', 'trace', 'ключ', '🔑', 'a\0b'),
  fc.string({ unit: 'grapheme' }).filter((name) => !/\p{Surrogate}/u.test(name)),
);
const messages: fc.Arbitrary<Message[]> = fc.array(
  fc.record({
    topic: fc.constantFrom('orders', 'payments', 'тема'),
    partition: fc.nat({ max: 2 ** 31 - 1 }),
    offset: fc.oneof(fc.nat(), fc.maxSafeNat()),
    timestamp: fc.option(fc.maxSafeNat(), { nil: undefined }),
    key: fc.option(bytes, { nil: null }),
    value: fc.option(bytes, { nil: null }),
    headers: fc.option(fc.array(fc.tuple(headerName, bytes), { maxLength: 5 }), { nil: undefined }),
  }),
  { maxLength: 30 },
);

const pack = (list: readonly Message[], topics = new TopicTable()) => packMessages(list.map(rawMessage), topics, rawDecoders);
const message = (more: Partial<Message> = {}): Message => ({
  topic: 'orders',
  partition: 3,
  offset: 7,
  timestamp: 1_000,
  key: Buffer.from('k'),
  value: Buffer.from('v'),
  headers: undefined,
  ...more,
});

function assertSame(record: ConsumerRecord<Raw, Raw>, expected: Message): void {
  const { topic, partition, offset, timestamp = -1, key, value, headers = [] } = expected;
  assert.deepEqual(
    { topic: record.topic, partition: record.partition, offset: record.offset, timestamp: record.timestamp },
    { topic, partition, offset, timestamp },
  );
  assert.deepEqual([record.rawKey, record.rawValue, record.key, record.value], [key, value, key, value]);
  assert.equal(record.sizeBytes, (key?.length ?? 0) + (value?.length ?? 0));
  const list = headers.map(([name, data]) => ({ name, value: data }));
  assert.deepEqual([record.rawHeaders, record.headers], [list, list]);
  for (const [name] of headers) assert.deepEqual(record.header(name), headers.findLast(([other]) => other === name)![1]);
  assert.equal(record.header('no such header'), undefined);
  assert.deepEqual(record.detach(), { topic, partition, offset, timestamp, timestampType: undefined, key, value, headers: list });
}

describe('packed records', () => {
  test('equal the messages field by field', () => {
    fc.assert(
      fc.property(messages, (list) => {
        const batch = pack(list);
        assert.equal(batch.length, list.length);
        for (const [index, expected] of list.entries()) assertSame(batch.at(index), expected);
        assert.deepEqual(
          [...batch].map(({ index }) => index),
          list.map((_, index) => index),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  test('survive the transfer of their two buffers to another thread', () => {
    fc.assert(
      fc.property(messages, (list) => {
        const batch = pack(list);
        const buffers = { bytes: batch.bytes.buffer as ArrayBuffer, columns: batch.columns };
        const topics = structuredClone(batch.topics);
        const moved = structuredClone(buffers, { transfer: [buffers.bytes, buffers.columns] });
        assert.equal(buffers.columns.byteLength, 0, 'the original is gone');
        const arrived = new RecordBatch(list.length, moved.bytes, moved.columns, topics, rawDecoders);
        for (const [index, expected] of list.entries()) assertSame(arrived.at(index), expected);
      }),
      { numRuns: 300 },
    );
  });

  test('tell null from empty, in key and value', () => {
    const empty = Buffer.alloc(0);
    const batch = pack([message({ key: null, value: empty }), message({ key: empty, value: null })]);
    assert.deepEqual([batch.at(0).key, batch.at(0).value], [null, empty]);
    assert.deepEqual([batch.at(1).key, batch.at(1).value], [empty, null]);
  });

  test('know their timestamp type', () => {
    const batch = pack([message(), message(), message()]);
    batch.timestampTypes.set([0, 1, 2]);
    assert.deepEqual(
      [...batch].map((record) => [record.timestampType, record.detach().timestampType]),
      [undefined, 'createTime', 'logAppendTime'].map((type) => [type, type]),
    );
  });

  test('share the table of topics between batches', () => {
    const topics = new TopicTable();
    const first = pack([message({ topic: 'a' }), message({ topic: 'b' })], topics);
    const second = pack([message({ topic: 'c' }), message({ topic: 'a' })], topics);
    assert.deepEqual(
      [...first, ...second].map(({ topic }) => topic),
      ['a', 'b', 'c', 'a'],
    );
    assert.deepEqual(topics.names, ['a', 'b', 'c']);
  });

  test('give their bytes without a copy; a detached record has its own', () => {
    const sent = message({ key: Buffer.from('key'), value: Buffer.from('value'), headers: [['h', Buffer.from('header')]] });
    const loose = pack([sent]);
    assert.equal(loose.at(0).rawKey, sent.key, 'not packed yet: the very buffers of node-rdkafka');
    assert.equal(loose.at(0).rawValue, sent.value);
    const batch = new RecordBatch(1, loose.bytes.buffer as ArrayBuffer, loose.columns, loose.topics, rawDecoders);
    const record = batch.at(0);
    const views = [record.rawKey!, record.rawValue!, record.rawHeaders[0]!.value!];
    for (const view of views) assert.equal(view.buffer, batch.bytes.buffer);
    const detached = record.detach();
    batch.bytes.fill(0);
    assert.deepEqual([String(detached.key), String(detached.value), String(detached.headers[0]!.value)], ['key', 'value', 'header']);
    assert.deepEqual(
      views.map((view) => view.every((byte) => byte === 0)),
      [true, true, true],
    );
  });

  test('refuse an index that is not theirs', () => {
    const batch = pack([message(), message()]);
    for (const index of [-1, 2, Number.NaN, Number.POSITIVE_INFINITY, 0.5]) assert.throws(() => batch.at(index), RangeError, String(index));
    assert.throws(() => pack([]).at(0), RangeError);
    assert.deepEqual([...pack([])], []);
  });
});

describe('decoding', () => {
  test('happens once for each part, and only when asked for', () => {
    const calls: string[] = [];
    const counting = (part: string) => ({
      deserialize(data: Raw): undefined {
        calls.push(`${part} ${data}`);
      },
    });
    const decoders = { key: counting('key'), value: counting('value'), headers: { deserialize: () => void calls.push('headers') } };
    const record = packMessages([rawMessage(message())], new TopicTable(), decoders).at(0);
    assert.deepEqual([record.topic, record.offset, record.sizeBytes, calls], ['orders', 7, 2, []]);
    for (let time = 0; time < 3; time++) assert.deepEqual([record.key, record.value, record.headers], [undefined, undefined, undefined]);
    assert.deepEqual(calls, ['key k', 'value v', 'headers']);
  });

  test('reads in place where the deserializer can, and gives null to deserialize', () => {
    const decoders = { key: stringDeserializer, value: stringDeserializer, headers: undefined };
    const list = [message({ key: null, value: Buffer.from('größe') }), message({ key: Buffer.alloc(0), value: null })];
    const batch = packMessages(list.map(rawMessage), new TopicTable(), decoders);
    assert.deepEqual([batch.at(0).key, batch.at(0).value], [null, 'größe']);
    assert.deepEqual([batch.at(1).key, batch.at(1).value], ['', null]);
  });

  const reason = new SyntaxError('not mine');
  const reject = { deserialize: (): never => assert.fail(reason) };
  const rejectInPlace = { ...reject, deserializeAt: (): never => assert.fail(reason) };
  const faulty: [name: string, part: 'key' | 'value' | 'headers', decoders: Partial<RecordDecoders<unknown, unknown, unknown>>][] = [
    ['key', 'key', { key: reject }],
    ['value', 'value', { value: reject }],
    ['value read in place', 'value', { value: rejectInPlace }],
    ['headers', 'headers', { headers: reject }],
  ];
  for (const [name, part, decoders] of faulty) {
    test(`a ${name} that cannot be read says which record it is, each time it is asked for`, () => {
      const all: RecordDecoders<unknown, unknown, unknown> = { ...rawDecoders, ...decoders };
      const record = packMessages([rawMessage(message())], new TopicTable(), all).at(0);
      for (let time = 0; time < 2; time++) {
        assert.throws(
          () => record[part],
          (error) => {
            assert.ok(error instanceof DecodeError);
            assert.deepEqual([error.topic, error.partition, error.offset, error.cause], ['orders', 3, 7, reason]);
            assert.equal(error.message, `Cannot decode the ${part} of orders [3] @ 7: not mine`);
            return true;
          },
        );
      }
      assert.equal(record.detach().topic, 'orders', 'the bytes can still be had');
    });
  }

  test('keeps the schema id of the cause', () => {
    const value = { deserialize: (): never => assert.fail(new DecodeError('truncated', { schemaId: 12 })) };
    const record = packMessages([rawMessage(message())], new TopicTable(), { ...rawDecoders, value }).at(0);
    assert.throws(
      () => record.value,
      (error) => error instanceof DecodeError && error.schemaId === 12,
    );
  });

  test('waits for what key and value must fetch, each asked with its own range', async () => {
    const asked: string[] = [];
    const waits: (() => void)[] = [];
    const fetching = {
      deserialize: (data: Raw): Raw => data,
      prepareAt(data: Buffer, start: number, end: number): Promise<void> {
        asked.push(data.toString('utf8', start, end));
        return new Promise((resolve) => waits.push(resolve));
      },
    };
    const list = [message({ key: Buffer.from('one'), value: Buffer.from('two') }), message({ key: null, value: null })];
    const batch = packMessages(list.map(rawMessage), new TopicTable(), { key: fetching, value: fetching, headers: undefined });
    assert.equal(batch.prepare(1), undefined);
    const pending = batch.prepare(0);
    assert.deepEqual(asked, ['one', 'two']);
    let done = false;
    const watched = pending!.then(() => {
      done = true;
    });
    waits[0]!();
    await Promise.resolve();
    assert.equal(done, false);
    waits[1]!();
    await watched;
  });
});
