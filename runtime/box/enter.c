/* enter.c - see enter.h. */
#include "runtime/box/enter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
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
#include <sys/vfs.h>
#include <sys/wait.h>

#include "platform/cgroup/cgroup.h"
#include "platform/fs.h"
#include "runtime/box/ns_why.h"
#include "runtime/spec/ns_kinds.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define NS_GET_NSTYPE_ _IO(0xb7, 0x3) /* since 4.11 */

void enter_init(struct enter *e)
{
    *e = (struct enter){0};
    for (int i = 0; i < SPEC_NS_COUNT_; i++)
        e->ns[i] = -1;
}

void enter_done(struct enter *e)
{
    for (int i = 0; i < SPEC_NS_COUNT_; i++) {
        if (e->ns[i] >= 0)
            (void)close(e->ns[i]);
        e->ns[i] = -1;
    }
}

/* Keep fd if it is not our own namespace. */
static int keep_other(int fd, const char *name, int *ret_fd, struct err *err)
{
    char own[32];
    struct stat theirs, ours;

    (void)snprintf(own, sizeof(own), "/proc/self/ns/%s", name);
    if (fstat(fd, &theirs) != 0 || stat(own, &ours) != 0) {
        int saved = errno;
        (void)close(fd);
        return err_errno(err, saved, "%s", own);
    }
    if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev)
        (void)close(fd);
    else
        *ret_fd = fd;
    return 0;
}

int enter_open_one(pid_t pid, enum spec_ns_kind kind, int *ret_fd, struct err *err)
{
    char path[48];
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, ns_kinds[kind].file);
    fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return keep_other(fd, ns_kinds[kind].file, ret_fd, err);
    /* a kernel without this type, or no such process */
    if (errno == ENOENT && kind != SPEC_NS_MOUNT && access("/proc/self/ns/mnt", F_OK) == 0)
        return 0;
    return err_errno(err, errno, "%s", path);
}

int enter_socket(int ns_fd, int domain, int type, int protocol)
{
    AUTO_FD int ours = ns_fd < 0 ? -1 : openat(AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    if (ns_fd >= 0 && (ours < 0 || setns(ns_fd, CLONE_NEWNET) != 0))
        return -errno;
    fd = socket(domain, type, protocol);
    if (fd < 0)
        fd = -errno;
    if (ns_fd >= 0 && setns(ours, CLONE_NEWNET) != 0)
        abort(); /* staying in a container's network for good would be worse than a restart */
    return fd;
}

int enter_open_process(struct enter *e, pid_t pid, struct err *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < SPEC_NS_COUNT_; i++)
        rc = enter_open_one(pid, (enum spec_ns_kind)i, &e->ns[i], err);
    return rc;
}

/* Must be an nsfs file of the right type: config.json may name any path. */
static int open_joined(const char *path, enum spec_ns_kind kind, int *ret_fd, struct err *err)
{
    AUTO_FD int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct statfs fs;
    int type;

    if (fd < 0)
        return err_errno(err, errno, "linux.namespaces: %s", path);
    if (fstatfs(fd, &fs) != 0 || (fs.f_type != NSFS_MAGIC && fs.f_type != PROC_SUPER_MAGIC))
        return err_set(err, ERR_INVALID, "linux.namespaces: %s is not a namespace", path);
    type = ioctl(fd, NS_GET_NSTYPE_);
    if (type >= 0 && type != ns_kinds[kind].flag)
        return err_set(err, ERR_INVALID, "linux.namespaces: %s is not a %s namespace", path,
                       ns_kinds[kind].file);
    return keep_other(steal_fd(&fd), ns_kinds[kind].file, ret_fd, err);
}

