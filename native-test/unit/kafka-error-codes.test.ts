import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { checkCode, errorOfCode, fromLibrdkafka, kafkaCodeOf, rdkafka } from '../../src/binding/node-rdkafka.ts';
import { ConnectError, ConsumeError, FatalError, type ToolkitErrorOptions } from '../../src/errors.ts';
import { kafkaCodes } from '../../src/kafka-codes.ts';

const LibrdKafkaError = createRequire(import.meta.url)('node-rdkafka/lib/error') as {
  create(code: number): { message: string; code: number };
};
const codes = [...new Set(Object.values(rdkafka.CODES.ERRORS))];
const make = (message: string, options: ToolkitErrorOptions): ConsumeError => new ConsumeError(message, options);

describe("librdkafka's error numbers", () => {
  test('are found again from the texts that reach JavaScript, for every code', () => {
    assert.ok(codes.length > 150, `${codes.length} codes`);
    const lost: unknown[] = [];
    for (const code of codes) {
      const full = LibrdKafkaError.create(code).message;
      const bare = full.replace(/^(Local|Broker): /, '');
      for (const text of [full, full.toLowerCase(), bare, bare.toLowerCase(), `Local: ${bare}`, `broker: ${bare}`, ` ${bare} `]) {
        const found = kafkaCodeOf({ code: -1, message: text });
        if (found !== code) lost.push({ code, text, found });
      }
    }
    assert.deepEqual(lost, []);
  });

  test('texts of different codes differ, so that none stands for two', () => {
    const texts = codes.map((code) =>
      LibrdKafkaError.create(code)
        .message.replace(/^(Local|Broker): /, '')
        .toLowerCase(),
    );
    assert.equal(new Set(texts).size, codes.length);
  });

  test('a code that is given wins over the text, and an unknown text is -1', () => {
    assert.equal(kafkaCodeOf({ code: -185, message: 'Broker: Unknown topic or partition' }), -185);
    assert.equal(kafkaCodeOf({ code: -1, message: 'no text of librdkafka' }), -1);
    assert.equal(kafkaCodeOf({ message: 'Local: Queue full' }), kafkaCodes.queueFull);
  });

  test('every number this package names is one of node-rdkafka', () => {
    const known = new Set(codes);
    for (const [name, code] of Object.entries(kafkaCodes)) assert.ok(known.has(code), `${name} ${code}`);
  });

  test('a bare number gets its text, and finds itself again', () => {
    for (const code of codes) {
      const error = errorOfCode(code);
      assert.notEqual(error.message, `error ${code}`);
      assert.equal(kafkaCodeOf({ message: error.message, code: -1 }), code);
    }
    assert.deepEqual(errorOfCode(-9999), { code: -9999, message: 'error -9999' });
  });

  const classified: [name: string, code: number, expected: object, type: new (...options: never[]) => Error][] = [
    ['a fenced producer is fatal', kafkaCodes.fenced, { fatal: true, retriable: false, code: 'ERR_FATAL' }, FatalError],
    ['a refused sign-in is a connect error', kafkaCodes.authentication, { fatal: false, code: 'ERR_AUTHENTICATION' }, ConnectError],
    ['a lost connection is retriable', kafkaCodes.transport, { fatal: false, retriable: true, code: 'ERR_CONSUME' }, ConsumeError],
    ['a missing topic is not', kafkaCodes.unknownTopic, { fatal: false, retriable: false, code: 'ERR_CONSUME' }, ConsumeError],
  ];
  for (const [name, code, expected, type] of classified) {
    test(name, () => {
      const raw = { code: -1, message: errorOfCode(code).message };
      const error = fromLibrdkafka('Cannot poll', raw, make, { topic: 'in', partition: 3 });
      assert.ok(error instanceof type);
      assert.deepEqual({ ...error, ...expected, kafkaCode: code, topic: 'in', partition: 3 }, { ...error });
      assert.match(error.message, new RegExp(`^Cannot poll: .*librdkafka ${code}`));
      assert.equal(error.cause, raw);
    });
  }

  test('a returned code throws unless it is 0 or no number', () => {
    checkCode('Cannot subscribe', 0, make);
    checkCode('Cannot subscribe', [], make);
    assert.throws(() => checkCode('Cannot subscribe', -186, make), ConsumeError);
  });
});
