import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type EnrichedFlight, enrich, type Flight, loadFlights } from '../../examples/quickstart/flights.ts';
import { verifyEnriched } from '../../examples/quickstart/verify.ts';
import { embeddedEnv, runExample } from './run-example.ts';

const RECORDS = 20_000;
const LAST_LINE = new RegExp(
  `^quickstart: produced ${RECORDS}, consumed ${RECORDS}, lost 0, duplicated 0, [1-9]\\d* records/s, I/O: (portable|packed)$`,
);

describe('quickstart', () => {
  test('moves every record once on embedded services, says so in its last line, and ends by itself', async () => {
    const { exitCode, lines, errorLines } = await runExample('quickstart', embeddedEnv({ QUICKSTART_RECORDS: String(RECORDS) }));
    assert.deepEqual(errorLines, []);
    assert.match(lines.at(-1)!, LAST_LINE);
    assert.equal(lines.filter((line) => line.startsWith('quickstart:')).length, 1);
    assert.match(lines[0]!, /^Kafka: embedded .*; schema registry: embedded$/);
    assert.equal(exitCode, 0);
  });

  test('draws no progress bar off a terminal', async () => {
    const { lines } = await runExample('quickstart', embeddedEnv({ QUICKSTART_RECORDS: '3' }));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what must not be there
    for (const line of lines) assert.doesNotMatch(line, /[\u001b\r]/);
  });

  test('moves every record once on the real services of the environment', {
    skip: process.env.KAFKA_BOOTSTRAP_SERVERS === undefined && 'KAFKA_BOOTSTRAP_SERVERS is not set',
  }, async () => {
    const { exitCode, lines, errorLines } = await runExample('quickstart', { ...process.env, QUICKSTART_RECORDS: String(RECORDS) });
    assert.deepEqual(errorLines, []);
    assert.match(lines.at(-1)!, LAST_LINE);
    assert.doesNotMatch(lines[0]!, /Kafka: embedded/);
    assert.equal(exitCode, 0);
  });

  const faults = [
    { title: 'a wrong number of records', env: { QUICKSTART_RECORDS: 'ten' }, expected: /QUICKSTART_RECORDS.*"ten"/ },
    {
      title: 'a broker that cannot be reached',
      env: { KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:1', CONNECT_TIMEOUT_SECONDS: '2' },
      expected: /127\.0\.0\.1:1/,
    },
    {
      title: 'a registry that cannot be reached',
      env: { SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1', SCHEMA_REGISTRY_TIMEOUT_SECONDS: '2' },
      expected: /127\.0\.0\.1:1/,
    },
  ];
  for (const { title, env, expected } of faults) {
    test(`ends with exit code 1 and one line about ${title}`, async () => {
      const { exitCode, lines, errorLines } = await runExample('quickstart', embeddedEnv({ QUICKSTART_RECORDS: '10', ...env }));
      assert.equal(exitCode, 1);
      assert.equal(errorLines.length, 1, errorLines.join('\n'));
      assert.match(errorLines[0]!, /^quickstart: failed: /);
      assert.match(errorLines[0]!, expected);
      assert.deepEqual(
        lines.filter((line) => line.startsWith('quickstart:')),
        [],
      );
    });
  }
});

describe('the check of the quickstart', () => {
  const flights: readonly Flight[] = Array.from({ length: 50 }, (_, id) => ({
    id,
    delay: id - 10,
    distance: 100 + id,
    time: Math.fround(id / 7),
  }));
  const clean: readonly EnrichedFlight[] = flights.map(enrich);
  const change = (fields: Partial<EnrichedFlight>): EnrichedFlight[] => clean.with(20, { ...clean[20]!, ...fields });

  const cases: readonly {
    title: string;
    records: readonly EnrichedFlight[];
    lost?: number;
    duplicated?: number;
    wrong?: number;
    fault?: RegExp;
  }[] = [
    { title: 'nothing in a whole topic', records: clean },
    { title: 'nothing in a topic in another order', records: clean.toReversed() },
    { title: 'a lost record', records: clean.toSpliced(7, 1), lost: 1, fault: /flight 7 did not come/ },
    { title: 'the last record lost', records: clean.slice(0, -1), lost: 1, fault: /flight 49 did not come/ },
    { title: 'all records lost', records: [], lost: 50, fault: /flight 0 did not come/ },
    { title: 'a duplicated record', records: [...clean, clean[3]!], duplicated: 1, fault: /flight 3 came again/ },
    { title: 'a record that came three times', records: [clean[3]!, ...clean, clean[3]!], duplicated: 2, fault: /flight 3 came again/ },
    { title: 'one lost behind one duplicated', records: clean.with(8, clean[9]!), lost: 1, duplicated: 1, fault: /flight 9 came again/ },
    { title: 'a changed delay', records: change({ delay: 11 }), wrong: 1, fault: /flight 20: expected delay to be 10, got 11/ },
    { title: 'a changed distance', records: change({ distance: 0 }), wrong: 1, fault: /distance/ },
    { title: 'a changed time', records: change({ time: 20 / 7 }), wrong: 1, fault: /time/ },
    { title: 'a changed lateness', records: change({ late: true }), wrong: 1, fault: /late/ },
    { title: 'a changed departure', records: change({ departureMinute: -1 }), wrong: 1, fault: /departureMinute/ },
    { title: 'an id that no flight has', records: change({ id: 50 }), lost: 1, wrong: 1, fault: /flight 50 is not in the data set/ },
    { title: "another flight's id", records: change({ id: 21 }), lost: 1, duplicated: 1, wrong: 1 },
  ];
  for (const { title, records, lost = 0, duplicated = 0, wrong = 0, fault } of cases) {
    test(`finds ${title}`, () => {
      const found = verifyEnriched(flights, records);
      assert.deepEqual({ lost: found.lost, duplicated: found.duplicated, wrong: found.wrong }, { lost, duplicated, wrong });
      if (lost + duplicated + wrong === 0) assert.equal(found.firstFault, undefined);
      else assert.match(found.firstFault!, fault ?? /flight/);
    });
  }
});

test('the data set has its rows in order, ids from 0, and both late and early flights', async () => {
  const flights = await loadFlights(Number.POSITIVE_INFINITY);
  assert.ok(flights.length >= 200_000, `${flights.length} rows`);
  assert.deepEqual(flights[1], { id: 1, delay: 171, distance: 2227, time: 0 });
  assert.ok(flights.every(({ id }, index) => id === index));
  const late = flights.filter((flight) => enrich(flight).late).length;
  assert.ok(late > 0 && late < flights.length);
});