int enter_open_spec(struct enter *e, const struct spec *s, struct err *err)
{
    for (int i = 0; i < SPEC_NS_COUNT_; i++) {
        int rc = s->ns[i].join ? open_joined(s->ns[i].join, (enum spec_ns_kind)i, &e->ns[i], err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int set_time(const struct spec *s, struct err *err)
{
    char text[160];

    if (!s)
        return 0;
    if (unshare(CLONE_NEWTIME) != 0)
        return ns_why_kind(SPEC_NS_TIME, errno, err);
    (void)snprintf(text, sizeof(text), "monotonic %lld %u\nboottime %lld %u\n",
                   (long long)s->monotonic_offset_s, s->monotonic_offset_ns, (long long)s->boot_offset_s,
                   s->boot_offset_ns);
    return fs_write_text(AT_FDCWD, "/proc/self/timens_offsets", text, err) < 0
               ? err_wrap(err, "linux.timeOffsets")
               : 0;
}

/* Enter the namespaces. One that belongs to another user namespace than the target one (another box's
 * network) can only be entered before it, one of a plain user's box only as its root: what fails at first is
 * retried from inside. The mount namespace is last, since it takes /proc away. */
static int go_through(const struct enter *e, struct err *err)
{
    bool in[SPEC_NS_COUNT_];
    int rc;

    for (int i = 0; i < SPEC_NS_COUNT_; i++)
        in[i] = e->ns[i] < 0 ||
                (i != SPEC_NS_USER && i != SPEC_NS_MOUNT && setns(e->ns[i], ns_kinds[i].flag) == 0);
    for (int i = 0; i < SPEC_NS_COUNT_; i++) {
        if (in[i])
            continue;
        if (setns(e->ns[i], ns_kinds[i].flag) != 0)
            return err_errno(err, errno, "enter %s namespace", ns_kinds[i].file);
        if (i == SPEC_NS_USER && (rc = child_be_root(err)) < 0)
            return rc;
    }
    return 0;
}

/* Do what needs the host's view, then enter. */
static int go_in(const struct enter *e, struct err *err)
{
    char text[16];
    int rc = child_set_cpus(0, e->cpus_initial, "initial", err);

    if (rc < 0)
        return rc;
    if (e->cgroup && (rc = cgroup_attach_self(e->cgroup, false)) < 0)
        return err_errno(err, -rc, "join cgroup");
    (void)snprintf(text, sizeof(text), "%d", e->oom_score_adj);
    if (e->oom_score_adj_set && (rc = fs_write_text(AT_FDCWD, "/proc/self/oom_score_adj", text, err)) < 0 &&
        !e->oom_score_adj_soft)
        return rc;
    rc = set_time(e->time, err);
    return rc < 0 ? rc : go_through(e, err);
}

/* If a process inside gets hold of us (a signal that stops us is enough), we must hold no lock, socket or
 * directory of the caller. */
static void close_others(const struct enter *e, const struct child *c)
{
    const int own[] = {c->console_fd, c->proc_fd, c->trees.mounts[0], c->stdio[0], c->stdio[1], c->stdio[2]};
    int keep[COUNT_OF(own) + SPEC_NS_COUNT_];
    unsigned n = 0;

    static_assert(COUNT_OF(keep) <= CHILD_MORE_FDS, "all are kept");
    for (unsigned i = 0; i < COUNT_OF(own); i++)
        keep[n++] = own[i];
    for (unsigned i = 0; i < SPEC_NS_COUNT_; i++)
        keep[n++] = e->ns[i];
    child_close_others(c, keep, n);
}

static void help(const struct enter *e, struct child *c, void (*run)(struct child *))
{
    struct child_report rep = {.stage = CHILD_FAILED};
    unsigned long flags = (unsigned long)e->clone_flags | CLONE_PARENT | SIGCHLD;

    (void)prctl(PR_SET_DUMPABLE, 0);
    if (e->alone)
        close_others(e, c);
    if (e->shared_pid)
        flags |= CLONE_PARENT_SETTID;
    if (go_in(e, &rep.err) >= 0) {
        rep.pid = (pid_t)syscall(SYS_clone, flags, 0UL, e->shared_pid, 0UL, 0UL);
        if (rep.pid == 0)
            run(c);
        rep.stage = rep.pid < 0 ? CHILD_FAILED : CHILD_PID;
        if (rep.pid < 0)
            err_ignore(ns_why(e->clone_flags, errno, &rep.err));
    }
    if (rep.stage == CHILD_FAILED || !e->shared_pid)
        (void)!write(c->report_fd, &rep, sizeof(rep));
    _exit(0);
}

/* The helper has exited, so its report is available; the child may have failed already and reported
 * earlier. */
static int read_pid(int report_fd, pid_t *ret_pid, struct err *err)
{
    struct pollfd p = {.fd = report_fd, .events = POLLIN};
    struct child_report rep;
    int rc = 0;
    pid_t pid = 0;

    while (pid == 0 && poll(&p, 1, 0) > 0 && read(report_fd, &rep, sizeof(rep)) == sizeof(rep)) {
        rep.err.msg[sizeof(rep.err.msg) - 1] = '\0';
        if (rep.stage == CHILD_PID)
            pid = rep.pid;
        else
            rc = err_set(err, rep.err.kind, "%s", rep.err.msg);
        if (rc < 0 && rep.pid < 0)
            break; /* clone itself failed: there is no child */
    }
    if (rc < 0 && pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    if (rc < 0)
        return rc;
    if (pid == 0)
        return err_set(err, ERR_IO, "the helper that enters namespaces died");
    *ret_pid = pid;
    return 0;
}

int enter_begin(const struct enter *e, struct child *c, void (*run)(struct child *), int report_fd,
                pid_t *ret_helper, struct err *err)
{
    pid_t helper = fork();

    if (helper < 0)
        return err_errno(err, errno, "fork");
    if (helper == 0) {
        (void)close(report_fd);
        help(e, c, run);
    }
    *ret_helper = helper;
    return 0;
}

int enter_spawn(const struct enter *e, struct child *c, void (*run)(struct child *), int report_fd,
                pid_t *ret_pid, struct err *err)
{
    pid_t helper = 0;
    int rc = enter_begin(e, c, run, report_fd, &helper, err);

    if (rc < 0)
        return rc;
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
        ;
    return read_pid(report_fd, ret_pid, err);
}
