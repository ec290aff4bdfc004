import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Report } from './job.ts';

/** How often the memory of a program is looked at. */
const SAMPLE_MS = 25;

/** librdkafka's own performance program, which node-rdkafka's build leaves beside its sources. */
export function performanceProgram(): string {
  const nodeRdkafka = dirname(createRequire(import.meta.url).resolve('node-rdkafka/package.json'));
  return join(nodeRdkafka, 'deps/librdkafka/examples/rdkafka_performance');
}

/** What cannot be told of a program that is not Node. */
export const OTHER_PROGRAM: Pick<Report, 'mainMicrosPerRecord' | 'eventLoopUtilization' | 'p50Ms' | 'p99Ms' | 'note' | 'config'> = {
  mainMicrosPerRecord: null,
  eventLoopUtilization: null,
  p50Ms: null,
  p99Ms: null,
  note: null,
  config: {},
};

/** What a program wrote, and what it took: user and system time of all its threads, and its highest resident size. */
export interface ProgramResult extends Pick<Report, 'rssMb'> {
  readonly output: string;
  readonly cpuMicros: number;
}

/** Runs a program to its end. Its times are those the shell sees, its start and the wait for its group among them. */
export async function runProgram(command: string, args: readonly string[], input = ''): Promise<ProgramResult> {
  const child = spawn('bash', ['-c', 'TIMEFORMAT="cpu %U %S"; time "$0" "$@"', command, ...args], { stdio: 'pipe' });
  let rssMb = 0;
  const sampler = setInterval(() => {
    rssMb = Math.max(rssMb, residentMb(child.pid));
  }, SAMPLE_MS);
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    text.stdout += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    text.stderr += String(chunk);
  });
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearInterval(sampler);
  const [, user, system] = /cpu ([\d.]+) ([\d.]+)/.exec(text.stderr) ?? [];
  if (code !== 0 || user === undefined) throw new Error(`${command} ended with ${code}: ${text.stderr.slice(-2_000)}`);
  return { output: text.stdout, cpuMicros: (Number(user) + Number(system)) * 1e6, rssMb };
}

/** Highest resident size of the program that the shell `pid` runs; 0 when it cannot be read. */
function residentMb(pid: number | undefined): number {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    const [, kilobytes] = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${child}/status`, 'utf8')) ?? [];
    return Number(kilobytes ?? 0) / 1024;
  } catch {
    return 0;
  }
}
