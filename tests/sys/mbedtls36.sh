#!/usr/bin/env bash
# Needs the host's network.
# The same sources on mbedtls 3.6 (what releases for boards are built from; Debian 12 itself has 2.28): the three files behind the crypto wall
# compile without a warning, the platform's tests pass, and the link, with TLS 1.3 then, carries the whole quickstart.
. "${SOURCE:?}/tests/sys/lib.sh"
. "$SOURCE/tests/qemu/kernel.sh"
lib_need dpkg-deb gcc pkg-config
CACHE=$BUILD/mbedtls36
suite_unpack trixie "$CACHE" libmbedtls-dev || lib_skip "mbedtls 3.6 cannot be had from this machine's package source"
lib_begin mbedtls36
INC=$CACHE/usr/include
LIBS=$(dirname "$(find "$CACHE/usr/lib" -name libmbedcrypto.a)")
grep -q 'MBEDTLS_VERSION_STRING  *"3\.6' "$INC/mbedtls/build_info.h" && ok "$(grep -o 'VERSION_STRING  *"3[0-9.]*"' "$INC/mbedtls/build_info.h")" || die "this is no mbedtls 3.6"
FLAGS=(-std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 '-DLIMPET_VERSION="3.6"' -DLIMPET_BUILD_S=1 "-I$SOURCE" -isystem "$INC" -Wall -Wextra -Wshadow -Werror -O1)
for f in platform/crypto.c agent/link/link_tls.c fleet/doc/x509.c ota/fetch/cert.c; do
	check "$f compiles" gcc "${FLAGS[@]}" -c "$SOURCE/$f" -o "$T/$(basename "$f" .c).o"
done
check "the platform's tests link" gcc "${FLAGS[@]}" "$SOURCE/tests/unit/platform.c" "$SOURCE"/platform/*.c "$SOURCE"/platform/cgroup/*.c -lcjson "$LIBS/libmbedcrypto.a" -o "$T/unit_platform"
check "the platform's tests pass" "$T/unit_platform"
mkdir "$T/build" && cp -r "$BUILD/bin" "$T/build/bin"
check "link is built" gcc "${FLAGS[@]}" "$SOURCE"/agent/link/*.c "$SOURCE/ota/doc/envelope.c" "$SOURCE/ota/doc/field.c" "$SOURCE"/platform/*.c "$SOURCE"/platform/cgroup/*.c -lmosquitto -lcjson \
	"$LIBS/libmbedtls.a" "$LIBS/libmbedx509.a" "$LIBS/libmbedcrypto.a" -o "$T/build/bin/agentd-link"
mkdir "$T/q"
check "the quickstart by TLS of 3.6" env BUILD="$T/build" TMPDIR="$T/q" "$SOURCE/boards/host/quickstart"
