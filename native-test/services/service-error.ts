import { ToolkitError } from '../../src/errors.ts';

/** A real service could not be fetched, started or stopped; the message ends with the last lines of its log where there is one. */
export class ServiceError extends ToolkitError {
  constructor(message: string, cause?: unknown) {
    super('ERR_STATE', message, { cause });
  }
}

/** True when a file or a process that was asked for is not there. */
export function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ESRCH';
}
