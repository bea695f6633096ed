#!/bin/sh
# Layouts over CoAP and CoAPS, with Block2 and Q-Block2, honest and hostile: see tests/tool/ota_coap.py and coap_peer.py.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
[ -x "$BUILD/bin/coap-files" ] || { echo "skipped: built without CoAP"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
exec python3 -B "$SOURCE/tests/tool/ota_coap.py"
