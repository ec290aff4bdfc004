#!/usr/bin/env bash
# The addon's tests with AddressSanitizer in the addon: reads and writes out of bounds, use after free, double free, and leaks.
# Node and librdkafka hold memory at exit on purpose: a leak counts when the addon allocated it.
set -euo pipefail
cd "$(dirname "$0")/../.."
home=$PWD/.cache/asan
rm -rf "$home"
mkdir -p "$home"
git archive HEAD | tar -x -C "$home"
cp -al node_modules "$home/node_modules"
cd "$home"
export CXXFLAGS='-fsanitize=address -fno-omit-frame-pointer -g' LDFLAGS=-fsanitize=address
npm run --silent install
npm run --silent build
grep -q '"built":true' build/native-status.json
export LSAN_OPTIONS=exitcode=0:log_path=$home/leaks:print_suppressions=0:max_leaks=0
files=$(find dist/native-test/native dist/native-test/mock -name '*.test.js')
LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 node --expose-gc --test --test-concurrency=3 $files
node dist/native-test/native/leak-report.js "$home"/leaks.*
