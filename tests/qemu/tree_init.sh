#!/bin/busybox sh
# tree_init.sh - process 1 of a guest of tests/qemu/tree.sh: from the initramfs over to the host's files, then the script that the kernel line
# names. On the serial line: "@@ begin", what the script prints, "@@ end STATUS".
b=/bin/busybox
if [ -e /low ]; then # first, in the initramfs
	$b mount -t devtmpfs dev /dev
	for m in /*.ko*; do $b insmod "$m" || echo "insmod $m failed"; done
	$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=524288 host /low || echo "no files of the host"
	$b mount -t tmpfs -o mode=0755 tmpfs /mem
	$b mkdir /mem/upper /mem/work
	$b mount -t overlay -o lowerdir=/low,upperdir=/mem/upper,workdir=/mem/work overlay /new || echo "no overlay"
	$b mount --move /dev /new/dev
	$b cp /init /new/run/init
	exec $b switch_root /new /bin/bash /run/init
fi
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
SCRIPT=$(sed 's/.*tree\.script=\([^ ]*\).*/\1/' /proc/cmdline)
exec >/dev/console 2>&1 </dev/null
echo # after what the firmware wrote
echo "@@ begin $(uname -r) after $(cut -d' ' -f1 /proc/uptime) s"
"$SCRIPT"
echo "@@ end $? after $(cut -d' ' -f1 /proc/uptime) s"
sync
/bin/busybox poweroff -f
