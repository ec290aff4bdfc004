import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type CliRun, runCli, startCli } from '../cli/run-cli.ts';
import { type Services, startServices } from '../support/services.ts';
import { globals } from './globals.ts';
import { documents, root, type Snippet, snippets } from './markdown.ts';

const compilerOptions = {
  target: 'es2023',
  lib: ['es2023', 'esnext.disposable', 'dom'],
  module: 'nodenext',
  types: ['node'],
  strict: true,
  skipLibCheck: true,
  // A snippet that shows what a call gives need not use it.
  noUnusedLocals: false,
  outDir: 'out',
  rootDir: '.',
};

/** The first block of the README that holds a text. */
function readme(text: string): Snippet {
  const found = snippets('README.md').find((each) => each.text.includes(text));
  assert.ok(found, `the README has no snippet with ${text}`);
  return found;
}

describe('the snippets of the documentation', { concurrency: 2 }, () => {
  let home: string;
  let services: Services;
  before(async () => {
    mkdirSync(join(root, '.cache'), { recursive: true });
    // Within the repository, so that the package is found by its own name.
    home = mkdtempSync(join(root, '.cache', 'snippets-'));
    services = await startServices();
  });
  after(async () => {
    await services[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  });

  /** Compiles snippets as modules `0.ts`, `1.ts` … of a directory; the compiler's words, empty when it has none. */
  function compile(name: string, all: readonly Snippet[]): { readonly directory: string; readonly errors: string } {
    const directory = join(home, name);
    mkdirSync(directory);
    writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    writeFileSync(join(directory, 'globals.d.ts'), globals());
    for (const [index, { text }] of all.entries()) writeFileSync(join(directory, `${index}.ts`), `${text}\nexport {};\n`);
    // Its own package.json hides the repository's: the package is found in node_modules.
    mkdirSync(join(directory, 'node_modules'));
    spawnSync('ln', ['-s', root.replace(/\/$/, ''), join(directory, 'node_modules', 'rdkafka-toolkit')]);
    const { stdout } = spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', directory], { cwd: directory, encoding: 'utf8' });
    const errors = stdout.replace(
      /^(\d+)\.ts\((\d+)/gm,
      (_whole, index: string, line: string) => `${all[Number(index)]!.place} line ${line}(`,
    );
    return { directory, errors };
  }

  test('are valid TypeScript against the package', () => {
    const all = documents().flatMap((document) => snippets(document).filter(({ language }) => language === 'ts'));
    assert.ok(all.length >= 12, `${all.length} snippets`);
    assert.equal(compile('types', all).errors, '');
  });

  const env = (): Record<string, string> => ({
    KAFKA_BOOTSTRAP_SERVERS: services.bootstrapServers,
    SCHEMA_REGISTRY_URL: services.registryUrl,
    APP_NAME: 'readme',
  });

  /** Runs a command to a good end. */
  async function cli(args: readonly string[], input?: string): Promise<CliRun> {
    const run = await runCli(args, { env: env(), ...(input === undefined ? {} : { input }) });
    assert.equal(run.code, 0, run.err);
    return run;
  }

  /** Starts a compiled snippet, waits until it has produced a record to a topic, stops it as a platform does; gives the record's value. */
  async function serve(directory: string, topic: string, preload: string): Promise<string> {
    const before = 'so that the topic is there';
    await cli(['produce', topic, '--value', before]);
    const loader = join(directory, 'preload.mjs');
    writeFileSync(loader, preload);
    const service = startCli([], {
      cli: join(directory, 'out', '0.js'),
      env: { ...env(), APP_NAME: `readme-${topic}`, NODE_OPTIONS: `--import=${pathToFileURL(loader)}` },
    });
    let err = '';
    service.stderr!.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const ended = new Promise<number | null>((resolve) => service.once('exit', resolve));
    const { out } = await cli(['consume', topic, '--count', '2', '--json', '--value-only']);
    service.kill('SIGTERM');
    assert.equal(await ended, 0, err);
    return out.replace(`${JSON.stringify(before)}\n`, '').trim();
  }

  test("the README's service turns an order into an invoice and stops at SIGTERM", async () => {
    const { directory, errors } = compile('service', [readme("createAvroConsumer({ topics: ['orders']")]);
    assert.equal(errors, '');
    const schema = join(directory, 'order.avsc');
    writeFileSync(
      schema,
      JSON.stringify({
        type: 'record',
        name: 'Order',
        fields: [
          { name: 'id', type: 'int' },
          { name: 'amount', type: 'double' },
        ],
      }),
    );
    await cli(['produce', 'orders', '--schema', schema], '{"id":7,"amount":100}\n');
    assert.equal(await serve(directory, 'invoices', ''), '{"id":7,"total":120}');
  });

  test("the README's loop by hand moves records, and stops", async () => {
    const { directory, errors } = compile('loop', [readme('while (!stopping)')]);
    assert.equal(errors, '');
    await cli(['produce', 'in', '--key', 'a', '--value', 'moved']);
    const preload = `globalThis.stopping = false; globalThis.metrics = undefined; process.on('SIGTERM', () => { globalThis.stopping = true; });`;
    assert.equal(await serve(directory, 'out', `${preload} process.env.CONSUMER_POLL_TIMEOUT = '0.2';`), '"moved"');
  });

  test("the README's cluster and registry for tests start and end", () => {
    const { directory, errors } = compile('testing', [readme('startMockCluster({ topics')]);
    assert.equal(errors, '');
    const { status, stderr } = spawnSync(process.execPath, [join(directory, 'out', '0.js')], { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 0, stderr);
  });
});
