import { readFileSync } from 'node:fs';
import { build, type Histogram } from 'hdr-histogram-js';
import { redactConfig } from '../src/config/redact.ts';
import type { Job, Report } from './job.ts';

const HIGHEST_LATENCY_MICROS = 600_000_000;

/**
 * The clock of a run. It starts when the first records arrive and counts only those after them: a group's join and the first
 * fetch are no throughput.
 */
export class Meter {
  /** What the contender has to say about its run. */
  note: string | null = null;
  #startedAt = 0;
  #stoppedAt = 0;
  #cpuAtStart: NodeJS.CpuUsage | undefined;
  #cpuMicros = 0;
  #mainMicros: number | undefined;
  #loop = performance.eventLoopUtilization();
  #before = 0;
  /** Of microseconds. */
  #latencies: Histogram | undefined;
  readonly #config: Record<string, unknown> = {};

  get started(): boolean {
    return this.#cpuAtStart !== undefined;
  }

  /** Starts the clock; `arrived` records are there already and are not counted. */
  start(arrived: number): void {
    this.#before = arrived;
    this.#loop = performance.eventLoopUtilization();
    this.#mainMicros = mainThreadMicros();
    this.#cpuAtStart = process.cpuUsage();
    this.#startedAt = performance.now();
  }

  stop(): void {
    this.#stoppedAt = performance.now();
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    this.#cpuMicros = user + system;
    const main = mainThreadMicros();
    this.#mainMicros = main === undefined || this.#mainMicros === undefined ? undefined : main - this.#mainMicros;
    this.#loop = performance.eventLoopUtilization(this.#loop);
  }

  latency(milliseconds: number): void {
    this.#latencies ??= build({ highestTrackableValue: HIGHEST_LATENCY_MICROS, numberOfSignificantValueDigits: 3 });
    this.#latencies.recordValue(Math.min(HIGHEST_LATENCY_MICROS, Math.max(0, Math.round(milliseconds * 1000))));
  }

  /** Notes with what settings a client runs; secrets are left out. */
  settings(client: 'consumer' | 'producer', config: Readonly<Record<string, unknown>>): void {
    this.#config[client] = redactConfig(config);
  }

  report(records: number, faults: readonly string[]): Report {
    const counted = records - this.#before;
    return {
      recordsPerSecond: (counted * 1000) / (this.#stoppedAt - this.#startedAt),
      cpuMicrosPerRecord: this.#cpuMicros / counted,
      mainMicrosPerRecord: this.#mainMicros === undefined ? null : this.#mainMicros / counted,
      eventLoopUtilization: this.#loop.utilization,
      p50Ms: this.#quantile(50),
      p99Ms: this.#quantile(99),
      rssMb: peakRssMb(),
      faults,
      note: this.note,
      config: this.#config,
    };
  }

  #quantile(percent: number): number | null {
    return this.#latencies === undefined ? null : this.#latencies.getValueAtPercentile(percent) / 1000;
  }
}

/** Time the event loop's thread was on a CPU, in microseconds; undefined where the system does not tell. */
function mainThreadMicros(): number | undefined {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return undefined;
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
    const faults = await run(job, meter);
    return meter.report(job.records, faults);
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
