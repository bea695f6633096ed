#!/usr/bin/env bash
# Unit tests and plan cases once more under ASan and UBSan.
set -euo pipefail
d=$BUILD/sanitize
cmake -S "$SOURCE" -B "$d" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DSANITIZE=ON -DWERROR=ON >"$d.log" 2>&1 || { cat "$d.log"; exit 1; }
ninja -C "$d" >"$d.log" 2>&1 || { grep -E 'error|warning' -A5 "$d.log"; exit 1; }
ctest --test-dir "$d" -L '^(unit|plan)$' --output-on-failure -j "$(nproc)"
