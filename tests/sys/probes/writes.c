/* writes.c - files of the kernel that act on the whole machine, control groups and devices. Files are opened
 * for writing, never written; a device node that opens is told and closed. See inside.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "inside.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const upcalls[] = {
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/core_pipe_limit",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/kernel/usermodehelper/inheritable",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/printk",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/threads-max",
    "/proc/sys/kernel/kexec_load_disabled",
    "/proc/sys/kernel/modules_disabled",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/domainname",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/fs/binfmt_misc/status",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/fs/protected_symlinks",
    "/proc/sys/fs/file-max",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/mmap_min_addr",
    "/proc/sys/net/core/bpf_jit_enable",
    "/proc/sysrq-trigger",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/latency_stats",
    "/proc/mtrr",
    "/proc/irq/default_smp_affinity",
    "/proc/bus/pci/00/00.0",
    "/proc/acpi/wakeup",
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
    "/sys/kernel/debug/tracing/trace",
    "/sys/kernel/mm/ksm/run",
    "/sys/firmware/efi/vars",
};

/* A mask is the null device: what opens there is nothing. */
static bool is_null(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

static bool opens(const char *path, int flags)
{
    int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool real = fd >= 0 && !is_null(fd);

    if (fd >= 0)
        (void)close(fd);
    return real;
}

int inside_writes(char **argv)
{
    unsigned there = 0;

    (void)argv;
    for (size_t i = 0; i < COUNT(upcalls); i++) {
        there += access(upcalls[i], F_OK) == 0;
        if (opens(upcalls[i], O_WRONLY))
            printf("ESCAPE %s can be opened for writing\n", upcalls[i]);
    }
    if (opens("/proc/kcore", O_RDONLY) || opens("/proc/keys", O_RDONLY) ||
        opens("/proc/timer_list", O_RDONLY))
        printf("ESCAPE a masked file can be read\n");
    printf("note %zu paths, %u there\nend\n", COUNT(upcalls), there);
    return 0;
}

static unsigned n_seen, n_open;

static int look(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)f;
    if (type != FTW_F || !(st->st_mode & 0222))
        return 0;
    n_seen++;
    if (opens(path, O_WRONLY) && n_open++ < 3)
        printf("ESCAPE %s can be opened for writing\n", path);
    return 0;
}

int inside_sys(char **argv)
{
    struct statfs fs;
    int made;

    (void)argv;
    (void)nftw("/sys", look, 32, FTW_PHYS);
    /* a tmpfs there is the container's own */
    made = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type != TMPFS_MAGIC
               ? mkdir("/sys/fs/cgroup/limpet-probe", 0755)
               : -1;
    if (made == 0 || mkdir("/sys/kernel/config/limpet-probe", 0755) == 0)
        printf("ESCAPE a directory was made below /sys\n");
    if (made == 0)
        (void)rmdir("/sys/fs/cgroup/limpet-probe");
    printf("note %u writable files below /sys, %u opened\nend\n", n_seen, n_open);
    return 0;
}

static int look_group(const char *path, const struct stat *st, int type, struct FTW *f)
{
    static const char *const files[] = {
        "release_agent",         "notify_on_release", "cgroup.procs",          "tasks",
        "devices.allow",         "memory.max",        "memory.limit_in_bytes", "pids.max",
        "cgroup.subtree_control"};

    (void)st;
    for (size_t i = 0; type == FTW_F && i < COUNT(files); i++)
        if (strcmp(path + f->base, files[i]) == 0 && opens(path, O_WRONLY) && n_open++ < 3)
            printf("ESCAPE %s can be opened for writing\n", path);
    return 0;
}

int inside_cgroup(char **argv)
{
    static const char *const types[][2] = {
        {"cgroup2", ""}, {"cgroup", "memory"}, {"cgroup", "devices"}, {"cgroup", "none,name=limpet-probe"}};

    (void)argv;
    (void)mkdir("/tmp/cg", 0755);
    for (size_t i = 0; i < COUNT(types); i++)
        if (mount("none", "/tmp/cg", types[i][0], 0, types[i][1]) == 0) {
            printf("ESCAPE %s %s was mounted\n", types[i][0], types[i][1]);
            (void)umount2("/tmp/cg", MNT_DETACH);
        }
    (void)nftw("/sys/fs/cgroup", look_group, 32, FTW_PHYS);
    printf("end\n");
    return 0;
}

/* Nodes made under /tmp, and those of /dev, by number (tun and the console are left out, some runtimes give
 * them): memory, ports, disks, loop-control, fuse, kvm ... */
int inside_devices(char **argv)
{
    static const struct {
        const char *name;
        mode_t type;
        unsigned major, minor;
    } nodes[] = {
        {"mem", S_IFCHR, 1, 1},     {"kmem", S_IFCHR, 1, 2},        {"port", S_IFCHR, 1, 4},
        {"kmsg", S_IFCHR, 1, 11},   {"tty1", S_IFCHR, 4, 1},        {"loop-control", S_IFCHR, 10, 237},
        {"fuse", S_IFCHR, 10, 229}, {"kvm", S_IFCHR, 10, 232},      {"vda", S_IFBLK, 254, 0},
        {"sda", S_IFBLK, 8, 0},     {"mmcblk0", S_IFBLK, 179, 0},   {"loop0", S_IFBLK, 7, 0},
        {"ram0", S_IFBLK, 1, 0},    {"nvme", S_IFBLK, 259, 0},      {"mtd0", S_IFCHR, 90, 0},
        {"i2c", S_IFCHR, 89, 0},    {"watchdog", S_IFCHR, 10, 130}, {"dri", S_IFCHR, 226, 0}};
    char path[64];
    unsigned made = 0;

    (void)argv;
    for (size_t i = 0; i < COUNT(nodes); i++) {
        (void)snprintf(path, sizeof path, "/tmp/node-%s", nodes[i].name);
        if (mknod(path, nodes[i].type | 0600, makedev(nodes[i].major, nodes[i].minor)) != 0)
            continue;
        made++;
        /* ENXIO, ENODEV: the rules let us pass and only the hardware is not there */
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0 || errno == ENXIO || errno == ENODEV || errno == ENOMEDIUM || errno == EBUSY)
            printf("ESCAPE device %s %u:%u %s\n", nodes[i].name, nodes[i].major, nodes[i].minor,
                   fd >= 0 ? "opened" : strerrorname_(errno));
        if (fd >= 0)
            (void)close(fd);
        (void)unlink(path);
    }
    if (!opens("/dev/zero", O_RDONLY))
        printf("control: /dev/zero does not open\n");
    printf("note %zu nodes, %u could be made\nend\n", COUNT(nodes), made);
    return 0;
}
