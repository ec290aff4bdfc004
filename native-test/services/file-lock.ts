import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { onExit } from './exit-hooks.ts';
import { ServiceError } from './service-error.ts';
import { isAlive } from './service-process.ts';

const POLL_MS = 200;

/**
 * Takes a lock file that holds its owner's process id, and gives the function that releases it. A lock whose owner is dead is
 * taken over: two may then hold it in the worst case, so it may only save work, never guard data. Not for two takers in one process.
 * @throws {ServiceError} when it is not free before the deadline.
 */
export async function lockFile(path: string, timeoutMs: number): Promise<() => void> {
  const own = `${path}.${process.pid}`;
  const deadline = Date.now() + timeoutMs;
  writeFileSync(own, String(process.pid));
  try {
    while (!tryLink(own, path)) {
      const owner = readOwner(path);
      if (owner !== undefined && !isAlive(owner)) rmSync(path, { force: true });
      else if (Date.now() > deadline) throw new ServiceError(`Process ${owner} has held ${path} for too long. If it is stuck, end it.`);
      else await sleep(POLL_MS);
    }
  } finally {
    rmSync(own, { force: true });
  }
  const forget = onExit(() => rmSync(path, { force: true }));
  return () => {
    forget();
    rmSync(path, { force: true });
  };
}

/** A link, unlike a new file, appears together with its content. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function readOwner(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
