#!/bin/bash
# limpet-init (runtime/box/init.c) by limpet run --init: reaps, passes signals on, ends as the program ends, needs no file of
# the image, stays below 20 KB, builds for each architecture, cannot be overwritten from inside.
. "${SOURCE:?}/tests/sys/lib.sh" || exit 1
[ "$(id -u)" = 0 ] || lib_skip "needs root"
[ -x /bin/busybox ] || lib_skip "needs busybox-static"
lib_begin runtime-init
limpet=$BUILD/bin/limpet
init=$BUILD/bin/limpet-init
limpet_end() { local rc=$?; set +e; "$limpet" --root "$T/state" list -q 2>/dev/null | while read -r id; do "$limpet" --root "$T/state" delete --force "$id"; done; (exit $rc); lib_end; }
trap limpet_end EXIT

fresh() { # ARGS AS JSON: a bundle with nothing but busybox
	rm -rf "$T/b"
	mkdir -p "$T/b/rootfs/bin" "$T/b/rootfs/tmp"
	cp /bin/busybox "$T/b/rootfs/bin/"
	mkdir -p "$T/b/rootfs"/{proc,sys,dev,out}
	"$limpet" spec -b "$T/b"
	jq --argjson a "$1" --arg out "$T/out" '.process.args = $a | .process.terminal = false
		| .mounts += [{destination: "/out", type: "bind", source: $out, options: ["rbind", "rw"]}]' "$T/b/config.json" >"$T/b/c"
	mv "$T/b/c" "$T/b/config.json"
	rm -rf "$T/out"
	mkdir "$T/out"
}
run() { timeout -k 1 120 "$limpet" --root "$T/state" run "$@" -b "$T/b" "i$$" </dev/null >"$T/log/run" 2>&1; }

size=$(stat -c %s "$init")
check "size: $size bytes, at most 20480" test "$size" -le 20480
check_not "needs no library and no interpreter" grep -qaE 'ld-linux|ld-musl|libc\.so' "$init"

fresh '["/bin/busybox","sh","-c","exit 7"]'
check_rc 7 "exit status" run --init
fresh '["/bin/busybox","sh","-c","kill -USR1 $$"]'
check_rc 138 "a program that a signal killed: 128 + its number" run --init
fresh '["/bin/busybox","sh","-c","echo $$ $0; /bin/busybox cat /proc/1/comm", "zero"]'
run --init || true
check "the program is process 2 and has its arguments, process 1 is limpet-init" test "$(tr '\n' ' ' <"$T/log/run")" = "2 zero limpet-init "
run || true
check "control: without --init it is process 1 itself" grep -q '^1 zero' "$T/log/run"
fresh '["/bin/nothing"]'
check_rc 127 "a program that is not there" run --init
check "by its name" grep -q '/bin/nothing' "$T/log/run"
fresh '["sh","-c","echo found"]'
ln -s busybox "$T/b/rootfs/bin/sh"
run --init || true
check "found in PATH" grep -q '^found$' "$T/log/run"

# Orphans: children of a shell that ended. A program that never waits, as process 1, keeps them.
orphans='for i in 1 2 3 4 5; do /bin/busybox sh -c "/bin/busybox sleep 0.2 & exec /bin/busybox true"; done; exec /bin/busybox sh -c "exec 3<>/tmp/f; /bin/busybox sleep 1; for p in /proc/[0-9]*; do while read -r k v r; do [ \"\$k\" = State: ] && echo \"\$v\"; done <\$p/status; done >/out/states"'
fresh "$(jq -n --arg s "$orphans" '["/bin/busybox","sh","-c",$s]')"
jq '.mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]' "$T/b/config.json" >"$T/b/c" && mv "$T/b/c" "$T/b/config.json"
run --init || true
check "orphans are reaped: no zombie" test "$(grep -c Z "$T/out/states")" = 0
check "control: states were seen" grep -q S "$T/out/states"
cat >"$T/keep.c" <<-'END'
	#include <unistd.h>
	int main(void) { if (fork() == 0) { if (fork() == 0) { usleep(200000); _exit(0); } _exit(0); } usleep(1200000);
	execl("/bin/busybox", "busybox", "sh", "-c", "for p in /proc/[0-9]*; do while read -r k v r; do [ \"$k\" = State: ] && echo \"$v\"; done <$p/status; done >/out/states", (char *)0); return 1; }
