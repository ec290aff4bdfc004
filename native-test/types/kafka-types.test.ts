import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const compilerOptions = { target: 'es2023', module: 'nodenext', types: ['node'], strict: true, skipLibCheck: true, noEmit: true };

/** What an application's own context says of its producer. */
const augmentation = (entry: string): string => `
declare module 'rdkafka-toolkit/${entry}' {
  interface KafkaTypes {
    producer: Producer<string, Order>;
  }
}`;

const program = (entry: string, producer: string, more = ''): string => `
import { expectTypeOf } from 'expect-type';
import type { AnyProducer, Producer } from 'rdkafka-toolkit';
import type { AppProducer, WebApp } from 'rdkafka-toolkit/${entry}';

export interface Order {
  readonly id: number;
}
${more}
expectTypeOf<AppProducer>().toEqualTypeOf<${producer}>();
expectTypeOf<WebApp['producer']>().toEqualTypeOf<${producer}>();
`;

/** Declared once, it holds for a whole program: each is compiled by itself. */
describe('KafkaTypes', () => {
  let home: string;
  before(() => {
    mkdirSync(join(root, '.cache'), { recursive: true });
    home = mkdtempSync(join(root, '.cache', 'kafka-types-'));
    mkdirSync(join(home, 'node_modules'));
    symlinkSync(root, join(home, 'node_modules', 'rdkafka-toolkit'));
    writeFileSync(join(home, 'package.json'), '{"type":"module"}');
  });
  after(() => rmSync(home, { recursive: true }));

  /** The compiler's words, empty when it has none. */
  function compile(name: string, text: string): string {
    writeFileSync(join(home, `${name}.ts`), text);
    writeFileSync(join(home, `${name}.json`), JSON.stringify({ compilerOptions, files: [`${name}.ts`] }));
    const { error, stdout } = spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', `${name}.json`], { cwd: home, encoding: 'utf8' });
    assert.equal(error, undefined);
    return stdout;
  }

  for (const entry of ['fastify', 'express']) {
    test(`says what the producer of ${entry}'s app takes`, () => {
      assert.equal(compile(`${entry}-own`, program(entry, 'Producer<string, Order>', augmentation(entry))), '');
    });

    test(`leaves the producer of ${entry}'s app as one of any key and value when nobody adds to it`, () => {
      assert.equal(compile(`${entry}-plain`, program(entry, 'AnyProducer')), '');
      assert.match(compile(`${entry}-wrong`, program(entry, 'Producer<string, Order>')), /error TS2344/);
    });
  }

  test("is in a Fastify instance's context", () => {
    const context =
      "import type { FastifyInstance } from 'fastify';\nimport { kafkaPlugin } from 'rdkafka-toolkit/fastify';\nvoid kafkaPlugin;";
    const check = "expectTypeOf<FastifyInstance['kafka']['producer']>().toEqualTypeOf<Producer<string, Order>>();";
    const text = `${context}\n${program('fastify', 'Producer<string, Order>', augmentation('fastify'))}\n${check}`;
    assert.equal(compile('fastify-instance', text), '');
  });
});
