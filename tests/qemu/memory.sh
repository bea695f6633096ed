#!/bin/busybox sh
# memory.sh - process 1 of a guest whose root is the initramfs itself and never anything else: there pivot_root(2) really says EINVAL.
# Verdicts as in guest.sh.
export PATH=/bin TMPDIR=/tmp LC_ALL=C
/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
exec >/dev/console 2>&1 </dev/null
ok() { echo "@@ ok $1"; }
bad() { echo "@@ FAIL $1${2:+: $2}"; }
same() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "\"$2\", not \"$3\""; fi; }
run() { timeout 300 limpet run -b /bundle --config "$@" </dev/null >/tmp/out 2>&1; }
echo "@@ note $(uname -r), root: $(awk '$2 == "/" {print $3}' /proc/mounts)"
same "the root is in memory" "$(awk '$2 == "/" {print $3}' /proc/mounts)" rootfs
mkdir /pivot && mount -t tmpfs none /pivot && mkdir /pivot/old
pivot_root /pivot /pivot/old 2>/tmp/out
same "control: pivot_root says so" "$(grep -o 'Invalid argument' /tmp/out)" "Invalid argument"
umount /pivot
mkdir /host && mount -t tmpfs none /host
MOUNTS=$(grep -c . /proc/self/mountinfo)
run see.json see
same "runs" $? 0
same "sees its own tree" "$(sed -n 1p /tmp/out)" "bin dev etc proc srv sys tmp "
same "also from above it" "$(sed -n 2p /tmp/out)" "bin dev etc proc srv sys tmp "
same "and by way of process 1" "$(sed -n 3p /tmp/out)" "bin dev etc proc srv sys tmp "
same "no mount of the host is in sight" "$(sed -n 4p /tmp/out)" 0
same "a mount of its own is" "$(sed -n 5p /tmp/out)" 1
same "the rootfs is read-only" "$(sed -n 6p /tmp/out)" refused
run user.json user
same "with a user namespace" $? 0
same "as root of it, in its own tree" "$(tr '\n' ' ' </tmp/out)" "0 7000 99 bin dev etc proc srv sys tmp "
limpet run --detach -b /bundle --config sleep.json sleep </dev/null >/tmp/out 2>&1 || bad "run --detach" "$(cat /tmp/out)"
same "exec gets into the same tree" "$(limpet exec sleep ls / </dev/null 2>&1 | tr '\n' ' ')" "bin dev etc proc srv sys tmp "
limpet delete --force sleep || bad "delete"
same "nothing is left" "$(grep -c . /proc/self/mountinfo) $(find /sys/fs/cgroup -type d -path '*limpet*' | wc -l)" "$MOUNTS 0"
dmesg 2>/dev/null | grep -E 'BUG:|WARNING:|Oops:' | head -n 5 | sed 's/^/@@ FAIL kernel: /'
echo "@@ end memory ($(cut -d' ' -f1 /proc/uptime) s)"
poweroff -f
