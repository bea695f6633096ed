#!/bin/sh
# Layers packed with zstd: see tests/tool/ota_zstd.py.
for p in python3 zstd skopeo umoci busybox; do command -v $p >/dev/null || { echo "skipped: no $p"; exit 77; }; done
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
exec python3 -B "$SOURCE/tests/tool/ota_zstd.py"
