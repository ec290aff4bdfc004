import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory } from './artifacts.ts';
import { onExit } from './exit-hooks.ts';
import { isMissing } from './service-error.ts';
import { isAlive } from './service-process.ts';

const RUN = /^run-(\d+)-\d+$/;
/** A process killed a moment ago may still hold and write files. */
const REMOVE = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 } as const;

let runs = 0;

/** Data, logs and pid files of one set of services: `.cache/run-<pid>-<n>`. */
export interface RunDirectory {
  readonly path: string;
  remove(): void;
}

/** Makes the directory of a new run; it is removed with the process at the latest. What dead launchers left is cleared first. */
export function makeRunDirectory(): RunDirectory {
  mkdirSync(cacheDirectory, { recursive: true });
  clearAbandonedRuns();
  runs += 1;
  const path = join(cacheDirectory, `run-${process.pid}-${runs}`);
  rmSync(path, REMOVE);
  mkdirSync(path);
  writeFileSync(join(path, 'host'), hostname());
  const forget = onExit(() => rmSync(path, REMOVE));
  return {
    path,
    remove() {
      forget();
      rmSync(path, REMOVE);
    },
  };
}

/** The argument by which a process is known to belong to a run: a process id alone may have been given to another since. */
export function runMark(path: string): string {
  return `-Drdkafka.toolkit.run=${path}`;
}

/** Ends the services and removes the data of launchers that were killed before they could do so themselves. */
function clearAbandonedRuns(): void {
  for (const name of readdirSync(cacheDirectory)) {
    const launcher = RUN.exec(name)?.[1];
    if (launcher === undefined || isAlive(Number(launcher))) continue;
    const path = join(cacheDirectory, name);
    // Another host's (a container's) process ids mean nothing here.
    if ((readText(join(path, 'host')) ?? hostname()) !== hostname()) continue;
    endProcesses(path);
    rmSync(path, REMOVE);
  }
}

function endProcesses(path: string): void {
  try {
    for (const file of readdirSync(path)) {
      const pid = file.endsWith('.pid') ? Number(readText(join(path, file))) : 0;
      if (pid > 0 && commandLine(pid).includes(runMark(path))) process.kill(pid, 'SIGKILL');
    }
  } catch (error) {
    // Another launcher may clear the same run at the same time.
    if (!isMissing(error)) throw error;
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function commandLine(pid: number): string {
  const linux = readText(`/proc/${pid}/cmdline`);
  if (linux !== undefined) return linux;
  try {
    return execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}
