import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { librdkafka } from 'rdkafka-toolkit';
import type { ClientName } from './clients.ts';
import type { Mode } from './modes.ts';
import { performanceProgram } from './programs.ts';

/** Peers that are too large, or too picky about Node, to be installed with everything else: fetched when they are asked for. */
const ON_DEMAND: Partial<Record<ClientName, string>> = {
  '@platformatic/kafka': `@platformatic/kafka@${isNewNode() ? '2.12.1' : '1.35.0'}`,
  '@confluentinc/kafka-javascript': '@confluentinc/kafka-javascript@1.10.1',
};

const INSTALL_TIMEOUT_MS = 60_000;

/** From `dist/bench/` to the repository. */
const root = new URL('../../', import.meta.url);

/** @platformatic/kafka 2 and newer want Node 22.22. */
function isNewNode(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 22);
}

function directoryOf(client: ClientName): string {
  return fileURLToPath(new URL(`.cache/bench-peers/${client.replace('@', '').replace('/', '-')}-node${process.versions.modules}/`, root));
}

/** Loads a peer that {@link preparePeer} has installed. The caller says what it uses of it. */
export async function importPeer<T>(client: ClientName): Promise<T> {
  const entry = createRequire(`${directoryOf(client)}index.js`).resolve(client);
  return (await import(pathToFileURL(entry).href)) as T;
}

/** Makes a peer ready to be measured: installs those that are fetched on demand. Gives the reason why it cannot be; undefined when it can. */
export function preparePeer(client: ClientName, modes: readonly Mode[]): string | undefined {
  if (client === 'rdkafka_performance') return existsSync(performanceProgram()) ? undefined : 'node-rdkafka did not build librdkafka here';
  if (client === 'confluent-kafka-python') {
    const modules = modes.includes('pipeline') ? 'confluent_kafka, fastavro' : 'confluent_kafka';
    return attempt('python3', ['-c', `import ${modules}`]) === undefined
      ? undefined
      : `python3 cannot import ${modules} (pip install confluent-kafka fastavro)`;
  }
  const wanted = ON_DEMAND[client];
  return wanted === undefined ? undefined : install(client, wanted);
}

function install(client: ClientName, wanted: string): string | undefined {
  const directory = directoryOf(client);
  mkdirSync(directory, { recursive: true });
  const loads = (): string | undefined =>
    attempt(process.execPath, ['--input-type=module', '-e', `import ${JSON.stringify(client)}`], directory);
  if (existsSync(`${directory}node_modules`) && loads() === undefined) return undefined;
  const flags = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  const failed = attempt('npm', ['install', ...flags, '--prefix', directory, wanted], directory) ?? loads();
  return failed === undefined ? undefined : `${wanted} cannot be installed: ${failed}`;
}

/** Runs a program; what it complained about when it failed, in one line. */
function attempt(command: string, args: readonly string[], cwd?: string): string | undefined {
  try {
    execFileSync(command, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'], timeout: INSTALL_TIMEOUT_MS });
    return undefined;
  } catch (error) {
    const text = String((error as { stderr?: Buffer }).stderr ?? error);
    return (/^.*(?:Error|npm error (?!code|path|A complete)).*$/m.exec(text)?.[0] ?? text.trim().split('\n').at(-1) ?? '').slice(0, 200);
  }
}

/** Versions of the clients measured, of Node and of librdkafka. */
export function versionsOf(clients: readonly ClientName[]): Record<string, string> {
  const versions: Record<string, string> = { node: process.version, librdkafka: librdkafka.version };
  for (const client of clients) {
    const version = versionOf(client);
    if (version !== undefined) versions[client] = version;
  }
  return versions;
}

function versionOf(client: ClientName): string | undefined {
  if (client === 'confluent-kafka-python') {
    return execFileSync('python3', ['-c', 'import confluent_kafka; print(confluent_kafka.__version__)'], { encoding: 'utf8' }).trim();
  }
  const file =
    client === 'rdkafka-toolkit'
      ? fileURLToPath(new URL('package.json', root))
      : `${ON_DEMAND[client] === undefined ? fileURLToPath(root) : directoryOf(client)}node_modules/${client}/package.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version : undefined;
}
