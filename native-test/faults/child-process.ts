import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onExit } from '../services/exit-hooks.ts';

const STDERR_TAIL_CHARS = 4_000;

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One script of this directory in a process of its own, which tells by messages how it does. */
export class ScriptProcess<Message extends object> {
  readonly ended: Promise<Exit>;
  readonly #child: ChildProcess;
  #stderr = '';

  constructor(script: string, argument: object, environment: Readonly<Record<string, string>>, onMessage: (message: Message) => void) {
    const child = fork(fileURLToPath(new URL(script, import.meta.url)), [JSON.stringify(argument)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { PATH: process.env.PATH, RDKAFKA_TOOLKIT_NATIVE: process.env.RDKAFKA_TOOLKIT_NATIVE, ...environment },
    });
    this.#child = child;
    const forget = onExit(() => child.kill('SIGKILL'));
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_TAIL_CHARS);
    });
    child.on('message', (message) => onMessage(message as Message));
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#stderr += error.message;
        resolve({ code: null, signal: null });
      });
      child.once('close', (code, signal) => {
        forget();
        resolve({ code, signal });
      });
    });
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The end of what it wrote to its standard error. */
  get stderr(): string {
    return this.#stderr.trim();
  }

  send(message: object): void {
    this.#child.send(message);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }
}
