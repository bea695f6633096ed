#!/usr/bin/env bash
# Every C file is as clang-format writes it.
set -euo pipefail
cd "$SOURCE"
find platform runtime ota agent fleet tests -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror
