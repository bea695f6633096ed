#!/usr/bin/env bash
# Needs the host's network.
# The tiny build on this PC: static programs that need nothing of the device, the same bytes from two directories, a refused source file,
# and the whole quickstart with its agent.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need cmake ninja make readelf patch jq
lib_begin tiny
CACHE=$("$SOURCE/boards/sources" cache)
export SOURCE_DATE_EPOCH=1700000000

mkdir "$T/carried" "$T/one" "$T/two"
"$SOURCE/boards/sources" fetch "$T/carried" cjson lz4 2>"$T/log/fetch" || { [ -e "$CACHE/files" ] || lib_skip "the pinned sources cannot be had from this machine's package sources"; die "$(cat "$T/log/fetch")"; }
check "sources from a directory, without cache and network" env LIMPET_SOURCES="$T/carried" LIMPET_CACHE="$T/none" "$SOURCE/boards/sources" unpack "$T/from" cjson lz4
echo >>"$(find "$T/carried" -name 'lz4*.orig.*')"
check_not "a changed source file is refused" env LIMPET_SOURCES="$T/carried" LIMPET_CACHE="$T/none" "$SOURCE/boards/sources" unpack "$T/from2" lz4
check_not "and nothing of it is left" test -e "$T/from2/lz4"

for d in one two; do
	mkdir -p "$T/$d/deeper-$d"
	git -C "$SOURCE" ls-files -z -co --exclude-standard | (cd "$SOURCE" && while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done | tar --null -T - -cf -) | tar -C "$T/$d/deeper-$d" -xf -
	(cd "$T/$d/deeper-$d" && boards/build x86_64) >"$T/log/$d" 2>&1 || die "boards/build: $(tail -n 5 "$T/log/$d")"
done
cat "$T/log/one"
A=$T/one/deeper-one/build/tiny-x86_64 B=$T/two/deeper-two/build/tiny-x86_64
check "two directories, the same bytes" diff -r "$A/device" "$B/device"
check "and the same list of parts" cmp "$A/limpet.spdx.json" "$B/limpet.spdx.json"
[ "$(jq -r '.spdxVersion, (.packages | length)' "$A/limpet.spdx.json" | tr '\n' ' ')" = "SPDX-2.3 $(($("$SOURCE/boards/sources" list | wc -l) + 1)) " ] &&
	ok "SPDX with each library" || fail "SPDX: $(head -c 300 "$A/limpet.spdx.json")"
for f in "$A"/bin/*; do
	readelf -lSW "$f" >"$T/elf"
	check_not "${f##*/} needs no other file" grep -qE 'INTERP|NEEDED' "$T/elf"
	check_not "${f##*/} is stripped" grep -q '\.symtab' "$T/elf"
done

ln -s "$A/bin/limpet-agent" "$T/anything"
check_not "a name that is no program's is refused" "$T/anything" --version
"$T/anything" 2>"$T/names" || grep -q ' agentctl' "$T/names" && ok "with the names that there are" || fail "$(cat "$T/names")"
check "limpet by its name" "$A/device/usr/bin/limpet" --version
check_not "decoders have no TLS and no agent beside them" grep -qE 'tls13|CONNACK|Curl_' "$A/bin/limpet-decode"
check "control: the agent has" grep -qE 'tls13' "$A/bin/limpet-agent"

# the operator's programs and the tools stay those of the ordinary build
mkdir "$T/build" "$T/q"
cp -r "$BUILD/bin" "$T/build/bin"
cp -Pf "$A"/bin/* "$T/build/bin/"
check "the quickstart with its agent" env BUILD="$T/build" TMPDIR="$T/q" "$SOURCE/boards/host/quickstart"
