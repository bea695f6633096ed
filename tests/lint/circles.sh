#!/usr/bin/env bash
# Calls between the files of a directory go one way: no circle of .c files but inside a family, whose files all include one internal header
# (*_int.h, *_priv.h). What is left of others stands in circles.allowed, exactly, so that it can only shrink.
set -euo pipefail
exec python3 "${SOURCE:?}/tests/lint/circles.py" "$SOURCE" "${BUILD:?}"
