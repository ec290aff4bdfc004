import { readFileSync } from 'node:fs';
import type { AvroReport } from './job.ts';

/** Time the event loop's thread was on a CPU, in microseconds; undefined where the system does not tell. */
function mainThreadMicros(): number | undefined {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return undefined;
  }
}

/** As the bench's `Meter`, with the event loop's thread apart: starts when the first records are there. */
export class Clock {
  #startedAt = 0;
  #stoppedAt = 0;
  #cpu: NodeJS.CpuUsage = { user: 0, system: 0 };
  #main: number | undefined;
  #before = 0;

  get started(): boolean {
    return this.#startedAt > 0;
  }

  start(arrived: number): void {
    this.#before = arrived;
    this.#cpu = process.cpuUsage();
    this.#main = mainThreadMicros();
    this.#startedAt = performance.now();
  }

  stop(): void {
    this.#stoppedAt = performance.now();
    const main = mainThreadMicros();
    this.#cpu = process.cpuUsage(this.#cpu);
    this.#main = main === undefined || this.#main === undefined ? undefined : main - this.#main;
  }

  report(records: number, faults: readonly string[], note?: string): AvroReport {
    const counted = records - this.#before;
    return {
      recordsPerSecond: (counted * 1000) / (this.#stoppedAt - this.#startedAt),
      cpuMicrosPerRecord: (this.#cpu.user + this.#cpu.system) / counted,
      mainMicrosPerRecord: this.#main === undefined ? undefined : this.#main / counted,
      faults,
      note,
    };
  }
}

/** The fault of a sum that is not the one expected. */
export function sumFaults(sum: number, expected: number): string[] {
  return Math.abs(sum - expected) < 0.01 ? [] : [`the fares come to ${sum} instead of ${expected}`];
}
