#!/bin/sh
# A hostile server: see tests/tool/ota_http.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
[ -n "${LIMPET_ALONE:-}" ] || exec "$SOURCE/tests/sys/alone" "$0" "$@"
ip addr add 192.0.2.1/32 dev lo # for what a server far away may not send us to
exec python3 -B "$SOURCE/tests/tool/ota_http.py"
