import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path/posix';
import { describe, test } from 'node:test';

const root = new URL('../../../src/', import.meta.url);

/** A file imports its own layer and those of a lower rank. */
const ranks: Readonly<Record<string, number>> = {
  base: 0,
  config: 1,
  binding: 2,
  client: 3,
  delivery: 4,
  pool: 5,
  patterns: 6,
  avro: 6,
  metrics: 6,
  http: 7,
  stream: 7,
  cli: 7,
  testing: 7,
  index: 8,
  worker: 8,
  fastify: 8,
  express: 8,
};
const base: ReadonlySet<string> = new Set(['errors.ts', 'kafka-codes.ts', 'serde.ts', 'hooks.ts', 'abort.ts']);
/** What users import: lists of names. */
const entries: ReadonlySet<string> = new Set(['index.ts', 'worker.ts', 'fastify.ts', 'express.ts', 'stream.ts']);
/** These meet in interfaces of lower layers only. */
const apart: ReadonlySet<string> = new Set(['patterns', 'avro', 'metrics']);

type Sources = ReadonlyMap<string, string>;

function layerOf(path: string): string {
  if (entries.has(path)) return path.slice(0, -3);
  if (base.has(path)) return 'base';
  // The table of variables and the table of librdkafka's settings are one layer: `RDKAFKA_*` needs both.
  if (path === 'runtime-vars.ts') return 'config';
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : 'unknown';
}

