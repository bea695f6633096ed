#!/usr/bin/env bash
# probes: limpet under every probe of tests/sys/probes (classes A1-A15 and C25-C36 of docs/security.md): all contained or refused.
# PROBE_TRIES: how often windows of time are tried, by 50 (here 2000: 40 execs).
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 77; }
for p in python3 cc unshare ldd; do command -v "$p" >/dev/null || { echo "skipped: no $p here"; exit 77; }; done
T=$(mktemp -d "${TMPDIR:-/tmp}/limpet-probes-sh.XXXXXX")
trap 'rm -rf "$T"' EXIT
# a check must be able to fail: a runtime that starts nothing is no contained one
printf '#!/bin/sh\nexit 1\n' >"$T/broken"
chmod 755 "$T/broken"
rc=0
"$SOURCE/tests/sys/probes/probes" --only A3,C27 "$T/broken" >"$T/out" || rc=$?
if [ $rc = 1 ] && [ "$(grep -c 'did not start' "$T/out")" = 2 ]; then echo "ok   a runtime that starts nothing is not called contained"; else cat "$T/out"; echo "FAIL the control does not see a broken runtime"; exit 1; fi
TMPDIR=$T "$SOURCE/tests/sys/probes/probes" --tries "${PROBE_TRIES:-2000}" "$BUILD/bin/limpet"
