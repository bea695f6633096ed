#!/usr/bin/env bash
# clang-tidy over every C file of the programs, with the compile commands of the check build.
set -euo pipefail
cd "$SOURCE"
find platform runtime ota agent fleet -name '*.c' -print0 | xargs -0 -n 1 -P "$(nproc)" clang-tidy -p "$BUILD" --quiet 2>/dev/null |
	tee "$BUILD/tidy.log" | grep -E 'error:|warning:' && exit 1
! grep -qE 'error:' "$BUILD/tidy.log"
