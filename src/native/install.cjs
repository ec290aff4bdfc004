// Compiles the packed addon at install. Never fails the install: without the addon the toolkit works through node-rdkafka alone.
const { spawnSync } = require('node:child_process');
const { mkdirSync, rmSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..', '..');
const built = join(root, 'build', 'Release', 'rdkafka_toolkit.node');
const log = join(root, 'build', 'native-build.log');

/** Undefined when the addon was built, else why not. */
function build() {
  if (process.env.RDKAFKA_TOOLKIT_NATIVE === 'off') return 'RDKAFKA_TOOLKIT_NATIVE=off when the package was installed';
  const reason = compile({});
  // librdkafka's private headers only make record headers cheaper: they may be what another compiler does not like.
  return reason === undefined ? undefined : compile({ RDKAFKA_TOOLKIT_PRIVATE_HEADERS: 'off' });
}

function compile(settings) {
  const gyp = process.env.npm_config_node_gyp;
  const [command, first] = gyp ? [process.execPath, [gyp]] : ['node-gyp', []];
  const env = { ...process.env, ...settings };
  const result = spawnSync(command, [...first, 'rebuild'], { cwd: root, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? String(result.error) : ''}`;
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(log, output);
  if (result.status === 0) return undefined;
  rmSync(built, { force: true });
  const line = output.split('\n').find((each) => /(^|\s)(fatal )?error:? /i.test(each)) ?? 'node-gyp did not run';
  return `the addon was not compiled: ${line.trim()}`;
}

const reason = build();
mkdirSync(join(root, 'build'), { recursive: true });
writeFileSync(join(root, 'build', 'native-status.json'), `${JSON.stringify({ built: reason === undefined, reason })}\n`);
if (reason !== undefined) {
  console.warn(`rdkafka-toolkit: records will move through node-rdkafka's own conversion, about ten times slower: ${reason}`);
}
