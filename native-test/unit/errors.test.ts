import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as errors from '../../src/errors.ts';
import { BatchItemError } from '../../src/patterns/batch-item-error.ts';
import { BatchDecodeError } from '../../src/patterns/consume.ts';

interface Row {
  readonly make: (options?: errors.ToolkitErrorOptions) => errors.ToolkitError;
  readonly code: errors.ErrorCode;
  readonly retriable: boolean;
  readonly fatal: boolean;
  /** False where the constructor takes no options. */
  readonly options?: false;
  readonly fields?: object;
}

const cause = new TypeError('reason');
const decode = new errors.DecodeError('bad', { topic: 'in', partition: 2, offset: 9, schemaId: 4 });

const table: Record<string, Row> = {
  ToolkitError: {
    make: (options) => new errors.ToolkitError('ERR_STATE', 'text', options),
    code: 'ERR_STATE',
    retriable: false,
    fatal: false,
  },
  ConfigError: {
    make: (options) => new errors.ConfigError(['one', 'two'], options),
    code: 'ERR_CONFIG',
    retriable: false,
    fatal: false,
    fields: { faults: ['one', 'two'] },
  },
  IncompatibleEnvironmentError: {
    make: () => new errors.IncompatibleEnvironmentError('A_VARIABLE', 'text'),
    code: 'ERR_INCOMPATIBLE_ENVIRONMENT',
    retriable: false,
    fatal: false,
    options: false,
    fields: { variable: 'A_VARIABLE' },
  },
  ConnectError: { make: (options) => new errors.ConnectError('text', options), code: 'ERR_CONNECT', retriable: false, fatal: false },
  TimeoutError: { make: (options) => new errors.TimeoutError('text', options), code: 'ERR_TIMEOUT', retriable: true, fatal: false },
  NoMessageError: {
    make: () => new errors.NoMessageError(300),
    code: 'ERR_NO_MESSAGE',
    retriable: true,
    fatal: false,
    options: false,
    fields: { timeoutMs: 300 },
  },
  ShutdownError: {
    make: (options) => new errors.ShutdownError('text', { records: 1, outputs: 2 }, options),
    code: 'ERR_SHUTDOWN',
    retriable: false,
    fatal: false,
    fields: { left: { records: 1, outputs: 2 } },
  },
  ConsumeError: { make: (options) => new errors.ConsumeError('text', options), code: 'ERR_CONSUME', retriable: false, fatal: false },
  DeliveryError: {
    make: (options) => new errors.DeliveryError('text', 12, options),
    code: 'ERR_DELIVERY',
    retriable: false,
    fatal: false,
    fields: { sequence: 12 },
  },
  RecordTooLargeError: {
    make: (options) => new errors.RecordTooLargeError('text', options),
    code: 'ERR_TOO_LARGE',
    retriable: false,
    fatal: false,
  },
  QueueFullError: { make: (options) => new errors.QueueFullError('text', options), code: 'ERR_QUEUE_FULL', retriable: true, fatal: false },
  CommitError: { make: (options) => new errors.CommitError('text', options), code: 'ERR_COMMIT', retriable: true, fatal: false },
  EncodeError: {
    make: (options) => new errors.EncodeError('text', { ...options, path: 'a.b' }),
    code: 'ERR_ENCODE',
    retriable: false,
    fatal: false,
    fields: { path: 'a.b' },
  },
  DecodeError: {
    make: (options) => new errors.DecodeError('text', { ...options, schemaId: 4 }),
    code: 'ERR_DECODE',
    retriable: false,
    fatal: false,
    fields: { schemaId: 4 },
  },
  SchemaRegistryError: {
    make: (options) => new errors.SchemaRegistryError('text', { ...options, status: 404, registryCode: 40403 }),
    code: 'ERR_SCHEMA_REGISTRY',
    retriable: false,
    fatal: false,
    fields: { status: 404, registryCode: 40403 },
  },
  WorkerError: {
    make: (options) => new errors.WorkerError('text', 3, options),
    code: 'ERR_WORKER',
    retriable: false,
    fatal: false,
    fields: { place: 3 },
  },
  ClosedError: { make: (options) => new errors.ClosedError('text', options), code: 'ERR_CLOSED', retriable: false, fatal: false },
  StateError: { make: (options) => new errors.StateError('text', options), code: 'ERR_STATE', retriable: false, fatal: false },
  TransactionError: {
    make: (options) => new errors.TransactionError('text', 'abortable', options),
    code: 'ERR_TRANSACTION',
    retriable: true,
    fatal: false,
    fields: { kind: 'abortable' },
  },
  BatchItemError: {
    make: () => new BatchItemError(3, cause, { outputs: [] }),
    code: 'ERR_BATCH_ITEM',
    retriable: false,
    fatal: false,
    options: false,
    fields: { index: 3, outputs: [] },
  },
  FatalError: { make: (options) => new errors.FatalError('text', options), code: 'ERR_FATAL', retriable: false, fatal: true },
  BatchDecodeError: {
    make: () => new BatchDecodeError([], [decode]),
    code: 'ERR_DECODE',
    retriable: false,
    fatal: false,
    options: false,
    fields: { errors: [decode], records: [], topic: 'in', partition: 2, offset: 9, schemaId: 4 },
  },
};

