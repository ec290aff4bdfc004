// Tells binding.gyp where things are: node src/native/locate.cjs node-rdkafka|librdkafka|nan|version
const { existsSync } = require('node:fs');
const { dirname, join } = require('node:path');

const manifest = require.resolve('node-rdkafka/package.json');
const home = dirname(manifest);

/** The library node-rdkafka built beside itself, or `system` when it was told to use the installed one. */
function librdkafka() {
  const names = ['librdkafka.so.1', 'librdkafka.dylib'].map((name) => join(home, 'build', 'deps', name));
  return names.find((name) => existsSync(name)) ?? 'system';
}

const answers = {
  'node-rdkafka': () => home,
  librdkafka,
  nan: () => dirname(require.resolve('nan/package.json', { paths: [home] })),
  version: () => require(manifest).version,
};

process.stdout.write(answers[process.argv[2]]());
