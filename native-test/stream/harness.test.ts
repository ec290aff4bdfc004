import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { ConfigError, type ConsumerRecord, DecodeError, parseRuntimeVars, StateError } from 'rdkafka-toolkit';
import { type HarnessRecord, hopping, StreamAppWrapper, StreamHarness, sliding, tumbling } from 'rdkafka-toolkit/stream';

const newApp = (): StreamAppWrapper => new StreamAppWrapper({ vars: parseRuntimeVars({ APP_NAME: 'app' }) });
const values = (records: readonly HarnessRecord[]): unknown[] => records.map(({ value }) => value);

interface Flight {
  readonly from: string;
  readonly delay: number;
}

describe('agents', () => {
  test('produce what they return, one record or many, to topics with their own formats', async () => {
    const app = newApp();
    const flights = app.topic<string, Flight>('flights');
    const delays = app.topic<string, number>('delays');
    app.agent(flights, ({ key, value }) =>
      value.delay > 0 ? [delays.record(key, value.delay), { topic: 'raw', key, value: 'late' }] : undefined,
    );
    const harness = new StreamHarness(app);
    await harness.send('flights', { key: 'LH1', value: { from: 'BER', delay: 0 } });
    await harness.send('flights', { key: 'LH2', value: { from: 'BER', delay: 12 } });
    assert.deepEqual(harness.outputs(), [
      { topic: 'delays', partition: 0, key: 'LH2', value: 12 },
      { topic: 'raw', partition: 0, key: Buffer.from('LH2'), value: Buffer.from('late') },
    ]);
  });

  test('as generators ask for their records; one is done when the next is asked for', async () => {
    const app = newApp();
    const done: number[] = [];
    app.agent<string, number>('numbers', async function* (stream) {
      for await (const { value } of stream) {
        await immediate();
        yield { topic: 'squares', value: value * value };
        if (value % 2 === 0) yield { topic: 'squares', value: -value };
        done.push(value);
      }
    });
    app.topic('squares');
    const harness = new StreamHarness(app);
    for (const value of [1, 2, 3]) {
      await harness.send('numbers', { value });
      assert.equal(done.at(-1), value);
    }
    assert.deepEqual(values(harness.outputs('squares')), [1, 4, -2, 9]);
  });

  test('that throw fail their record, and go on with the next', async () => {
    const app = newApp();
    const failing = async function* (stream: AsyncIterable<ConsumerRecord<string, number>>): AsyncGenerator<undefined, void, undefined> {
      for await (const { value } of stream) {
        if (value === 2) throw new RangeError('two');
        seen.push(value);
        yield undefined;
      }
    };
    const seen: number[] = [];
    const agent = app.agent<string, number>('numbers', failing);
    const harness = new StreamHarness(app);
    await harness.send('numbers', { value: 1 });
    await assert.rejects(harness.send('numbers', { value: 2 }), RangeError);
    await harness.send('numbers', { value: 3 });
    assert.deepEqual(seen, [1, 3]);
    assert.deepEqual(agent.stats, { name: 'numbers', topic: 'numbers', handled: 3, errors: 1 });
  });

  test('that end start anew with the next record', async () => {
    const app = newApp();
    let starts = 0;
    app.agent<string, number>('numbers', async function* (stream) {
      starts++;
      for await (const { value } of stream) {
        yield { topic: 'out', value: String(value) };
        break;
      }
    });
    const harness = new StreamHarness(app);
    for (const value of [1, 2, 3]) await harness.send('numbers', { value });
    assert.equal(harness.outputs('out').length, 3);
    assert.ok(starts >= 3);
  });

  test('take gives so many at once, or what came in time', async () => {
    const app = newApp();
    const sizes: number[] = [];
    app.agent<string, number>('numbers', async function* (stream) {
      for await (const records of stream.take(3, 10)) {
        sizes.push(records.length);
        yield { topic: 'sums', value: String(records.reduce((sum, { value }) => sum + value, 0)) };
      }
    });
    const harness = new StreamHarness(app);
    for (const value of [1, 2, 3, 4, 5]) await harness.send('numbers', { value });
    assert.deepEqual(sizes, [3]);
    await harness.advance(9.9);
    assert.deepEqual(sizes, [3]);
    await harness.advance(0.2);
    assert.deepEqual(
      [sizes, values(harness.outputs('sums')).map(String)],
      [
        [3, 2],
        ['6', '9'],
      ],
    );
  });

  test('send what they return to their sinks: a topic, another agent, a function', async () => {
    const app = newApp();
    const squares = app.topic<string, number>('squares');
    const seen: unknown[] = [];
    const halves = app.agent<string, number>('halves', ({ value }) => void seen.push(['half', value / 2]));
    app.agent<string, number>('numbers', ({ value }) => value * value, {
      sinks: [squares, halves, (value, { key }) => void seen.push([key, value])],
    });
    const harness = new StreamHarness(app);
    await harness.send('numbers', { key: 'a', value: 3 });
    assert.deepEqual(harness.outputs('squares'), [{ topic: 'squares', partition: 0, key: 'a', value: 9 }]);
    assert.deepEqual(seen, [
      ['a', 9],
      ['half', 4.5],
    ]);
  });

  test('what is no record is refused with a hint, and so is a value that does not decode', async () => {
    const app = newApp();
    app.agent<string, number>('numbers', ({ value }) => value);
    const harness = new StreamHarness(app);
    await assert.rejects(
      harness.send('numbers', { value: 1 }),
      (error: unknown) => error instanceof StateError && /sinks/.test(error.message),
    );
    const other = newApp();
    other.topic('bytes', { valueSerializer: { serialize: (value) => Buffer.from(String(value)) } });
    other.agent('bytes', ({ value }) => void value);
    await assert.rejects(new StreamHarness(other).send('bytes', { value: 'no JSON' }), DecodeError);
  });
});

