#!/usr/bin/env bash
# Needs the host's network.
# Real kernels in QEMU (emulated, never KVM): cgroup v2 alone, v1 alone, no memory controller, and an old kernel (5.10, when the
# package mirror has it); and a root that stays in memory (tests/qemu/memory.sh). In each but the last: unit tests that ask the kernel, the OCI command line, and the whole agent with a signed manifest
# from a file and images from a directory. What runs inside is tests/qemu/guest.sh; here its verdicts are counted.
#   MODES="v2 v1" tests/sys/qemu_v2.sh        only these
. "${SOURCE:?}/tests/sys/lib.sh"
. "${SOURCE:?}/tests/qemu/kernel.sh"
export PATH=$PATH:/usr/sbin:/sbin
lib_need qemu-system-x86_64 depmod mkfs.ext4 cpio umoci mosquitto jq busybox nft
[ "$(uname -m)" = x86_64 ] || lib_skip "the kernels are for x86-64"
lib_begin qemu_v2
CACHE=$BUILD/qemu
BOOT_S=${BOOT_S:-700} # a boot with all its tests takes 25 s on an idle core, and many times as long beside other tests
mkdir -p "$CACHE"

# --- the root file system, one for all
R=$T/root
fleet() { # signed documents, made with a real fleet
	local v
	init_fleet gw
	start_broker
	umoci init --layout "$T/layout" >>"$T/log/images" 2>&1
	for v in web hog; do
		umoci new --image "$T/layout:$v" >>"$T/log/images" 2>&1
		umoci unpack --image "$T/layout:$v" "$T/bundle-$v" >>"$T/log/images" 2>&1
		image_root "$T/bundle-$v/rootfs"
		echo hello >"$T/bundle-$v/rootfs/srv/index.html"
		cp "$SOURCE/tests/qemu/$v" "$T/bundle-$v/rootfs/bin/app"
		umoci repack --image "$T/layout:$v" "$T/bundle-$v" >>"$T/log/images" 2>&1
		umoci config --image "$T/layout:$v" --config.entrypoint /bin/app >>"$T/log/images" 2>&1
		rm -rf "$T/bundle-$v"
		fleetctl publish "dir:$T/layout:$v" --name $v --version 1 --source dir:/layout >>"$T/log/publish" 2>&1 || die "publish: $(cat "$T/log/publish")"
	done
	for v in 1 2; do
		fleetctl apply -f "$SOURCE/tests/qemu/manifest-$v.json" -d gw >"$T/log/apply" 2>&1 || die "apply: $(cat "$T/log/apply")"
		mqtt_sub operator -t limpet1/demo/d/gw/desired -C 1 -W 60 >"$T/desired-$v.json" || die "no signed document"
	done
}

put() { # FOLDER PROGRAM...: the libraries that they need
	local lib to=$1; shift
	for lib in $(ldd "$@" 2>/dev/null | grep -oE '/[^ :]+ \(' | cut -d' ' -f1 | sort -u); do
		[ -e "$to$lib" ] || install -D -m 0755 "$lib" "$to$lib"
	done
}

