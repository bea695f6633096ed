#!/usr/bin/env bash
# Manual pages: clean for groff and man, and they name each verb and option of --help and each setting of agentd.json.
set -euo pipefail
export LC_ALL=C MANWIDTH=80 MANPAGER=cat
cd "$SOURCE"
bad=0
fail() { echo "FAIL $*"; bad=1; }
command -v groff >/dev/null || { echo "skipped: no groff"; exit 77; }
pages=(docs/man/*.[1-8])
[ ${#pages[@]} -ge 4 ] || fail "only ${#pages[@]} pages"
for page in "${pages[@]}"; do
	noise=$(groff -man -Tascii -ww -z "$page" 2>&1)
	[ -z "$noise" ] || fail "groff: $noise"
	noise=$(man --warnings -l "$page" 2>&1 >/dev/null)
	[ -z "$noise" ] || fail "man: $noise"
done

# text PAGE: as it is printed, without overstrikes. A page that renders to nothing shall not pass for one.
text() { groff -man -Tascii -P-cbou "$1"; }
# names PAGE WORD...: each stands at the beginning of a line (of a heading) of the page.
names() {
	local page=$1 word
	shift
	text "$page" >"$BUILD/man.text"
	[ $# -gt 0 ] || fail "$page: nothing to look for: has --help changed its form?"
	for word in "$@"; do
		grep -qE -- "^ +([^ ]+, )*$word(,| |\$)" "$BUILD/man.text" || fail "$page: nothing about $word"
	done
}
# verbs FILE: the first words of a table of verbs. options FILE: the long ones.
verbs() { sed -nE 's/^  ([a-z]+) .*/\1/p' "$1" | grep -vE '^(agentctl|fleetctl|limpet)$' | sort -u; }
options() { grep -oE -- '--[a-z][a-z-]+' "$1" | sort -u; }

help=$BUILD/man.help
for program in agentctl:1 limpet:1 fleetctl:1 agentd:8; do
	name=${program%:*} page=docs/man/${program%:*}.${program#*:}
	[ -x "$BUILD/bin/$name" ] || { fail "$name is not built"; continue; }
	"$BUILD/bin/$name" --help >"$help"
	# shellcheck disable=SC2046
	[ $name = agentd ] || names "$page" $(verbs "$help")
	for option in $(options "$help"); do
		text "$page" | grep -qF -- "$option" || fail "$page: nothing about $option"
	done
done
# limpet's --help is short: all that its table of options knows stands in the page.
known=$(sed -n '/^} options\[\]/,/^};/s/^    {"\([a-z-]*\)".*/\1/p' runtime/limpet/limpet.c)
[ "$(wc -w <<<"$known")" -gt 40 ] || fail "runtime/limpet/limpet.c: has the table of options changed its form?"
for option in $known; do
	text docs/man/limpet.1 | grep -qE -- "--$option([^a-z-]|\$)" || fail "docs/man/limpet.1: nothing about --$option"
done
for verb in $(verbs <("$BUILD/bin/fleetctl" --help)); do
	for option in $("$BUILD/bin/fleetctl" "$verb" --help | options /dev/stdin); do
		text docs/man/fleetctl.1 | grep -qF -- "$option" || fail "docs/man/fleetctl.1: nothing about $option of $verb"
	done
done
# shellcheck disable=SC2046
names docs/man/agentd.8 $(jq -r '.properties | del(.mqtt, .fetch) + .mqtt.properties | keys[]' configs/schemas/agentd.schema.json)
[ $bad = 0 ] && echo "ok   ${#pages[@]} pages"
exit $bad
