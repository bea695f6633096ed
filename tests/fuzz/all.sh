#!/usr/bin/env bash
# Each fuzz target for some seconds (FUZZ_SECONDS, 30): finds nothing new.
set -euo pipefail
FUZZ_BUILD=$BUILD/fuzz exec "$SOURCE/tests/fuzz/run" "${FUZZ_SECONDS:-30}"
