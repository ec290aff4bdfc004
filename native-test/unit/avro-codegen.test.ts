import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { generateTypes } from '../../src/avro/codegen.ts';
import { ConfigError } from '../../src/errors.ts';

const order = {
  type: 'record',
  name: 'order',
  namespace: 'shop',
  doc: 'An order. */ evil();',
  fields: [
    { name: 'id', type: 'long', doc: 'Its number.' },
    { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } },
    { name: 'state', type: { type: 'enum', name: 'State', symbols: ['NEW', 'DONE'] } },
    { name: 'lines', type: { type: 'array', items: { type: 'record', name: 'Line', fields: [{ name: 'sku', type: 'string' }] } } },
    { name: 'first', type: ['null', 'Line'] },
    { name: 'more', type: { type: 'map', values: ['null', 'shop.State'] } },
    { name: 'either', type: ['int', 'double'] },
    { name: 'parent', type: ['null', 'order'] },
  ],
};

describe('codegen', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'codegen-test-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  test('writes an interface for each record, texts for enums, and the schema with its type', () => {
    const text = generateTypes(JSON.stringify(order));
    assert.match(text, /^import \{ type AvroSchema, avroSchema \} from 'rdkafka-toolkit';/);
    assert.match(text, /export interface Order \{/);
    for (const line of [
      'id: number;',
      'price: Buffer;',
      'state: State;',
      'lines: Line[];',
      'first: null | Line;',
      'more: { [key: string]: null | State };',
      'either: { "int": number } | { "double": number };',
      'parent: null | Order;',
    ]) {
      assert.ok(text.includes(`  ${line}`), `${line} in ${text}`);
    }
    assert.match(text, /export type State = 'NEW' \| 'DONE';/);
    assert.match(text, /export const orderSchema: AvroSchema<Order> = avroSchema\(\{/);
    assert.ok(text.includes('/** An order. *\\/ evil(); */'), text);
  });

  test('types longs and logical types as it is asked to', () => {
    const text = generateTypes(JSON.stringify(order), { long: 'bigint', logicalTypes: true, from: 'rdkafka-toolkit/worker' });
    assert.match(text, /import \{ type AvroDecimal, type AvroSchema, avroSchema, standardLogicalTypes \} from 'rdkafka-toolkit\/worker';/);
    assert.match(text, /id: bigint;\s+price: AvroDecimal;/);
    assert.match(text, /, \{ long: 'bigint', logicalTypes: standardLogicalTypes \}\);/);
  });

  test('what it writes compiles', async () => {
    const root = fileURLToPath(new URL('../../../', import.meta.url));
    mkdirSync(join(root, '.cache'), { recursive: true });
    const file = join(root, '.cache', `codegen-${process.pid}.ts`);
    writeFileSync(file, generateTypes(JSON.stringify(order), { logicalTypes: true }));
    try {
      const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
      await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['--ignoreConfig', ...flags, file], { cwd: root });
    } finally {
      rmSync(file);
    }
  });

  test('a schema of no name is the type Value; no schema is a ConfigError', () => {
    assert.match(generateTypes('{"type":"array","items":["null","string"]}'), /export type Value = \(null \| string\)\[\];/);
    assert.throws(() => generateTypes('{"type":"nope"}'), ConfigError);
  });

  test('rdkafka-toolkit codegen writes it to a file or to its output, and says what is wrong', async () => {
    const cli = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    const schema = join(directory, 'order.avsc');
    writeFileSync(schema, JSON.stringify(order));
    const { stdout } = await promisify(execFile)(process.execPath, [cli, 'codegen', schema, '--bigint']);
    assert.equal(stdout, generateTypes(JSON.stringify(order), { long: 'bigint' }));
    await assert.rejects(
      promisify(execFile)(process.execPath, [cli, 'codegen', join(directory, 'missing.avsc')]),
      (error: { code?: number; stderr?: string }) =>
        error.code === 2 && /Expected .*missing\.avsc to be a file with an Avro schema/.test(error.stderr ?? ''),
    );
  });
});
