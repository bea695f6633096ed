#!/usr/bin/env bash
# Every C file is as clang-format writes it; it leaves comments alone, so their columns are looked at here.
set -euo pipefail
cd "$SOURCE"
find platform runtime ota agent fleet tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror
find platform runtime ota agent fleet tests -name '*.[ch]' -print0 | xargs -0 awk '
	/clang-format off/ {off = 1} /clang-format on/ {off = 0}
	length($0) > 110 && !off {print FILENAME ":" FNR ": more than 110 columns"; bad = 1}
	END {exit bad}'
