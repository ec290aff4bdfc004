import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { PeakRate, slopePerHour } from '../faults/statistics.ts';
import { Ledger, type OutputRecord, type Verdict, Verifier } from '../faults/verify.ts';
import { type Answer, compareAnswers } from '../faults/web-answers.ts';
import { Random } from '../support/random.ts';

const TOPIC = 'in';
const KEYS = 7;
const RECORDS = 700;

/** Every record acknowledged, the partition chosen by the key. */
function fullLedger(records = RECORDS): Ledger {
  const ledger = new Ledger(TOPIC, KEYS, 4);
  const ends = [0, 0, 0, 0];
  for (let count = 0; count < records; count++) {
    const { index, key } = ledger.add();
    ledger.acknowledge(index, key % 4, ends[key % 4]!++);
  }
  return ledger;
}

/** The output of each record, in order. */
function fullOutputs(records = RECORDS): OutputRecord[] {
  const ends = [0, 0, 0, 0];
  return Array.from({ length: records }, (_, index) => {
    const key = index % KEYS;
    return { topic: TOPIC, partition: key % 4, offset: ends[key % 4]!++, key, number: Math.floor(index / KEYS), source: 0 };
  });
}

function verify(ledger: Ledger, outputs: Iterable<OutputRecord>): Verdict {
  const verifier = new Verifier(ledger);
  for (const output of outputs) verifier.add(output);
  return verifier.verdict();
}

const clean = { records: RECORDS, lost: 0, duplicates: 0, duplicatesOfWorstSource: 0, outOfOrder: 0, unknown: 0, samples: [] };
const anyIndex = fc.integer({ min: 0, max: RECORDS - 1 });

describe('the verifier of the fault suite', () => {
  test('finds nothing wrong with a run that is right, whatever the order of the keys', () => {
    assert.deepEqual(verify(fullLedger(), fullOutputs()), { ...clean, outputs: RECORDS });
    const byKey = fullOutputs().toSorted((a, b) => a.key - b.key || a.number - b.number);
    assert.deepEqual(verify(fullLedger(), byKey), { ...clean, outputs: RECORDS });
  });

  test('says which record is removed', () => {
    fc.assert(
      fc.property(anyIndex, (index) => {
        const outputs = fullOutputs();
        const [{ key, number }] = outputs.splice(index, 1) as [OutputRecord];
        const { samples, ...verdict } = verify(fullLedger(), outputs);
        assert.deepEqual({ ...verdict, samples: [] }, { ...clean, outputs: RECORDS - 1, lost: 1 });
        assert.match(samples[0]!, new RegExp(`^lost: .*key ${key}, number ${number}\\)`));
      }),
    );
  });

  test('counts a record that is there again as a duplicate of who made it, and not as disorder', () => {
    fc.assert(
      fc.property(anyIndex, anyIndex, (first, second) => {
        const outputs = fullOutputs();
        const again = [first, second, first].map((index, source) => ({ ...outputs[index]!, source: source === 0 ? 1 : 2 }));
        const verdict = verify(fullLedger(), [...outputs, ...again]);
        assert.deepEqual(verdict, { ...clean, outputs: RECORDS + 3, duplicates: 3, duplicatesOfWorstSource: 2 });
      }),
    );
  });

  test('sees two records of a key that changed places', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: RECORDS - KEYS - 1 }), (index) => {
        const outputs = fullOutputs();
        [outputs[index], outputs[index + KEYS]] = [outputs[index + KEYS]!, outputs[index]!];
        const { lost, duplicates, outOfOrder } = verify(fullLedger(), outputs);
        assert.deepEqual([lost, duplicates, outOfOrder], [0, 0, 1]);
      }),
    );
  });

  test('knows an output of no input: another topic, place, key or number', () => {
    const changes: Partial<OutputRecord>[] = [
      { topic: 'other' },
      { partition: 0 },
      { offset: 99 },
      { key: KEYS },
      { key: -1 },
      { number: RECORDS },
      { number: Number.NaN },
    ];
    for (const change of changes) {
      const outputs = fullOutputs();
      outputs[10] = { ...outputs[10]!, ...change };
      const { unknown, lost } = verify(fullLedger(), outputs);
      assert.deepEqual([unknown, lost], [1, 1], JSON.stringify(change));
    }
  });

  test('does not miss an input that was never acknowledged, and accepts its output', () => {
    const ledger = fullLedger();
    const { key, number } = ledger.add();
    assert.equal(verify(ledger, fullOutputs()).lost, 0);
    const output = { topic: TOPIC, partition: 0, offset: 1_000, key, number, source: 0 };
    assert.deepEqual(verify(ledger, [...fullOutputs(), output]), { ...clean, outputs: RECORDS + 1 });
  });

  test('takes a record whose offset the broker did not tell at any offset of its partition', () => {
    const ledger = new Ledger(TOPIC, KEYS);
    ledger.acknowledge(ledger.add().index, 2, -1);
    const output = { topic: TOPIC, partition: 2, offset: 41, key: 0, number: 0, source: 0 };
    assert.deepEqual([verify(ledger, [output]).unknown, verify(ledger, [{ ...output, partition: 1 }]).unknown], [0, 1]);
  });

  test('holds a million records in 30 MB', () => {
    const before = process.memoryUsage().arrayBuffers;
    const ledger = new Ledger(TOPIC, 200);
    for (let count = 0; count < 1_000_000; count++) ledger.acknowledge(ledger.add().index, 0, count);
    const verifier = new Verifier(ledger);
    for (let index = 0; index < 1_000_000; index++) {
      verifier.add({ topic: TOPIC, partition: 0, offset: index, key: index % 200, number: Math.floor(index / 200), source: 0 });
    }
    const { lost, outputs } = verifier.verdict();
    assert.deepEqual([lost, outputs], [0, 1_000_000]);
    assert.ok(process.memoryUsage().arrayBuffers - before < 30 * 1_048_576);
  });
});

