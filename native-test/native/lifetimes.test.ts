import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { consumeMessage, createConsumer, createProducer, parseRuntimeVars } from 'rdkafka-toolkit';
import { startMockCluster } from 'rdkafka-toolkit/testing';

const CYCLES = 1_000;
const AT_ONCE = 20;

interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly errors: string;
}

/** Runs a module in a process of its own, with or without the addon. */
async function child(source: string, native = 'auto'): Promise<Ending> {
  const imports = `
    import { createConsumer, createProducer, consumeMessage, consumeMessageBatch, parseRuntimeVars } from 'rdkafka-toolkit';
    import { startMockCluster } from 'rdkafka-toolkit/testing';
    const cluster = await startMockCluster({ topics: ['t'] });
    const varsOf = (name) =>
      parseRuntimeVars({
        KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers,
        APP_NAME: name,
        CONSUMER_STATIC_MEMBERSHIP: 'false',
        RDKAFKA_TOOLKIT_NATIVE: '${native}',
      });`;
  const started = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', imports + source], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 30_000,
    cwd: new URL('../../../', import.meta.url),
  });
  let errors = '';
  started.stderr.on('data', (chunk: Buffer) => {
    errors += String(chunk);
  });
  const [code, signal] = (await once(started, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, errors };
}

/** Runs a module in a process of its own with clients at work; `during` runs when they are. */
function childAtWork(during: string, native?: string): Promise<Ending> {
  const source = `
    const vars = varsOf('child');
    let producer = await createProducer({ vars });
    let consumer = await createConsumer({ vars, topics: ['t'] });
    for (let index = 0; index < 20000; index++) await producer.enqueue({ topic: 't', value: 'value ' + index });
    await consumeMessage(consumer);
    ${during}`;
  return child(source, native);
}

/** With AddressSanitizer a process looks for leaks at its end, which takes seconds. */
const sanitized = process.env.ASAN_OPTIONS !== undefined;

/** The same ending three times, beside each other; once where it takes so long. */
async function assertExits(during: string, native?: string): Promise<void> {
  const endings = await Promise.all(Array.from({ length: sanitized ? 1 : 3 }, () => childAtWork(during, native)));
  for (const ending of endings) assert.deepEqual(ending, { code: 7, signal: null, errors: '' });
}

