#!/usr/bin/env bash
# Needs the host's network.
# Layouts over CoAP from a server that has Q-Block2 (RFC 9177) and is not ours: libcoap of Debian 13, unpacked and run by its own loader.
# See tests/tool/ota_qblock.py; what a forged peer may do is in ota_coap.sh.
. "${SOURCE:?}/tests/sys/lib.sh"
. "$SOURCE/tests/qemu/kernel.sh"
lib_need dpkg-deb python3 openssl
[ -x "$BUILD/bin/coap-files" ] || lib_skip "built without CoAP"
CACHE=$BUILD/libcoap13
suite_unpack trixie "$CACHE" libcoap3-bin libcoap3t64 libc6 libssl3t64 libzstd1 zlib1g || lib_skip "libcoap 4.3.4 cannot be had from this machine's package source"
lib_begin ota_qblock
check "by a server that has Q-Block2" python3 -B "$SOURCE/tests/tool/ota_qblock.py" "$CACHE/usr"
