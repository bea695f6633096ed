#!/bin/sh
# Odd but real images: see tests/tool/ota_odd.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
[ -w /dev/shm ] && export TMPDIR=/dev/shm # a hundred small installs, none of which has to outlive a power cut
exec python3 -B "$SOURCE/tests/tool/ota_odd.py"
