import { spawn } from 'node:child_process';
import { onExit } from './exit-hooks.ts';
import { isMissing, ServiceError } from './service-error.ts';

const OUTPUT_TAIL_CHARS = 3_000;

export interface CommandOptions {
  /** What the command is run for, e.g. `fetch the services`. */
  readonly purpose: string;
  /** Said when the command is not on the PATH. */
  readonly missingHint: string;
  /** After that it is killed. */
  readonly timeoutMs: number;
}

/** Runs a helper program to its end; it never outlives this process. @throws {ServiceError} with the end of its output when it fails. */
export function runCommand(command: string, args: readonly string[], { purpose, missingHint, timeoutMs }: CommandOptions): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = (): boolean => child.kill('SIGKILL');
  const forget = onExit(kill);
  // Not spawn's own timeout: that timer goes on, and holds the process, when the command does not exist.
  const timer = setTimeout(kill, timeoutMs);
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-OUTPUT_TAIL_CHARS);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return new Promise<void>((resolve, reject) => {
    child.once('error', (error) => {
      const reason = isMissing(error) ? `\`${command}\` is not on the PATH. ${missingHint}` : error.message;
      reject(new ServiceError(`Cannot ${purpose}: ${reason}`, error));
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else
        reject(new ServiceError(`Cannot ${purpose}: ${command} ended with ${signal ?? `exit code ${code}`}. Its output ends:\n${output}`));
    });
  }).finally(() => {
    clearTimeout(timer);
    forget();
  });
}
