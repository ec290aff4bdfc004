import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

const root = new URL('../../../', import.meta.url).pathname;
const PACKAGE = 'rdkafka-toolkit';

/** Produces and consumes one record by whatever path the package chose. */
const service = `
import { consumeMessage, createConsumer, createProducer, nativeStatus, parseRuntimeVars } from '${PACKAGE}';
import { startMockCluster } from '${PACKAGE}/testing';
const cluster = await startMockCluster({ topics: ['t'] });
const vars = parseRuntimeVars({ KAFKA_BOOTSTRAP_SERVERS: cluster.bootstrapServers, APP_NAME: 'tarball', CONSUMER_STATIC_MEMBERSHIP: 'false' });
const producer = await createProducer({ vars });
await producer.send({ topic: 't', value: 'moved' });
const consumer = await createConsumer({ vars, topics: ['t'] });
const record = await consumeMessage(consumer);
console.log(JSON.stringify({ value: String(record.value), source: consumer.source, sink: producer.sink, ...nativeStatus() }));
await consumer.close(); await producer.close(); await cluster.close();
`;

interface Outcome {
  readonly value: string;
  readonly source: string;
  readonly sink: string;
  readonly available: boolean;
  readonly reason?: string;
}

/** The packed tarball as a dependency of another project. Its own dependencies are linked from here, so that nothing is compiled twice. */
describe('the tarball in another project', () => {
  let home: string;
  before(() => {
    mkdirSync(join(root, '.cache'), { recursive: true });
    home = mkdtempSync(join(root, '.cache', 'tarball-'));
    execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', home], { cwd: root });
    const tarball = readdirSync(home).find((name) => name.endsWith('.tgz'))!;
    execFileSync('tar', ['-xzf', tarball], { cwd: home });
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  /** A project with the package unpacked and its dependencies hoisted or, for node-rdkafka, nested. */
  function project(name: string, nested: boolean): string {
    const directory = join(home, name);
    const modules = join(directory, 'node_modules');
    mkdirSync(modules, { recursive: true });
    writeFileSync(
      join(directory, 'package.json'),
      JSON.stringify({ name, version: '1.0.0', type: 'module', dependencies: { [PACKAGE]: '0.1.0' } }),
    );
    // Hard links: files of their own path, at no cost.
    execFileSync('cp', ['-al', `${join(root, 'node_modules')}/.`, modules]);
    for (const other of ['.bin', '.package-lock.json']) rmSync(join(modules, other), { recursive: true, force: true });
    cpSync(join(home, 'package'), join(modules, PACKAGE), { recursive: true });
    if (nested) {
      mkdirSync(join(modules, PACKAGE, 'node_modules'));
      renameSync(join(modules, 'node-rdkafka'), join(modules, PACKAGE, 'node_modules', 'node-rdkafka'));
    }
    writeFileSync(join(directory, 'service.js'), service);
    return directory;
  }

  /** The installed package from CommonJS, and its command. */
  function assertUsable(directory: string): void {
    const text = `const { createConsumer, nativeStatus } = require('${PACKAGE}'); console.log(typeof createConsumer, nativeStatus().available)`;
    const required = spawnSync(process.execPath, ['--no-warnings', '-e', text], { cwd: directory, encoding: 'utf8' });
    assert.equal(required.stdout, 'function true\n', required.stderr);
    const command = join(directory, 'node_modules', PACKAGE, 'dist', 'src', 'cli', 'main.js');
    const { KAFKA_BOOTSTRAP_SERVERS: _kafka, SCHEMA_REGISTRY_URL: _registry, ...env } = process.env;
    const doctor = spawnSync(process.execPath, [command, 'doctor', '--json'], { cwd: directory, encoding: 'utf8', env });
    assert.equal(doctor.status, 0, doctor.stdout + doctor.stderr);
  }

  /** Runs the package's install script as npm runs it, then the service. */
  function install(directory: string, env: NodeJS.ProcessEnv = {}): { outcome: Outcome; status: { built: boolean; reason?: string } } {
    const installed = spawnSync('npm', ['run', 'install', '--silent'], {
      cwd: join(directory, 'node_modules', PACKAGE),
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });
    assert.equal(installed.status, 0, installed.stderr);
    const ran = spawnSync(process.execPath, ['service.js'], { cwd: directory, encoding: 'utf8', timeout: 60_000 });
    assert.equal(ran.status, 0, ran.stderr);
    const status = JSON.parse(readFileSync(join(directory, 'node_modules', PACKAGE, 'build', 'native-status.json'), 'utf8')) as {
      built: boolean;
      reason?: string;
    };
    return { outcome: JSON.parse(ran.stdout) as Outcome, status };
  }

  test('holds what a user needs and nothing else, within its budget', () => {
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as [{ size: number; unpackedSize: number; files: { path: string }[] }];
    const paths = packed.files.map(({ path }) => path);
    const wanted =
      /^(dist\/src\/.+\.(c?js|d\.c?ts)(\.map)?|src\/.+\.(c?ts|cc|h|c|cjs)|examples\/.+\.(ts|yaml|yml|json|avsc)|binding-notes\/[\w-]+\.md|bench\/README\.md|binding\.gyp|package\.json|Dockerfile|LICENSE|(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md)$/;
    assert.deepEqual(
      paths.filter((path) => !wanted.test(path)),
      [],
    );
    const needed = [
      'dist/src/cli/main.js',
      'dist/src/worker.js',
      'dist/src/pool/entry.cjs',
      'dist/src/testing/index.d.ts',
      'src/native/install.cjs',
      'src/native/module.cc',
      'LICENSE',
    ];
    assert.deepEqual(
      needed.filter((path) => !paths.includes(path)),
      [],
    );
    // But for the picture, which is as large as a quarter of all the rest.
    const links = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)].map(
      (match) => match[1]!,
    );
    assert.deepEqual(
      links.filter((link) => !link.endsWith('.png') && !paths.some((path) => path === link || path.startsWith(`${link}/`))),
      [],
    );
    assert.ok(packed.size < 1_000_000, `${packed.size} bytes packed`);
    assert.ok(packed.unpackedSize < 4_500_000, `${packed.unpackedSize} bytes unpacked`);
  });

  for (const nested of [false, true]) {
    test(`compiles its addon against a node-rdkafka that is ${nested ? 'nested' : 'hoisted'}, and uses it`, () => {
      const { outcome, status } = install(project(nested ? 'nested' : 'hoisted', nested));
      assert.deepEqual(status, { built: true });
      assert.deepEqual(outcome, { value: 'moved', source: 'packed', sink: 'packed', available: true });
      if (!nested) assertUsable(join(home, 'hoisted'));
    });
  }

  test('installs and works without a compiler, saying why it is slower', () => {
    const { outcome, status } = install(project('uncompiled', false), { CXX: '/nonexistent/c++', CC: '/nonexistent/cc' });
    assert.equal(status.built, false);
    assert.match(status.reason ?? '', /the addon was not compiled: /);
    assert.deepEqual([outcome.value, outcome.source, outcome.sink, outcome.available], ['moved', 'portable', 'portable', false]);
    assert.match(outcome.reason ?? '', /the addon was not compiled: /);
  });
});
