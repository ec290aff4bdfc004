import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Services, startServices } from '../support/services.ts';
import { type CliOptions, runCli } from './run-cli.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

interface Finding {
  readonly status: 'ok' | 'warning' | 'fault' | 'off';
  readonly detail: string;
  readonly hint?: string;
}

describe('doctor', { concurrency: 3 }, () => {
  let services: Services;
  let home: string;
  before(async () => {
    services = await startServices();
    mkdirSync(join(root, '.cache'), { recursive: true });
    home = mkdtempSync(join(root, '.cache', 'doctor-'));
  });
  after(async () => {
    await services[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  /** Runs it with `--json`: exit code, and what it found by name. */
  async function examine(
    options: CliOptions & { readonly args?: readonly string[] } = {},
  ): Promise<{ code: number | null; found: Record<string, Finding> }> {
    const { code, out, err } = await runCli(['doctor', '--json', '--timeout', '2', ...(options.args ?? [])], options);
    assert.notEqual(out, '', err);
    const { findings } = JSON.parse(out) as { findings: (Finding & { name: string })[] };
    return { code, found: Object.fromEntries(findings.map(({ name, ...finding }) => [name, finding])) };
  }

  const good = (): Record<string, string> => ({
    KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers,
    SCHEMA_REGISTRY_URL: services.registryUrl,
    APP_NAME: 'doctor-test',
  });

  /** Another installation of the package: the same files, other native parts. */
  function installation(name: string): { directory: string; cli: string } {
    const directory = join(home, name);
    mkdirSync(join(directory, 'node_modules'), { recursive: true });
    cpSync(join(root, 'package.json'), join(directory, 'package.json'));
    mkdirSync(join(directory, 'dist'));
    execFileSync('cp', ['-al', join(root, 'dist', 'src'), join(directory, 'dist', 'src')]);
    for (const each of readdirSync(join(root, 'node_modules'))) {
      if (each !== 'node-rdkafka') symlinkSync(join(root, 'node_modules', each), join(directory, 'node_modules', each));
    }
    return { directory, cli: join(directory, 'dist', 'src', 'cli', 'main.js') };
  }

  function linkBinding(directory: string): void {
    symlinkSync(join(root, 'node_modules', 'node-rdkafka'), join(directory, 'node_modules', 'node-rdkafka'));
  }

  test('finds nothing wrong with a working installation, and says so in text, too', async () => {
    const { code, found } = await examine({ env: good() });
    assert.equal(code, 0);
    assert.deepEqual(
      Object.entries(found).filter(([, { status }]) => status === 'fault'),
      [],
    );
    for (const name of ['broker', 'schema registry', 'librdkafka', 'clock', 'runtime variables'])
      assert.equal(found[name]!.status, 'ok', name);
    const { out, code: textCode } = await runCli(['doctor'], { env: good() });
    assert.equal(textCode, 0);
    assert.match(out, /^ok {7}broker +1 at /m);
  });

  test('a variable that is nearly one, and APP_NAME missing: warnings', async () => {
    const { APP_NAME, ...unnamed } = good();
    const nearly = await examine({ env: { ...unnamed, APP_NAME: APP_NAME!, CONSUMER_PREFECH_COUNT: '5', CONSUMER_LIKE_OTHERS: '1' } });
    const { status, detail, hint } = nearly.found['runtime variables']!;
    assert.deepEqual([nearly.code, status, detail], [0, 'warning', 'CONSUMER_PREFECH_COUNT is read by nobody here']);
    assert.match(hint!, /CONSUMER_PREFETCH_COUNT/);
    const { found, code } = await examine({ env: unnamed, args: ['--strict'] });
    assert.deepEqual([code, found['runtime variables']!.status], [1, 'warning']);
  });

  test('addon off: the compiler result is missing', async () => {
    const { directory, cli } = installation('addon-off');
    linkBinding(directory);
    mkdirSync(join(directory, 'build'));
    const reason = 'the addon was not compiled: c++: not found';
    writeFileSync(join(directory, 'build', 'native-status.json'), JSON.stringify({ built: false, reason }));
    const { code, found } = await examine({ cli, cwd: directory, env: good() });
    assert.equal(code, 0);
    assert.equal(found['packed addon']!.status, 'warning');
    assert.match(found['packed addon']!.detail, /c\+\+: not found/);
    assert.match(found['packed addon']!.hint ?? '', /npm rebuild rdkafka-toolkit/);
    assert.equal((await examine({ cli, cwd: directory, env: good(), args: ['--strict'] })).code, 1);
    assert.equal((await examine({ cli, cwd: directory, env: { ...good(), RDKAFKA_TOOLKIT_NATIVE: 'on' } })).code, 1);
  });

  test('librdkafka 2.0.2 is linked where another is meant', async () => {
    const { directory, cli } = installation('old-librdkafka');
    const fake = join(directory, 'node_modules', 'node-rdkafka');
    const real = JSON.stringify(join(root, 'node_modules', 'node-rdkafka'));
    mkdirSync(join(fake, 'lib'), { recursive: true });
    mkdirSync(join(fake, 'build', 'Release'), { recursive: true });
    cpSync(join(root, 'node_modules', 'node-rdkafka', 'package.json'), join(fake, 'package.json'));
    writeFileSync(join(fake, 'build', 'Release', 'node-librdkafka.node'), '');
    writeFileSync(join(fake, 'lib', 'index.js'), `module.exports = { ...require(${real}), librdkafkaVersion: '2.0.2' };`);
    writeFileSync(join(fake, 'lib', 'error.js'), `module.exports = require(${real} + '/lib/error');`);
    const { code, found } = await examine({ cli, cwd: directory });
    assert.equal(code, 1);
    assert.equal(found.librdkafka!.status, 'fault');
    assert.match(found.librdkafka!.detail, /2\.0\.2 is linked, and node-rdkafka \S+ is made for 2\.12\.0/);
    assert.match(found.librdkafka!.hint ?? '', /BUILD_LIBRDKAFKA=0/);
  });

  test('install scripts were blocked', async () => {
    const { directory, cli } = installation('blocked');
    const copy = join(directory, 'node_modules', 'node-rdkafka');
    mkdirSync(copy);
    for (const each of ['package.json', 'lib', 'librdkafka.js'])
      cpSync(join(root, 'node_modules', 'node-rdkafka', each), join(copy, each), { recursive: true });
    const { code, found } = await examine({ cli, cwd: directory, env: good() });
    assert.equal(code, 1);
    assert.equal(found['install scripts']!.status, 'fault');
    assert.match(found['install scripts']!.hint ?? '', /npm install-scripts approve node-rdkafka rdkafka-toolkit/);
    assert.deepEqual([found.librdkafka!.status, found.broker!.status, found['schema registry']!.status], ['off', 'off', 'ok']);
  });

  test('the next install would skip install scripts that are not approved', async () => {
    const { directory, cli } = installation('unapproved');
    linkBinding(directory);
    const project = join(directory, 'project');
    mkdirSync(project);
    mkdirSync(join(directory, 'build'));
    writeFileSync(join(directory, 'build', 'native-status.json'), '{"built":false,"reason":"off"}');
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'service', allowScripts: { 'node-rdkafka@3.6.1': true } }));
    const { found } = await examine({ cli, cwd: project });
    assert.equal(found['install scripts']!.status, 'warning');
    assert.match(found['install scripts']!.detail, /leaves out rdkafka-toolkit/);
  });

  test('broker down, registry down', async () => {
    const env = { ...good(), KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' };
    const { code, found } = await examine({ env });
    assert.equal(code, 1);
    assert.equal(found.broker!.status, 'fault');
    assert.match(found.broker!.detail, /No answer from Kafka at 127\.0\.0\.1:1/);
    assert.equal(found['schema registry']!.status, 'fault');
    assert.match(found['schema registry']!.hint ?? '', /SCHEMA_REGISTRY_URL/);
  });

  test('a bad variable: every fault, and nothing is asked of services', async () => {
    const env = { ...good(), CONSUMER_POLL_TIMEOUT: 'ten', PRODUCER_ACKS: '7', SASL_PASSWORD: 'pa55word' };
    const { code, found } = await examine({ env });
    assert.equal(code, 1);
    assert.match(found['runtime variables']!.detail, /CONSUMER_POLL_TIMEOUT[\s\S]*PRODUCER_ACKS/);
    assert.equal(found.broker!.status, 'off');
    assert.doesNotMatch(JSON.stringify(found), /pa55word/);
  });

  test('a topic that is not there, a thread pool too small, a metrics service without pods', async () => {
    const env = {
      ...good(),
      CONSUME_TOPICS: 'nosuch-topic',
      UV_THREADPOOL_SIZE: '1',
      METRICS_SERVICE_NAME: 'no-such-service.invalid',
    };
    const { code, found } = await examine({ env });
    assert.equal(code, 1);
    assert.match(found.broker!.detail, /unknown topics of CONSUME_TOPICS: nosuch-topic/);
    assert.equal(found['thread pool']!.status, 'warning');
    assert.match(found['metrics service']!.detail, /no-such-service\.invalid resolves to no address/);
  });

  test('a clock that is off', async () => {
    const late = createServer((_request, response) => {
      response.setHeader('date', new Date(Date.now() - 60_000).toUTCString());
      response.statusCode = 404;
      response.end('{"error_code":40401,"message":"Subject not found."}');
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => late.once('listening', resolve));
    const { found } = await examine({
      env: { ...good(), SCHEMA_REGISTRY_URL: `http://127.0.0.1:${(late.address() as AddressInfo).port}` },
    });
    late.close();
    assert.equal(found.clock!.status, 'warning');
    assert.match(found.clock!.detail, /^(59|60|61)(\.\d)? s ahead of/);
  });
});
