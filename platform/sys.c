/* sys.c - kernel calls without a libc wrapper, and which of them may be used. See sys.h. */
#include "platform/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/mem.h"
/* The same number on every architecture that we build for; libc headers older than the kernel may lack
 * them. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
#define LANDLOCK_PATH_BENEATH 1

static unsigned denied_mask;
static bool denied_known;

void sys_deny(unsigned mask)
{
    denied_mask = mask;
    denied_known = true;
}

int sys_denied(enum sys_call c)
{
    if (!denied_known) {
        const char *env = secure_getenv("LIMPET_SYS_DENY");
        sys_deny(env ? (unsigned)strtoul(env, NULL, 16) : 0);
    }
    return (denied_mask >> c) & 1;
}

/* True, with errno set, if a test denies this call. */
static bool answer_enosys(enum sys_call c)
{
    if (!sys_denied(c))
        return false;
    errno = ENOSYS;
    return true;
}

pid_t sys_clone3(struct sys_clone_args *a)
{
    if (answer_enosys(SYS_CALL_CLONE3))
        return -1;
    return (pid_t)syscall(SYS_clone3, a, sizeof(*a));
}

int sys_openat2(int dir_fd, const char *path, const struct open_how *how)
{
    if (answer_enosys(SYS_CALL_OPENAT2))
        return -1;
    return (int)syscall(SYS_openat2, dir_fd, path, how, sizeof(*how));
}

int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    if (answer_enosys(SYS_CALL_CLOSE_RANGE))
        return -1;
    return (int)syscall(SYS_close_range, first, last, flags);
}

int sys_pidfd_open(pid_t pid)
{
    if (answer_enosys(SYS_CALL_PIDFD_OPEN))
        return -1;
    return (int)syscall(SYS_pidfd_open, pid, 0); /* always close-on-exec */
}

int sys_pidfd_send_signal(int pidfd, int sig)
{
    if (answer_enosys(SYS_CALL_PIDFD_SEND_SIGNAL))
        return -1;
    return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

int sys_open_tree(int dir_fd, const char *path, unsigned flags)
{
    if (answer_enosys(SYS_CALL_OPEN_TREE))
        return -1;
    return (int)syscall(SYS_open_tree, dir_fd, path, flags);
}

int sys_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    if (answer_enosys(SYS_CALL_MOVE_MOUNT))
        return -1;
    return (int)syscall(SYS_move_mount, from_fd, from, to_fd, to, flags);
}

int sys_mount_setattr(int dir_fd, const char *path, unsigned flags, const struct sys_mount_attr *a)
{
    if (answer_enosys(SYS_CALL_MOUNT_SETATTR))
        return -1;
    return (int)syscall(SYS_mount_setattr, dir_fd, path, flags, a, sizeof(*a));
}

int sys_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

int sys_landlock_create_ruleset(const void *attr, size_t size, uint32_t flags)
{
    if (answer_enosys(SYS_CALL_LANDLOCK))
        return -1;
    return (int)syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

int sys_landlock_add_path(int ruleset_fd, int parent_fd, uint64_t access)
{
    struct { /* packed in the kernel's interface */
        uint64_t access;
        int32_t parent_fd;
    } __attribute__((packed)) rule = {access, parent_fd};

    if (answer_enosys(SYS_CALL_LANDLOCK))
        return -1;
    return (int)syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_PATH_BENEATH, &rule, 0);
}

int sys_landlock_restrict_self(int ruleset_fd)
{
    if (answer_enosys(SYS_CALL_LANDLOCK))
        return -1;
    return (int)syscall(SYS_landlock_restrict_self, ruleset_fd, 0);
}

int sys_kill_fd(int pidfd, pid_t pid, int sig)
{
    if (pidfd >= 0) {
        int rc = sys_pidfd_send_signal(pidfd, sig);
        if (rc == 0 || errno != ENOSYS)
            return rc;
    }
    return kill(pid, sig);
}

/* A getdents64 record; libc declares none under this name. */
struct sys_dirent {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
};

static bool is_kept(int fd, const int *keep, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (keep[i] == fd)
            return true;
    return false;
}

/* Close the fds named in one buffer of entries of /proc/self/fd. Returns how many were closed. */
static unsigned close_listed(const char *buf, long len, int dir, int first, const int *keep, unsigned n)
{
    unsigned closed = 0;

    for (long at = 0; at < len;) {
        const struct sys_dirent *e = (const struct sys_dirent *)(const void *)(buf + at);
        int fd = 0;

        at += e->reclen;
        if (e->name[0] < '0' || e->name[0] > '9')
            continue;
        for (const char *c = e->name; *c; c++)
            fd = fd * 10 + (*c - '0');
        if (fd < first || fd == dir || is_kept(fd, keep, n))
            continue;
        (void)close(fd);
        closed++;
    }
    return closed;
}

/* Without close_range: list /proc/self/fd by raw getdents64 (no allocation: this runs between clone and
 * exec). */
