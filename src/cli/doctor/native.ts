import { readFileSync } from 'node:fs';
import { installState, loadedLibraries } from '../../binding/install-state.ts';
import { type RuntimeVars, threadPoolSize } from '../../runtime-vars.ts';
import { type Finding, fault, off, ok, warning } from './finding.ts';

const rebuild = 'npm rebuild node-rdkafka rdkafka-toolkit';

/** Node's own version against what the package supports. */
export function findNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const detail = `${process.version} on ${process.platform} ${process.arch}`;
  return major > 20 || (major === 20 && minor >= 19) ? ok('Node.js', detail) : fault('Node.js', detail, 'Use Node.js 20.19 or later.');
}

/** Whether install scripts ran, and whether they will the next time. */
export function findInstallScripts(): Finding {
  const name = 'install scripts';
  const { nodeRdkafka, ownScriptRan } = installState();
  if (nodeRdkafka === undefined) return fault(name, 'node-rdkafka is not installed', 'Run npm install.');
  const approve = 'Newer npm versions ask before they run them: npm install-scripts approve node-rdkafka rdkafka-toolkit';
  if (!nodeRdkafka.attempted) {
    return fault(name, 'the install script of node-rdkafka did not run: its C++ part is not compiled', `${approve}; then ${rebuild}.`);
  }
  if (!nodeRdkafka.built) {
    return fault(
      name,
      'node-rdkafka was not compiled, although its install script ran',
      `Install a C++ compiler, make and Python 3 (Debian: g++ make python3 libssl-dev libzstd-dev), then ${rebuild}.`,
    );
  }
  if (!ownScriptRan)
    return warning(name, 'the install script of rdkafka-toolkit did not run: no addon was compiled', `${approve}; then ${rebuild}.`);
  const unapproved = unapprovedScripts();
  return unapproved.length === 0
    ? ok(name, 'ran')
    : warning(
        name,
        `ran, but allowScripts of package.json leaves out ${unapproved.join(', ')}: the next install skips them`,
        `${approve}.`,
      );
}

/** Packages of ours that the project's list of approved scripts does not name; none where there is no such list. */
function unapprovedScripts(): string[] {
  try {
    const project = JSON.parse(readFileSync('package.json', 'utf8')) as { name?: string; allowScripts?: Readonly<Record<string, boolean>> };
    if (project.allowScripts === undefined) return [];
    const allowed = Object.entries(project.allowScripts).filter(([, allow]) => allow);
    const isAllowed = (name: string): boolean => allowed.some(([spec]) => spec === name || spec.startsWith(`${name}@`));
    return ['node-rdkafka', 'rdkafka-toolkit'].filter((name) => name !== project.name && !isAllowed(name));
  } catch {
    return [];
  }
}

type Binding = typeof import('../../binding/node-rdkafka.ts');

/** The librdkafka that runs against the one node-rdkafka is made for: the system's, when it is linked, may be years older. */
export function findLibrdkafka({ librdkafka, isOlderVersion }: Binding): Finding {
  const name = 'librdkafka';
  const made = installState().nodeRdkafka?.librdkafka ?? librdkafka.version;
  const files = loadedLibraries();
  const where = files.length === 0 ? '' : `, ${files.join(', ')}`;
  if (files.length > 1)
    return fault(name, `more than one copy is loaded: ${files.join(', ')}`, `Check LD_LIBRARY_PATH and LD_PRELOAD, then ${rebuild}.`);
  if (librdkafka.version === made) return ok(name, `${made}${where}`);
  const detail = `${librdkafka.version} is linked, and node-rdkafka ${installState().nodeRdkafka?.version.replace(/^v/, '')} is made for ${made}${where}`;
  const hint =
    'Build without BUILD_LIBRDKAFKA=0, or link the same version (the Dockerfile takes it from packages.confluent.io; Debian and Ubuntu ship old ones).';
  return isOlderVersion(librdkafka.version, made)
    ? fault(name, `${detail}: what was mended since is not in it, and settings it does not know are left out or refused`, hint)
    : warning(name, detail, hint);
}

/** What this build of librdkafka can do, and whether the variables ask for more. */
export function findFeatures({ librdkafka }: Binding, vars: RuntimeVars | undefined): Finding {
  const name = 'features';
  const has = (feature: string): boolean => librdkafka.features.includes(feature);
  const detail = librdkafka.features.join(', ');
  const needed = vars === undefined ? [] : neededFeatures(vars).filter((feature) => !has(feature));
  const install = `Install libssl-dev, libzstd-dev, libsasl2-dev or libcurl4-openssl-dev for what is missing, then ${rebuild}.`;
  if (needed.length > 0) return fault(name, `the variables need ${needed.join(', ')}; this build has ${detail}`, install);
  const missing = ['ssl', 'sasl_scram', 'zstd', 'lz4', 'snappy', 'gzip'].filter((feature) => !has(feature));
  return missing.length === 0 ? ok(name, detail) : warning(name, `without ${missing.join(', ')}; this build has ${detail}`, install);
}

function neededFeatures(vars: RuntimeVars): string[] {
  const { USE_SSL, USE_SASL, SASL_MECHANISM, PRODUCER_COMPRESSION } = vars;
  const sasl = SASL_MECHANISM.startsWith('SCRAM') ? 'sasl_scram' : `sasl_${SASL_MECHANISM.toLowerCase()}`;
  return [
    ...(USE_SSL ? ['ssl'] : []),
    ...(USE_SASL ? [sasl] : []),
    ...(PRODUCER_COMPRESSION === 'none' ? [] : [PRODUCER_COMPRESSION]),
    ...(vars.librdkafka['sasl.oauthbearer.method'] === 'oidc' ? ['oidc'] : []),
  ];
}

/** Whether records move packed. */
export function findAddon({ nativeStatus }: typeof import('../../binding/packed.ts'), vars: RuntimeVars | undefined): Finding {
  const name = 'packed addon';
  const { available, reason } = nativeStatus();
  if (vars?.RDKAFKA_TOOLKIT_NATIVE === 'off') return off(name, 'RDKAFKA_TOOLKIT_NATIVE=off');
  if (available) return ok(name, 'in use');
  const detail = `off, records move about ten times slower: ${reason}`;
  const hint = `build/native-build.log of the package has the compiler's words; with a C++20 compiler, make and Python 3: npm rebuild rdkafka-toolkit.`;
  return vars?.RDKAFKA_TOOLKIT_NATIVE === 'on' ? fault(name, `${detail}; RDKAFKA_TOOLKIT_NATIVE=on`, hint) : warning(name, detail, hint);
}

/** libuv's threads: what of node-rdkafka blocks runs there, beside DNS and files. */
export function findThreads(packed: boolean): Finding {
  const name = 'thread pool';
  const size = threadPoolSize();
  const detail = `UV_THREADPOOL_SIZE ${size}`;
  if (packed && size >= 4) return ok(name, `${detail}: connecting, flushing and closing take one each, idle clients none`);
  if (!packed && size >= 8) return ok(name, `${detail}: without the addon consumers that wait hold up to two`);
  return warning(
    name,
    packed
      ? `${detail}: a client that connects or closes stops DNS and files`
      : `${detail}: without the addon consumers that wait hold up to two`,
    `Set UV_THREADPOOL_SIZE before Node starts: ${packed ? '4 or more' : '8 or more'}.`,
  );
}
