#!/bin/sh
# A hostile server: see tests/tool/ota_http.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
# A network of its own with an address beside loopback: for what a server far away may not send us to.
exec unshare -n sh -c 'ip link set lo up && ip addr add 192.0.2.1/32 dev lo && exec python3 -B "$SOURCE/tests/tool/ota_http.py"'
