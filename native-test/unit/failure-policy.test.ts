import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  ClosedError,
  DecodeError,
  DeliveryError,
  type FailureOptions,
  FatalError,
  QueueFullError,
  RecordTooLargeError,
  SchemaRegistryError,
  TimeoutError,
} from 'rdkafka-toolkit';
import { type FailedRecord, originalHeaders, originOf, putAside, type RawRecord } from '../../src/delivery/failed-record.ts';
import { resolveFailureOptions } from '../../src/delivery/failure-options.ts';
import { FailurePolicy } from '../../src/delivery/failure-policy.ts';
import type { RecordHeader } from '../../src/serde.ts';

const vars = {
  RETRY_COUNT_MAX: 0,
  PRODUCE_RETRY_TOPICS: [],
  RETRY_DELAY_SECONDS: 10,
  RETRY_DELAY_FACTOR: 6,
  PRODUCE_FAILURE_TOPICS: [],
} as const;
const nobody = { sendRaw: () => assert.fail('nothing is sent') };
const record: FailedRecord = { topic: 'in', partition: 1, offset: 7, timestamp: 5, key: null, value: Buffer.from('x'), headers: [] };

const buffers = (headers: RawRecord['headers']): RecordHeader[] =>
  headers.map(({ name, value }) => ({ name, value: value === null ? null : Buffer.from(value) }));

const policyOf = (options: FailureOptions, own: Partial<Parameters<typeof resolveFailureOptions>[1]> = {}): FailurePolicy =>
  new FailurePolicy(resolveFailureOptions(options, { ...vars, ...own }), { producer: nobody });

describe('a failure policy', () => {
  const backoff = { initialMs: 100, maxMs: 400, jitter: 0 };
  const full = policyOf({
    attempts: 3,
    backoff,
    retryTopics: [
      { topic: 'soon', delayMs: 1_000 },
      { topic: 'late', delayMs: 60_000 },
    ],
    retries: 3,
    deadLetterTopics: ['dead'],
    routes: [
      { errors: EvalError, action: 'skip' },
      { errors: [URIError, (error) => error === 'stop'], action: 'stop' },
      { errors: RangeError, action: 'deadLetter', deadLetterTopic: 'ranges' },
    ],
  });
  const parked = (topic: string, retryCount: number): FailedRecord => ({
    ...record,
    topic,
    headers: buffers(putAside(record, undefined, { topic, error: 'x', attempts: 1, retryCount, notBefore: 1 }).headers),
  });
  const usual = new TypeError('usual');
  const dead = { action: 'deadLetter', topics: ['dead'] };

  for (const [name, error, of, attempt, expected] of [
    ['tries again in place, after a rest that doubles', usual, record, 1, { action: 'attempt', delayMs: 100 }],
    ['… up to a limit', usual, record, 2, { action: 'attempt', delayMs: 200 }],
    ['then sends to the first retry topic', usual, record, 3, { action: 'retry', topic: 'soon', delayMs: 1_000 }],
    ['from there to the next', usual, parked('soon', 1), 3, { action: 'retry', topic: 'late', delayMs: 60_000 }],
    ['the last of which serves for the rest', usual, parked('late', 2), 3, { action: 'retry', topic: 'late', delayMs: 60_000 }],
    ['until the retries are used up', usual, parked('late', 3), 3, dead],
    [
      'does not believe the headers of other topics',
      usual,
      { ...parked('late', 3), topic: 'in' },
      3,
      { action: 'retry', topic: 'soon', delayMs: 1_000 },
    ],
    ['never retries what cannot be decoded', new DecodeError('poison'), record, 1, dead],
    ['skips by route', new EvalError(), record, 1, { action: 'skip' }],
    ['stops by route', 'stop', record, 1, { action: 'stop' }],
    ['sends to the dead-letter topic of a route at once', new RangeError(), record, 1, { action: 'deadLetter', topics: ['ranges'] }],
    [
      'waits for an outage, however often',
      new SchemaRegistryError('away', { retriable: true }),
      record,
      50,
      { action: 'attempt', delayMs: 400 },
    ],
    ['leaves a dead producer to the runner', new FatalError('fenced'), record, 1, { action: 'undecided' }],
    ['leaves a closed client to the runner', new ClosedError('closed'), record, 1, { action: 'undecided' }],
    [
      'treats a late handler as any failure',
      new TimeoutError('late', { retriable: false }),
      record,
      1,
      { action: 'attempt', delayMs: 100 },
    ],
  ] as const) {
    test(name, () => assert.deepEqual(full.decide(error, of, attempt), expected));
  }

  test('without options decides nothing, not even about an outage', () => {
    for (const error of [usual, new QueueFullError('full'), new DecodeError('poison')]) {
      assert.deepEqual(policyOf({}).decide(error, record, 1), { action: 'undecided' });
    }
  });

  test("is driven by the original's variables", () => {
    const own = { RETRY_COUNT_MAX: 2, PRODUCE_RETRY_TOPICS: ['a', 'b'], PRODUCE_FAILURE_TOPICS: ['dead', 'archive'] };
    const policy = policyOf({}, own);
    assert.deepEqual(policy.decide(usual, record, 1), { action: 'retry', topic: 'a', delayMs: 10_000 });
    assert.deepEqual(policy.decide(usual, parked('a', 1), 1), { action: 'retry', topic: 'b', delayMs: 60_000 });
    assert.deepEqual(policy.decide(usual, parked('b', 2), 1), { action: 'deadLetter', topics: ['dead', 'archive'] });
    assert.deepEqual(policyOf({}, { ...own, RETRY_COUNT_MAX: 0 }).retryTopics, []);
  });

  test('sends again until it is acknowledged, and gives up only what no try can cure', async () => {
    const options = resolveFailureOptions({ deadLetterTopics: ['dead'], backoff: { initialMs: 0, maxMs: 0 } }, vars);
    const outcomes = [
      new DeliveryError('away', 1, { kafkaCode: -192 }),
      new DeliveryError('no such topic', 2, { kafkaCode: 3 }),
      undefined,
    ];
    const errors: unknown[] = [];
    const metrics = {
      incMessagesConsumed: () => undefined,
      incMessagesProduced: () => undefined,
      incMessageErrors: (error: unknown) => void errors.push(error),
    };
    let sends = 0;
    const producer = {
      async sendRaw() {
        const outcome = outcomes[sends++];
        if (outcome !== undefined) throw outcome;
        return { topic: 'dead', partition: 0, offset: 0, timestamp: 0 };
      },
    };
    const policy = new FailurePolicy(options, { producer, metrics });
    await policy.putAside({ action: 'deadLetter', topics: ['dead'] }, record, usual, 1, undefined);
    assert.deepEqual([sends, errors], [3, outcomes.slice(0, 2)]);
    const tooLarge = { sendRaw: () => Promise.reject(new RecordTooLargeError('too large')) };
    const stuck = new FailurePolicy(options, { producer: tooLarge });
    await assert.rejects(stuck.putAside({ action: 'deadLetter', topics: ['dead'] }, record, usual, 1, undefined), RecordTooLargeError);
    const once = new FailurePolicy(options, { producer: { sendRaw: () => Promise.reject(outcomes[0]!) }, resend: false });
    await assert.rejects(once.putAside({ action: 'deadLetter', topics: ['dead'] }, record, usual, 1, undefined), DeliveryError);
  });
});

