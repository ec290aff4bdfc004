import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import * as main from 'rdkafka-toolkit';
import * as express from 'rdkafka-toolkit/express';
import * as fastify from 'rdkafka-toolkit/fastify';
import * as stream from 'rdkafka-toolkit/stream';
import * as testing from 'rdkafka-toolkit/testing';
import * as worker from 'rdkafka-toolkit/worker';

const root = new URL('../../../', import.meta.url);
const snapshot = new URL('native-test/api/public-api.txt', root);

interface Entry {
  readonly name: string;
  readonly declarations: string;
  readonly exported: object;
}

const entries: readonly Entry[] = [
  { name: 'rdkafka-toolkit', declarations: 'dist/src/index.d.ts', exported: main },
  { name: 'rdkafka-toolkit/express', declarations: 'dist/src/express.d.ts', exported: express },
  { name: 'rdkafka-toolkit/fastify', declarations: 'dist/src/fastify.d.ts', exported: fastify },
  { name: 'rdkafka-toolkit/stream', declarations: 'dist/src/stream.d.ts', exported: stream },
  { name: 'rdkafka-toolkit/testing', declarations: 'dist/src/testing/index.d.ts', exported: testing },
  { name: 'rdkafka-toolkit/worker', declarations: 'dist/src/worker.d.ts', exported: worker },
];

/** Code of a declaration file without comments and the contents of string literals. */
function bareCode(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g, (match) =>
    /^['"]/.test(match) ? "''" : ' ',
  );
}

/** `value name` or `type name` for each export, sorted. Fails on what is not an export list by name. */
function exportsOf(declarations: string): string[] {
  const code = bareCode(declarations);
  const names: string[] = [];
  const rest = code.replace(/export\s+(type\s+)?\{([^}]*)\}\s*from\s*''\s*;?/g, (_, allTypes: string | undefined, list: string) => {
    for (const item of list
      .split(',')
      .map((each) => each.trim())
      .filter(Boolean)) {
      const [, isType, local, alias] = /^(type\s+)?(\w+)(?:\s+as\s+(\w+))?$/.exec(item) ?? assert.fail(`Cannot read the export ${item}`);
      names.push(`${(allTypes ?? isType) ? 'type' : 'value'} ${alias ?? local}`);
    }
    return '';
  });
  assert.equal(rest.trim(), '', 'entry points hold lists of named exports and nothing else');
  return names.sort();
}

/** Places of `any` as a type in a declaration file. */
function anyTypes(declarations: string): string[] {
  return bareCode(declarations)
    .split('\n')
    .filter((line) => /(?<![.\w$])any(?![\w$]|\s*\??\s*:|\s*\()/.test(line))
    .map((line) => line.trim());
}

describe('public surface', () => {
  test('is the one written down (UPDATE_API=1 writes it anew)', () => {
    const lists = entries.map(({ name, declarations }) =>
      [`# ${name}`, ...exportsOf(readFileSync(new URL(declarations, root), 'utf8'))].join('\n'),
    );
    const surface = `${lists.join('\n\n')}\n`;
    if (process.env.UPDATE_API === '1') writeFileSync(snapshot, surface);
    assert.equal(surface, readFileSync(snapshot, 'utf8'));
  });

  for (const { name, declarations, exported } of entries) {
    test(`${name} exports at run time what its declarations say`, () => {
      const declared = exportsOf(readFileSync(new URL(declarations, root), 'utf8')).filter((line) => line.startsWith('value '));
      assert.ok(declared.length > 0);
      assert.deepEqual(
        Object.keys(exported)
          .map((each) => `value ${each}`)
          .sort(),
        declared,
      );
      for (const [each, value] of Object.entries(exported)) assert.notEqual(value, undefined, each);
    });
  }

  test('no declaration holds the type any', () => {
    const directory = new URL('dist/src/', root);
    const sources = new URL('src/', root);
    // A file that is left over from a source since removed is not published.
    const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter(
      (path) => path.endsWith('.d.ts') && existsSync(new URL(path.replace(/\.d\.ts$/, '.ts'), sources)),
    );
    assert.ok(paths.length > 30, `${paths.length} declaration files`);
    const found = paths.flatMap((path) => anyTypes(readFileSync(new URL(path, directory), 'utf8')).map((line) => `${path}: ${line}`));
    assert.deepEqual(found, []);
  });
});

describe('the reading of declarations', () => {
  test('finds any as a type and nothing else', () => {
    const typed = [
      'export declare const a: any;',
      'f(x: any): void;',
      'b: Map<string, any[]>;',
      'type C = any | 1;',
      'd(...rest: readonly any[]): any;',
    ];
    for (const line of typed) assert.deepEqual(anyTypes(line), [line]);
    const plain = [
      '/** any record */',
      '// any',
      "type A = 'any';",
      'any: string;',
      'any?: number;',
      'any(): void;',
      'company: Company;',
      'AbortSignal.any;',
      '/*\n any\n*/',
    ];
    for (const line of plain) assert.deepEqual(anyTypes(line), []);
  });

  test('tells values from types, follows renames and refuses export *', () => {
    const declarations = 'export { a, type B, c as d } from \'./x.ts\';\n/** text */\nexport type { E, F as G } from "./y.ts";\n';
    assert.deepEqual(exportsOf(declarations), ['type B', 'type E', 'type G', 'value a', 'value d']);
    assert.throws(() => exportsOf("export * from './x.ts';"), /named exports/);
  });
});
