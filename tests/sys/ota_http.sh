#!/bin/sh
# A hostile server: see tests/tool/ota_http.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
exec python3 -B "$SOURCE/tests/tool/ota_http.py"
