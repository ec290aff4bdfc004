import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError } from 'rdkafka-toolkit';
import { parseBenchOptions } from '../../bench/options.ts';
import { planRuns } from '../../bench/run.ts';
import { fitMock, shapesOf } from '../../bench/shape.ts';

describe('options of a bench', () => {
  test('measure the default modes five times on the embedded broker', () => {
    const options = parseBenchOptions([], undefined)!;
    assert.deepEqual(options.modes, ['async', 'sync', 'batch', 'pipeline', 'pool', 'produce']);
    assert.equal(options.repeats, 5);
    assert.deepEqual(options.broker, { bootstrapServers: undefined, kafka: false });
    // The pool is compared with itself, inline.
    assert.ok(options.contestants.some(({ client }) => client === 'rdkafka-toolkit-inline'));
  });

  test('use the brokers of the environment', () => {
    assert.deepEqual(parseBenchOptions(['--kafka'], '127.0.0.1:1')!.broker, { bootstrapServers: '127.0.0.1:1', kafka: true });
  });

  test('measure every combination', () => {
    const options = parseBenchOptions(['--record-bytes', '100,1000', '--compression', 'none,lz4,zstd', '--partitions', '1,4'], undefined)!;
    assert.equal(options.shapes.length, 12);
  });

  test('leave out who cannot fetch ahead, and refuse modes where nobody can', () => {
    const options = parseBenchOptions(['--modes', 'decode', '--peers', 'node-rdkafka,avsc', '--prefetched', '--fields', '20'], undefined)!;
    assert.deepEqual(
      options.contestants.map(({ client }) => client),
      ['rdkafka-toolkit', 'avsc'],
    );
    assert.equal(options.fields, 20);
    assert.throws(() => parseBenchOptions(['--modes', 'decode,produce', '--prefetched'], undefined), /--prefetched .* got produce/);
  });

  test('report all faults at once', () => {
    const args = [
      '--modes',
      'fast',
      '--records',
      '0',
      '--compression',
      'rar',
      '--gate',
      'batch',
      '--sweep',
      'X',
      '--repeats',
      'many',
      '--fields',
      '10',
    ];
    assert.throws(
      () => parseBenchOptions(args, undefined),
      (error) =>
        error instanceof ConfigError &&
        ['--modes', '--records', '--compression', '--gate', '--sweep', '--repeats', '--fields'].every((flag) =>
          error.message.includes(flag),
        ),
    );
  });

  test('leave KafkaJS out where it has no codec, and say so', () => {
    const options = parseBenchOptions(['--modes', 'batch', '--peers', 'kafkajs', '--compression', 'none,zstd'], undefined)!;
    assert.deepEqual(options.leftOut, ['left out: kafkajs has no zstd']);
    const runs = planRuns(options).filter(({ client }) => client === 'kafkajs');
    assert.deepEqual([...new Set(runs.map(({ shape }) => shape.compression))], ['none']);
  });
});

describe('the plan of a bench', () => {
  test('interleaves contestants and changes who goes first', () => {
    const options = parseBenchOptions(['--modes', 'batch', '--peers', 'node-rdkafka', '--repeats', '2'], undefined)!;
    assert.deepEqual(
      planRuns(options).map(({ client, repeat }) => [client, repeat]),
      [
        ['rdkafka-toolkit', 1],
        ['node-rdkafka', 1],
        ['node-rdkafka', 2],
        ['rdkafka-toolkit', 2],
      ],
    );
  });

  test('offers no load to batch-timeout alone', () => {
    const options = parseBenchOptions(
      ['--modes', 'latency,batch-timeout', '--peers', 'none', '--rates', '0,10', '--repeats', '1'],
      undefined,
    )!;
    assert.deepEqual(
      planRuns(options).map(({ mode, rate }) => [mode, rate]),
      [
        ['latency', 10],
        ['batch-timeout', 0],
        ['batch-timeout', 10],
      ],
    );
  });
});

describe('shapes of a bench', () => {
  test('are cut to what the embedded broker keeps', () => {
    const [shape] = shapesOf({ records: [1_000_000], recordBytes: [10_000], headers: [0], compression: ['none'], partitions: [4] });
    const fitted = fitMock(shape!, 1);
    assert.ok(fitted.records * fitted.recordBytes < 4 * 5_000_000);
    assert.equal(fitMock({ ...shape!, records: 10 }, 1).records, 10);
  });
});
