import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ConfigError, createConsumer, createProducer, type RuntimeVars, replayDeadLetters, runAsync } from 'rdkafka-toolkit';
import { type Services, startServices } from '../support/services.ts';
import { readAll } from '../support/topics.ts';

describe('replay of dead letters', { concurrency: 3 }, () => {
  let services: Services;
  before(async () => {
    services = await startServices();
  });
  after(() => services[Symbol.asyncDispose]());

  /** A topic of 6 records, odd ones dead letters of one error, the others of another. */
  async function makeLetters(): Promise<{ input: string; letters: string; vars: RuntimeVars }> {
    const [input, letters] = [await services.topic('in'), await services.topic('dead')];
    const vars = services.vars();
    const producer = await createProducer({ vars });
    for (let index = 0; index < 6; index++) {
      await producer.send({ topic: input, partition: 3, key: `key-${index}`, value: `value-${index}`, headers: { own: String(index) } });
    }
    const stop = new AbortController();
    await runAsync({
      consumer: await createConsumer({ vars, topics: [input], producers: [producer] }),
      producer,
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(30_000)]),
      handleSignals: false,
      failures: { deadLetterTopics: [letters] },
      handler({ offset }) {
        if (offset === 5) setImmediate(() => stop.abort());
        throw offset % 2 === 1 ? new RangeError(`odd ${offset}`) : new TypeError(`even ${offset}`);
      },
    });
    return { input, letters, vars };
  }

  test('puts them back as they were, once', async () => {
    const { input, letters, vars } = await makeLetters();
    const dry = await replayDeadLetters({ vars, topics: [letters], dryRun: true });
    assert.deepEqual(dry, { read: 6, replayed: 6, filtered: 0, homeless: 0 });
    assert.equal((await readAll(services, input)).length, 6);
    assert.deepEqual(await replayDeadLetters({ vars, topics: [letters] }), dry);
    assert.deepEqual(await replayDeadLetters({ vars, topics: [letters] }), { read: 0, replayed: 0, filtered: 0, homeless: 0 });
    const plain = ({ partition, key, value, headers }: Awaited<ReturnType<typeof readAll>>[number]) =>
      [partition, key, value, headers.map((header) => [header.name, header.value])].map(String);
    const records = await readAll(services, input);
    // Dead letters of different keys are in different partitions: there is no order among them.
    const byKey = (a: readonly string[], b: readonly string[]): number => a[1]!.localeCompare(b[1]!);
    assert.deepEqual(records.slice(6).map(plain).toSorted(byKey), records.slice(0, 6).map(plain));
    const again = await replayDeadLetters({ vars, topics: [letters], all: true, limit: 2, to: await services.topic('elsewhere') });
    assert.deepEqual(again, { read: 2, replayed: 2, filtered: 0, homeless: 0 });
  });

  test('takes those that a filter wants and leaves the others for later; records that are no dead letters are left alone', async () => {
    const { input, letters, vars } = await makeLetters();
    await using producer = await createProducer({ vars });
    await producer.send({ topic: letters, value: 'no dead letter' });
    const filter = ({ origin }: { origin: { exception: string | undefined } | undefined }): boolean => origin?.exception === 'RangeError';
    assert.deepEqual(await replayDeadLetters({ vars, topics: [letters], filter }), { read: 7, replayed: 3, filtered: 4, homeless: 0 });
    assert.deepEqual(await replayDeadLetters({ vars, topics: [letters] }), { read: 7, replayed: 6, filtered: 0, homeless: 1 });
    assert.equal((await readAll(services, input)).length, 6 + 3 + 6);
    await assert.rejects(replayDeadLetters({ vars }), ConfigError);
  });

  test('the command says what it would do and does it', async () => {
    const { letters, vars } = await makeLetters();
    const cli = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    const { NODE_TEST_CONTEXT: _context, NODE_V8_COVERAGE: _coverage, ...env } = process.env;
    const own = { KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers, APP_NAME: vars.APP_NAME, CONSUMER_ENABLE_AUTO_COMMIT: 'false' };
    const call = async (...args: string[]): Promise<string[]> => {
      const { stdout } = await promisify(execFile)(process.execPath, [cli, 'replay', ...args], {
        env: { ...env, ...own },
        timeout: 60_000,
      });
      return stdout.trimEnd().split('\n');
    };
    const dry = await call(letters, '--exception', 'TypeError', '--dry-run');
    assert.equal(dry.length, 7);
    assert.ok(
      dry.some((line) => /→ in-\w+ \[3\] \(TypeError: even 4\)$/.test(line)),
      dry.join('\n'),
    );
    assert.equal(dry.at(-1), 'would put back 3 of 6 dead letters, 3 left out, 0 without an origin');
    assert.deepEqual(await call(letters, '--quiet'), ['put back 6 of 6 dead letters, 0 left out, 0 without an origin']);
    await assert.rejects(call(), /Expected a dead-letter topic to replay/);
    await assert.rejects(call(letters, '--since', 'yesterday'), /ISO time/);
  });
});