describe('tables', () => {
  test('belong to the partition of the record; what a failed record changed never was', async () => {
    const app = newApp();
    const counts = app.table<string, number>('counts', { initial: () => 0 });
    app.agent<string, number>('numbers', ({ key, value }) => {
      counts.update(key, (count = 0) => count + value);
      counts.update('all', (count = 0) => count + value);
      if (value < 0) throw new RangeError('negative');
    });
    const harness = new StreamHarness(app, { partitions: 2 });
    await harness.send('numbers', { key: 'a', value: 1, partition: 0 });
    await harness.send('numbers', { key: 'a', value: 5, partition: 1 });
    await assert.rejects(harness.send('numbers', { key: 'a', value: -3, partition: 0 }), RangeError);
    await harness.send('numbers', { key: 'b', value: 2, partition: 0 });
    assert.deepEqual([...counts.entries()].toSorted().map(String), ['a,1', 'a,5', 'all,3', 'all,5', 'b,2']);
    assert.equal(counts.size, 5);
    assert.equal(counts.get('nobody'), 0);
    assert.equal(counts.has('nobody'), false);
  });

  test('forget what is deleted', async () => {
    const app = newApp();
    const known = app.table<string, boolean>('known');
    app.agent<string, boolean>('keys', ({ key, value }) => (value ? known.set(key, true) : known.delete(key)));
    const harness = new StreamHarness(app);
    await harness.send('keys', { key: 'a', value: true });
    assert.equal(known.get('a'), true);
    await harness.send('keys', { key: 'a', value: false });
    assert.deepEqual([known.get('a'), known.size], [undefined, 0]);
  });

  test('are written by agents only, of the topics they go with, and in a batch of take with the record they belong to', async () => {
    const app = newApp();
    const table = app.table<string, number>('table', { topics: ['mine'] });
    app.agent<string, number>('mine', async function* (stream) {
      for await (const records of stream.take(2, 1)) {
        assert.throws(() => table.set('a', 1), /which record of the batch/);
        for (const record of records) table.set(record.key, record.value, record);
        yield undefined;
      }
    });
    app.agent('other', () => table.set('b', 1));
    const harness = new StreamHarness(app);
    assert.throws(() => table.set('a', 1), StateError);
    await assert.rejects(harness.send('other', { value: 1 }), /goes with mine.*agent of other/);
    await harness.send('mine', { key: 'x', value: 1 });
    await harness.send('mine', { key: 'y', value: 2 });
    assert.deepEqual([table.get('x'), table.get('y')], [1, 2]);
  });

  test('a name that cannot be a topic, or is taken, is refused', () => {
    const app = newApp();
    app.table('a');
    for (const name of ['a', 'a b', '']) assert.throws(() => app.table(name), ConfigError);
  });
});

