#!/bin/sh
# seccomp_gen.sh LIST OUTPUT COMPILER [FLAGS...] - the filter of seccomp.list as C initialisers of struct sock_filter.
# The numbers are those of the compiler's target. The number of a call is found by halving a sorted list of ranges: some
# 10 comparisons instead of 350. Any name that cannot be read, or that the target should have and has not, is an error.
set -eu
list=$1
output=$2
shift 2
numbers=$(mktemp)
trap 'rm -f "$numbers"' EXIT
{
    echo '#include <asm/unistd.h>'
    # 32-bit ARM has a few calls of its own under other names; its libc cannot start a thread without set_tls
    for name in breakpoint cacheflush usr26 usr32 set_tls get_tls; do
        printf '#ifdef __ARM_NR_%s\n#define __NR_%s __ARM_NR_%s\n#endif\n' $name $name $name
    done
    awk '/^#/ || NF == 0 { next }
         NF != 2 || $1 !~ /^(allow|deny|check)$/ || $2 !~ /^[?]?[a-z0-9_]+$/ {
             print "seccomp.list:" NR ": cannot read: " $0 > "/dev/stderr"; exit 1 }
         { opt = sub(/^[?]/, "", $2)
           print "LIMPET_CALL " $1 " " opt " \"" $2 "\" (__NR_" $2 ")" }' "$list"
} >"$numbers.c"
trap 'rm -f "$numbers" "$numbers.c"' EXIT
"$@" -E -P "$numbers.c" >"$numbers"
awk '
function die(text) { print "seccomp_gen: " text > "/dev/stderr"; bad = 1; exit 1 }
function value(text,   parts, n, i, v) { # "(0 + 12)" or "(12)"
    gsub(/[()[:space:]]/, "", text)
    n = split(text, parts, "+")
    for (i = v = 0; i < n; i++) {
        if (parts[i + 1] !~ /^(0x[0-9a-fA-F]+|[0-9]+)$/) return -1
        v += hex(parts[i + 1])
    }
    return v
}
function hex(t,   v, i) {
    if (t !~ /^0x/) return t + 0
    for (i = 3; i <= length(t); i++) v = v * 16 + index("0123456789abcdef", tolower(substr(t, i, 1))) - 1
    return v
}
$1 == "LIMPET_CALL" {
    name = $4; gsub(/"/, "", name)
    expr = ""
    for (i = 5; i <= NF; i++) expr = expr $i
    nr = value(expr)
    if (nr < 0) {
        if ($3 == 0) die(name ": this target has no such system call")
        next
    }
    act = ($2 == "check") ? "check_" name : $2
    if (nr in action && action[nr] != act) die(name ": " act " and " action[nr])
    action[nr] = act
    order[++calls] = nr
}
function ret(what) { return "BPF_STMT(BPF_RET | BPF_K, " what ")" }
function emit(line) { code[len++] = line }
function arg(i) { emit("BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(" i "))") }
function leaf(act) {
    if (act == "allow") emit(ret("ALLOW"))
    else if (act == "deny") emit(ret("ERRNO(EPERM)"))
    else if (act == "none") emit(ret("ERRNO(ENOSYS)"))
    else if (act == "check_clone") { # threads and forks, no namespaces
        arg(0)
        emit("BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1)"); emit(ret("ERRNO(EPERM)")); emit(ret("ALLOW"))
    } else if (act == "check_socket") { # unix, inet, inet6, netlink (which libc reads addresses with)
        arg(0)
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 4, 0)")
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 3, 0)")
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 2, 0)")
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 1, 0)")
        emit(ret("ERRNO(EAFNOSUPPORT)")); emit(ret("ALLOW"))
    } else if (act == "check_personality") { # linux, linux32, without address randomisation, ask
        arg(0)
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0, 4, 0)")
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x8, 3, 0)")
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x20000, 2, 0)")
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 1, 0)")
        emit(ret("ERRNO(EPERM)")); emit(ret("ALLOW"))
    } else if (act == "check_ioctl") { # typing into a terminal, TIOCLINUX
        arg(1)
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x5412, 1, 0)")
        emit("BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x541C, 0, 1)")
        emit(ret("ERRNO(EPERM)")); emit(ret("ALLOW"))
    } else die("no code for " act)
}
# Ranges lo..hi by halving. The left half follows at once; a far right half is reached through a long jump.
function tree(lo, hi,   mid, at) {
    if (lo == hi) { leaf(what[lo]); return }
    mid = int((lo + hi + 1) / 2)
    at = len
    emit(""); emit("")
    tree(lo, mid - 1)
    code[at] = "BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, " from[mid] ", 0, 1)"
    code[at + 1] = "BPF_STMT(BPF_JMP | BPF_JA, " len - at - 2 ")"
    tree(mid, hi)
}
END {
    if (bad) exit 1
    if (calls < 200) die("only " calls " calls: is this the right header?")
    max = -1
    for (nr in action) if (nr + 0 > max) max = nr + 0
    n = 0; last = ""
    # ARM has a second block of numbers far above the first: walk only numbers that are there and the gaps
    count = 0
    for (nr in action) sorted[count++] = nr + 0
    for (i = 1; i < count; i++) { # insertion sort: awk has none
        v = sorted[i]
        for (j = i - 1; j >= 0 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    expect = 0
    for (i = 0; i < count; i++) {
        nr = sorted[i]
        if (nr != expect && last != "none") { from[n] = expect; what[n++] = "none"; last = "none" }
        if (action[nr] != last) { from[n] = nr; what[n++] = action[nr]; last = action[nr] }
        expect = nr + 1
    }
    from[n] = expect; what[n++] = "none"
    len = 0
    tree(0, n - 1)
    print "/* " calls " calls in " n " ranges; made by seccomp_gen.sh */"
    for (i = 0; i < len; i++) print code[i] ","
}' "$numbers" >"$output.new" || { rm -f "$output.new"; exit 1; }
mv "$output.new" "$output"
