#!/bin/sh
# Fetches the third-party files of the pages, unmodified, from their npm packages, and checks them
# against the recorded sums. Run it to verify what is committed, or after changing the version.
set -eu
cd "$(dirname "$0")"

version=1.7.4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

(cd "$scratch" && npm pack --silent "hls.js@$version" && tar xf hls.js-*.tgz)
mkdir -p hls.js
cp "$scratch/package/dist/hls.min.mjs" "$scratch/package/dist/hls.worker.js" \
   "$scratch/package/LICENSE" hls.js/
(cd hls.js && sha256sum --check SHA256SUMS)
