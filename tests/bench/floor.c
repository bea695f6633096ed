/* floor.c - what a container costs at least: the namespaces, mounts, nodes, masks, capabilities and the one
 * group of the bundle that `crun spec` writes, and nothing else: nothing is read, checked, recorded or undone
 * but the group.
 *   floor GROUP ROOTFS PROGRAM      GROUP: a directory to make in a cgroup file system ("-": none)
 * Ends as PROGRAM did. Made for tests/bench/runtime; no runtime. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLONE_INTO_CGROUP_ 0x200000000ULL
#define CAPS               ((1U << 29) | (1U << 5) | (1U << 10)) /* audit_write, kill, net_bind_service */
#define COUNT(a)           (sizeof(a) / sizeof((a)[0]))

static void must(int r, const char *what)
{
    if (r >= 0)
        return;
    perror(what);
    _exit(125);
}

static const struct {
    const char *type, *target;
    unsigned long flags;
    const char *data;
} mounts[] = {
    {"proc", "proc", 0, NULL},
    {"tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"},
    {"devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"tmpfs", "dev/shm", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"},
    {"mqueue", "dev/mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
    {"sysfs", "sys", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL},
    {"cgroup2", "sys/fs/cgroup", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL},
};
static const struct {
    const char *name;
    unsigned major, minor;
} nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
             {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                       {"/proc/self/fd/0", "dev/stdin"},
                                       {"/proc/self/fd/1", "dev/stdout"},
                                       {"/proc/self/fd/2", "dev/stderr"},
                                       {"pts/ptmx", "dev/ptmx"}};
static const char *const read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
static const char *const masked[] = {
    "proc/acpi",        "proc/asound",      "proc/kcore",         "proc/keys",    "proc/timer_list",
    "proc/timer_stats", "proc/sched_debug", "proc/latency_stats", "sys/firmware", "proc/scsi"};

static void fill(void)
{
    char name[32];

    for (size_t i = 0; i < COUNT(mounts); i++) {
        if (i > 1 && i < 5)
            must(mkdir(mounts[i].target, 0755), mounts[i].target);
        must(mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].data),
             mounts[i].target);
    }
    for (size_t i = 0; i < COUNT(nodes); i++) {
        (void)snprintf(name, sizeof name, "dev/%s", nodes[i].name);
        must(mknod(name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), name);
    }
    for (size_t i = 0; i < COUNT(links); i++)
        must(symlink(links[i][0], links[i][1]), links[i][1]);
    for (size_t i = 0; i < COUNT(read_only); i++)
        if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) == 0)
            must(mount(NULL, read_only[i], NULL,
                       MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL),
                 read_only[i]);
    for (size_t i = 0; i < COUNT(masked);
         i++) /* a directory takes a tmpfs, a file /dev/null; some are not there */
        if (mount("dev/null", masked[i], NULL, MS_BIND, NULL) != 0)
            (void)mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k");
}

static void drop(void)
{
    struct {
        uint32_t version;
        int pid;
    } head = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } data[2] = {{CAPS, CAPS, 0}, {0, 0, 0}};

    for (int cap = 0; cap <= 40; cap++)
        if (!(cap < 32 && CAPS >> cap & 1))
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    must((int)syscall(SYS_capset, &head, data), "capset");
}

static void box(const char *rootfs, char *program)
{
    static char *const env[] = {NULL};
    struct rlimit files = {1024, 1024};

    must(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "slave");
    must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), rootfs);
    must(chdir(rootfs), rootfs);
    fill();
    must((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "old root");
    must(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "read-only root");
    must(sethostname("floor", 5), "hostname");
    must(setrlimit(RLIMIT_NOFILE, &files), "rlimit");
    drop();
    must(execve(program, (char *[]){program, NULL}, env), program);
}

int main(int argc, char **argv)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, n, cgroup;
    } a = {.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS,
           .exit_signal = SIGCHLD};
    int status = 0;

    if (argc != 4)
        return 125;
    if (argv[1][0] != '-') {
        must(mkdir(argv[1], 0755), argv[1]);
        a.cgroup = (uint64_t)open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
        a.flags |= CLONE_INTO_CGROUP_;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
    if (pid == 0)
        box(argv[2], argv[3]);
    must(pid, "clone3");
    must(waitpid(pid, &status, 0), "wait");
    if (argv[1][0] != '-')
        must(rmdir(argv[1]), argv[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
