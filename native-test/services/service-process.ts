import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onExit } from './exit-hooks.ts';
import { isMissing, ServiceError } from './service-error.ts';

const LOG_TAIL_LINES = 30;
const READY_POLL_MS = 100;

export interface ServiceProcessOptions {
  /** Names the process in errors, and its files `<name>.log` and `<name>.pid`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Working directory; the log and the pid file are written here. */
  readonly directory: string;
  readonly readyTimeoutMs: number;
  /** Asked every 100 ms until it says yes; it gets what the process has logged since this start. */
  readonly isReady: (log: string) => Promise<boolean>;
}

/** True while a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isMissing(error);
  }
}

/** One child process that can be started again under the same settings. It is ended by its own id only, at exit at the latest. */
export class ServiceProcess {
  readonly #options: ServiceProcessOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #forget: () => void = () => {};

  constructor(options: ServiceProcessOptions) {
    this.#options = options;
  }

  /** Process id of the present child, or of the last one when it is not running. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get #logFile(): string {
    return join(this.#options.directory, `${this.#options.name}.log`);
  }

  /** Starts the process and resolves once it is ready. @throws {ServiceError} with the end of its log, when it dies or is late. */
  async start(): Promise<void> {
    const { name, readyTimeoutMs, isReady } = this.#options;
    if (this.running) throw new ServiceError(`${name} is running already.`);
    const deadline = Date.now() + readyTimeoutMs;
    const logStart = this.#spawn();
    for (;;) {
      await Promise.race([sleep(READY_POLL_MS), this.#exited]);
      const log = this.#readLog(logStart);
      if (!this.running) throw this.#failure('ended while it started', log);
      if (await isReady(log)) break;
      if (Date.now() > deadline) {
        await this.signal('SIGKILL');
        throw this.#failure(`was not ready within ${readyTimeoutMs} ms`, log);
      }
    }
    // A cluster that nobody closed must not keep the process alive; the exit hook ends it.
    this.#child?.unref();
  }

  /** Sends a signal and waits for the end; after the deadline SIGKILL follows. A stopped (paused) process is continued first. */
  async signal(signal: 'SIGTERM' | 'SIGKILL', timeoutMs: number = 15_000): Promise<void> {
    if (!this.running) return;
    this.#child?.ref();
    this.#child?.kill(signal);
    this.#child?.kill('SIGCONT');
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), timeoutMs);
    try {
      await this.#exited;
    } finally {
      clearTimeout(timer);
    }
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  #spawn(): number {
    const { name, command, args, directory } = this.#options;
    const output = openSync(this.#logFile, 'a');
    const logStart = fstatSync(output).size;
    const child = spawn(command, args, { cwd: directory, stdio: ['ignore', output, output] });
    closeSync(output);
    this.#child = child;
    this.#forget = onExit(() => child.kill('SIGKILL'));
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        const hint = isMissing(error) ? `\`${command}\` is not on the PATH. Kafka 4 needs Java 17 or newer.` : error.message;
        writeFileSync(this.#logFile, `Cannot run ${command}: ${hint}\n`, { flag: 'a' });
      });
      child.once('close', () => {
        this.#forget();
        resolve();
      });
    });
    if (child.pid !== undefined) writeFileSync(join(directory, `${name}.pid`), String(child.pid));
    return logStart;
  }

  #readLog(from: number): string {
    const file = openSync(this.#logFile, 'r');
    try {
      const bytes = Buffer.alloc(fstatSync(file).size - from);
      return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, from)).toString();
    } finally {
      closeSync(file);
    }
  }

  #failure(what: string, log: string): ServiceError {
    const { name, command } = this.#options;
    const tail = log.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    return new ServiceError(`${name} (${command}, pid ${this.pid}) ${what}. Its log ends:\n${tail}`);
  }
}
