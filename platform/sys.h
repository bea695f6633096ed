/* sys.h - kernel calls that libc does not wrap or old kernels lack, and which of them are available. Each
 * returns what the call returns (-1 and errno on failure). Fallbacks are in the callers that need them; tests
 * force ENOSYS for any of them with sys_deny, so that every fallback is exercised on a new kernel too. */
#ifndef PLATFORM_SYS_H
#define PLATFORM_SYS_H
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum sys_call {
    SYS_CALL_CLONE3,
    SYS_CALL_OPENAT2,
    SYS_CALL_CLOSE_RANGE,
    SYS_CALL_PIDFD_OPEN,
    SYS_CALL_PIDFD_SEND_SIGNAL,
    SYS_CALL_OPEN_TREE,
    SYS_CALL_MOVE_MOUNT,
    SYS_CALL_MOUNT_SETATTR,
    SYS_CALL_LANDLOCK,
    SYS_CALL_CGROUP_KILL, /* the file cgroup.kill, not a call */
    SYS_CALL_COUNT_
};
/* Tests: mask of 1 << enum sys_call that return ENOSYS from now on. Also read once from LIMPET_SYS_DENY
 * (hex). */
void sys_deny(unsigned mask);
int sys_denied(enum sys_call c); /* 1: return ENOSYS */

struct sys_clone_args { /* struct clone_args of the kernel, up to cgroup (5.7) */
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
        cgroup;
};
/* fork-like clone (stack NULL). CLONE_INTO_CGROUP only if clone3 is available. 0 in the child. */
pid_t sys_clone3(struct sys_clone_args *a);
/* sys_...: the kernel's call of that name, with the arguments of its manual page; descriptors are
 * O_CLOEXEC. */
int sys_openat2(int dir_fd, const char *path, const struct open_how *how);
int sys_close_range(unsigned first, unsigned last, unsigned flags);
int sys_pidfd_open(pid_t pid);
int sys_pidfd_send_signal(int pidfd, int sig);
int sys_open_tree(int dir_fd, const char *path, unsigned flags);
int sys_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
#define SYS_RECURSIVE 0x8000 /* AT_RECURSIVE, which not every C library defines */
struct sys_mount_attr {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
};
int sys_mount_setattr(int dir_fd, const char *path, unsigned flags, const struct sys_mount_attr *a);
int sys_pivot_root(const char *new_root, const char *put_old);
int sys_landlock_create_ruleset(const void *attr, size_t size, uint32_t flags);
int sys_landlock_add_path(int ruleset_fd, int parent_fd, uint64_t access);
int sys_landlock_restrict_self(int ruleset_fd);

/* One descriptor with a few bytes over a unix socket (SCM_RIGHTS). sys_recv_fd: the descriptor, O_CLOEXEC. */
int sys_send_fd(int socket_fd, int fd, const char *text, size_t len);
int sys_recv_fd(int socket_fd);
/* Kill a process by pidfd, or by pid if there is none. */
int sys_kill_fd(int pidfd, pid_t pid, int sig);
/* Close every fd >= first except the sorted list keep[0..n). */
void sys_close_from(int first, const int *keep, unsigned n);
/* In a child: exec program. fds[0..n) become 3, 4 ..., whatever their numbers were, nothing else above 2
 * stays open; no signal is blocked. At most SYS_EXEC_FDS of them. Returns only on failure: -errno. */
#define SYS_EXEC_FDS 129
int sys_exec(const char *program, char *const *argv, char *const *env, const int *fds, unsigned n);
/* Signals that this process ignores, bit 0 for signal 1, as in PROC_FD/self/status (proc_fd: a procfs); all
 * bits if it cannot be read. */
uint64_t sys_ignored_signals(int proc_fd);
/* In a child, before exec: no signal is ignored or blocked any more. proc_fd: as above. */
void sys_reset_signals(int proc_fd);
/* Wait until a child has exited, limit_ms at most (UINT64_MAX: as long as it takes). False: it still runs. */
bool sys_wait_child(pid_t pid, uint64_t limit_ms, int *ret_status);
/* Field 22 of /proc/PID/stat (clock ticks after boot); 0 if there is no such process. A pid alone does not
 * identify a process. */
uint64_t sys_proc_start(pid_t pid);
/* Make the OOM killer prefer us to our parent: raise oom_score_adj by more, and to at least this value. */
void sys_oom_raise(int more, int least);
#endif
