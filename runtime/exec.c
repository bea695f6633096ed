/* exec.c - go into a box that runs: for one more program, for a connection. See box.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/sys.h"
#include "runtime/box_priv.h"
#include "runtime/child.h"

/* The user namespace first: it owns the others. Entering the mount namespace last keeps /proc of the host in
 * reach. */
static const struct {
    const char *name;
    int flag;
} spaces[] = {{"user", CLONE_NEWUSER}, {"ipc", CLONE_NEWIPC},       {"uts", CLONE_NEWUTS},
              {"net", CLONE_NEWNET},   {"cgroup", CLONE_NEWCGROUP}, {"pid", CLONE_NEWPID},
              {"mnt", CLONE_NEWNS}};

struct entry {
    const struct box_exec *x;
    struct cgroup *cgroup;
    int ns[COUNT_OF(spaces)]; /* -1: the same as ours */
    int report_fd;
    int stdio[3];
    bool userns;
};
struct entry_report {
    pid_t pid; /* of the program, > 0; else err */
    struct err err;
};

static int open_ns(pid_t pid, const char *name, int *ret_fd, struct err *err)
{
    char path[48], own[32];
    struct stat theirs, ours;
    AUTO_FD int fd = -1;

    (void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, name);
    (void)snprintf(own, sizeof own, "/proc/self/ns/%s", name);
    *ret_fd = -1;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT && stat(own, &ours) != 0 ? 0 : err_errno(err, errno, "%s", path);
    if (fstat(fd, &theirs) != 0 || stat(own, &ours) != 0)
        return err_errno(err, errno, "%s", path);
    if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev)
        return 0;
    *ret_fd = steal_fd(&fd);
    return 0;
}

static void close_spaces(struct entry *e)
{
    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        if (e->ns[i] >= 0)
            (void)close(e->ns[i]);
}

static int open_spaces(const struct box_id *b, struct entry *e, struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        e->ns[i] = -1;
    for (size_t i = 0; r >= 0 && i < COUNT_OF(spaces); i++)
        r = open_ns(b->pid, spaces[i].name, &e->ns[i], err);
    e->userns = e->ns[0] >= 0;
    /* asked after they were opened: they are those of this box and of no later process with its number */
    if (!box_is_alive(b) || r < 0) {
        close_spaces(e);
        return r < 0 && box_is_alive(b) ? r : err_set(err, ERR_NOTFOUND, "%s does not run", b->id);
    }
    return 0;
}

static void fail(struct entry *e, const struct err *err)
{
    struct entry_report rep = {.pid = 0, .err = *err};

    (void)!write(e->report_fd, &rep, sizeof rep);
    _exit(127);
}

static int take_terminal(const struct box_exec *x, struct err *err)
{
    if (!x->terminal_ctty)
        return 0;
    return ioctl(0, TIOCSCTTY, 0) == 0 ? 0 : err_errno(err, errno, "controlling terminal");
}

static int open_null(struct err *err)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 ? fd : err_errno(err, errno, "/dev/null of the box");
}

static int connect_stdio(struct entry *e, struct err *err)
{
    for (int i = 0; i < 3; i++) {
        int fd = e->stdio[i] >= 0 ? e->stdio[i] : open_null(err);
        if (fd < 0)
            return fd;
        if (dup2(fd, i) < 0)
            return err_errno(err, errno, "dup2");
    }
    return 0;
}

static int become(struct entry *e, char *program, size_t size, struct err *err)
{
    static const char *const path_only[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    const struct box_exec *x = e->x;
    const char *const *env = x->env ? x->env : path_only;
    int r;

    (void)setsid();
    (void)umask(022);
    if ((r = connect_stdio(e, err)) < 0 || (r = take_terminal(x, err)) < 0)
        return r;
    sys_close_from(3, &e->report_fd, 1);
    child_reset_signals();
    (void)syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
    if ((r = child_drop_bounding(0, err)) < 0 || (r = child_set_user(x->uid, x->gid, NULL, 0, 0, err)) < 0 ||
        (r = child_chdir(x->cwd ? x->cwd : "/", err)) < 0 ||
        (r = child_find_program(x->args[0], env, program, size, err)) < 0 ||
        (r = child_no_new_privs(err)) < 0 ||
        (x->seccomp_default && box_has_seccomp() &&
         (r = child_filter(seccomp_default, seccomp_default_len, err)) < 0))
        return r;
    (void)execve(program, (char *const *)(uintptr_t)x->args, (char *const *)(uintptr_t)env);
    return err_errno(err, errno, "exec %s", program);
}

/* In the forked child: enter, then fork once more (a pid namespace is only entered by children); the new
 * process is made a child of our caller at once, so that nobody stands between. */
static void enter(struct entry *e)
{
    struct err err = ERR_INIT;
    char program[LIM_PATH_BYTES];
    struct entry_report rep = {0};
    int r = e->cgroup ? cgroup_attach_self(e->cgroup, false) : 0;

    (void)prctl(PR_SET_DUMPABLE, 0);
    if (r < 0) {
        (void)err_errno(&err, -r, "join cgroup");
        fail(e, &err);
    }
    for (size_t i = 0; i < COUNT_OF(spaces); i++) {
        if (e->ns[i] >= 0 && setns(e->ns[i], spaces[i].flag) != 0) {
            (void)err_errno(&err, errno, "enter %s namespace", spaces[i].name);
            fail(e, &err);
        }
        if (i == 0 && e->userns &&
            (syscall(SYS_setgroups, 0, NULL) != 0 || setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)) {
            (void)err_errno(&err, errno, "become root of the user namespace");
            fail(e, &err);
        }
    }
    rep.pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_PARENT | SIGCHLD), 0UL, 0UL, 0UL, 0UL);
    if (rep.pid == 0) {
        (void)become(e, program, sizeof program, &err);
        fail(e, &err);
    }
    if (rep.pid < 0) {
        (void)err_errno(&err, errno, "fork");
        fail(e, &err);
    }
    (void)!write(e->report_fd, &rep, sizeof rep);
    _exit(0);
}

