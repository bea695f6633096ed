# tree.sh - a guest that has this machine's files: its root is the host's by 9p, read-only, below an overlay in memory, so that a script of the
# tree runs in it as it is, on a kernel that can more than the host's. To be sourced after lib.sh and kernel.sh:
#   tree_prepare TREE MODULE...     TREE: from kernel_get; TREE_MODULES must be among its modules
#   tree_run NAME SCRIPT            as root of the guest, in a directory of the same name; prints what it prints and ends with its status
# ACCEL: kvm where a guest of this kernel comes up with it, else tcg (emulated, many times slower). tests/qemu/tree_init.sh is process 1.
TREE_MODULES=(virtio_pci 9pnet_virtio 9p overlay)
TREE_S=${TREE_S:-1500} # a guest that takes longer is ended

tree_prepare() {
	local i=$T/initramfs-tree
	TREE=$1
	shift
	mkdir "$i"
	install -m 0755 "$SOURCE/tests/qemu/tree_init.sh" "$i/init"
	mkdir "$i"/{low,mem}
	kernel_initramfs "$TREE" "$i" "${TREE_MODULES[@]}" "$@"
	printf '#!/bin/sh\nexit 0\n' >"$T/nothing"
	chmod 0755 "$T/nothing"
	ACCEL=kvm
	if ! { [ -w /dev/kvm ] && TREE_S=60 tree_run kvm "$T/nothing" >/dev/null; }; then ACCEL=tcg; fi
}

tree_run() { # NAME SCRIPT
	local log=$T/log/tree-$1 accel=tcg,thread=multi,tb-size=256
	[ $ACCEL = tcg ] || accel=$ACCEL
	# from mitigations on: what makes an emulated guest slower and changes nothing here
	ulimit -c 0
	TMPDIR=$T lib_run "tree-$1" timeout -k 5 "$TREE_S" qemu-system-x86_64 -M q35 -accel "$accel" -cpu max -m 2048 -smp 2 -nographic -no-reboot \
		-nodefaults -serial stdio -kernel "$TREE"/boot/vmlinuz-* -initrd "$T/initramfs-tree.gz" \
		-fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=host,mount_tag=host \
		-append "console=ttyS0 panic=-1 quiet no_timer_check cgroup_no_v1=all tree.script=$2 mitigations=off init_on_alloc=0 nokaslr tsc=reliable" </dev/null
	wait "$LIB_PID" 2>/dev/null || true
	tr -d '\r' <"$log" >"$log.txt" && mv "$log.txt" "$log"
	sed -n '/^@@ begin/,/^@@ end/p' "$log"
	grep -aE 'BUG:|WARNING:|Oops:' "$log" | head -n 5
	if ! grep -aq '^@@ end' "$log"; then
		printf 'the guest did not come to its end: %s\n' "$(tail -n 15 "$log")"
		return 1
	fi
	return "$(sed -n 's/^@@ end \([0-9]*\).*/\1/p' "$log")"
}
