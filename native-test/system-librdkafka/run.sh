#!/usr/bin/env bash
# Builds node-rdkafka (BUILD_LIBRDKAFKA=0) and the addon against the distribution's librdkafka, as the image builds them against Confluent's, moves
# records by both there, and has doctor say that this librdkafka is too old. Nothing is installed: the packages are unpacked into
# .cache/system-librdkafka. What was compiled is used again until something it is made of changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
home=$root/.cache/system-librdkafka
mkdir -p "$home/debs"

version=$(apt-cache policy librdkafka-dev | sed -n 's/^ *Candidate: //p')
if [ -z "$version" ] || [ "$version" = '(none)' ]; then
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  version=$(apt-cache policy librdkafka-dev | sed -n 's/^ *Candidate: //p')
fi
library=$home/librdkafka-$version
if [ ! -d "$library" ]; then
  (cd "$home/debs" && apt-get download -qq "librdkafka-dev=$version" "librdkafka1=$version" "librdkafka++1=$version" 2>/dev/null)
  for package in "$home"/debs/*_"$version"_*.deb; do dpkg -x "$package" "$library.part"; done
  mv "$library.part" "$library"
fi
libraries=$(dirname "$(find "$library" -name librdkafka.so.1 | head -1)")
export BUILD_LIBRDKAFKA=0
export CPLUS_INCLUDE_PATH=$library/usr/include/librdkafka C_INCLUDE_PATH=$library/usr/include/librdkafka
export LIBRARY_PATH=$libraries LD_LIBRARY_PATH=$libraries

# A package of its own: the modules compiled for the usual build stay as they are.
package=$home/package
stamp=$home/compiled-$(cat package-lock.json binding.gyp src/native/* <(echo "$version $(node -p process.version)") | sha256sum | cut -c1-16)
if [ ! -f "$stamp" ]; then
  rm -rf "$package" "$home"/compiled-*
  mkdir -p "$package"
  cp -al node_modules "$package/node_modules"
  rm -rf "$package/node_modules/node-rdkafka"
  mkdir "$package/node_modules/node-rdkafka"
  (cd node_modules/node-rdkafka && tar -c --exclude=./build --exclude=./deps/librdkafka . | tar -x -C "$package/node_modules/node-rdkafka")
  cp -r src binding.gyp package.json "$package"
  # Both by their own install scripts: npm brings the node-gyp.
  (cd "$package/node_modules/node-rdkafka" && JOBS=2 npm run --silent install >"$home/node-rdkafka.log" 2>&1) || { tail -40 "$home/node-rdkafka.log"; exit 1; }
  (cd "$package" && JOBS=2 npm run --silent install)
  touch "$stamp"
fi
rm -rf "$package/dist"
cp -al dist "$package/dist"
cd "$package"
linked=$(node -p "require('node-rdkafka').librdkafkaVersion")
echo "librdkafka $linked is linked"
case $version in "$linked"*) ;; *) echo "expected librdkafka $version"; exit 1 ;; esac

# Not all of the native suite: 2.0.2's mock cluster makes each group wait three seconds, and closing clients in the midst of everything hangs in it
# (binding-notes/image.md).
node --expose-gc --test --test-timeout=120000 dist/native-test/native/packed-agrees.test.js dist/native-test/native/packed-producer.test.js dist/native-test/mock/record-source.test.js

findings=$(node dist/src/cli/main.js doctor --json || true)
node - "$findings" "$linked" <<'CHECK'
const [findings, linked] = process.argv.slice(2);
const { findings: all } = JSON.parse(findings);
const expect = (name, status) => {
  const found = all.find((each) => each.name === name);
  console.log(`doctor: ${found.status}  ${name}  ${found.detail}`);
  if (found.status !== status) process.exit(1);
};
const made = require('node-rdkafka/package.json').librdkafka;
expect('librdkafka', linked === made ? 'ok' : linked.localeCompare(made, 'en', { numeric: true }) < 0 ? 'fault' : 'warning');
expect('packed addon', 'ok');
CHECK