/* Two reports may come, in either order: the pid from the one in between, an error from the program's side.
 */
static int read_reports(int fd, pid_t *ret_pid, struct err *err)
{
    struct entry_report rep;
    int r = 0;

    for (;;) {
        ssize_t n = read(fd, &rep, sizeof rep);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != sizeof rep)
            break;
        if (rep.pid > 0)
            *ret_pid = rep.pid;
        else {
            rep.err.msg[sizeof rep.err.msg - 1] = '\0';
            r = err_set(err, rep.err.kind, "%s", rep.err.msg);
        }
    }
    return r < 0 || *ret_pid > 0 ? r : err_set(err, ERR_IO, "exec: the helper died");
}

static int start_entry(struct entry *e, int report_read, pid_t *ret_pid, struct err *err)
{
    pid_t helper = fork(), pid = 0;
    int r;

    if (helper < 0)
        return err_errno(err, errno, "fork");
    if (helper == 0) {
        (void)close(report_read);
        enter(e);
    }
    (void)close(steal_fd(&e->report_fd));
    r = read_reports(report_read, &pid, err);
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
        ;
    if (r < 0 && pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    if (r == 0)
        *ret_pid = pid;
    return r;
}

/* Descriptors above 2, so that they do not meet 0, 1, 2 on their way there. -1 stays. */
static int lift(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int run_entry(struct entry *e, pid_t *ret_pid, struct err *err)
{
    int pipe_fds[2], r;
    AUTO_FD int in = lift(e->x->stdin_fd);
    AUTO_FD int out = lift(e->x->stdout_fd);
    AUTO_FD int errs = lift(e->x->stderr_fd);
    AUTO_FD int read_end = -1;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    read_end = pipe_fds[0];
    e->report_fd = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 3);
    (void)close(pipe_fds[1]);
    e->stdio[0] = in;
    e->stdio[1] = out;
    e->stdio[2] = errs;
    r = start_entry(e, read_end, ret_pid, err);
    if (e->report_fd >= 0)
        (void)close(e->report_fd);
    return r;
}

int box_exec_start(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                   pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
    struct entry e = {.x = x, .report_fd = -1};
    pid_t pid = 0;
    int r;

    if (!x->args || !x->args[0])
        return err_set(err, ERR_INVALID, "%s: nothing to execute", b->id);
    if ((r = open_spaces(b, &e, err)) < 0)
        return r;
    if (b->cgroup_path[0] && (r = cgroup_open(h, b->cgroup_path, &e.cgroup, err)) == -ERR_NOTFOUND)
        r = 0; /* a machine without cgroups */
    if (r == 0)
        r = run_entry(&e, &pid, err);
    close_spaces(&e);
    (void)cgroup_free(e.cgroup);
    if (r < 0)
        return err_wrap(err, "%s", b->id);
    *ret_pid = pid;
    *ret_pidfd = sys_pidfd_open(pid);
    return 0;
}

int box_tcp_connect(const struct box_id *b, uint16_t port, int *ret_fd, struct err *err)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    AUTO_FD int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    AUTO_FD int theirs = -1;
    AUTO_FD int fd = -1;
    int r;

    if (ours < 0)
        return err_errno(err, errno, "/proc/self/ns/net");
    if ((r = open_ns(b->pid, "net", &theirs, err)) < 0)
        return r;
    if (!box_is_alive(b))
        return err_set(err, ERR_NOTFOUND, "%s does not run", b->id);
    if (theirs >= 0 && setns(theirs, CLONE_NEWNET) != 0)
        return err_errno(err, errno, "%s: enter network namespace", b->id);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                0); /* belongs to that namespace from now on */
    r = errno;
    if (theirs >= 0 && setns(ours, CLONE_NEWNET) != 0)
        abort(); /* the rest of our life in a container's network would be worse than a restart */
    if (fd < 0)
        return err_errno(err, r, "socket");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        return err_errno(err, errno, "%s: connect to port %u", b->id, port);
    *ret_fd = steal_fd(&fd);
    return 0;
}
