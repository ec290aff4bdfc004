import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as toolkit from 'rdkafka-toolkit';
import { exitCodeOf } from '../../src/cli/exit-codes.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { read, root } from './markdown.ts';

describe('binding-notes/errors.md', () => {
  const notes = read('binding-notes/errors.md');
  const rows = [...notes.matchAll(/^\| `(ERR_\w+)` \| (.+?) \| (.+?) \| (.+?) \|$/gm)];

  test('has a row for each code there is, and for no other', () => {
    const union = /export type ErrorCode =([\s\S]*?);/.exec(readFileSync(join(root, 'src', 'errors.ts'), 'utf8'))![1]!;
    const codes = [...union.matchAll(/'(ERR_\w+)'/g)].map((match) => match[1]!);
    assert.ok(codes.length > 20);
    assert.deepEqual(rows.map((row) => row[1]!).sort(), [...codes].sort());
  });

  test('names every class of error the package exports, under the code it has', () => {
    const named = rows.flatMap((row) => [...row[2]!.matchAll(/`(\w+)`/g)].map((match) => match[1]!));
    const all: Readonly<Record<string, unknown>> = { ...toolkit };
    const exported = Object.entries(all)
      .filter(([, value]) => typeof value === 'function' && value.prototype instanceof toolkit.ToolkitError)
      .map(([name]) => name);
    assert.deepEqual([...new Set(named)].sort(), exported.sort());
  });

  test('gives the exit codes of the command line tool as it ends with them', () => {
    const table = [...notes.matchAll(/^\| (\d) \| (.+) \|$/gm)];
    assert.equal(table.length, 7);
    for (const [, exit, text] of table) {
      for (const [, code] of text!.matchAll(/`(ERR_\w+)`/g)) assert.equal(exitCodeOf(code as ErrorCode), Number(exit), code);
    }
  });
});
