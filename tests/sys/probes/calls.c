/* calls.c - system calls that reach beyond a container, or widen what of the kernel can be attacked: each is
 * tried in a process of its own, with arguments that do no harm where it should pass. One line a call: its
 * name and errno, "passed", or the signal that it died of. Standalone: links nothing but libc. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inside.h"

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define HERE    ((long)(uintptr_t) "/")
#define NOTHING ((long)(uintptr_t) "")
#define NONE    (-1L) /* no descriptor, no process, or all bits */

struct call {
    const char *name;
    long nr, args[6];
};

static const struct call calls[] = {
    {"getpid", SYS_getpid, {0}}, /* the control: it passes */
    {"mount", SYS_mount, {HERE, HERE, 0, MS_BIND}},
    {"umount2", SYS_umount2, {HERE, MNT_DETACH}},
    {"pivot_root", SYS_pivot_root, {HERE, HERE}},
    {"chroot", SYS_chroot, {HERE}},
    {"open_tree", 428, {AT_FDCWD, HERE, 1}},
    {"move_mount", 429, {NONE, NOTHING, NONE, NOTHING, 4 | 64}},
    {"fsopen", 430, {(long)(uintptr_t) "tmpfs", 0}},
    {"fspick", 433, {AT_FDCWD, HERE, 0}},
    {"mount_setattr", 442, {AT_FDCWD, HERE, 0, 0, 32}},
    {"unshare user", SYS_unshare, {CLONE_NEWUSER}},
    {"unshare mount", SYS_unshare, {CLONE_NEWNS}},
    {"unshare net", SYS_unshare, {CLONE_NEWNET}},
    {"unshare cgroup", SYS_unshare, {CLONE_NEWCGROUP}},
    {"clone user", SYS_clone, {CLONE_NEWUSER | SIGCHLD}},
    {"clone3 none", SYS_clone3, {0, 0}},
    {"setns", SYS_setns, {NONE, 0}},
    {"ptrace traceme", SYS_ptrace, {PTRACE_TRACEME}},
    {"process_vm_readv", SYS_process_vm_readv, {1, 0, 0, 0, 0, 0}},
    {"process_vm_writev", SYS_process_vm_writev, {1, 0, 0, 0, 0, 0}},
    {"pidfd_getfd", 438, {NONE, 0, 0}},
    {"kcmp", SYS_kcmp, {1, 1, 0, 0, 0}},
    {"bpf", SYS_bpf, {NONE, 0, 0}},
    {"perf_event_open", SYS_perf_event_open, {0, 0, NONE, NONE, 0}},
    {"userfaultfd", SYS_userfaultfd, {0}},
    {"io_uring_setup", 425, {1, 0}},
    {"io_uring_enter", 426, {NONE, 0, 0, 0}},
    {"io_uring_register", 427, {NONE, 0, 0, 0}},
    {"keyctl", SYS_keyctl, {KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0}},
    {"add_key", SYS_add_key, {0, 0, 0, 0, 0}},
    {"request_key", SYS_request_key, {0, 0, 0, 0}},
    {"open_by_handle_at", SYS_open_by_handle_at, {AT_FDCWD, 0, 0}},
    {"name_to_handle_at", SYS_name_to_handle_at, {AT_FDCWD, HERE, 0, 0, 0}},
    {"kexec_load", SYS_kexec_load, {0, 17, 0, 0}},
    {"init_module", SYS_init_module, {0, 0, 0}},
    {"finit_module", SYS_finit_module, {NONE, 0, 0}},
    {"delete_module", SYS_delete_module, {(long)(uintptr_t) "limpet-no-such", 0}},
    {"swapon", SYS_swapon, {NOTHING, 0}},
    {"swapoff", SYS_swapoff, {NOTHING}},
    {"reboot", SYS_reboot, {0, 0, 0, 0}}, /* a wrong magic number */
    {"acct", SYS_acct, {NOTHING}},
    {"syslog", SYS_syslog, {10, 0, 0}},
    {"settimeofday", SYS_settimeofday, {1, 0}},
    {"clock_settime", SYS_clock_settime, {0, 0}},
    {"quotactl", SYS_quotactl, {0, 0, 0, 0}},
    {"lookup_dcookie", 212, {0, 0, 0}},
    {"fanotify_init", SYS_fanotify_init, {0, 0}},
    {"vhangup", SYS_vhangup, {0}},
    {"sethostname", SYS_sethostname, {NOTHING, NONE}},
    {"setdomainname", SYS_setdomainname, {NOTHING, NONE}},
    {"mbind", SYS_mbind, {0, 0, 0, 0, 0, 0}},
    {"set_mempolicy", SYS_set_mempolicy, {0, 0, 0}},
    {"move_pages", SYS_move_pages, {1, 0, 0, 0, 0, 0}},
    {"personality unknown", SYS_personality, {0x0fffff00}},
    {"socket AF_ALG", SYS_socket, {AF_ALG, SOCK_SEQPACKET, 0}},
    {"socket AF_VSOCK", SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}},
    {"socket AF_PACKET", SYS_socket, {AF_PACKET, SOCK_RAW, 0}},
    {"socket raw", SYS_socket, {AF_INET, SOCK_RAW, 1}},
    {"socket AF_NETLINK route", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}},
    {"socket AF_NETLINK audit", SYS_socket, {AF_NETLINK, SOCK_RAW, 9}},
    {"ioctl TIOCSTI", SYS_ioctl, {0, TIOCSTI, 0}},
    {"ioctl TIOCLINUX", SYS_ioctl, {0, 0x541c, 0}},
    {"landlock_create_ruleset", 444, {0, 0, 1}},
    {"seccomp listener", SYS_seccomp, {1, 8, 0}},
    {"unknown 0xfff0", 0xfff0, {0}},
