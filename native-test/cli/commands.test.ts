import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { type Services, startServices } from '../support/services.ts';
import { type CliRun, runCli, startCli } from './run-cli.ts';

const orderSchema = {
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'item', type: 'string' },
  ],
};

describe('the command line tool', { concurrency: 3 }, () => {
  let services: Services;
  let home: string;
  before(async () => {
    services = await startServices();
    home = mkdtempSync(join(tmpdir(), 'toolkit-cli-'));
    writeFileSync(join(home, 'order.avsc'), JSON.stringify(orderSchema));
  });
  after(async () => {
    await services[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  const run = (args: readonly string[], input?: string, env: Record<string, string> = {}): Promise<CliRun> =>
    runCli(args, {
      env: { KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers, SCHEMA_REGISTRY_URL: services.registryUrl, ...env },
      ...(input === undefined ? {} : { input }),
    });

  async function succeed(args: readonly string[], input?: string): Promise<string> {
    const { code, out, err } = await run(args, input);
    assert.equal(code, 0, err);
    return out;
  }

  test('produces lines with keys and headers, and shows them with place and time', async () => {
    const topic = await services.topic('lines');
    await succeed(['produce', topic, '--key-separator', ':', '--header', 'trace=abc', '--partition', '2'], 'a:one\nb:two\n');
    const out = await succeed(['consume', topic, '--end']);
    const lines = out.split('\n').map((line) => line.replace(/\d{4}-\S+Z/, 'TIME'));
    assert.deepEqual(lines, [
      `${topic} [2] @ 0  TIME  a`,
      '  trace: abc',
      '  one',
      `${topic} [2] @ 1  TIME  b`,
      '  trace: abc',
      '  two',
      '',
    ]);
  });

  test('ends when a record is not delivered, and says why', async () => {
    const topic = await services.topic('narrow');
    const { code, err } = await run(['produce', topic, '--partition', '77', '--value', 'x']);
    assert.equal(code, 5);
    assert.match(err, /no such partition/);
  });

  test('refuses to read a partition that is not there', async () => {
    const topic = await services.topic('parts');
    await succeed(['produce', topic, '--value', 'x']);
    const { code, err } = await run(['consume', topic, '--partition', '99']);
    assert.equal(code, 2);
    assert.match(err, /Expected --partition to be at most \d+ for/);
  });

  test('refuses to produce what was Avro as JSON text', async () => {
    const topic = await services.topic('was-avro');
    const { code, err } = await run(['produce', topic, '--json'], '{"value":{"id":1},"valueFormat":"avro"}\n');
    assert.equal(code, 5);
    assert.match(err, /line 1 was Avro .* pass --avro or --schema/);
  });

  test('lists what variables do while one of them is wrong', async () => {
    const { code, out, err } = await run(['vars', '--docs'], undefined, { CONSUMER_POLL_TIMEOUT: 'ten', CONSUMER_BATCH_COUNT: '7' });
    assert.equal(code, 2);
    assert.match(out, /CONSUMER_POLL_TIMEOUT .*\(default\)/);
    assert.match(out, /CONSUMER_BATCH_COUNT +7.*\(environment\)/);
    assert.match(err, /got "ten"/);
  });

  test('copies a topic byte for byte from consume --json to produce --json', async () => {
    const [from, to] = [await services.topic('from'), await services.topic('to')];
    const line = { key: 'AP8=', keyFormat: 'base64', value: null, headers: [{ name: 'h', value: '/w==', format: 'base64' }] };
    await succeed(
      ['produce', from, '--json', '--partition', '1'],
      `${JSON.stringify(line)}\n{"value":"text","timestamp":"2026-01-02T03:04:05Z"}\n`,
    );
    const first = await succeed(['consume', from, '--end', '--json']);
    await succeed(['produce', to, '--json', '--partition', '1'], first);
    const second = await succeed(['consume', to, '--end', '--json']);
    assert.equal(second.replaceAll(to, from), first);
    const records = second
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(text) as Record<string, unknown>);
    assert.deepEqual([records[0]!.key, records[0]!.value, records[0]!.headers], [line.key, null, line.headers]);
    assert.deepEqual([records[1]!.value, records[1]!.timestamp], ['text', '2026-01-02T03:04:05.000Z']);
  });

  test('writes Avro by a schema file, then by the newest schema of the subject, and decodes it', async () => {
    const topic = await services.topic('avro');
    await succeed(['produce', topic, '--schema', join(home, 'order.avsc'), '--partition', '0'], '{"id":9007199254740991,"item":"a"}\n');
    await succeed(['produce', topic, '--avro', '--partition', '0'], '{"id":2,"item":"b"}\n');
    const out = await succeed(['consume', topic, '--end', '--json', '--value-only']);
    assert.equal(out, '{"id":9007199254740991,"item":"a"}\n{"id":2,"item":"b"}\n');
    assert.match(await succeed(['consume', topic, '--count', '1']), /schema \d+\n {2}\{\n {4}"id": 9007199254740991,\n/);
  });

  test('a value that does not fit its schema, a line that is no JSON, a value that is no Avro: exit code 5', async () => {
    const topic = await services.topic('faulty');
    const unfit = await run(['produce', topic, '--schema', join(home, 'order.avsc')], '{"id":1,"item":"a"}\n{"id":"x","item":"a"}\n');
    assert.equal(unfit.code, 5);
    assert.match(unfit.err, /stopped at line 2; the 1 before it are sent\n.*Line 2: .*expected id to be Avro long, got "x"/s);
    const broken = await run(['produce', topic, '--json'], '{"value":"a"}\n{value\n');
    assert.equal(broken.code, 5);
    assert.match(broken.err, /Expected JSON in line 2/);
    const text = await services.topic('text');
    await succeed(['produce', text, '--value', 'plain']);
    const decoded = await run(['consume', text, '--end', '--value', 'avro']);
    assert.equal(decoded.code, 5);
    assert.match(decoded.err, new RegExp(`^error: Cannot decode ${text} \\[\\d\\] @ 0: Expected magic byte`));
  });

  test('a schema file that holds none is named, and what a subject without a schema wants is said', async () => {
    const topic = await services.topic('schemaless');
    const none = join(home, 'none.avsc');
    for (const [text, reason] of [
      ['{"type":"record","name":"A","fields":[{"name":"x","type":"nosuch"}]}', /undefined type name: nosuch/],
      ['{no', /JSON/],
      ['type R', /not valid JSON/],
    ] as const) {
      writeFileSync(none, text);
      for (const args of [
        ['codegen', none],
        ['produce', topic, '--schema', none],
      ]) {
        const { code, err } = await run(args, '{"x":1}\n');
        assert.equal(code, 2, err);
        assert.ok(err.includes(`Expected ${none} to be a file with an Avro schema`), err);
        assert.match(err, reason);
      }
    }
    const newest = await run(['produce', topic, '--avro'], '{"x":1}\n');
    assert.equal(newest.code, 4, newest.err);
    assert.match(newest.err, /-value' not found.*--schema <file> registers one/);
  });

  test('begins at an offset, at the last records, at the end', async () => {
    const topic = await services.topic('positions');
    await succeed(['produce', topic, '--partition', '3'], 'r0\nr1\nr2\nr3\n');
    const read = (...args: string[]): Promise<string> => succeed(['consume', topic, '--end', '--value-only', ...args]);
    assert.equal(await read('--from', '2'), 'r2\nr3\n');
    assert.equal(await read('--from=-1'), 'r3\n');
    assert.equal(await read('--from', 'end'), '');
    assert.equal(await read('--count', '2'), 'r0\nr1\n');
    assert.equal(await read('--partition', '1'), '');
    assert.equal((await run(['consume', topic, '--from', 'yesterday'])).code, 2);
  });

  test('takes what steers a terminal out of what it shows', async () => {
    const topic = await services.topic('control');
    await succeed(['produce', topic, '--value', '\u001b[31mred\u0007', '--key', '\u001b]0;title']);
    const shown = await succeed(['consume', topic, '--end']);
    assert.ok(shown.includes('[31mred'));
    assert.doesNotMatch(shown.replaceAll('\n', ''), /\p{Cc}/u);
  });

  test('follows a topic until it is told to stop', async () => {
    const topic = await services.topic('follow');
    await succeed(['produce', topic, '--value', 'before']);
    const child = startCli(['consume', topic, '--value-only'], { env: { KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers } });
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, 'before');
    await succeed(['produce', topic, '--value', 'later']);
    assert.equal((await lines.next()).value, 'later');
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 0);
  });

  test('lists and describes topics', async () => {
    const topic = await services.topic('listed');
    await succeed(['produce', topic, '--partition', '1'], 'a\nb\n');
    const listed = JSON.parse(await succeed(['topics', 'list', '--json'])) as { name: string; partitions: number }[];
    assert.deepEqual(
      listed.find(({ name }) => name === topic),
      { name: topic, partitions: 4 },
    );
    const [described] = JSON.parse(await succeed(['topics', 'describe', topic, '--json'])) as { records: number; partitions: object[] }[];
    assert.equal(described!.records, 2);
    assert.deepEqual(described!.partitions[1], { partition: 1, leader: 1, low: 0, high: 2 });
  });

  test('names a topic that is not there, and says where to look', async () => {
    const expected = { code: 3, err: 'error: Unknown topic: nosuch. rdkafka-toolkit topics list shows those there are.\n' };
    for (const args of [
      ['topics', 'describe', 'nosuch'],
      ['consume', 'nosuch'],
      ['replay', 'nosuch'],
    ]) {
      const { code, err } = await run(args);
      assert.deepEqual({ code, err }, expected, args.join(' '));
    }
  });

  test('deletes nothing without a yes', async () => {
    const topic = await services.topic('kept');
    const { code, err } = await run(['topics', 'delete', topic]);
    assert.equal(code, 2);
    assert.match(err, /Expected --yes/);
    assert.match(await succeed(['topics', 'list']), new RegExp(`^${topic} `, 'm'));
  });

  test('measures brokers', async () => {
    const topic = await services.topic('bench');
    const result = JSON.parse(await succeed(['bench', '--topic', topic, '--records', '500', '--size', '10', '--json'])) as {
      consumed: { records: number };
      produced: { recordsPerSecond: number };
    };
    assert.equal(result.consumed.records, 500);
    assert.ok(result.produced.recordsPerSecond > 0);
  });

  test('shows the runtime variables: values, where they come from, no secrets; all faults at once with exit code 2', async () => {
    const env = { CONSUMER_POLL_TIMEOUT: '3', SASL_PASSWORD: 'pa55word', RDKAFKA_FETCH_ERROR_BACKOFF_MS: '7' };
    const { code, out } = await run(['vars'], undefined, env);
    assert.equal(code, 0);
    assert.match(out, /CONSUMER_POLL_TIMEOUT +3 seconds {2}\(environment\)/);
    assert.match(out, /CONSUMER_BATCH_COUNT +1000 records {2}\(default\)/);
    assert.match(out, /RDKAFKA_FETCH_ERROR_BACKOFF_MS +7/);
    assert.match(out, /SASL_PASSWORD +\[redacted\]/);
    assert.doesNotMatch(out.replaceAll('\n', ''), /pa55word|\p{Cc}/u);
    const set = JSON.parse((await run(['vars', '--set', '--json'], undefined, env)).out) as { name: string }[];
    assert.ok(set.some(({ name }) => name === 'CONSUMER_POLL_TIMEOUT') && set.every(({ name }) => name !== 'CONSUMER_BATCH_COUNT'));
    const faulty = await run(['vars'], undefined, { CONSUMER_POLL_TIMEOUT: 'ten', CONSUMER_BATCH_COUNT: '0' });
    assert.equal(faulty.code, 2);
    assert.match(faulty.err, /2 faults:[\s\S]*CONSUMER_POLL_TIMEOUT[\s\S]*CONSUMER_BATCH_COUNT/);
    assert.doesNotMatch(faulty.err, / {4}at /);
  });

  test('no broker: exit code 3, a message without a stack', async () => {
    const env = { KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:1', CONNECT_TIMEOUT_SECONDS: '1' };
    const { code, err, out } = await run(['topics', 'list'], undefined, env);
    assert.equal(code, 3);
    assert.match(err, /^error: No answer from Kafka at 127\.0\.0\.1:1 within 1000 ms/);
    assert.doesNotMatch(err + out, / {4}at /);
  });

  test('runs an embedded broker and registry, prints the variables that lead there, ends at a signal', async () => {
    const child = startCli(['broker', '--topic', 'orders:2']);
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const env = Object.fromEntries(
      [await lines.next(), await lines.next(), await lines.next()].map(
        ({ value }) => String(value).split(/=(.*)/s).slice(0, 2) as [string, string],
      ),
    );
    assert.deepEqual(Object.keys(env), ['KAFKA_BOOTSTRAP_SERVERS', 'CONSUMER_HEARTBEAT_TIMEOUT_SECONDS', 'SCHEMA_REGISTRY_URL']);
    const { out } = await run(['topics', 'list', '--json'], undefined, env);
    assert.deepEqual(JSON.parse(out), [{ name: 'orders', partitions: 2 }]);
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 0);
  });

  for (const shell of ['bash', 'zsh', 'fish']) {
    test(`prints a completion script for ${shell} that knows every command and its options`, async () => {
      const script = await succeed(['completions', shell]);
      for (const word of [
        'doctor',
        'vars',
        'broker',
        'topics',
        'describe',
        'consume',
        'produce',
        'replay',
        'codegen',
        'bench',
        'key-separator',
      ]) {
        assert.ok(script.includes(word), word);
      }
      const checked = spawnSync(shell, ['-n'], { input: script, encoding: 'utf8' });
      if (checked.error === undefined) assert.equal(checked.status, 0, checked.stderr);
    });
  }

  test('completes commands and options in bash', async () => {
    const script = await succeed(['completions', 'bash']);
    const complete = (words: string, index: number): string =>
      spawnSync('bash', ['-c', `${script}\nCOMP_WORDS=(${words}); COMP_CWORD=${index}; _rdkafka_toolkit; echo "\${COMPREPLY[*]}"`], {
        encoding: 'utf8',
      }).stdout.trim();
    assert.equal(complete('rdkafka-toolkit do', 1), 'doctor');
    assert.equal(complete('rdkafka-toolkit consume --val', 2), '--value --value-only');
    assert.equal(complete('rdkafka-toolkit topics cre', 2), 'create');
    assert.equal(complete('rdkafka-toolkit topics create --part', 3), '--partitions');
  });

  test('wrong arguments: exit code 2; help and version: 0', async () => {
    for (const args of [['nosuch'], ['consume', '--nosuch'], ['produce'], ['bench', '--records', '0']]) {
      assert.equal((await run(args)).code, 2, args.join(' '));
    }
    const unwritable = join(home, 'nowhere', 'order.ts');
    assert.deepEqual(
      await run(['codegen', join(home, 'order.avsc'), '--out', unwritable]).then(({ code, err }) => [
        code,
        err.includes(unwritable),
        err.split('\n').length,
      ]),
      [2, true, 2],
    );
    assert.match(await succeed(['--help']), /Exit codes:/);
    assert.match(await succeed(['--version']), /^\d+\.\d+\.\d+\n$/);
  });
});
