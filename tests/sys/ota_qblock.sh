#!/usr/bin/env bash
# Layouts over CoAP from a server that has Q-Block2 (RFC 9177) and is not ours: libcoap of Debian 13, unpacked and run by its own loader.
# See tests/tool/ota_qblock.py; what a forged peer may do is in ota_coap.sh.
. "${SOURCE:?}/tests/sys/lib.sh"
. "$SOURCE/tests/qemu/kernel.sh"
lib_need dpkg-deb python3 openssl
[ -x "$BUILD/bin/coap-files" ] || lib_skip "built without CoAP"
CACHE=$BUILD/libcoap13
PACKAGES=(libcoap3-bin libcoap3t64 libc6 libssl3t64 libzstd1 zlib1g)
if [ ! -e "$CACHE/done" ]; then
	mkdir -p "$CACHE"
	mapfile -t options < <(kernel_apt_options trixie "$CACHE")
	[ ${#options[@]} -gt 0 ] || lib_skip "no apt source here to get libcoap 4.3.4 from"
	timeout 200 apt-get "${options[@]}" -q update >"$CACHE/apt.log" 2>&1 &&
		(cd "$CACHE" && timeout 200 apt-get "${options[@]}" -q download "${PACKAGES[@]}" >>apt.log 2>&1) || lib_skip "libcoap 4.3.4 cannot be had from this machine's package source"
	for deb in "$CACHE"/*.deb; do dpkg-deb -x "$deb" "$CACHE"; done
	rm -rf "$CACHE"/*.deb "$CACHE/apt"
	touch "$CACHE/done"
fi
lib_begin ota_qblock
check "by a server that has Q-Block2" python3 -B "$SOURCE/tests/tool/ota_qblock.py" "$CACHE/usr"
