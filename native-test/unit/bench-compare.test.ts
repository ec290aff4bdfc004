import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ClientName } from '../../bench/clients.ts';
import { compareRows } from '../../bench/compare.ts';
import type { Row } from '../../bench/job.ts';
import { formatTable, gateFaults } from '../../bench/report.ts';
import { mannWhitney } from '../../bench/significance.ts';

function rowsOf(client: ClientName, rates: readonly number[], cpuMicrosPerRecord = 1): Row[] {
  return rates.map((recordsPerSecond, index) => ({
    client,
    vars: {},
    mode: 'batch',
    records: 1_000,
    recordBytes: 150,
    headers: 0,
    compression: 'none',
    partitions: 4,
    rate: null,
    prefetched: false,
    repeat: index + 1,
    recordsPerSecond,
    cpuMicrosPerRecord,
    mainMicrosPerRecord: null,
    eventLoopUtilization: null,
    p50Ms: null,
    p99Ms: null,
    rssMb: 100,
    note: null,
    config: null,
    run: { startedAt: '2026-01-01T00:00:00.000Z', machine: 'test', memoryGb: 1, broker: 'mock', versions: {} },
  }));
}

describe('the Mann-Whitney test of a bench', () => {
  // Two-sided p by counting all orders: of n against n without overlap it is 2 / C(2n, n).
  const separate: [size: number, p: number][] = [
    [3, 2 / 20],
    [4, 2 / 70],
    [5, 2 / 252],
  ];
  for (const [size, p] of separate) {
    test(`of ${size} values all below ${size} others is ${p.toFixed(4)}`, () => {
      const low = Array.from({ length: size }, (_, index) => index);
      const high = low.map((value) => value + 100);
      assert.ok(Math.abs(mannWhitney(low, high) - p) < 1e-12);
      assert.ok(Math.abs(mannWhitney(high, low) - p) < 1e-12);
    });
  }

  test('of one exchanged pair among five is 4 of 252', () => {
    assert.ok(Math.abs(mannWhitney([1, 2, 3, 4, 6], [5, 7, 8, 9, 10]) - 4 / 252) < 1e-12);
  });

  test('of long lists tells separate from equal ones', () => {
    const low = Array.from({ length: 30 }, (_, index) => index);
    assert.ok(mannWhitney(low, low) > 0.9);
    assert.ok(
      mannWhitney(
        low,
        low.map((value) => value + 100),
      ) < 1e-6,
    );
  });

  test('is a probability, and the same from both sides', () => {
    const values = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(values, values, (a, b) => {
        const p = mannWhitney(a, b);
        assert.ok(p > 0 && p <= 1);
        assert.ok(Math.abs(p - mannWhitney(b, a)) < 1e-9);
      }),
    );
  });
});

describe('two runs of a bench that are compared', () => {
  const before = [100, 102, 98, 101, 99];
  const verdictOf = (old: readonly number[], now: readonly number[], relative = false): string | undefined =>
    compareRows(rowsOf('rdkafka-toolkit', old), rowsOf('rdkafka-toolkit', now), relative).find(
      ({ figure }) => figure === 'recordsPerSecond' || figure === 'ratio',
    )?.verdict;

  const cases: [name: string, after: number[], verdict: string][] = [
    ['are better where all repeats are faster', [120, 121, 119, 125, 118], 'better'],
    ['are worse where all repeats are slower', [80, 81, 79, 85, 78], 'worse'],
    ['are the same where the repeats overlap', [99, 103, 100, 110, 97], 'same'],
    ['are the same where the medians hardly differ', [103, 102.5, 102.6, 102.4, 102.7], 'same'],
    ['say nothing of fewer than five repeats', [200, 201, 202, 203], 'too few repeats'],
  ];
  for (const [name, after, verdict] of cases) test(name, () => assert.equal(verdictOf(before, after), verdict));

  test('count more CPU as worse', () => {
    const changes = compareRows(
      rowsOf('rdkafka-toolkit', before, 1).map((row) => ({ ...row, cpuMicrosPerRecord: 1 + row.repeat / 100 })),
      rowsOf('rdkafka-toolkit', before, 2).map((row) => ({ ...row, cpuMicrosPerRecord: 2 + row.repeat / 100 })),
      false,
    );
    assert.equal(changes.find(({ figure }) => figure === 'cpuMicrosPerRecord')?.verdict, 'worse');
  });

  test('are the same relative to a reference that has become slower with them', () => {
    const rows = (scale: number): Row[] => [
      ...rowsOf(
        'rdkafka-toolkit',
        before.map((rate) => rate * scale),
      ),
      ...rowsOf(
        'node-rdkafka',
        before.map((rate) => (rate * scale) / 10),
      ),
    ];
    const own = (relative: boolean) =>
      compareRows(rows(1), rows(0.5), relative).find(
        ({ client, figure }) => client === 'rdkafka-toolkit' && figure !== 'cpuMicrosPerRecord',
      );
    assert.equal(own(false)?.verdict, 'worse');
    assert.deepEqual([own(true)?.verdict, own(true)?.figure], ['same', 'ratio']);
  });
});

describe('a gate of a bench', () => {
  const gate = [{ mode: 'batch', ratio: 3 }] as const;
  const faults = (rate: number, cpu: number): string[] =>
    gateFaults([...rowsOf('rdkafka-toolkit', [rate], cpu), ...rowsOf('node-rdkafka', [100], 4)], gate);

  test('is passed with little CPU a record and a speed that a busy machine explains', () => assert.deepEqual(faults(110, 1), []));
  test('is not passed with too much CPU a record', () => assert.equal(faults(400, 2).length, 1));
  test('is not passed by waiting', () => assert.equal(faults(50, 1).length, 1));
  test('is not passed without its reference or its mode', () => {
    assert.equal(gateFaults(rowsOf('rdkafka-toolkit', [100]), gate).length, 1);
    assert.equal(gateFaults([], gate).length, 1);
  });
});

test('the table of a bench shows medians beside the ratio of paired repeats', () => {
  const text = formatTable([...rowsOf('rdkafka-toolkit', [2_000, 900, 3_000]), ...rowsOf('node-rdkafka', [1_000, 300, 1_000])]);
  assert.match(text, /rdkafka-toolkit[^\n]*2,000[^\n]*3\.00 node-rdkafka/);
});

test('projecting is compared with decoding the same records, where that was measured', () => {
  const rows = [...rowsOf('rdkafka-toolkit', [1_000, 1_000]), ...rowsOf('node-rdkafka', [500, 500]), ...rowsOf('avsc', [1_100, 1_100])].map(
    (row) => ({ ...row, mode: 'decode' as const }),
  );
  const projected = rowsOf('rdkafka-toolkit', [2_500, 2_500]).map((row) => ({ ...row, mode: 'projection' as const }));
  assert.match(formatTable([...rows, ...projected]), /projection[^\n]*2\.50 rdkafka-toolkit, decode/);
  const others = rows.map((row) => ({ ...row, prefetched: true }));
  assert.match(formatTable([...others, ...projected]), /projection[^\n]*1\.00 rdkafka-toolkit /);
});
