import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ConfigError, createProducer, jsonSerializer, MetricsManager, type RuntimeVars } from 'rdkafka-toolkit';
import { lmdbStore, type StateStore, type StreamAppOptions, StreamAppWrapper, startStatusServer, type Table } from 'rdkafka-toolkit/stream';
import { type Services, startServices } from '../support/services.ts';
import { committedTotal, readAll } from '../support/topics.ts';
import { until } from '../support/until.ts';

const WORDS = ['kafka', 'topic', 'record', 'offset', 'lag'];
const wordOf = (index: number): string => WORDS[(index * 7) % WORDS.length]!;

/** How often each word is among the first so many records. */
function recount(records: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let index = 0; index < records; index++) counts[wordOf(index)] = (counts[wordOf(index)] ?? 0) + 1;
  return counts;
}

/** The mock cluster forgets the offsets of transactions, and takes its time over rebalances. */
const realOnly = process.env.KAFKA_BOOTSTRAP_SERVERS === undefined && 'KAFKA_BOOTSTRAP_SERVERS is not set';

describe('a stream app', () => {
  let services: Services;
  let directory: string;
  before(async () => {
    services = await startServices();
    directory = mkdtempSync(join(tmpdir(), 'stream-test-'));
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await services[Symbol.asyncDispose]();
  });

  const appVars = (name: string, extra: Readonly<Record<string, string>> = {}): RuntimeVars =>
    services.vars({ APP_NAME: name, CONSUMER_STATIC_MEMBERSHIP: 'false', CONSUMER_HEARTBEAT_INTERVAL_SECONDS: '0.5', ...extra });

  async function fill(topic: string, from: number, to: number): Promise<void> {
    await using producer = await createProducer({ vars: services.vars(), valueSerializer: jsonSerializer<string>() });
    for (let index = from; index < to; index++) await producer.enqueue({ topic, key: wordOf(index), value: wordOf(index) });
    await producer.flush();
  }

  interface Counting {
    readonly app: StreamAppWrapper;
    readonly counts: Table<string, number>;
    readonly handled: () => number;
    /** Runs it until so many records were handled. */
    readonly run: (records: number) => Promise<void>;
    recovered: number;
  }

  /** Counts words by their key. */
  function counting(topic: string, vars: RuntimeVars, options: StreamAppOptions = {}): Counting {
    const app = new StreamAppWrapper({ vars, handleSignals: false, ...options });
    const counts = app.table<string, number>('counts');
    const agent = app.agent<string, string>(topic, ({ value }) => {
      counts.update(value, (count = 0) => count + 1);
    });
    const counted: Counting = {
      app,
      counts,
      handled: () => agent.handled,
      recovered: 0,
      async run(records) {
        const running = app.run();
        running.catch(() => undefined);
        await Promise.race([running, until(`${records} records are handled`, () => agent.handled >= records, 12_000)]);
        await app.stop();
        await running;
      },
    };
    app.on('recovered', ({ records }) => {
      counted.recovered += records;
    });
    return counted;
  }

  /** What the changelog says, read by a plain consumer. */
  async function changelog(app: string): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    const records = await readAll({ vars: () => services.vars() }, `${app}-counts-changelog`);
    for (const { key, value } of records.toSorted((a, b) => a.offset - b.offset)) {
      if (value === null) delete counts[String(key)];
      else counts[String(key)] = Number(value);
    }
    return counts;
  }

  let apps = 0;
  /** A name of its own, with the changelog of its table. */
  async function newName(): Promise<string> {
    const name = `app-${process.pid}-${++apps}-${Date.now() % 100_000}`;
    await services.mockTopic(`${name}-counts-changelog`);
    return name;
  }

  const variants: readonly {
    readonly name: string;
    readonly guarantee: 'at-least-once' | 'exactly-once';
    readonly store: (name: string) => StateStore | undefined;
  }[] = [
    { name: 'at least once, in memory', guarantee: 'at-least-once', store: () => undefined },
    { name: 'at least once, in lmdb', guarantee: 'at-least-once', store: (name) => lmdbStore({ directory: join(directory, name) }) },
    { name: 'exactly once, in memory', guarantee: 'exactly-once', store: () => undefined },
    { name: 'exactly once, in lmdb', guarantee: 'exactly-once', store: (name) => lmdbStore({ directory: join(directory, name) }) },
  ];
  for (const { guarantee, name: variant, store } of variants) {
    test(`goes on where it was: ${variant}`, { skip: variant === 'at least once, in memory' ? false : realOnly }, async () => {
      const topic = await services.topic('words');
      const name = await newName();
      await fill(topic, 0, 300);
      const options = (): StreamAppOptions => ({ guarantee, store: store(name) });
      const first = counting(topic, appVars(name), options());
      await first.run(300);
      assert.equal(await committedTotal(services, appVars(name), topic), 300);
      assert.deepEqual(await changelog(name), recount(300));

      await fill(topic, 300, 500);
      const second = counting(topic, appVars(name), options());
      await second.run(200);
      assert.equal(second.handled(), 200);
      assert.deepEqual(await changelog(name), recount(500));
      // What the store has already is not read again.
      if (store(name) === undefined) assert.ok(second.recovered >= WORDS.length, `${second.recovered} records`);
      else assert.equal(second.recovered, 0);
    });
  }

  test('exactly once: what a transaction that came to nothing changed never was', { skip: realOnly }, async () => {
    const topic = await services.topic('words');
    const out = await services.topic('out');
    const name = await newName();
    await fill(topic, 0, 200);
    const app = new StreamAppWrapper({ vars: appVars(name), handleSignals: false, guarantee: 'exactly-once', transactionMs: 20 });
    const counts = app.table<string, number>('counts');
    let failures = 0;
    const agent = app.agent<string, string>(topic, ({ key, value, offset }) => {
      const count = counts.update(value, (before = 0) => before + 1);
      // A record too large for any broker fails its transaction after its change was produced.
      if (offset === 5 && failures++ < 2) return { topic: 'no such topic?', key, value: Buffer.from('x') };
      return { topic: out, key, value: Buffer.from(String(count)) };
    });
    const running = app.run();
    running.catch(() => undefined);
    const allCommitted = async (): Promise<boolean> => (await committedTotal(services, appVars(name), topic)) === 200;
    await Promise.race([running, until('all are handled', allCommitted, 15_000)]);
    await app.stop();
    await running;
    assert.ok(failures >= 2 && agent.handled > 200, `${failures} failures, ${agent.handled} handled`);
    assert.deepEqual(await changelog(name), recount(200));
    const outputs = await readAll({ vars: () => services.vars() }, out);
    assert.equal(outputs.length, 200);
    for (const [word, count] of Object.entries(recount(200))) {
      const own = outputs.filter(({ key }) => String(key) === word).map(({ value }) => Number(value));
      assert.deepEqual(
        own.toSorted((a, b) => a - b),
        Array.from({ length: count }, (_, index) => index + 1),
      );
    }
  });

  test('two processes share partitions and shards; when one ends the other takes over what it had', { skip: realOnly }, async () => {
    const topic = await services.topic('words');
    const name = await newName();
    const one = counting(topic, appVars(name, { HOSTNAME: 'one' }));
    const two = counting(topic, appVars(name, { HOSTNAME: 'two' }));
    const running = [one.app.run(), two.app.run()];
    for (const each of running) each.catch(() => undefined);
    const partitions = async ({ app }: Counting): Promise<number> => (await app.status()).partitions.length;
    await until('both have partitions', async () => (await partitions(one)) === 2 && (await partitions(two)) === 2, 12_000);
    await fill(topic, 0, 300);
    await until('all are handled', () => one.handled() + two.handled() >= 300, 12_000);
    await one.app.stop();
    await until('the other has all', async () => (await partitions(two)) === 4, 12_000);
    await fill(topic, 300, 400);
    await until('those are handled', () => one.handled() + two.handled() >= 400, 12_000);
    assert.deepEqual(Object.fromEntries(two.counts.entries()), recount(400));
    await two.app.stop();
    await Promise.all(running);
    assert.deepEqual(await changelog(name), recount(400));
  });

  test('a standby reads only what its copy lacks when partitions come to it', { skip: realOnly }, async () => {
    const topic = await services.topic('words');
    const name = await newName();
    const one = counting(topic, appVars(name, { HOSTNAME: 'one' }));
    const running = [one.app.run()];
    await until('it has partitions', async () => (await one.app.status()).partitions.length === 4);
    const two = counting(topic, appVars(name, { HOSTNAME: 'two' }), { standby: true });
    running.push(two.app.run());
    for (const each of running) each.catch(() => undefined);
    await until('both have partitions', async () => (await two.app.status()).partitions.length === 2);
    assert.equal((await two.app.status()).standbyShards, 2);
    await fill(topic, 0, 600);
    await until('all are handled', () => one.handled() + two.handled() >= 600);
    // Its copies are up to date a moment later.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const before = two.recovered;
    await one.app.stop();
    await until('the other has all', async () => {
      const { partitions, standbyShards, tables } = await two.app.status();
      return partitions.length === 4 && standbyShards === 0 && tables[0]!.shards.every(({ recovered }) => recovered);
    });
    assert.equal(two.recovered - before, 0);
    assert.deepEqual(Object.fromEntries(two.counts.entries()), recount(600));
    await two.app.stop();
    await Promise.all(running);
  });

  test('batches of take are done when the next one is asked for', async () => {
    const topic = await services.topic('words');
    const out = await services.topic('out');
    const name = await newName();
    await fill(topic, 0, 250);
    const app = new StreamAppWrapper({ vars: appVars(name), handleSignals: false });
    const sizes: number[] = [];
    app.agent<string, string>(topic, async function* (stream) {
      for await (const records of stream.take(100, 0.3)) {
        sizes.push(records.length);
        yield records.map(({ key }) => ({ topic: out, key, value: key }));
      }
    });
    const running = app.run();
    running.catch(() => undefined);
    await Promise.race([running, until('all are taken', () => sizes.reduce((sum, size) => sum + size, 0) === 250)]);
    await app.stop();
    await running;
    assert.ok(sizes.every((size) => size <= 100) && sizes.length >= 3, String(sizes));
    assert.equal(await committedTotal(services, appVars(name), topic), 250);
    assert.equal((await readAll({ vars: () => services.vars() }, out)).length, 250);
  });

  test('metrics, hooks, timers, sends and the status page', async () => {
    const topic = await services.topic('words');
    const out = await services.topic('out');
    const name = await newName();
    const vars = appVars(name, { HOSTNAME: 'pod-0', DO_METRICS_PUSHING: 'false' });
    const metrics = new MetricsManager({ vars });
    const calls: string[] = [];
    class Hooked extends StreamAppWrapper {
      override onStart(): void {
        calls.push('start');
      }
      override onStop(): void {
        calls.push('stop');
      }
      override onError(error: unknown): void {
        calls.push(String(error));
      }
    }
    const app = new Hooked({ vars, metrics, handleSignals: false, onError: () => 'skip' });
    const target = app.topic<string, string>(out);
    const counts = app.table<string, number>('counts');
    const agent = app.agent<string, string>(topic, ({ value }) => {
      if (value === 'lag') throw new RangeError('<b>lag</b>');
      counts.update(value, (count = 0) => count + 1);
    });
    let sent = 0;
    app.timer(0.05, async () => {
      if (sent++ === 0) await app.send(target, { key: 'timer', value: 'tick' });
    });
    await fill(topic, 0, 50);
    await using page = await startStatusServer(app, { port: 0 });
    const running = app.run();
    await until('all are handled, and the timer has sent', () => agent.handled >= 50 && sent > 1, 12_000);
    const status = (await (await fetch(`${page.url}/status.json`)).json()) as Awaited<ReturnType<StreamAppWrapper['status']>>;
    assert.deepEqual([status.app, status.running, status.guarantee], [name, true, 'at-least-once']);
    assert.deepEqual(status.agents, [{ name: topic, topic, handled: 50, errors: 10 }]);
    assert.deepEqual([status.partitions.length, status.partitions.every(({ lagRecords }) => lagRecords === 0)], [4, true]);
    assert.equal(status.tables[0]!.keys, WORDS.length - 1);
    const html = await (await fetch(page.url)).text();
    assert.match(html, new RegExp(`<h1>${name}</h1>`));
    assert.match(html, /RangeError: &lt;b&gt;lag&lt;\/b&gt;/);
    assert.doesNotMatch(html, /<b>lag/);
    assert.equal((await fetch(`${page.url}/nowhere`)).status, 404);
    assert.equal((await fetch(page.url, { method: 'POST' })).status, 405);
    await app.stop();
    await running;
    assert.deepEqual([calls[0], calls.at(-1), calls.length], ['start', 'stop', 12]);
    const text = await metrics.text('text');
    assert.match(text, new RegExp(`^messages_consumed\\{app="${name}",job="pod-0"\\} 50$`, 'm'));
    assert.match(text, /^message_errors\{.*exception="RangeError"\} 10$/m);
    assert.equal((await readAll({ vars: () => services.vars() }, out)).length, 1);
  });

  test('topics that do not exist, or do not go together, are refused', async () => {
    const topic = await services.topic('words');
    if (services.real) {
      const lone = new StreamAppWrapper({ vars: appVars(await newName(), { CONNECT_TIMEOUT_SECONDS: '5' }) });
      lone.table('counts');
      lone.agent('no-such-topic', () => undefined);
      await assert.rejects(lone.run(), /no-such-topic/);
    }
    const empty = new StreamAppWrapper({ vars: appVars(await newName()) });
    assert.throws(() => void empty.run(), ConfigError);
    const retrying = counting(topic, appVars(await newName(), { PRODUCE_RETRY_TOPICS: 'again', RETRY_COUNT_MAX: '1' }));
    assert.throws(() => void retrying.app.run(), /PRODUCE_RETRY_TOPICS.*failures\.attempts/);
    const never = new StreamAppWrapper({ vars: appVars(await newName()), failures: { attempts: 0 } });
    never.agent(topic, () => undefined);
    assert.throws(() => void never.run(), /Expected attempts to be a whole number from 1, got 0/);
    const failing = counting(topic, appVars(await newName(), { KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:1', CONNECT_TIMEOUT_SECONDS: '1' }));
    await assert.rejects(failing.app.run(), /127\.0\.0\.1:1/);
  });
});