test('whatever is put aside, however often, gives back its own bytes, headers and place', () => {
  const name = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.constantFrom('kafka_retry_count', 'kafka_retry_not_before', 'kafka_original_topic', 'kafka_attempts'),
  );
  const bytes = fc.option(fc.uint8Array({ maxLength: 20 }).map((data) => Buffer.from(data)));
  const header = fc.record({ name, value: bytes }, { noNullPrototype: true });
  const failed = fc.record({
    topic: fc.string({ minLength: 1 }),
    partition: fc.nat(),
    offset: fc.nat(),
    timestamp: fc.nat(),
    key: bytes,
    value: bytes,
    headers: fc.array(header, { maxLength: 6 }),
  });
  const thrown = fc.oneof(
    fc.anything(),
    fc.string({ unit: 'binary' }).map((text) => new Error(text)),
  );
  fc.assert(
    fc.property(failed, fc.array(fc.tuple(thrown, fc.boolean()), { minLength: 1, maxLength: 4 }), (original, errors) => {
      let current: FailedRecord = original;
      let origin: ReturnType<typeof originOf>;
      for (const [index, [error, delayed]] of errors.entries()) {
        const to = { topic: 'again', error, attempts: index + 1, retryCount: index, notBefore: delayed ? 9 : undefined };
        const raw = putAside(current, origin, to);
        assert.ok(raw.headers.every(({ value }) => typeof value !== 'string' || (value.isWellFormed() && !value.includes('\0'))));
        current = { ...original, ...raw, timestamp: 6, partition: 3, offset: 4, headers: buffers(raw.headers) };
        origin = originOf(current.headers);
        assert.ok(origin !== undefined);
        assert.deepEqual([origin.topic, origin.partition, origin.offset], [original.topic, original.partition, original.offset]);
        assert.deepEqual([origin.attempts, origin.retryCount, origin.notBefore], [index + 1, index, delayed ? 9 : undefined]);
      }
      assert.deepEqual([current.key, current.value, originalHeaders(current.headers)], [original.key, original.value, original.headers]);
    }),
    { numRuns: 2_000 },
  );
});
