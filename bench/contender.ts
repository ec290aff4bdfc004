import { readFileSync } from 'node:fs';
import type { Job, Report } from './job.ts';
import { quantile } from './statistics.ts';

/**
 * The clock of a run. It starts when the first records arrive and counts only those after them: a group's join and the first
 * fetch are no throughput.
 */
export class Meter {
  #startedAt = 0;
  #stoppedAt = 0;
  #cpuAtStart: NodeJS.CpuUsage | undefined;
  #cpuMicros = 0;
  #before = 0;
  readonly #latenciesMs: number[] = [];

  get started(): boolean {
    return this.#cpuAtStart !== undefined;
  }

  /** Starts the clock; `arrived` records are there already and are not counted. */
  start(arrived: number): void {
    this.#before = arrived;
    this.#cpuAtStart = process.cpuUsage();
    this.#startedAt = performance.now();
  }

  stop(): void {
    this.#stoppedAt = performance.now();
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    this.#cpuMicros = user + system;
  }

  latency(milliseconds: number): void {
    this.#latenciesMs.push(milliseconds);
  }

  report(records: number, faults: readonly string[]): Report {
    const counted = records - this.#before;
    const measured = this.#latenciesMs.length > 0;
    return {
      recordsPerSecond: (counted * 1000) / (this.#stoppedAt - this.#startedAt),
      cpuMicrosPerRecord: this.#cpuMicros / counted,
      p50Ms: measured ? quantile(this.#latenciesMs, 0.5) : null,
      p99Ms: measured ? quantile(this.#latenciesMs, 0.99) : null,
      rssMb: peakRssMb(),
      faults,
    };
  }
}

/** Highest resident size of this process. Linux counts that of the parent in `maxRSS` of a forked process, so its own figure is read. */
function peakRssMb(): number {
  try {
    const [, kilobytes] = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kilobytes !== undefined) return Number(kilobytes) / 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS / 1024;
}

/** Runs a contender in a process of its own: the job comes by message, the report goes back by message. */
export function contend(run: (job: Job, meter: Meter) => Promise<readonly string[]>): void {
  answer(async (job) => {
    const meter = new Meter();
    return meter.report(job.records, await run(job, meter));
  });
}

/** As {@link contend} for a contender that measures itself. */
export function answer(run: (job: Job) => Promise<Report>): void {
  process.once('message', (message) => {
    void run(message as Job).then(
      (report) => process.send?.({ report }, () => process.disconnect()),
      (error: unknown) => {
        process.exitCode = 1;
        process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, () => process.disconnect());
      },
    );
  });
}
