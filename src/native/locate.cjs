// Tells binding.gyp where things are: node src/native/locate.cjs node-rdkafka|librdkafka|private-headers|nan|version
const { existsSync } = require('node:fs');
const { dirname, join } = require('node:path');

const manifest = require.resolve('node-rdkafka/package.json');
const home = dirname(manifest);

/** The library node-rdkafka built beside itself, or `system` when it was told to use the installed one. */
function librdkafka() {
  const names = ['librdkafka.so.1', 'librdkafka.dylib'].map((name) => join(home, 'build', 'deps', name));
  return names.find((name) => existsSync(name)) ?? 'system';
}

/** Whether the private headers of that library are there, of the very build: they are in node-rdkafka's package, its build makes the rest. */
function privateHeaders() {
  if (process.env.RDKAFKA_TOOLKIT_PRIVATE_HEADERS === 'off') return 'no';
  const sources = join(home, 'deps', 'librdkafka');
  const complete = ['config.h', join('src', 'rdkafka_int.h'), join('src', 'rdkafka_msg.h')].every((name) =>
    existsSync(join(sources, name)),
  );
  return librdkafka() !== 'system' && complete ? 'yes' : 'no';
}

const answers = {
  'node-rdkafka': () => home,
  librdkafka,
  'private-headers': privateHeaders,
  nan: () => dirname(require.resolve('nan/package.json', { paths: [home] })),
  version: () => require(manifest).version,
};

process.stdout.write(answers[process.argv[2]]());
