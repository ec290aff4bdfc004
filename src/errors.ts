/** Machine-readable reason of a {@link ToolkitError}. Stable across releases: branch on it rather than on messages. */
export type ErrorCode =
  | 'ERR_CONFIG'
  | 'ERR_INCOMPATIBLE_ENVIRONMENT'
  | 'ERR_CONNECT'
  | 'ERR_AUTHENTICATION'
  | 'ERR_UNKNOWN_TOPIC'
  | 'ERR_TIMEOUT'
  | 'ERR_NO_MESSAGE'
  | 'ERR_CONSUME'
  | 'ERR_DELIVERY'
  | 'ERR_TOO_LARGE'
  | 'ERR_QUEUE_FULL'
  | 'ERR_COMMIT'
  | 'ERR_ENCODE'
  | 'ERR_DECODE'
  | 'ERR_BATCH_ITEM'
  | 'ERR_TRANSACTION'
  | 'ERR_FENCED'
  | 'ERR_SCHEMA_REGISTRY'
  | 'ERR_WORKER'
  | 'ERR_CLOSED'
  | 'ERR_STATE'
  | 'ERR_SHUTDOWN'
  | 'ERR_FATAL';

/** What every {@link ToolkitError} may carry besides its message. */
export interface ToolkitErrorOptions {
  readonly cause?: unknown;
  /** librdkafka's error number, e.g. -195 for `_TRANSPORT`. */
  readonly kafkaCode?: number | undefined;
  /** True when the same call may succeed later. @default false */
  readonly retriable?: boolean | undefined;
  /** True when the client must be closed and made anew. @default false */
  readonly fatal?: boolean | undefined;
  readonly topic?: string | undefined;
  readonly partition?: number | undefined;
  readonly offset?: number | undefined;
}

/**
 * Base of every error this package throws. `code` says what happened, `message` says operation, target, reason and hint,
 * `kafkaCode` is librdkafka's own number where it is known.
 */
export class ToolkitError extends Error {
  readonly code: ErrorCode;
  readonly kafkaCode: number | undefined;
  readonly retriable: boolean;
  readonly fatal: boolean;
  readonly topic: string | undefined;
  readonly partition: number | undefined;
  readonly offset: number | undefined;

  constructor(code: ErrorCode, message: string, options: ToolkitErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.kafkaCode = options.kafkaCode;
    this.retriable = options.retriable ?? false;
    this.fatal = options.fatal ?? false;
    this.topic = options.topic;
    this.partition = options.partition;
    this.offset = options.offset;
  }
}

/** True for every error of this package; narrows `unknown` in a `catch`. */
export function isToolkitError(error: unknown): error is ToolkitError {
  return error instanceof ToolkitError;
}

/** One or more settings are wrong. `faults` lists every one of them, a sentence each. */
export class ConfigError extends ToolkitError {
  readonly faults: readonly string[];

  constructor(faults: readonly string[], options: ToolkitErrorOptions = {}) {
    const list = faults.length === 1 ? faults[0] : `${faults.length} faults:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`;
    super('ERR_CONFIG', `Invalid configuration: ${list}`, options);
    this.faults = faults;
  }
}

/** A pattern was called under an auto-commit setting it cannot keep its promise with; the message names the variable to change. */
export class IncompatibleEnvironmentError extends ToolkitError {
  /** The runtime variable to change. */
  readonly variable: string;

  constructor(variable: string, message: string) {
    super('ERR_INCOMPATIBLE_ENVIRONMENT', message);
    this.variable = variable;
  }
}

/** The client could not reach a broker, sign in, or find its topics within the connect deadline. */
export class ConnectError extends ToolkitError {
  constructor(
    message: string,
    options: ToolkitErrorOptions & { readonly code?: 'ERR_CONNECT' | 'ERR_AUTHENTICATION' | 'ERR_UNKNOWN_TOPIC' | undefined } = {},
  ) {
    super(options.code ?? 'ERR_CONNECT', message, options);
  }
}

/** Something took longer than the deadline given for it. */
export class TimeoutError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_TIMEOUT', message, { retriable: true, ...options });
  }
}

/** No record arrived within the poll timeout (`CONSUMER_POLL_TIMEOUT`). Not a failure: pass it to `handleNoMessages`. */
export class NoMessageError extends ToolkitError {
  /** How long was waited, in milliseconds. */
  readonly timeoutMs: number;

  constructor(timeoutMs: number, reason?: string) {
    super('ERR_NO_MESSAGE', `No record within ${timeoutMs} ms${reason === undefined ? '.' : `: ${reason}`}`, { retriable: true });
    this.timeoutMs = timeoutMs;
  }
}

/** The broker or librdkafka reported an error instead of records. */
export class ConsumeError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_CONSUME', message, options);
  }
}

