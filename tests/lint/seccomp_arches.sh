#!/usr/bin/env bash
# The default filter for each architecture that Limpet is built for, made with the kernel headers of that architecture: how many calls it
# knows, and that for every number it says what seccomp.list says of the call that has it there.
set -euo pipefail
cd "$SOURCE"
W=$(mktemp -d "${TMPDIR:-/tmp}/limpet-arches.XXXXXX")
trap 'rm -rf "$W"' EXIT
bad=0

cat >"$W/judge.c" <<'END'
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#define ALLOW      SECCOMP_RET_ALLOW
#define ERRNO(e)   (SECCOMP_RET_ERRNO | (e))
#define ARG_LOW(i) offsetof(struct seccomp_data, args[i])
#define NAMESPACES 0x7E020000
static const struct sock_filter code[] = {
#include INC
};
static unsigned judge(unsigned nr)
{
    unsigned a = nr; /* the number is loaded before; arguments are 0 */
    for (unsigned pc = 0; pc < sizeof code / sizeof *code; pc++) {
        const struct sock_filter *f = &code[pc];
        if (f->code == (BPF_LD | BPF_W | BPF_ABS)) a = 0;
        else if (f->code == (BPF_RET | BPF_K)) return f->k;
        else if (f->code == (BPF_JMP | BPF_JA)) pc += f->k;
        else if (f->code == (BPF_JMP | BPF_JEQ | BPF_K)) pc += a == f->k ? f->jt : f->jf;
        else if (f->code == (BPF_JMP | BPF_JGE | BPF_K)) pc += a >= f->k ? f->jt : f->jf;
        else if (f->code == (BPF_JMP | BPF_JSET | BPF_K)) pc += a & f->k ? f->jt : f->jf;
        else abort();
    }
    abort();
}
int main(void) /* stdin: "allow|deny|check NUMBER NAME"; every other number is unknown */
{
    static unsigned char want[0xf0010];
    char what[16], name[64];
    unsigned nr, bad = 0, n = 0;
    for (; scanf("%15s %u %63s", what, &nr, name) == 3; n++)
        if (nr < sizeof want) want[nr] = (unsigned char)what[0];
        else bad++;
    for (nr = 0; nr < sizeof want; nr++) {
        unsigned got = judge(nr);
        if (want[nr] == 'a' ? got != ALLOW : want[nr] == 'd' ? got != ERRNO(EPERM) : want[nr] == 0 ? got != ERRNO(ENOSYS) : 0) {
            if (bad++ < 5) printf("number %u: filter says 0x%x\n", nr, got);
        }
    }
    printf("%u calls, %zu instructions\n", n, sizeof code / sizeof *code);
    return bad || n < 200;
}
END

arch() { # NAME TARGET INCLUDE-FOLDER
	local name=$1 cc=(clang "--target=$2" -nostdinc -isystem "$3") what
	[ -e "$3/asm/unistd.h" ] || { echo "FAIL $name: no kernel headers in $3"; bad=1; return; }
	runtime/seccomp_gen.sh runtime/seccomp.list "$W/$name.inc" "${cc[@]}" || { bad=1; return; }
	{
		echo '#include <asm/unistd.h>'
		for what in breakpoint cacheflush set_tls get_tls; do printf '#ifdef __ARM_NR_%s\n#define __NR_%s __ARM_NR_%s\n#endif\n' $what $what $what; done
		awk '/^(allow|deny|check) / {sub(/^[?]/, "", $2); printf "#ifdef __NR_%s\nCALL %s (__NR_%s) \"%s\"\n#endif\n", $2, $1, $2, $2}' runtime/seccomp.list
	} >"$W/$name.c"
	"${cc[@]}" -E -P "$W/$name.c" | grep ^CALL | while read -r _ what expr; do
		echo "$what $((${expr%%\"*})) ${expr##*) }"
	done | tr -d '"' >"$W/$name.calls"
	cc -O1 "-DINC=\"$W/$name.inc\"" -o "$W/judge" "$W/judge.c"
	if "$W/judge" <"$W/$name.calls" >"$W/$name.out"; then echo "ok   $name: $(tail -n 1 "$W/$name.out")"; else echo "FAIL $name: $(cat "$W/$name.out")"; bad=1; fi
}
arch "$(uname -m)" "$(uname -m)-linux-gnu" "$(dirname "$(dirname "$(echo '#include <asm/unistd.h>' | cc -M -xc - | grep -oE '/[^ ]*/asm/unistd\.h' | head -n 1)")")"
[ "$(uname -m)" = x86_64 ] || arch x86_64 x86_64-linux-gnu /usr/x86_64-linux-gnu/include
arch arm arm-linux-gnueabihf /usr/arm-linux-gnueabihf/include
[ "$(uname -m)" = aarch64 ] || arch arm64 aarch64-linux-gnu /usr/aarch64-linux-gnu/include
arch riscv64 riscv64-linux-gnu /usr/riscv64-linux-gnu/include
exit $bad
