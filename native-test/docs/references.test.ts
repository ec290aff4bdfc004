import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { documents, read, root } from './markdown.ts';

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Readonly<Record<string, string>> };

describe('what the documentation refers to', () => {
  for (const document of documents()) {
    const text = read(document);

    test(`${document}: links lead to files that are there`, () => {
      const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!);
      assert.deepEqual(
        targets.filter((target) => !existsSync(join(root, dirname(document), target))),
        [],
      );
    });

    test(`${document}: npm scripts it names are there`, () => {
      const names = [...text.matchAll(/\bnpm run (?:--\S+ )*([\w:-]+)/g)].map((match) => match[1]!);
      assert.deepEqual(
        names.filter((name) => scripts[name] === undefined),
        [],
      );
    });

    test(`${document}: files it names are there`, () => {
      const paths = [...text.matchAll(/`((?:examples|native-test|binding-notes|src|bench)\/[\w./-]*\w)`/g)].map((match) => match[1]!);
      assert.deepEqual(
        // The notes on the binding name node-rdkafka's files as well.
        paths.filter((path) => ![root, join(root, 'node_modules', 'node-rdkafka')].some((base) => existsSync(join(base, path)))),
        [],
      );
    });
  }
});