describe('the measures of the fault suite', () => {
  test('the peak rate is that of the busiest second', () => {
    const rate = new PeakRate();
    for (let at = 0; at < 10_000; at += 10) rate.add(at);
    for (let at = 5_000; at < 6_000; at++) rate.add(at);
    assert.equal(rate.perSecond, 1_100);
  });

  test('the slope is that of a line under noise', () => {
    const random = new Random(1);
    const samples = Array.from({ length: 720 }, (_, index) => ({ atMs: index * 10_000, value: 1_000 * index + random.integer(-500, 500) }));
    assert.ok(Math.abs(slopePerHour(samples) - 360_000) < 1_000);
    assert.equal(slopePerHour(samples.slice(0, 1)), 0);
  });
});

describe('the answers of a web service beside its topic', () => {
  const answers = new Map<number, Answer>([
    [1, 'acknowledged'],
    [2, 'acknowledged'],
    [3, 'unknown'],
    [4, 'none'],
  ]);
  const cases: readonly { title: string; seen: readonly number[]; lost?: number; duplicates?: number; unknown?: number }[] = [
    { title: 'all in order', seen: [1, 2] },
    { title: 'an unknown one that came', seen: [1, 2, 3] },
    { title: 'an acknowledged one that is missing', seen: [1], lost: 1 },
    { title: 'one that is there twice', seen: [1, 2, 2], duplicates: 1 },
    { title: 'one that was refused', seen: [1, 2, 4], unknown: 1 },
    { title: 'one that nobody sent', seen: [1, 2, 9], unknown: 1 },
  ];
  for (const { title, seen, lost = 0, duplicates = 0, unknown = 0 } of cases) {
    test(title, () => {
      const counts = new Map<number, number>();
      for (const id of seen) counts.set(id, (counts.get(id) ?? 0) + 1);
      const verdict = compareAnswers(answers, counts);
      assert.deepEqual([verdict.records, verdict.lost, verdict.duplicates, verdict.unknown], [2, lost, duplicates, unknown]);
    });
  }
});