make_root() {
	local a p
	mkdir -p "$R"/{bin,proc,sys,dev,run,tmp,etc/limpet,usr/sbin,limpet/bin,sys/fs/cgroup,var/lib,bundle/rootfs}
	install -m 0755 "$(command -v busybox)" "$R/bin/busybox"
	for a in $(busybox --list); do [ "$a" = busybox ] || ln -sf busybox "$R/bin/$a"; done
	for p in limpet agentd agentd-core agentd-fetch agentd-untar agentd-unpack agentd-link agentctl unit_{sys,cgroup,platform,ops_filter,box}; do
		strip -g -o "$R/limpet/bin/$p" "$BUILD/bin/$p"
	done
	put "$R" "$R"/limpet/bin/* "$(command -v nft)"
	install -m 0755 "$(command -v nft)" "$R/usr/sbin/nft"
	install -m 0755 "$SOURCE/tests/qemu/guest.sh" "$R/bin/guest"
	printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$R/etc/passwd"
	echo '127.0.0.1 localhost' >"$R/etc/hosts"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$R/etc/group"
	cp "$FLEETCTL_DIR"/devices/gw/* "$R/etc/limpet/"
	cp "$T"/desired-[12].json "$R/etc/limpet/"
	cp -a "$T/layout" "$R/layout"
	image_root "$R/bundle/rootfs"
	for a in ip sed; do ln -s busybox "$R/bundle/rootfs/bin/$a"; done
	bundles
	mkfs.ext4 -q -F -b 4096 -O verity -d "$R" "$T/root.img" 192M >"$T/log/mkfs" 2>&1 || die "mkfs: $(cat "$T/log/mkfs")"
}

USERNS='.linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": 7000, "size": 99}] | .linux.gidMappings = .linux.uidMappings'
# Each a config.json: NAME, arguments, resources, and more for jq. 4242 stands for the major number of the disk.
bundle() {
	jq --argjson a "$2" --argjson r "$3" ".process.args=\$a | .process.terminal=false | .linux.resources=\$r${4:+ | $4}" \
		"$T/spec/config.json" >"$R/bundle/$1.json"
}
bundles() {
	local fork='["sh","-c","for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.3 & done; wait"]'
	mkdir -p "$T/spec"
	"$BUILD/bin/limpet" spec -b "$T/spec"
	bundle true '["true"]' '{}'
	bundle hog '["dd","if=/dev/zero","of=/dev/null","bs=64M","count=1"]' '{"memory": {"limit": 16777216, "swap": 16777216}}'
	bundle fork "$fork" '{"pids": {"limit": 8}}'
	bundle free "$fork" '{}'
	bundle bomb '["sh","-c","b() { b | b & }; b; sleep 77"]' '{"pids": {"limit": 40}}'
	bundle view '["sh","-c","cd /sys/fs/cgroup; if [ -e cgroup.procs ]; then cat memory.max; else echo $(ls | wc -l) entries,; fi | tr \"\\n\" \" \"; (echo 1 >pids.max) 2>/dev/null || echo refused"]' \
		'{"memory": {"limit": 16777216}}'
	jq '.mounts |= map(select(.type != "cgroup")) | .mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "rw"]}]' \
		"$R/bundle/view.json" >"$T/view.json"
	cp "$T/view.json" "$R/bundle/view.json"
	local disk='.linux.devices=[{"type": "b", "path": "/dev/probe", "major": 4242, "minor": 0, "fileMode": 438}]'
	local try='["sh","-c","(: </dev/probe) 2>/dev/null; echo probe $?; (: </dev/zero) && echo zero"]'
	bundle diskno "$try" '{"devices": [{"allow": false, "access": "rwm"}]}' "$disk"
	bundle diskyes "$try" '{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "major": 4242, "minor": 0, "access": "r"}]}' "$disk"
	bundle every '["sleep","77"]' '{"memory": {"limit": 33554432, "swap": 67108864, "reservation": 1048576},
		"cpu": {"shares": 1024, "quota": 50000, "period": 200000, "cpus": "0", "mems": "0"}, "pids": {"limit": 20},
		"blockIO": {"throttleReadBpsDevice": [{"major": 4242, "minor": 0, "rate": 1048576}]}}'
	bundle unified '["sleep","77"]' '{"unified": {"memory.high": "20971520", "pids.max": "9"}}'
	bundle wrong '["sleep","77"]' '{"unified": {"pids.nothing": "9"}}'
	bundle card '["sh","-c","ip addr show dev wan0 | sed -n \"s/.*inet \\([^ ]*\\).*/\\1/p\"; ls /sys/class/net"]' '{}' '.linux.netDevices = {"eth0": {"name": "wan0"}}'
	bundle user '["sh","-c","read a b c </proc/self/uid_map; echo $a $b $c"]' '{}' "$USERNS"
	bundle cpu '["sleep","77"]' '{"cpu": {"quota": 50000, "period": 200000, "shares": 1000}, "memory": {"limit": 16777216}, "pids": {"limit": 16}}'
}

