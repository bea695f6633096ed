#!/usr/bin/env bash
# Needs the host's network.
# tests/sys/ota_power.sh on f2fs, in a guest of Debian's generic kernel, which has f2fs (its cloud kernels and many hosts have not). Fleet, images
# and registry are made out here and carried on with in there. With KVM, where that works, every prefix and 500 random subsets; emulated, which is
# many times slower, a part of them: OTA_POWER_STEP and OTA_POWER_RANDOM say which.
. "${SOURCE:?}/tests/sys/lib.sh"
. "${SOURCE:?}/tests/qemu/kernel.sh"
. "${SOURCE:?}/tests/qemu/tree.sh"
export PATH=$PATH:/usr/sbin:/sbin
lib_need qemu-system-x86_64 depmod cpio busybox mkfs.f2fs mosquitto docker-registry umoci skopeo jq python3 qemu-storage-daemon
[ "$(uname -m)" = x86_64 ] || lib_skip "the kernel is for x86-64"
lib_begin ota_power_f2fs
mkdir -p "$BUILD/qemu"
MODULES=(f2fs ext4 loop fuse veth bridge)
KERNEL=$(kernel_get "" "$BUILD/qemu/kernel-generic" linux-image-amd64 "${TREE_MODULES[@]}" "${MODULES[@]}")
[ -n "$KERNEL" ] || lib_skip "no kernel package to be had"
tree_prepare "$KERNEL" "${MODULES[@]}"

DEV=power
start_fleet $DEV
for v in 1 2 3; do fleetctl publish "$REG/demo/web:$v" --version $v >>"$T/log/publish" 2>&1; done
lib_stop "$BROKER_PID"
lib_stop "$REG_PID"
printf '%s=%s\n' T "$T" DEV "$DEV" BROKER_PORT "$BROKER_PORT" REG_PORT "$REG_PORT" >"$T/made"

STEP=${OTA_POWER_STEP:-1} RANDOM_POINTS=${OTA_POWER_RANDOM:-500}
[ $ACCEL = kvm ] || STEP=${OTA_POWER_STEP:-10} RANDOM_POINTS=${OTA_POWER_RANDOM:-60}
{
	echo '#!/bin/sh'
	printf 'export %s=%s\n' LIMPET_ALONE 1 SOURCE "$SOURCE" BUILD "$BUILD" FS f2fs OTA_POWER_MADE "$T/made" OTA_POWER_STEP "$STEP" OTA_POWER_RANDOM "$RANDOM_POINTS" \
		OTA_POWER_SEED "${OTA_POWER_SEED:-7}"
	echo "exec '$SOURCE/tests/sys/ota_power.sh'"
} >"$T/in-guest"
chmod 0755 "$T/in-guest"
lib_say "with $ACCEL: one of $STEP prefixes and $RANDOM_POINTS random subsets are tried"
check "power cuts on f2fs, $(basename "$KERNEL"/lib/modules/*)" tree_run f2fs "$T/in-guest"