/** A record was not delivered: it is not in the topic, or cannot be proven to be. Offsets that depend on it are held back. */
export class DeliveryError extends ToolkitError {
  /** Number of the record in its producer's sequence, from 1. */
  readonly sequence: number;

  constructor(message: string, sequence: number, options: ToolkitErrorOptions = {}) {
    super('ERR_DELIVERY', message, options);
    this.sequence = sequence;
  }
}

/** The record exceeds what the producer accepts (`message.max.bytes`, or its whole queue). One that only the broker refuses is a {@link DeliveryError}. */
export class RecordTooLargeError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_TOO_LARGE', message, options);
  }
}

/** The producer's local queue stayed full until the deadline. The record was not taken. */
export class QueueFullError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_QUEUE_FULL', message, { retriable: true, ...options });
  }
}

/** Offsets were not committed. The records they cover will come again. */
export class CommitError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_COMMIT', message, { retriable: true, ...options });
  }
}

/** A key or value does not fit its schema or serializer; `path` names the field where it is known. */
export class EncodeError extends ToolkitError {
  readonly path: string | undefined;
  /** Which part of a record it was; undefined where it is no record's, or was encoded on another thread. */
  readonly part: 'key' | 'value' | undefined;

  constructor(
    message: string,
    options: ToolkitErrorOptions & { readonly path?: string | undefined; readonly part?: 'key' | 'value' | undefined } = {},
  ) {
    super('ERR_ENCODE', message, options);
    this.path = options.path;
    this.part = options.part;
  }
}

/** A key or value cannot be read. Carries where the record is, so that it can be skipped, kept or dead-lettered. */
export class DecodeError extends ToolkitError {
  readonly schemaId: number | undefined;

  constructor(message: string, options: ToolkitErrorOptions & { readonly schemaId?: number | undefined } = {}) {
    super('ERR_DECODE', message, options);
    this.schemaId = options.schemaId;
  }
}

/** The schema registry did not give what was asked. `status` is the HTTP status, undefined when there was no answer. */
export class SchemaRegistryError extends ToolkitError {
  readonly status: number | undefined;
  /** Confluent's own code, e.g. 40403 for an unknown schema id, where the registry's message tells it. */
  readonly registryCode: number | undefined;

  constructor(
    message: string,
    options: ToolkitErrorOptions & { readonly status?: number | undefined; readonly registryCode?: number | undefined } = {},
  ) {
    super('ERR_SCHEMA_REGISTRY', message, options);
    this.status = options.status;
    this.registryCode = options.registryCode;
  }
}

/** A worker of a pool ended over a record: it exited, ran out of memory, or hung and was ended. */
export class WorkerError extends ToolkitError {
  /** Place of the record within its task, from 0. */
  readonly place: number;

  constructor(message: string, place: number, options: ToolkitErrorOptions = {}) {
    super('ERR_WORKER', message, options);
    this.place = place;
  }
}

/** The client is closed, or was closed while the call was under way. */
export class ClosedError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_CLOSED', message, options);
  }
}

/** The call does not fit the client's present state, e.g. a seek on a partition that is not assigned. */
export class StateError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_STATE', message, options);
  }
}

/** What was under way when a service ended. */
export interface Leftovers {
  /** Records handed over and not finished: they come again at the next start. */
  readonly records: number;
  /** Outputs whose delivery report had not come: they may be in their topics or not. */
  readonly outputs: number;
}

/** A service that was told to stop did not end cleanly within its deadline; `left` says what was cut off, `cause` what went wrong. */
export class ShutdownError extends ToolkitError {
  readonly left: Leftovers;

  constructor(message: string, left: Leftovers, options: ToolkitErrorOptions = {}) {
    super('ERR_SHUTDOWN', message, options);
    this.left = left;
  }
}

/**
 * What a failed step of a transaction leaves to do. `abortable`: abort it and begin anew. `timedOut`: its outcome is unknown, the producer is of
 * no use any more. `fenced`: another producer took the `transactional.id` over. `fatal`: the producer is dead. `retriable`: the same step again.
 */
export type TransactionErrorKind = 'retriable' | 'abortable' | 'timedOut' | 'fenced' | 'fatal';

/** A step of a transaction failed; `kind` says what is left to do. */
export class TransactionError extends ToolkitError {
  readonly kind: TransactionErrorKind;

  constructor(message: string, kind: TransactionErrorKind, options: ToolkitErrorOptions = {}) {
    const fatal = kind === 'fenced' || kind === 'fatal';
    super(kind === 'fenced' ? 'ERR_FENCED' : 'ERR_TRANSACTION', message, { retriable: !fatal, fatal, ...options });
    this.kind = kind;
  }
}

/** librdkafka declared the client dead (fenced, idempotence lost). Close it and start anew. */
export class FatalError extends ToolkitError {
  constructor(message: string, options: ToolkitErrorOptions = {}) {
    super('ERR_FATAL', message, { ...options, fatal: true });
  }
}
