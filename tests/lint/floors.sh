#!/usr/bin/env bash
# Who may include whom: floors are directories, third-party headers stand behind one wall each (docs/architecture.md).
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
floor fleet platform runtime ota agent # agent: see below

# room FOLDER ALLOWED-ROOMS...: the same within a directory. A room is a sub-directory; its own files and floors below it are always allowed.
room() {
	local dir=$1 top=${1%%/*} allowed=" $* " file inc
	rooms="${rooms:-} $dir"
	while read -r file inc; do
		case $allowed in *" $inc "*) ;; *) fail "$file includes $inc/: the room $dir/ stands below or beside it" ;; esac
	done < <(grep -oE "^#include \"$top/[a-z]+/" -r "$dir" --include='*.[ch]' | sed -E 's|^([^:]*):#include "([a-z/]*)/$|\1 \2|')
}
room platform/cgroup
room runtime/spec
room runtime/net runtime/spec runtime/box # box: tool.h and enter.h
room runtime/box runtime/spec runtime/net
room runtime/seccomp runtime/spec runtime/box
room runtime/limpet runtime/spec runtime/box runtime/net runtime/seccomp
room ota/doc
room ota/pack ota/doc
room ota/layer ota/doc
room ota/store ota/doc ota/layer ota/pack
room ota/fetch ota/doc ota/layer ota/pack ota/store
room ota/pull ota/doc ota/layer ota/pack ota/store ota/fetch
room fleet/base
room fleet/doc fleet/base
room fleet/view fleet/base fleet/doc
room fleet/pack fleet/base
room fleet/repo fleet/base fleet/doc fleet/pack
room fleet/verbs fleet/base fleet/doc fleet/view fleet/pack fleet/repo
room agent/manifest
room agent/decide agent/manifest
room agent/keeper
room agent/base agent/decide agent/keeper
room agent/link
room agent/images agent/manifest agent/decide agent/base
room agent/boxes agent/manifest agent/decide agent/base
room agent/update agent/decide agent/keeper agent/images agent/turn # turn: uplink_is_up
room agent/turn agent/manifest agent/decide agent/base agent/keeper agent/link agent/images agent/boxes agent/update
room agent/cli agent/manifest agent/base
# Of agent, fleet reads documents by its parser and what decides: nothing that acts.
while read -r line; do
	fail "$line: of agent/ only manifest and decide are for fleet/"
done < <(grep -E '^#include "agent/' -r fleet --include='*.[ch]' | grep -vE '"agent/(manifest|decide)/')
for dir in platform/*/ runtime/*/ ota/*/ agent/*/ fleet/*/; do
	case " $rooms " in *" ${dir%/} "*) ;; *) fail "$dir has no line here" ;; esac
	[ -f "$dir/README.md" ] || fail "$dir has no README.md"
done
# A stem is one file's (and its header's) in the whole tree.
while read -r stem; do
	fail "two files are called $stem: $(find platform runtime ota agent fleet -name "$stem.[ch]" | tr '\n' ' ')"
done < <(find platform runtime ota agent fleet -name '*.[ch]' | sed -E 's/\.[ch]$//' | sort -u | sed 's|.*/||' | sort | uniq -d)

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
wall 'mbedtls/' platform/crypto.c ota/fetch/cert.c agent/link/link_tls.c fleet/doc/x509.c
wall 'mosquitto.h|<mqtt_protocol' agent/link/link_mqtt.c fleet/base/mqtt.c
wall 'curl/' ota/fetch/fetch_http.c fleet/base/http.c
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
	grep -E '^(fleet/|agent/cli/)' && fail "a print that goes around platform/term"
# Sizes: a file is a room that a reader can hold in mind.
while read -r n file; do
	[ "$file" = total ] || [ "$n" -le 700 ] || fail "$file has $n lines, 700 at most"
done < <(find platform runtime ota agent fleet -name '*.[ch]' -print0 | xargs -0 wc -l)
exit $bad
