#!/usr/bin/env bash
# Writes the API reference to .cache/api from the TSDoc of src/. TypeScript 7 has no compiler API for TypeDoc to use: it brings a TypeScript 6 of
# its own, apart from the package's.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool=.cache/typedoc
typedoc=0.28.20
typescript=6.0.2
if [ "$(cat "$tool/installed" 2>/dev/null)" != "$typedoc $typescript" ]; then
  rm -rf "$tool"
  mkdir -p "$tool"
  npm install --silent --no-save --no-package-lock --ignore-scripts --prefix "$tool" "typedoc@$typedoc" "typescript@$typescript"
  echo "$typedoc $typescript" >"$tool/installed"
fi
node "$tool/node_modules/typedoc/bin/typedoc" --options native-test/docs/typedoc.json "$@"
