#!/usr/bin/env bash
# Needs the host's network.
# The static limpet: one file that needs nothing of the device, small, and the same runtime.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need cmake ninja musl-gcc readelf
static_limpet
case $STATIC_WHY in *cJSON*) [ -n "$STATIC" ] || lib_skip "$STATIC_WHY" ;; esac
lib_begin static
[ -n "$STATIC" ] || die "static build: $STATIC_WHY"
readelf -lSW "$STATIC" >"$T/elf"
check_not "static" grep -qE 'INTERP|\.dynamic' "$T/elf"
check_not "stripped" grep -q '\.symtab' "$T/elf"
bytes=$(stat -c %s "$STATIC")
[ "$bytes" -le 262144 ] && ok "$bytes bytes" || fail "$bytes bytes, more than 256 KiB"
check_not "nothing of glibc is in it" grep -q 'GLIBC_\|GNU C Library' "$STATIC"
mkdir -p "$T"/empty "$T"/box/rootfs/{bin,proc,dev,sys}
cp "$(command -v busybox)" "$T/box/rootfs/bin/sh"
# no library, no /etc, no /usr of the host in its reach
cp "$STATIC" "$T/empty/limpet"
check "runs where there is nothing else" chroot "$T/empty" /limpet --version
check "spec" "$STATIC" spec -b "$T/box"
sed -i 's#"args": \["sh"\]#"args": ["/bin/sh", "-c", "echo in $HOSTNAME as $$; exit 7"]#; s/"terminal": true/"terminal": false/' "$T/box/config.json"
check_rc 7 "run" "$STATIC" --root "$T/root" run -b "$T/box" "static-$$" >"$T/out"
cat "$T/out"
grep -q 'as 1$' "$T/out" && ok "pid 1 inside" || fail "said: $(cat "$T/out")"
