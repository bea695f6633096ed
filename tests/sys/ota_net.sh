#!/bin/sh
# Bad lines and bad servers, blobs and chunks: see tests/tool/ota_net.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
exec python3 -B "$SOURCE/tests/tool/ota_net.py"