function withoutComments(source: string): string {
  return source.replace(/^\s*\/\*[\s\S]*?\*\//gm, '').replace(/(^|\s)\/\/ .*$/gm, '');
}

function importsOf(source: string): string[] {
  const code = withoutComments(source);
  const statements = code.matchAll(/^(?:import|export)\s(?:[^;'"]*?\sfrom\s+)?['"]([^'"]+)['"]/gm);
  const calls = code.matchAll(/\b(?:import|require(?:\.resolve)?)\(\s*['"]([^'"]+)['"]/g);
  return [...statements, ...calls].map((match) => match[1]!);
}

const target = (from: string, specifier: string): string => normalize(join(dirname(from), specifier));

function layerFaults(sources: Sources): string[] {
  const faults: string[] = [];
  for (const [path, source] of sources) {
    const layer = layerOf(path);
    const rank = ranks[layer];
    if (rank === undefined) {
      faults.push(`${path} is in no layer`);
      continue;
    }
    for (const specifier of importsOf(source).filter((each) => each.startsWith('.') && !each.endsWith('.node'))) {
      const to = target(path, specifier);
      if (!sources.has(to)) faults.push(`${path} imports ${to}, which is not there`);
      const lower = layerOf(to);
      const tooHigh = (ranks[lower] ?? Number.POSITIVE_INFINITY) > rank;
      if (tooHigh || (lower !== layer && apart.has(lower) && apart.has(layer))) faults.push(`${path} imports ${to}`);
    }
  }
  return faults;
}

function ruleFaults(sources: Sources): string[] {
  const faults: string[] = [];
  for (const [path, source] of sources) {
    const code = withoutComments(source);
    if (layerOf(path) !== 'binding' && importsOf(source).some((specifier) => /^node-rdkafka(\/|$)/.test(specifier))) {
      faults.push(`${path} imports node-rdkafka`);
    }
    const environment =
      /\bprocess\s*(\?\.|\.)\s*env\b|\bprocess\s*\[\s*['"]env['"]|\{[^}]*\benv\b[^}]*\}\s*(=\s*process\b|from\s+['"](node:)?process['"])/;
    if (path !== 'runtime-vars.ts' && environment.test(code)) faults.push(`${path} reads process.env`);
    if (/^\s*export\s+\*/m.test(code)) faults.push(`${path} has an export *`);
  }
  return faults;
}

/** One import cycle as a list of files, undefined when there is none. Type imports count: they are directions, too. */
function findCycle(sources: Sources): string[] | undefined {
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const specifier of importsOf(sources.get(path) ?? '').filter((each) => each.startsWith('.'))) {
      const cycle = visit(target(path, specifier), [...trail, path]);
      if (cycle !== undefined) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of sources.keys()) {
    const cycle = visit(path, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/** Packages and files that are loaded with a file at run time, its own among them. */
function loadedWith(sources: Sources, path: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  const code = (sources.get(path) ?? '').replace(/^(?:import|export) type [^;]*;/gm, '');
  for (const specifier of importsOf(code)) {
    if (specifier.startsWith('.')) loadedWith(sources, target(path, specifier), seen);
    else seen.add(specifier);
  }
  return seen;
}

function readSources(): Sources {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  return new Map(paths.map((path) => [path, readFileSync(new URL(path, root), 'utf8')]));
}

describe('layers of src', () => {
  const sources = readSources();

  test('are read: every file, and the imports they have', () => {
    assert.ok(sources.size > 30, `${sources.size} files`);
    assert.ok(importsOf(sources.get('index.ts')!).length > 10);
    assert.deepEqual(importsOf(sources.get('abort.ts')!), []);
    assert.ok(importsOf(sources.get('binding/node-rdkafka.ts')!).includes('node-rdkafka'));
  });

  test('import downwards only', () => assert.deepEqual(layerFaults(sources), []));

  test('leave node-rdkafka to binding and the environment to runtime-vars, and export by name', () =>
    assert.deepEqual(ruleFaults(sources), []));

  for (const entry of ['worker.ts', 'pool/worker.ts']) {
    test(`${entry} loads nothing that does not load in a worker: no client, no registry client, no pool`, () => {
      const loaded = loadedWith(sources, entry);
      assert.ok(loaded.has('avsc') || loaded.has('binding/record-batch.ts'));
      const wrong = [...loaded].filter((each) =>
        /node-rdkafka|piscina|confluent-schema-registry|^client\/(consumer|producer)|^delivery\//.test(each),
      );
      assert.deepEqual(wrong, []);
    });
  }

  test('have no import cycle', () => assert.equal(findCycle(sources), undefined));
});

describe('the check of the layers', () => {
  const faulty: [name: string, files: Record<string, string>, faults: string[]][] = [
    ['an import upwards', { 'errors.ts': "import type { A } from './client/a.ts';", 'client/a.ts': '' }, ['errors.ts imports client/a.ts']],
    [
      'an import between patterns and avro, over several lines',
      { 'avro/a.ts': "import {\n  a,\n  b,\n} from '../patterns/b.ts';", 'patterns/b.ts': '' },
      ['avro/a.ts imports patterns/b.ts'],
    ],
    [
      'a re-export upwards',
      { 'config/a.ts': "export { a } from '../binding/b.ts';", 'binding/b.ts': '' },
      ['config/a.ts imports binding/b.ts'],
    ],
    ['an import at run time', { 'client/a.ts': "await import('../cli/b.ts');", 'cli/b.ts': '' }, ['client/a.ts imports cli/b.ts']],
    ['a bare import', { 'hooks.ts': "import './config/b.ts';", 'config/b.ts': '' }, ['hooks.ts imports config/b.ts']],
    ['a file of no layer', { 'utils.ts': '', 'helpers/a.ts': '' }, ['utils.ts is in no layer', 'helpers/a.ts is in no layer']],
    ['node-rdkafka elsewhere', { 'client/a.ts': "import rd from 'node-rdkafka';" }, ['client/a.ts imports node-rdkafka']],
    ['a part of node-rdkafka elsewhere', { 'client/a.ts': "require('node-rdkafka/lib/error')" }, ['client/a.ts imports node-rdkafka']],
    ['the environment elsewhere', { 'cli/a.ts': 'const a = process.env.A;' }, ['cli/a.ts reads process.env']],
    ['the environment taken apart', { 'cli/a.ts': 'const { env } = process;' }, ['cli/a.ts reads process.env']],
    ['export *', { 'index.ts': "export * from './errors.ts';", 'errors.ts': '' }, ['index.ts has an export *']],
  ];
  for (const [name, files, faults] of faulty) {
    test(`finds ${name}`, () => {
      const sources = new Map(Object.entries(files));
      assert.deepEqual([...layerFaults(sources), ...ruleFaults(sources)], faults);
    });
  }

  test('finds a cycle, of types too, and passes what is only a comment', () => {
    const cyclic = new Map([
      ['client/a.ts', "import { b } from './b.ts';"],
      ['client/b.ts', "import type { c } from './c.ts';"],
      ['client/c.ts', "export { a } from './a.ts';"],
    ]);
    assert.deepEqual(findCycle(cyclic), ['client/a.ts', 'client/b.ts', 'client/c.ts', 'client/a.ts']);
    const plain = new Map([
      [
        'client/a.ts',
        "/**\n * process.env.A\n * import x from '../cli/x.ts'\n */\n// import('../cli/x.ts')\nimport { b } from '../errors.ts';",
      ],
      ['errors.ts', ''],
    ]);
    assert.deepEqual([layerFaults(plain), ruleFaults(plain), findCycle(plain)], [[], [], undefined]);
  });
});
