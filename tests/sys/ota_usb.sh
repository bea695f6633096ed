#!/bin/sh
# Layouts on sticks, loop devices standing for them: see tests/tool/ota_usb.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
[ -e /dev/loop-control ] || { echo "skipped: this kernel has no loop devices"; exit 77; }
exec python3 -B "$SOURCE/tests/tool/ota_usb.py"