describe('the lifetime of clients', () => {
  test('a process whose last commit no broker answers ends at its deadline', async () => {
    const { code, signal, errors } = await childAtWork(`
      import { runAsync } from 'rdkafka-toolkit';
      await producer.flush();
      const stop = new AbortController();
      const running = runAsync({ consumer, producer, handler: () => stop.abort(), signal: stop.signal, shutdownTimeoutMs: 2_000 });
      stop.signal.addEventListener('abort', () => cluster.stopBroker(1));
      await running.catch((error) => console.error(error.code, error.cause?.code));
      await cluster.close();
      process.exitCode = 7;`);
    // Well below the 60 s in which librdkafka gives the coordinator up: one that lives so long is killed.
    assert.deepEqual({ code, signal, errors }, { code: 7, signal: null, errors: 'ERR_SHUTDOWN ERR_COMMIT\n' });
  });

  const endings: [string, string][] = [
    [
      'in the middle of fetching and producing',
      `void (async () => { for (;;) await consumeMessage(consumer); })();
       void (async () => { for (;;) await producer.enqueue({ topic: 't', value: 'more' }); })().catch(() => undefined);
       setTimeout(() => process.exit(7), 150);`,
    ],
    [
      'while it fetches ahead',
      `await producer.flush();
       for (let batch = 0; batch < 5; batch++) await consumeMessageBatch(consumer, undefined, { count: 1000 });
       process.exit(7);`,
    ],
    ['while a wait for records is under way', 'void consumeMessage(consumer).catch(() => undefined); setImmediate(() => process.exit(7));'],
    [
      'while a flush and a commit are under way',
      `void producer.flush(); void consumer.handle.commitConfirmed([{ topic: 't', partition: 0, offset: 1 }], 5000); process.exit(7);`,
    ],
    [
      'while both close',
      'void consumer.close().catch(() => undefined); void producer.close().catch(() => undefined); setTimeout(() => process.exit(7), 2);',
    ],
  ];
  for (const [name, code] of endings) {
    test(`a process may exit ${name}`, () => assertExits(code));
  }

  test('a process may exit while both close on a pool thread', () =>
    assertExits('void consumer.close(); void producer.close(); setTimeout(() => process.exit(7), 2);', 'off'));

  for (const native of ['on', 'off']) {
    test(`consumers may close in the midst of joining (addon ${native})`, async () => {
      const source = `
        const one = async (name) => {
          const consumer = await createConsumer({ vars: varsOf(name), topics: ['t'] });
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
          await consumer.close();
        };
        for (let round = 0; round < 20; round++) {
          await Promise.all(Array.from({ length: 8 }, (_, index) => one('group-' + round + '-' + index)));
        }
        await cluster.close();
        process.exitCode = 7;`;
      const ending = await child(source, native);
      assert.deepEqual(ending, { code: 7, signal: null, errors: '' });
    });
  }

  // One in a hundred such ends aborted the process on Node 20, while workers loaded their module by `require`.
  test('a process outlives workers that are ended while they start', { skip: sanitized && 'no matter of the addon' }, async () => {
    const { code, signal, errors } = await child(`
      import { setTimeout as sleep } from 'node:timers/promises';
      import { openWorkers } from './dist/src/pool/open-workers.js';
      const file = new URL('dist/src/pool/worker.js', 'file://' + process.cwd() + '/');
      await cluster.close();
      for (let round = 0; round < 150; round++) {
        const settings = { handler: file.href, recordMaxBytes: 0, sink: 'packed', produces: false, channel: { name: 'test', stopped: new Int32Array(1) } };
        const pool = await openWorkers(file, settings, { workers: 4, resourceLimits: undefined });
        await sleep(25 + (round % 50));
        await pool.destroy();
      }
      process.exitCode = 7;`);
    assert.deepEqual({ code, signal, errors }, { code: 7, signal: null, errors: '' });
  });

  test('clients that are forgotten without a close do no harm', async () => {
    const code = `consumer = undefined; producer = undefined;
      for (let round = 0; round < 20; round++) { globalThis.gc(); await new Promise((resolve) => setTimeout(resolve, 50)); }
      process.exit(7);`;
    assert.deepEqual(await childAtWork(code), { code: 7, signal: null, errors: '' });
  });

  test(`${CYCLES} cycles of connect, consume and close leave nothing behind`, { timeout: 300_000 }, async () => {
    await using cluster = await startMockCluster({ brokers: 3, topics: ['t'] });
    const env = { KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, CONSUMER_STATIC_MEMBERSHIP: 'false', RDKAFKA_TOOLKIT_NATIVE: 'on' };
    await using producer = await createProducer({ vars: parseRuntimeVars(env) });
    for (let partition = 0; partition < 4; partition++) await producer.send({ topic: 't', partition, value: 'x' });
    let consumed = 0;
    let next = 0;
    const one = async (): Promise<void> => {
      const vars = parseRuntimeVars({ ...env, APP_NAME: `cycle-${next++}` });
      const consumer = await createConsumer({ vars, topics: ['t'], producers: [] });
      assert.equal(String((await consumeMessage(consumer, undefined, { timeoutMs: 30_000 })).value), 'x');
      await consumer.close();
      consumed++;
    };
    const cycles = async (until: number): Promise<number> => {
      while (next < until) await Promise.all(Array.from({ length: AT_ONCE }, () => one()));
      (globalThis as { gc?: () => void }).gc?.();
      return process.memoryUsage().rss / 1_048_576;
    };
    const warm = await cycles(CYCLES / 5);
    const end = await cycles(CYCLES);
    assert.equal(consumed, CYCLES);
    assert.ok(end - warm < 64, `grew from ${warm} to ${end} MB in ${(CYCLES * 4) / 5} cycles`);
  });
});
