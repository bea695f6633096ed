#!/bin/sh
# Hostile packs: see tests/tool/ota_packs_hostile.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
[ -w /dev/shm ] && export TMPDIR=/dev/shm # a thousand small installs, none of which has to outlive a power cut
exec python3 -B "$SOURCE/tests/tool/ota_packs_hostile.py"
