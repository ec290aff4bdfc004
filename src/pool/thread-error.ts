import { DecodeError, EncodeError, type ErrorCode, RecordTooLargeError, SchemaRegistryError, ToolkitError } from '../errors.ts';
import type { RecordContext } from '../serde.ts';

/** An error as it goes from one thread to another: structured cloning keeps no classes. */
export interface ThreadError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Of a {@link ToolkitError}. */
  readonly code: ErrorCode | undefined;
  readonly retriable: boolean;
  readonly schemaId: number | undefined;
  readonly path: string | undefined;
  readonly status: number | undefined;
}

export function toThreadError(error: unknown): ThreadError {
  const known = error instanceof Error ? error : undefined;
  const toolkit = error instanceof ToolkitError ? error : undefined;
  return {
    name: known?.name ?? 'Error',
    message: known?.message ?? String(error),
    stack: known?.stack,
    code: toolkit?.code,
    retriable: toolkit?.retriable ?? false,
    schemaId: error instanceof DecodeError ? error.schemaId : undefined,
    path: error instanceof EncodeError ? error.path : undefined,
    status: error instanceof SchemaRegistryError ? error.status : undefined,
  };
}

/** An error of a handler's own class, thrown in a worker: its name, message and stack are the original's. */
export class HandlerError extends Error {
  constructor({ name, message, stack }: ThreadError) {
    super(message);
    this.name = name;
    if (stack !== undefined) this.stack = stack;
  }
}

/** The error as it was thrown, of the same class where it is one of this package's. */
export function fromThreadError(error: ThreadError, at?: RecordContext): Error {
  const { message, code, retriable, schemaId, path, status } = error;
  if (code === undefined) return new HandlerError(error);
  const options = { retriable, topic: at?.topic, partition: at?.partition, offset: at?.offset };
  if (code === 'ERR_DECODE') return new DecodeError(message, { ...options, schemaId });
  if (code === 'ERR_ENCODE') return new EncodeError(message, { ...options, path });
  if (code === 'ERR_TOO_LARGE') return new RecordTooLargeError(message, options);
  if (code === 'ERR_SCHEMA_REGISTRY') return new SchemaRegistryError(message, { ...options, status });
  return new ToolkitError(code, message, options);
}
