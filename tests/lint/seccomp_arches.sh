#!/usr/bin/env bash
# The default filter for each architecture that Limpet is built for, made with the kernel headers of that architecture: that for every
# number it says what seccomp.list says of the call that has it there, and that its answers are those kept in seccomp/ARCHITECTURE, so
# that nobody changes one unseen. --renew writes these files anew.
set -euo pipefail
cd "$SOURCE"
W=$(mktemp -d "${TMPDIR:-/tmp}/limpet-arches.XXXXXX")
mkdir "$W/runtime"
trap 'rm -rf "$W"' EXIT
bad=0
KEPT=tests/lint/seccomp
RENEW=$([ "${1:-}" = --renew ] && echo 1 || echo 0)
BUILTIN=$(clang -print-resource-dir)/include

arch() { # NAME TARGET INCLUDE-FOLDER ARCHITECTURE-AS-THE-FILTER-SEES-IT
	local name=$1 cc=(clang "--target=$2" -nostdinc -isystem "$3" -isystem "$BUILTIN") what
	[ -e "$3/asm/unistd.h" ] || { echo "FAIL $name: no kernel headers in $3"; bad=1; return; }
	[ "$3" != "$host" ] || cc+=(-isystem /usr/include)
	runtime/seccomp/seccomp_gen.sh runtime/seccomp/seccomp.list "$W/runtime/seccomp.inc" "${cc[@]}" || { bad=1; return; }
	# the list for our own sandboxed processes names calls that each architecture has
	"${cc[@]}" -isystem /usr/include -fsyntax-only -Werror -Wall -D_GNU_SOURCE -I. platform/sandbox_calls.c || { echo "FAIL $name: platform/sandbox_calls.c"; bad=1; }
	{
		echo '#include <asm/unistd.h>'
		for what in breakpoint cacheflush set_tls get_tls; do printf '#ifdef __ARM_NR_%s\n#define __NR_%s __ARM_NR_%s\n#endif\n' $what $what $what; done
		awk '/^(allow|deny|check) / {sub(/^[?]/, "", $2); printf "#ifdef __NR_%s\nCALL %s (__NR_%s) \"%s\"\n#endif\n", $2, $1, $2, $2}' runtime/seccomp/seccomp.list
	} >"$W/$name.c"
	"${cc[@]}" -E -P "$W/$name.c" | grep ^CALL | while read -r _ what expr; do
		echo "$what $((${expr%%\"*})) ${expr##*) }"
	done | tr -d '"' >"$W/$name.calls"
	# the file as this architecture's compiler sees it, run here: the filter itself is data
	"${cc[@]}" -E -P -I. -I"$W" runtime/seccomp/seccomp.c >"$W/filter.c" || { bad=1; return; }
	clang -w -I. "-DTARGET_ARCH=$4" -o "$W/judge" -x c "$W/filter.c" tests/tool/seccomp_judge.c
	if ! "$W/judge" <"$W/$name.calls" >"$W/$name"; then echo "FAIL $name"; bad=1; return; fi
	if [ "$RENEW" = 1 ]; then cp "$W/$name" "$KEPT/$name"; fi
	if diff -U0 "$KEPT/$name" "$W/$name" >"$W/diff"; then echo "ok   $name: $(head -n 1 "$W/$name")"; else
		echo "FAIL $name: other answers than those kept; if they are meant: SOURCE=. tests/lint/seccomp_arches.sh --renew"
		sed 1,2d "$W/diff"
		bad=1
	fi
}
host=$(echo '#include <asm/unistd.h>' | cc -M -xc - | grep -oE '/[^ ]*/asm/unistd\.h' | head -n 1)
host=${host%/asm/unistd.h}
directory() { if [ "$1" = "$(uname -m)" ]; then echo "$host"; else echo "/usr/$2/include"; fi; }
arch x86_64 x86_64-linux-gnu "$(directory x86_64 x86_64-linux-gnu)" 0xC000003E
arch arm arm-linux-gnueabihf "$(directory arm arm-linux-gnueabihf)" 0x40000028
arch arm64 aarch64-linux-gnu "$(directory aarch64 aarch64-linux-gnu)" 0xC00000B7
arch riscv64 riscv64-linux-gnu "$(directory riscv64 riscv64-linux-gnu)" 0xC00000F3
exit $bad
