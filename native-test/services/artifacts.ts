import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { onExit } from './exit-hooks.ts';
import { lockFile } from './file-lock.ts';
import { runCommand } from './run-command.ts';
import { ServiceError } from './service-error.ts';

/** Long enough for 200 MB on a slow line; a second process waits as long for the first one's download. */
const FETCH_TIMEOUT_MS = 600_000;

/** Where the jars of the real services are. */
export interface Artifacts {
  /** Folder of the broker's class path. */
  readonly kafka: string;
  /** Folder of the unpacked schema registry. */
  readonly registry: string;
}

/** Root of the repository, found from the sources as well as from `dist/`. */
export const repositoryRoot: string = findRoot(import.meta.dirname);

/** Git-ignored folder of the downloads and of every run's data. */
export const cacheDirectory: string = join(repositoryRoot, '.cache');

let fetching: Promise<Artifacts> | undefined;

/**
 * The jars that `pom.xml` names, fetched by Maven on the first call and found in `.cache/` ever after (about 200 MB).
 * Several processes may call it at once: one fetches, the others wait. After a fetch that was cut off the next one takes from
 * Maven's own local repository what is there already; a folder counts only with its marker `complete`.
 * @throws {ServiceError} when Maven is missing or fails; the message carries the end of its output.
 */
export function fetchArtifacts(): Promise<Artifacts> {
  fetching ??= findOrFetch().finally(() => {
    fetching = undefined;
  });
  return fetching;
}

async function findOrFetch(): Promise<Artifacts> {
  const pom = join(repositoryRoot, 'native-test/services/pom.xml');
  const version = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12);
  const target = join(cacheDirectory, `services-${version}`);
  if (!isComplete(target)) {
    mkdirSync(cacheDirectory, { recursive: true });
    const release = await lockFile(`${target}.lock`, FETCH_TIMEOUT_MS);
    try {
      if (!isComplete(target)) await fetchInto(target, pom);
    } finally {
      release();
    }
  }
  return { kafka: join(target, 'kafka'), registry: join(target, 'registry') };
}

/** Fetches beside the target and renames at the end, so that the target is whole whenever it is there. */
async function fetchInto(target: string, pom: string): Promise<void> {
  removeOldPartials();
  const partial = mkdtempSync(`${target}.partial-`);
  const forget = onExit(() => rmSync(partial, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }));
  try {
    process.stderr.write('Fetching Kafka and the schema registry with Maven (once, about 200 MB) ...\n');
    await runCommand('mvn', ['-B', '-ntp', '-f', pom, 'generate-resources', `-Dservices.directory=${partial}`], {
      purpose: 'fetch Kafka and the schema registry',
      missingHint: 'Install Maven: it fetches their jars.',
      timeoutMs: FETCH_TIMEOUT_MS,
    });
    writeFileSync(join(partial, 'complete'), '');
    if (isComplete(target)) return;
    rmSync(target, { recursive: true, force: true });
    renameSync(partial, target);
  } finally {
    forget();
    rmSync(partial, { recursive: true, force: true });
  }
}

/** What killed launchers left. Young ones stay: a Maven that outlived its launcher may still write there. */
function removeOldPartials(): void {
  for (const name of readdirSync(cacheDirectory)) {
    const path = join(cacheDirectory, name);
    if (!name.includes('.partial-') || Date.now() - statSync(path).mtimeMs < FETCH_TIMEOUT_MS) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

function isComplete(target: string): boolean {
  return existsSync(join(target, 'complete'));
}

function findRoot(from: string): string {
  if (existsSync(join(from, 'package.json')) && existsSync(join(from, 'native-test/services/pom.xml'))) return from;
  const parent = dirname(from);
  if (parent === from) throw new ServiceError('Cannot find the repository: services are started from a checkout, not from the package.');
  return findRoot(parent);
}
