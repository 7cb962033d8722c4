#!/usr/bin/env bash
# A room of 10,000 beside nchan's: `benches/hub.sh [MEMBERS] [RUNS]`. Needs `apt-get install nginx
# libnginx-mod-nchan`, and a hard limit of file descriptors above MEMBERS + 1,000.
set -euo pipefail
cd "$(dirname "$0")/.."
members=${1:-10000}
needed=$((members + 1000))
hard=$(ulimit -Hn)
if [ "$hard" != unlimited ] && [ "$hard" -lt "$needed" ]; then
    echo "the hard limit of file descriptors is $hard, $needed are needed (ulimit -Hn)" >&2
    exit 1
fi
ulimit -n "$needed"
exec cargo bench --locked --bench hub -- "$members" "${2:-3}"