# --- a kernel's initramfs: disk and network drivers, in order, then over to the root
make_initramfs() { # TREE NAME
	local i=$T/initramfs-$2
	mkdir "$i"
	cat >"$i/init" <<-'END'
		#!/bin/busybox sh
		/bin/busybox mount -t devtmpfs dev /dev
		for m in /*.ko*; do /bin/busybox insmod $m || echo "@@ FAIL insmod $m"; done
		/bin/busybox mount -t ext4 /dev/vda /new || echo "@@ FAIL mount root"
		/bin/busybox mount --move /dev /new/dev
		exec /bin/busybox switch_root /new /bin/guest
	END
	chmod 0755 "$i/init"
	kernel_initramfs "$1" "$i" virtio_pci virtio_blk virtio_net veth bridge nft_chain_nat nft_nat nft_masq nft_fib_ipv4 nft_ct
}

# Another one that is the whole system, and stays its root.
make_memory() {
	local i=$T/initramfs-memory
	mkdir -p "$i"/{bin,bundle}
	cp "$(command -v busybox)" "$i/bin/busybox"
	strip -g -o "$i/bin/limpet" "$BUILD/bin/limpet"
	put "$i" "$i/bin/limpet"
	install -m 0755 "$SOURCE/tests/qemu/memory.sh" "$i/memory"
	image_root "$i/bundle/rootfs"
	local see='["sh","-c","l() { ls $1 | tr \"\\n\" \" \"; echo; }; l /; l /../..; l /proc/1/root/; grep -c \" /host \" /proc/self/mountinfo; grep -c \" /proc \" /proc/self/mountinfo; (: >/x) 2>/dev/null || echo refused"]'
	R=$i bundle see "$see" '{}' '.root.readonly = true'
	R=$i bundle user '["sh","-c","read a b c </proc/self/uid_map; echo $a $b $c; ls /"]' '{}' "$USERNS"
	R=$i bundle sleep '["sleep","77"]' '{}'
	(cd "$i" && find . | cpio -o -H newc --quiet | gzip -1) >"$T/initramfs-memory.gz"
}

boot() { # MODE KERNEL-LINE TREE NAME, in the background; no_timer_check: on a busy machine the emulated timer looks broken
	TMPDIR=$T lib_run "qemu-$1" timeout -k 5 "$BOOT_S" qemu-system-x86_64 -M q35 -accel tcg -cpu max -m 256 -smp 1 -nographic -no-reboot \
		-nodefaults -serial stdio -kernel "$3"/boot/vmlinuz-* -initrd "$T/initramfs-$4.gz" \
		-drive "file=$T/root.img,format=raw,if=virtio,snapshot=on" -device virtio-net-pci -append "console=ttyS0 panic=-1 quiet no_timer_check $2 limpet.mode=$1" </dev/null
	PID_OF[$1]=$LIB_PID
}

verdict() { # MODE: its log counts
	local log=$T/log/qemu-$1 good line
	wait "${PID_OF[$1]}" || true
	tr -d '\r' <"$log" >"$log.txt" && mv "$log.txt" "$log"
	grep -a '^@@ note' "$log" | sed "s/^@@ note/     $1:/" || true
	[ -z "${VERBOSE:-}" ] || grep -a '^@@ ok' "$log" | sed "s/^@@ ok/     $1:/"
	while read -r line; do fail "$1: ${line#@@ FAIL }"; done < <(grep -a '^@@ FAIL' "$log")
	good=$(grep -ac '^@@ ok' "$log" || true)
	if grep -aq "^@@ end $1" "$log"; then ok "$1: came to its end$(sed -n 's/^@@ end [a-z0-9]*//p' "$log"), $good good verdicts"
	else fail "$1: did not come to its end: $(tail -n 15 "$log")"; fi
	[ "$good" -ge "${LEAST[$1]:-25}" ] || fail "$1: only $good verdicts"
}

OWN=$(kernel_get "" "$CACHE/kernel-own")
OLD=$(kernel_get bullseye "$CACHE/kernel-bullseye")
[ -n "$OWN" ] || lib_skip "no kernel package to be had"
fleet
make_root
make_initramfs "$OWN" own
make_memory
[ -z "$OLD" ] || make_initramfs "$OLD" old

declare -A PID_OF=() LEAST=([memory]=12)
MODES=${MODES:-v2 v1 nomem memory old}
[ -n "$OLD" ] || { MODES=${MODES/old/}; lib_say "note: no 5.10 kernel to be had here, its boot is left out"; }
line_of() {
	case $1 in
	v2) echo "cgroup_no_v1=all" ;;
	v1) echo "" ;;
	nomem) echo "cgroup_no_v1=all cgroup_disable=memory psi=0" ;;
	old) echo "cgroup_no_v1=all" ;;
	memory) echo "rdinit=/memory" ;;
	esac
}
before=
for m in $MODES; do # two at a time: an emulated processor each
	case $m in
	old) boot old "$(line_of old)" "$OLD" old ;;
	memory) boot memory "$(line_of memory)" "$OWN" memory ;;
	*) boot "$m" "$(line_of "$m")" "$OWN" own ;;
	esac
	[ -z "$before" ] || verdict "$before"
	before=$m
done
[ -z "$before" ] || verdict "$before"