describe('windows', () => {
  const windowed = (window: ReturnType<typeof tumbling>) => {
    const app = newApp();
    const sums = app.windowedTable<string, number, number>('sums', { window, initial: () => 0, add: (sum, value) => sum + value });
    app.agent<string, number>('numbers', ({ key, value }) => sums.add(key, value));
    const harness = new StreamHarness(app);
    const send = (seconds: number, value: number): Promise<void> => harness.send('numbers', { key: 'k', value, timestamp: seconds * 1000 });
    return { sums, harness, send };
  };
  const inSeconds = (list: readonly { readonly start: number; readonly value: number }[]): string[] =>
    list.map(({ start, value }) => `${start / 1000}: ${value}`);

  test('that tumble hold each record once; what comes when one is closed is late', async () => {
    const { sums, send } = windowed(tumbling(10, { graceSeconds: 5 }));
    for (const [at, value] of [
      [1, 1],
      [9, 2],
      [11, 4],
      [8, 8],
    ] as const)
      await send(at, value);
    assert.deepEqual(inSeconds(sums.windows('k')), ['0: 11', '10: 4']);
    assert.equal(sums.value('k', 5_000), 11);
    await send(15, 16);
    await send(3, 32);
    assert.deepEqual([sums.late, inSeconds(sums.windows('k'))], [1, ['10: 20']]);
  });

  test('that hop hold each record as often as they overlap', async () => {
    const { sums, send } = windowed(hopping(10, 5, { graceSeconds: 60 }));
    for (const [at, value] of [
      [1, 1],
      [6, 2],
      [12, 4],
    ] as const)
      await send(at, value);
    assert.deepEqual(inSeconds(sums.windows('k')), ['-5: 1', '0: 3', '5: 6', '10: 4']);
    assert.equal(sums.value('k', 12_000), 4);
  });

  test('that slide hold what came up to a moment', async () => {
    const { sums, send } = windowed(sliding(10, { graceSeconds: 60 }));
    for (const [at, value] of [
      [1, 1],
      [6, 2],
      [5, 4],
      [12, 8],
    ] as const)
      await send(at, value);
    assert.deepEqual(
      [1, 5, 6, 10, 11, 12, 15, 16, 22].map((at) => sums.value('k', at * 1000)),
      [1, 5, 7, 7, 6, 14, 10, 8, 0],
    );
  });

  test('of other keys expire by the time of the records, too', async () => {
    const { harness, send, sums } = windowed(tumbling(10));
    await harness.send('numbers', { key: 'other', value: 1, timestamp: 1_000 });
    assert.equal(sums.size, 1);
    await send(30, 1);
    assert.deepEqual([sums.size, [...sums.entries()].map(([key]) => key)], [1, ['k']]);
  });

  test('that cannot be are refused', () => {
    for (const make of [() => tumbling(0), () => hopping(10, 11), () => sliding(Number.NaN), () => tumbling(1, { graceSeconds: -1 })]) {
      assert.throws(make, ConfigError);
    }
  });
});

