#!/usr/bin/env bash
# Who may include whom: floors are folders, third-party headers stand behind one wall each (docs/architecture.md).
set -euo pipefail
cd "$SOURCE"
bad=0
fail() { echo "$*"; bad=1; }

# floor FOLDER ALLOWED-FOLDERS...
floor() {
	local dir=$1 allowed=" $* " file inc
	while IFS=: read -r file inc; do
		case $allowed in *" $inc "*) ;; *) fail "$file includes $inc/: the floor of $dir/ does not allow it" ;; esac
	done < <(grep -oE '^#include "(platform|runtime|ota|agent|fleet|boards)/' -r "$dir" --include='*.[ch]' | sed -E 's|^([^:]*):#include "([a-z]*)/|\1:\2|')
}
floor platform
floor runtime platform
floor ota platform
floor agent platform runtime ota
floor fleet platform runtime ota

# wall REGEX-OF-HEADER ALLOWED-FILES...; a header of ours that brings one along has a wall too
wall() {
	local header=$1 file
	shift
	while read -r file; do
		case " $* " in *" $file "*) ;; *) fail "$file includes $header: only $* may" ;; esac
	done < <(grep -lE "^#include [<\"]$header" -r platform runtime ota agent fleet --include='*.[ch]')
}
wall 'cjson/' platform/json.c
wall 'psa/' platform/crypto.c
wall 'mbedtls/' platform/crypto.c ota/fetch/cert.c agent/link_tls.c fleet/doc/x509.c
wall 'mosquitto.h|<mqtt_protocol' agent/link_mqtt.c fleet/view/mqtt.c
wall 'curl/' ota/fetch/fetch_http.c fleet/repo/http.c
wall 'lz4' ota/pack/codec.c fleet/pack/codec_make.c
wall 'lzma' ota/pack/codec.c fleet/pack/codec_make.c
wall 'divsufsort' fleet/pack/cover_index.c
wall 'coap' ota/fetch/fetch_coap_int.h
wall 'ota/fetch/fetch_coap_int.h' ota/fetch/fetch_coap.c ota/fetch/fetch_coap_session.c
wall 'seccomp\.h>' runtime/seccomp/seccomp_tool.c
wall 'zstd' ota/layer/unzstd.c
wall 'zlib.h' ota/layer/gunzip.c fleet/pack/measure.c

# The daemons' core opens no network socket and starts no shell.
grep -nE '\b(system|popen)\(' -r platform runtime ota agent fleet --include='*.c' && fail "system() or popen()"
grep -nE '^\s*goto ' -r platform runtime ota agent fleet tests --include='*.[ch]' && fail "goto"
# What the two command lines print goes through platform/term: devices and apps do not drive the operator's terminal.
grep -nE '\b(v?d?f?printf|f?puts|f?putc|putchar|perror|psignal)\(|\bwrite\((STD|1|2)|\bfwrite\(.*std(out|err)' -r fleet agent --include='*.c' |
	grep -E '^(fleet/|agent/cli)' && fail "a print that goes around platform/term"
# Sizes: a file is a room that a reader can hold in mind.
while read -r n file; do
	[ "$file" = total ] || [ "$n" -le 700 ] || fail "$file has $n lines, 700 at most"
done < <(find platform runtime ota agent fleet -name '*.[ch]' -print0 | xargs -0 wc -l)
exit $bad
