import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** What the install of this package left on the disk. Looked at without loading any of it. */
export interface InstallState {
  /** Undefined when node-rdkafka is not installed at all. */
  readonly nodeRdkafka:
    | {
        readonly version: string;
        /** The librdkafka it is made for and brings along. */
        readonly librdkafka: string;
        /** Whether its install script began to compile. */
        readonly attempted: boolean;
        /** Whether its C++ part is there. */
        readonly built: boolean;
      }
    | undefined;
  /** Whether the install script of this package ran, whatever came of it. */
  readonly ownScriptRan: boolean;
}

/** Looks at what install scripts left. */
export function installState(): InstallState {
  return { nodeRdkafka: nodeRdkafkaState(), ownScriptRan: existsSync(new URL('../../../build/native-status.json', import.meta.url)) };
}

function nodeRdkafkaState(): InstallState['nodeRdkafka'] {
  let manifest: string;
  try {
    manifest = createRequire(import.meta.url).resolve('node-rdkafka/package.json');
  } catch {
    return undefined;
  }
  const { version, librdkafka } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string; librdkafka: string };
  const build = join(dirname(manifest), 'build');
  return {
    version,
    librdkafka,
    attempted: existsSync(build),
    built: existsSync(join(build, 'Release', 'node-librdkafka.node')),
  };
}

/** Files of the librdkafka copies this process has loaded; empty where the system does not tell (only Linux does). */
export function loadedLibraries(): readonly string[] {
  try {
    const maps = readFileSync('/proc/self/maps', 'utf8');
    return [...new Set(maps.match(/\/\S*\/librdkafka\.so[\w.]*/g))];
  } catch {
    return [];
  }
}
