#!/bin/sh
# Hostile images: see tests/tool/ota_hostile.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
# once as the kernel is, once as on one without openat2 (bit 1) and pidfds (bits 3, 4)
for deny in 0 1a; do
  LIMPET_SYS_DENY=$deny python3 -B "$SOURCE/tests/tool/ota_hostile.py" || exit
done