END
if ${CC:-cc} -static -o "$T/keep" "$T/keep.c" 2>"$T/log/cc"; then
	fresh '["/bin/keep"]'
	cp "$T/keep" "$T/b/rootfs/bin/keep"
	run || true
	check "control: a program that never waits keeps a zombie as process 1" grep -q Z "$T/out/states"
	run --init || true
	check "with --init only its own child waits for it" test "$(grep -c Z "$T/out/states")" = 1
fi

# Signals.
fresh '["/bin/busybox","sh","-c","for s in HUP USR1 USR2 TERM; do trap \"echo $s >>/out/got\" $s; done; trap \"exit 9\" INT; echo up >/out/up; while :; do /bin/busybox sleep 0.05; done"]'
"$limpet" --root "$T/state" run --init -d -b "$T/b" "i$$" </dev/null >"$T/log/run" 2>&1
lib_until 5 test -e "$T/out/up"
for s in HUP USR1 USR2 TERM; do
	"$limpet" --root "$T/state" kill "i$$" $s
	lib_until 5 grep -q $s "$T/out/got"
	check "signal $s arrives" grep -q $s "$T/out/got"
done
check "each once" test "$(sort "$T/out/got" | uniq -d | wc -l)" = 0
inside() { "$limpet" --root "$T/state" exec "i$$" /bin/busybox "$@"; }
inside kill -9 1 || true
check "KILL from inside does not end process 1" test "$("$limpet" --root "$T/state" state "i$$" | jq -r .status)" = running
before=$(sha256sum "$init")
inside sh -c 'echo broken >/proc/1/exe' 2>"$T/log/write" || true
check "the program cannot be written from inside" test "$(sha256sum "$init")" = "$before"
check "with this answer" grep -qE 'Read-only|Text file busy|Permission' "$T/log/write"
"$limpet" --root "$T/state" kill "i$$" INT
stopped() { [ "$("$limpet" --root "$T/state" state "i$$" | jq -r .status)" = stopped ]; }
lib_until 5 stopped
check "a signal that ends the program ends the container" stopped
"$limpet" --root "$T/state" delete "i$$"

# Other architectures: it must build; it is run where this machine can, as process 1 of a pid namespace, with programs of this machine.
emulated() { # TARGET
	local q=qemu-${1%%-*} pid
	q=$(command -v "$q-static" || command -v "$q") || { lib_say "     no qemu-${1%%-*}: not run"; return 0; }
	as_first() { local c=$1; shift; timeout 240 unshare -p -f --mount-proc "$q" "$T/init.$c" /bin/busybox sh -c "$@" </dev/null; }
	check_rc 7 "$1: exit status" as_first "$1" 'exit 7'
	check_rc 137 "$1: a program that a signal killed" as_first "$1" 'kill -KILL $$'
	rm -f "$T/out"/*
	as_first "$1" "$(sed "s#/out/#$T/out/#; s#/tmp/f#$T/out/f#" <<<"$orphans")" >"$T/log/orphans" 2>&1 || true
	check "$1: orphans are reaped: no zombie" test "$(grep -c Z "$T/out/states")" = 0
	check "$1: control: states were seen" grep -q S "$T/out/states"
	rm -f "$T/out"/*
	as_first "$1" "for s in HUP USR1 USR2 TERM; do trap \"echo \$s >>$T/out/got\" \$s; done; trap 'exit 9' INT; echo up >$T/out/up; while :; do /bin/busybox sleep 0.05; done" &
	LIB_PIDS+=("$!")
	lib_until 10 test -e "$T/out/up"
	pid=$(pgrep -f "^$q $T/init.$1 ")
	for s in HUP USR1 USR2 TERM; do
		kill -$s "$pid"
		lib_until 5 grep -q $s "$T/out/got" || true
	done
	check "$1: signals arrive, each once" test "$(tr '\n' ' ' <"$T/out/got")" = "HUP USR1 USR2 TERM "
	kill -INT "$pid"
	check_rc 9 "$1: it ends as the program ends" wait "${LIB_PIDS[-1]}"
}
if command -v clang >/dev/null && command -v ld.lld >/dev/null; then
	for t in x86_64-linux-gnu aarch64-linux-gnu arm-linux-gnueabihf riscv64-linux-gnu; do
		check "builds for $t" clang --target=$t -std=gnu11 -Wall -Wextra -Werror -Os -ffreestanding -nostdlib -static -fno-pie \
			-fno-stack-protector -fuse-ld=lld -Wl,-s -I"$SOURCE" -o "$T/init.$t" "$SOURCE/runtime/box/init.c"
		check "at most 20480 bytes for $t" test "$(stat -c %s "$T/init.$t")" -le 20480
		emulated "$t"
	done
fi
