#!/usr/bin/env bash
# The second compiler, warnings as errors.
set -euo pipefail
cmake -S "$SOURCE" -B "$BUILD/clang" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DWERROR=ON -DCMAKE_C_COMPILER=clang >"$BUILD/clang.log" 2>&1 ||
	{ cat "$BUILD/clang.log"; exit 1; }
ninja -C "$BUILD/clang" >"$BUILD/clang.log" 2>&1 || { grep -E 'error|warning' -A5 "$BUILD/clang.log"; exit 1; }
