import type { RunResult } from 'rdkafka-toolkit';
import { type Exit, ScriptProcess } from './child-process.ts';
import type { MemberCommand, MemberMessage, MemberTask } from './member-task.ts';

/** A member in its own process, as its parent sees it. */
export class Member {
  readonly task: MemberTask;
  readonly #process: ScriptProcess<MemberMessage>;
  readonly clientErrors: string[] = [];
  readonly requestTimeouts: string[] = [];
  isReady = false;
  /** Records its handler was given. */
  handled = 0;
  assignments = 0;
  revocations = 0;
  /** Partitions it holds. */
  partitions = 0;
  readyRssBytes = 0;
  memory: NodeJS.MemoryUsage | undefined;
  peakRssBytes = 0;
  result: RunResult | undefined;

  constructor(task: MemberTask, environment: Readonly<Record<string, string>>) {
    this.task = task;
    this.#process = new ScriptProcess<MemberMessage>('./member.js', task, environment, (message) => this.#hear(message));
  }

  get running(): boolean {
    return this.#process.running;
  }

  get ended(): Promise<Exit> {
    return this.#process.ended;
  }

  get stderr(): string {
    return this.#process.stderr;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.signal(signal);
  }

  kill(): Promise<void> {
    return this.#process.kill();
  }

  block(blockMs: number): void {
    const command: MemberCommand = { blockMs };
    this.#process.send(command);
  }

  #hear(message: MemberMessage): void {
    switch (message.kind) {
      case 'ready':
        this.isReady = true;
        this.readyRssBytes = message.rssBytes;
        break;
      case 'assigned':
        this.assignments++;
        this.partitions += message.partitions;
        break;
      case 'revoked':
        this.revocations++;
        this.partitions -= message.partitions;
        break;
      case 'progress':
        this.handled = message.handled;
        this.memory = message.memory;
        this.peakRssBytes = Math.max(this.peakRssBytes, message.memory.rss);
        break;
      case 'clientError':
        this.clientErrors.push(message.message);
        break;
      case 'requestTimeout':
        this.requestTimeouts.push(message.message);
        break;
      case 'done':
        this.result = message.result;
        break;
    }
  }
}