static int close_by_proc(int first, const int *keep, unsigned n)
{
    char buf[2048] __attribute__((aligned(8)));
    int dir = openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long len;
    unsigned closed;

    if (dir < 0)
        return -1;
    do { /* closing while listing may skip entries: repeat from the start until none is left */
        closed = 0;
        (void)lseek(dir, 0, SEEK_SET);
        while ((len = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
            closed += close_listed(buf, len, dir, first, keep, n);
    } while (closed > 0 && len == 0);
    (void)close(dir);
    return len < 0 ? -1 : 0;
}

static void close_by_count(int first, const int *keep, unsigned n)
{
    struct rlimit lim = {1024, 1024};

    (void)getrlimit(RLIMIT_NOFILE, &lim);
    if (lim.rlim_cur > 65536)
        lim.rlim_cur = 65536;
    for (int fd = first; fd < (int)lim.rlim_cur; fd++)
        if (!is_kept(fd, keep, n))
            (void)close(fd);
}

void sys_close_from(int first, const int *keep, unsigned n)
{
    unsigned from = (unsigned)first;
    bool failed = false;

    for (unsigned i = 0; i < n && !failed; i++) {
        if (keep[i] < (int)from)
            continue;
        if (keep[i] > (int)from)
            failed = sys_close_range(from, (unsigned)keep[i] - 1, 0) != 0;
        from = (unsigned)keep[i] + 1;
    }
    if (!failed && sys_close_range(from, ~0U, 0) == 0)
        return;
    if (close_by_proc(first, keep, n) != 0)
        close_by_count(first, keep, n);
}

int sys_exec(const char *program, char *const *argv, char *const *env, const int *fds, unsigned n)
{
    const int first = 3;
    int high[SYS_EXEC_FDS];
    sigset_t none;

    if (n > SYS_EXEC_FDS)
        return -E2BIG;
    for (unsigned i = 0; i < n; i++) /* first move above the range, so that no move overwrites a source */
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, first + (int)n);
    for (unsigned i = 0; i < n; i++)
        if (high[i] < 0 || dup2(high[i], first + (int)i) < 0)
            return -errno;
    sys_close_from(first + (int)n, NULL, 0);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(program, argv, env);
    return -errno;
}

uint64_t sys_ignored_signals(int proc_fd)
{
    char text[2048];
    const char *line;
    ssize_t len;
    int fd = proc_fd < 0 ? -1 : openat(proc_fd, "self/status", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return UINT64_MAX;
    len = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    text[len < 0 ? 0 : len] = '\0';
    line = strstr(text, "\nSigIgn:"); /* 16 digits; a list of groups before it may exceed the buffer */
    return line && strlen(line) > 8 + 16 ? strtoull(line + 8, NULL, 16) : UINT64_MAX;
}

uint64_t sys_proc_start(pid_t pid)
{
    char path[32], text[1024];
    const char *p;
    ssize_t len;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    len = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    p = strrchr(text, ')'); /* the name may contain spaces and parentheses; what follows it is field 3 */
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p + 1, NULL, 10) : 0;
}

int sys_send_fd(int socket_fd, int fd, const char *text, size_t len)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)text, len};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    ssize_t n;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    do
        n = sendmsg(socket_fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

int sys_recv_fd(int socket_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char text[256];
    struct iovec iov = {text, sizeof(text)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c;
    ssize_t n;
    int fd;

    do
        n = recvmsg(socket_fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(sizeof(fd))) {
        errno = EPROTO;
        return -1;
    }
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

void sys_oom_raise(int more, int least)
{
    static const char name[] = "/proc/self/oom_score_adj";
    char text[16] = "";
    FILE *f = fopen(name, "re");
    long now;

    if (!f)
        return;
    now = fgets(text, sizeof(text), f) ? strtol(text, NULL, 10) + more : least;
    (void)fclose(f);
    now = now < least ? least : now > 1000 ? 1000 : now;
    if ((f = fopen(name, "we")) != NULL) {
        (void)fprintf(f, "%ld", now);
        (void)fclose(f);
    }
}

void sys_reset_signals(int proc_fd)
{
    sigset_t none;
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    uint64_t ignored = sys_ignored_signals(proc_fd);

    for (int sig = 1; sig < NSIG; sig++) /* handlers are reset by exec itself */
        if (ignored >> (sig - 1) & 1)
            (void)sigaction(sig, &dfl, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

bool sys_wait_child(pid_t pid, uint64_t limit_ms, int *ret_status)
{
    bool bound = limit_ms != UINT64_MAX;
    AUTO_FD int pidfd = bound ? sys_pidfd_open(pid) : -1;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    uint64_t end = bound ? clock_boot_ms() + limit_ms : 0;

    for (;;) {
        pid_t got = waitpid(pid, ret_status, bound ? WNOHANG : 0);
        uint64_t now;
        if (got == pid || (got < 0 && errno != EINTR))
            return true;
        now = clock_boot_ms();
        if (bound && now >= end)
            return false;
        if (bound) /* without a pidfd: poll */
            (void)poll(&p, 1, pidfd < 0 ? 2 : (int)(end - now > INT_MAX ? INT_MAX : end - now));
    }
}