#ifdef __x86_64__
    {"modify_ldt", SYS_modify_ldt, {0, 0, 0}},
    {"iopl", SYS_iopl, {3}},
    {"ioperm", SYS_ioperm, {0x80, 1, 1}},
    {"x32 getpid", 0x40000000 | SYS_getpid, {0}},
#endif
};

#ifdef __x86_64__
/* getpid by the 32-bit entry: its number is mkdir's on this side */
static void old_entry(void)
{
    long r;

    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    printf("%s", r > 0 ? "passed" : strerrorname_(-(int)r));
}
#endif

const char *strerrorname_(int e)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{EPERM, "EPERM"},
                 {ENOENT, "ENOENT"},
                 {ESRCH, "ESRCH"},
                 {EBADF, "EBADF"},
                 {ENOMEM, "ENOMEM"},
                 {EACCES, "EACCES"},
                 {EFAULT, "EFAULT"},
                 {EINVAL, "EINVAL"},
                 {ENOTTY, "ENOTTY"},
                 {ENOSYS, "ENOSYS"},
                 {EROFS, "EROFS"},
                 {EAFNOSUPPORT, "EAFNOSUPPORT"},
                 {EOPNOTSUPP, "EOPNOTSUPP"},
                 {EBUSY, "EBUSY"},
                 {E2BIG, "E2BIG"},
                 {EPROTONOSUPPORT, "EPROTONOSUPPORT"},
                 {ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT"}};
    static char number[16];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == e)
            return names[i].name;
    (void)snprintf(number, sizeof number, "%d", e);
    return number;
}

static void try_one(const char *name, const struct call *c)
{
    int status = 0;
    pid_t pid;

    printf("%s: ", name);
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (c) {
            const long *a = c->args;
            pid_t self = getpid();
            long r = syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
            if (getpid() != self)
                _exit(0); /* a clone that passed */
            printf("%s", r == -1 ? strerrorname_(errno) : "passed");
        }
#ifdef __x86_64__
        else
            old_entry();
#endif
        (void)fflush(stdout);
        _exit(0);
    }
    (void)waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        printf("signal %d", WTERMSIG(status));
    printf("\n");
}

int inside_calls(char **argv)
{
    (void)argv;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        try_one(calls[i].name, &calls[i]);
#ifdef __x86_64__
    try_one("int 0x80", NULL);
#endif
    printf("end\n");
    return 0;
}