const classes: Record<string, unknown> = { ...errors, BatchDecodeError, BatchItemError };

describe('errors', () => {
  test('every class stands in the table', () => {
    const names = Object.keys(classes).filter((name) => name.endsWith('Error') && name !== 'isToolkitError');
    assert.deepEqual(names.toSorted(), Object.keys(table).toSorted());
  });

  for (const [name, { make, code, retriable, fatal, options, fields = {} }] of Object.entries(table)) {
    test(`${name} is ${code}${retriable ? ', retriable' : ''}${fatal ? ', fatal' : ''}`, () => {
      const error = make();
      assert.ok(error instanceof (classes[name] as new () => Error) && error instanceof errors.ToolkitError && error instanceof Error);
      assert.equal(errors.isToolkitError(error), true);
      assert.deepEqual(
        { name: error.name, code: error.code, retriable: error.retriable, fatal: error.fatal },
        { name, code, retriable, fatal },
      );
      assert.notEqual(error.message, '');
      for (const [field, value] of Object.entries(fields))
        assert.deepEqual((error as unknown as Record<string, unknown>)[field], value, field);
    });

    if (options === false) continue;
    test(`${name} carries its cause, librdkafka's code and the record's place`, () => {
      assert.equal('cause' in make(), false);
      const error = make({ cause, kafkaCode: -195, topic: 'in', partition: 1, offset: 5, retriable: !retriable });
      assert.equal(error.cause, cause);
      assert.deepEqual([error.kafkaCode, error.topic, error.partition, error.offset], [-195, 'in', 1, 5]);
      assert.equal(error.retriable, !retriable);
    });
  }

  test('a fatal error cannot be made not fatal', () => {
    assert.equal(new errors.FatalError('text', { fatal: false }).fatal, true);
    const fenced = new errors.TransactionError('text', 'fenced');
    assert.deepEqual([fenced.code, fenced.fatal, fenced.retriable], ['ERR_FENCED', true, false]);
  });

  test('a connect error may be about signing in or a topic', () => {
    for (const code of ['ERR_AUTHENTICATION', 'ERR_UNKNOWN_TOPIC'] as const)
      assert.equal(new errors.ConnectError('text', { code }).code, code);
  });

  test('a configuration error lists every fault, one on a line of its own', () => {
    assert.equal(new errors.ConfigError(['one fault']).message, 'Invalid configuration: one fault');
    assert.equal(new errors.ConfigError(['one', 'two']).message, 'Invalid configuration: 2 faults:\n  - one\n  - two');
  });

  test('the guard lets nothing else through', () => {
    for (const value of [new Error('x'), { code: 'ERR_STATE' }, null, undefined, 'ERR_STATE'])
      assert.equal(errors.isToolkitError(value), false);
  });
});