describe('the rest of an app', () => {
  test('groupBy sends records on under another key, to a topic of the app', async () => {
    const app = newApp();
    const flights = app.topic<string, Flight>('flights');
    const byAirport = app.groupBy('airport', flights, ({ value }) => value.from);
    const counts = app.table<string, number>('counts', { topics: [byAirport] });
    app.agent(byAirport, ({ key }) => void counts.update(key, (count = 0) => count + 1));
    const harness = new StreamHarness(app, { partitions: 3 });
    for (const [key, from] of [
      ['1', 'BER'],
      ['2', 'MUC'],
      ['3', 'BER'],
    ] as const)
      await harness.send('flights', { key, value: { from, delay: 0 } });
    assert.equal(byAirport.name, 'app-airport-repartition');
    assert.deepEqual([...counts.entries()].toSorted().map(String), ['BER,2', 'MUC,1']);
    assert.equal(
      new Set(
        harness
          .outputs(byAirport.name)
          .filter(({ key }) => key === 'BER')
          .map(({ partition }) => partition),
      ).size,
      1,
    );
  });

  test('timers have their turn as time passes', async () => {
    const app = newApp();
    const ticks: number[] = [];
    app.agent('any', () => undefined);
    app.timer(5, () => void ticks.push(harness.now));
    app.timer(7, async () => {
      await immediate();
      ticks.push(-harness.now);
    });
    const harness = new StreamHarness(app, { startAt: 1_000 });
    await harness.advance(15);
    assert.deepEqual(ticks, [6_000, -8_000, 11_000, -15_000, 16_000]);
    for (const seconds of [0, -1, Number.NaN]) assert.throws(() => app.timer(seconds, () => undefined), ConfigError);
  });

  test('an app without a name is refused', () => {
    assert.throws(() => new StreamAppWrapper({ vars: parseRuntimeVars({}) }), /APP_NAME/);
  });
});

describe('what fails', () => {
  test('several agents of a topic are one: when one fails, none has changed anything', async () => {
    const app = newApp();
    const counts = app.table<string, number>('counts');
    app.agent<string, number>('numbers', ({ key }) => void counts.update(key, (count = 0) => count + 1));
    app.agent<string, number>('numbers', ({ value }) => {
      if (value < 0) throw new RangeError('negative');
    });
    const harness = new StreamHarness(app);
    await harness.send('numbers', { key: 'a', value: 1 });
    await assert.rejects(harness.send('numbers', { key: 'a', value: -1 }), RangeError);
    assert.equal(counts.get('a'), 1);
  });

  test('an output that cannot be encoded takes the changes of its record back', async () => {
    const app = newApp();
    const counts = app.table<string, number>('counts');
    const strict = app.topic<string, number>('strict', {
      valueSerializer: {
        serialize(value) {
          if (value > 1) throw new RangeError('too much');
          return Buffer.from(String(value));
        },
      },
    });
    app.agent<string, number>('numbers', ({ key, value }) =>
      strict.record(
        key,
        counts.update(key, (count = 0) => count + value),
      ),
    );
    const harness = new StreamHarness(app);
    await harness.send('numbers', { key: 'a', value: 1 });
    await assert.rejects(harness.send('numbers', { key: 'a', value: 1 }), /too much/);
    assert.equal(counts.get('a'), 1);
  });

  test('the time of a record whose handler throws closes no window', async () => {
    const app = newApp();
    const sums = app.windowedTable<string, number, number>('sums', {
      window: tumbling(10),
      initial: () => 0,
      add: (sum, value) => sum + value,
    });
    app.agent<string, number>('numbers', ({ key, value }) => {
      sums.add(key, value);
      if (value < 0) throw new RangeError('negative');
    });
    const harness = new StreamHarness(app);
    await assert.rejects(harness.send('numbers', { key: 'k', value: -1, timestamp: 1_000_000 }), RangeError);
    await harness.send('numbers', { key: 'k', value: 2, timestamp: 1_000 });
    assert.deepEqual([sums.value('k', 1_000), sums.late], [2, 0]);
  });

  test('more records than a batch of take holds wait for the next one', async () => {
    const app = newApp();
    const sizes: number[] = [];
    app.agent<string, number>('numbers', async function* (stream) {
      const batches = stream.take(2, 1);
      await gate;
      for await (const records of batches) {
        sizes.push(records.length);
        yield undefined;
      }
    });
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const harness = new StreamHarness(app);
    for (const value of [1, 2, 3, 4, 5]) await harness.send('numbers', { value });
    open();
    await harness.advance(2);
    assert.deepEqual(sizes, [2, 2, 1]);
  });

  test('an agent that ends before it asks for a record fails the record', async () => {
    const app = newApp();
    // biome-ignore lint/correctness/useYield: what it gives is not the point.
    app.agent<string, number>('numbers', async function* () {
      await immediate();
    });
    await assert.rejects(new StreamHarness(app).send('numbers', { value: 1 }), /ended before it asked/);
  });
});
