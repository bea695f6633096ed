#!/usr/bin/env bash
# The same sources for boards: unit tests, plans and the fuzz corpus as 64-bit ARM, ARMv7, ARMv6 and RISC-V programs under qemu-user: 32-bit
# longs and pointers, unsigned char, alignment. Warnings are errors on each. Memory and containers are for real kernels, not for this.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need cmake ninja make qemu-aarch64 qemu-arm qemu-riscv64
for t in aarch64-linux-gnu arm-linux-gnueabihf arm-linux-gnueabi riscv64-linux-gnu; do
	command -v $t-gcc >/dev/null || lib_skip "no $t-gcc"
done
lib_begin cross
# The first two need containers and cgroups, which qemu-user cannot give them; the third limpet-seccomp, which the tiny build leaves out.
NOT_HERE='^unit\.(box|cgroup|seccomp_cache)$'
one() { # ARCHITECTURE QEMU
	local b=$T/$1 rc=0
	cmake -S "$SOURCE" -B "$b" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$SOURCE/boards/cmake/$1.cmake" -DLIMPET_TINY=ON -DWERROR=ON -DBUILD_TESTING=ON \
		-DCMAKE_CROSSCOMPILING_EMULATOR="$(command -v "$2")" >"$T/log/$1" 2>&1 && ninja -C "$b" -j2 >>"$T/log/$1" 2>&1 || rc=$?
	[ $rc = 0 ] || { fail "$1: it does not build: $(grep -E 'error|warning|FAILED' -A3 "$T/log/$1" | head -n 12)"; return 0; }
	ok "$1 builds without a warning"
	check "$1: unit tests and fuzz corpus" ctest --test-dir "$b" -L unit -E "$NOT_HERE" -j2 --output-on-failure --no-tests=error
	mkdir "$b/by-qemu" "$b/by-qemu/bin"
	printf '#!/bin/sh\nexec %s %s/bin/plan_case "$@"\n' "$2" "$b" >"$b/by-qemu/bin/plan_case"
	chmod +x "$b/by-qemu/bin/plan_case"
	check "$1: plans" env BUILD="$b/by-qemu" "$SOURCE/tests/plan/cases.sh"
	rm -rf "$b"
}
one arm64 qemu-aarch64
one armhf qemu-arm
one armel qemu-arm
one riscv64 qemu-riscv64
