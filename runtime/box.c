/* box.c - start a box: the parent's side. See box.h, child.h. */
#include "runtime/box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/box_priv.h"
#include "runtime/child.h"
#include "runtime/net.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#define AT_RECURSIVE_ 0x8000
#define SETUP_MS      30000 /* a set-up takes milliseconds; a source on a dead network file system never ends */

/* Everything of one start; all of it is released again but what box_started takes. */
struct launch {
    const struct cgroup_host *host;
    const struct box_how *how;
    struct spec spec; /* a copy: what the kernel cannot do is taken out */
    struct ops ops;
    struct child child;
    struct cgroup *cgroup;
    bool fresh_group;
    int rootfs_fd;
    int go[2], report[2], out[2], err[2];
    pid_t pid;
    int pidfd;
    struct net_box net;
    struct box_report rep;
};

static void field(struct cgroup_field *f, enum cgroup_state state, const char *why)
{
    f->state = state;
    f->value = state == CGROUP_ENFORCED ? 1 : 0;
    (void)snprintf(f->why, sizeof f->why, "%s", why);
}

bool box_has_seccomp(void)
{
    /* a filter at address 0 cannot be read: EFAULT when there are filters at all */
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != 0 && errno == EFAULT;
}

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            (void)close(pair[i]);
    pair[0] = pair[1] = -1;
}

/* Both ends above 2, so that no dup2 of the child meets another of its own. */
static int high_pipe(int pair[2], struct err *err)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    for (int i = 0; i < 2; i++) {
        pair[i] = p[i] > 2 ? p[i] : fcntl(p[i], F_DUPFD_CLOEXEC, 3);
        if (pair[i] != p[i])
            (void)close(p[i]);
    }
    return pair[0] >= 0 && pair[1] >= 0 ? 0 : err_errno(err, errno, "pipe");
}

static void close_trees(struct child_trees *t)
{
    int *all = (int *)t;

    for (size_t i = 0; i < sizeof *t / sizeof(int); i++) {
        if (all[i] >= 0)
            (void)close(all[i]);
        all[i] = -1;
    }
}

static int clone_tree(int dir_fd, const char *path, bool recursive, unsigned long flags)
{
    struct sys_mount_attr attr = {.attr_set = flags}; /* MS_RDONLY .. MS_NOEXEC have the same bits */
    unsigned at = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0);
    int fd = sys_open_tree(dir_fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | at);

    if (fd >= 0 && sys_mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0), &attr) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Clone the sources while we see them as the host does. On a kernel that cannot, all stay -1. */
static int open_trees(struct launch *l, struct err *err)
{
    struct child_trees *t = &l->child.trees;
    const struct spec *s = &l->spec;
    char name[32];

    t->root = clone_tree(l->rootfs_fd, "", !s->userns, MOUNT_ATTR_NODEV);
    l->child.modern = t->root >= 0 && !sys_denied(SYS_CALL_MOVE_MOUNT);
    if (!l->child.modern) {
        close_trees(t);
        return 0;
    }
    for (unsigned i = 0; i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[i];
        if (m->kind != SPEC_MOUNT_BIND)
            continue;
        t->mounts[i] = clone_tree(m->source_fd >= 0 ? m->source_fd : AT_FDCWD,
                                  m->source_fd >= 0 ? "" : m->source, m->recursive, ops_mount_flags(m));
        if (t->mounts[i] < 0)
            return err_errno(err, errno, "mount source %s for %s", m->source ? m->source : "(fd)", m->target);
    }
    for (unsigned i = 0; s->userns && i < CHILD_NODES; i++) {
        (void)snprintf(name, sizeof name, "/dev/%s", child_nodes[i].name);
        t->nodes[i] = clone_tree(AT_FDCWD, name, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        if (t->nodes[i] < 0)
            return err_errno(err, errno, "%s", name);
    }
    return 0;
}

/* Take out of the spec what this kernel cannot do; say so. */
static void degrade(struct launch *l)
{
    struct spec *s = &l->spec;

    if (!s->seccomp_default && !s->seccomp_extra)
        field(&l->rep.seccomp, CGROUP_NOT_ASKED, "");
    else if (box_has_seccomp())
        field(&l->rep.seccomp, CGROUP_ENFORCED, "");
    else {
        field(&l->rep.seccomp, CGROUP_UNSUPPORTED, "kernel without CONFIG_SECCOMP_FILTER");
        s->seccomp_default = false;
        s->seccomp_extra = NULL;
    }
    l->child.filter = s->seccomp_default ? seccomp_default : s->seccomp_extra;
    l->child.n_filter = s->seccomp_default ? seccomp_default_len : s->n_seccomp_extra;
    if (s->userns)
        field(&l->rep.userns, CGROUP_ENFORCED, "");
    field(&l->rep.read_only_rootfs, s->rootfs_read_only ? CGROUP_ENFORCED : CGROUP_NOT_ASKED, "");
}

static int make_pipes(struct launch *l, struct err *err)
{
    uid_t uid = l->spec.uid + (l->spec.userns ? l->spec.id_shift : 0);
    gid_t gid = l->spec.gid + (l->spec.userns ? l->spec.id_shift : 0);
    int r;

    for (int i = 0; i < 3; i++)
        l->child.stdio[i] = l->how->pipes ? -1 : l->how->stdio[i];
    if (!l->how->pipes)
        return 0;
    if ((r = high_pipe(l->out, err)) < 0 || (r = high_pipe(l->err, err)) < 0)
        return r;
    /* programs reopen /dev/stdout by its path, as their own user */
    if (fchown(l->out[1], uid, gid) != 0 || fchown(l->err[1], uid, gid) != 0)
        return err_errno(err, errno, "give the pipes to the user");
    l->child.stdio[1] = l->out[1];
    l->child.stdio[2] = l->err[1];
    (void)fcntl(l->out[0], F_SETFL, O_NONBLOCK);
    (void)fcntl(l->err[0], F_SETFL, O_NONBLOCK);
    return 0;
}

static uint64_t clone_flags(const struct spec *s)
{
    uint64_t f = CLONE_NEWPID | CLONE_NEWNS;

    f |= s->userns ? CLONE_NEWUSER : 0;
    f |= s->ns_ipc ? CLONE_NEWIPC : 0;
    f |= s->ns_uts ? CLONE_NEWUTS : 0;
    f |= s->net != SPEC_NET_HOST ? CLONE_NEWNET : 0;
    return f;
}

/* 0 in the child. Tries the best way first: straight into the v2 group; without; by the old call. */
static pid_t clone_box(struct launch *l)
{
    /* newer kernels (6.18) kill what is cloned into a group that met cgroup.kill before: enter such a one */
    int group = l->fresh_group ? cgroup_clone_fd(l->cgroup) : -1;
    struct sys_clone_args a = {.flags = clone_flags(&l->spec) | CLONE_PIDFD,
                               .pidfd = (uint64_t)(uintptr_t)&l->pidfd,
                               .exit_signal = SIGCHLD};
    pid_t pid;

    if (group >= 0) {
        struct sys_clone_args into = a;
        into.flags |= CLONE_INTO_CGROUP;
        into.cgroup = (uint64_t)group;
        l->child.in_v2 = true;
        pid = sys_clone3(&into);
        if (pid >= 0)
            return pid;
    }
    l->child.in_v2 = false;
    pid = sys_clone3(&a);
    if (pid >= 0 || (errno != ENOSYS && errno != E2BIG && errno != EPERM))
        return pid;
    pid = (pid_t)syscall(SYS_clone, (unsigned long)(clone_flags(&l->spec) | SIGCHLD), 0UL, 0UL, 0UL, 0UL);
    if (pid > 0)
        l->pidfd = sys_pidfd_open(pid);
    return pid;
}

static int write_maps(const struct launch *l, struct err *err)
{
    char name[40], map[64];
    int r;

    (void)snprintf(map, sizeof map, "0 %u %u\n", l->spec.id_shift, l->spec.id_count);
    (void)snprintf(name, sizeof name, "/proc/%d/uid_map", (int)l->pid);
    if ((r = fs_write_text(AT_FDCWD, name, map, err)) < 0)
        return r;
    (void)snprintf(name, sizeof name, "/proc/%d/gid_map", (int)l->pid);
    return fs_write_text(AT_FDCWD, name, map, err);
}

/* Files keep their ids on disk and show the box's: shift the mounts. 1: this kernel or file system cannot. */
static int shift_mounts(struct launch *l, struct err *err)
{
    struct child_trees *t = &l->child.trees;
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
    AUTO_FD int ns = -1;
    char name[40];

    (void)snprintf(name, sizeof name, "/proc/%d/ns/user", (int)l->pid);
    ns = open(name, O_RDONLY | O_CLOEXEC);
    if (ns < 0)
        return err_errno(err, errno, "%s", name);
    attr.userns_fd = (uint64_t)ns;
    if (sys_mount_setattr(t->root, "", AT_EMPTY_PATH, &attr) != 0)
        return 1;
    for (unsigned i = 0; i < l->spec.n_mounts;
         i++) /* where it cannot be shifted, ids of the host show as nobody */
        if (t->mounts[i] >= 0)
            (void)sys_mount_setattr(t->mounts[i], "", AT_EMPTY_PATH, &attr);
    return 0;
}

static int set_oom(const struct launch *l, struct err *err)
{
    char name[40], text[16];

    if (!l->spec.oom_score_adj_set)
        return 0;
    (void)snprintf(name, sizeof name, "/proc/%d/oom_score_adj", (int)l->pid);
    (void)snprintf(text, sizeof text, "%d", l->spec.oom_score_adj);
    return fs_write_text(AT_FDCWD, name, text, err);
}

/* The child waits: what only the host can do for it. 1: without user namespace, please. */
static int prepare_child(struct launch *l, struct err *err)
{
    int r;

    if (l->spec.userns && ((r = write_maps(l, err)) < 0 || (r = shift_mounts(l, err)) != 0))
        return r;
    if ((r = set_oom(l, err)) < 0)
        return r;
    if (l->spec.net == SPEC_NET_BRIDGE) {
        if ((r = net_attach(l->pid, &l->spec, &l->net, err)) < 0)
            return r;
        l->rep.network = l->net.nat;
    }
    return 0;
}

static int wait_report(struct launch *l, struct err *err)
{
    struct pollfd p = {.fd = l->report[0], .events = POLLIN};
    struct child_report rep = {0};
    ssize_t n;

    close_pair((int[2]){steal_fd(&l->report[1]), -1});
    for (;;) {
        int r = poll(&p, 1, SETUP_MS);
        if (r == 0)
            return err_set(err, ERR_TIMEOUT, "set-up hangs");
        if (r < 0 && errno == EINTR)
            continue;
        n = read(l->report[0], &rep, sizeof rep);
        if (n >= 0 || errno != EINTR)
            break;
    }
    if (n == 0 || rep.ready)
        return 0;
    if (n != sizeof rep)
        return err_set(err, ERR_IO, "the child's report is cut");
    rep.err.msg[sizeof rep.err.msg - 1] = '\0';
    return err_set(err, rep.err.kind, "%s", rep.err.msg);
}

/* An exec that never happened also ends the report: was the child killed meanwhile (out of memory in its own
 * ceiling)? */
static int check_alive(struct launch *l, struct err *err)
{
    siginfo_t info = {0};
    struct cgroup_usage u;

    if (waitid(P_PID, (id_t)l->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 ||
        info.si_code != CLD_KILLED)
        return 0;
    cgroup_usage(l->cgroup, &u);
    if (u.oom_kills != CGROUP_UNSET && u.oom_kills > 0)
        return err_set(err, ERR_NOMEM, "out of memory inside its ceiling of %llu bytes during start",
                       (unsigned long long)u.memory_limit_bytes);
    return 0; /* the program itself ran and was killed: the caller sees its status */
}

static void undo(struct launch *l)
{
    if (l->pid > 0) {
        (void)sys_kill_fd(l->pidfd, l->pid, SIGKILL);
        while (waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (l->pidfd >= 0)
        (void)close(l->pidfd);
    l->pid = 0;
    l->pidfd = -1;
    if (l->net.address[0])
        (void)net_detach(l->spec.id, l->net.address, NULL);
    l->net = (struct net_box){0};
}

static int start_child(struct launch *l, struct err *err)
{
    int r;

    if ((r = open_trees(l, err)) < 0)
        return r;
    if (l->spec.userns && !l->child.modern)
        return 1;
    ops_make(&l->spec, l->how->hold_fd >= 0, &l->ops);
    if ((r = high_pipe(l->go, err)) < 0 || (r = high_pipe(l->report, err)) < 0)
        return r;
    l->child.go_fd = l->go[0];
    l->child.report_fd = l->report[1];
    l->pid = clone_box(l);
    if (l->pid == 0) {
        (void)close(l->go[1]);
        child_run(&l->child);
    }
    if (l->pid < 0) {
        l->pid = 0;
        return l->spec.userns ? 1 : err_errno(err, errno, "clone");
    }
    if ((r = prepare_child(l, err)) != 0)
        return r;
    return 0;
}

/* The child knows its address only from us: it is written before "go" into memory that it does not share, so
 * it goes along with the byte. */
static int release_child(struct launch *l, struct err *err)
{
    int r;

    if (write(l->go[1], l->net.address, sizeof l->net.address) != sizeof l->net.address)
        return err_errno(err, errno, "release the child");
    r = wait_report(l, err);
    return r < 0 ? r : check_alive(l, err);
}

static void init_fds(struct launch *l)
{
    int *all = (int *)&l->child.trees;

    for (size_t i = 0; i < sizeof l->child.trees / sizeof(int); i++)
        all[i] = -1;
    l->go[0] = l->go[1] = l->report[0] = l->report[1] = -1;
    l->out[0] = l->out[1] = l->err[0] = l->err[1] = -1;
    l->pidfd = -1;
}

static int try_start(struct launch *l, struct err *err)
{
    int r;

    degrade(l);
    init_fds(l);
    l->child.spec = &l->spec;
    l->child.ops = &l->ops;
    l->child.cgroup = l->cgroup;
    l->child.hold_fd = l->how->hold_fd;
    l->child.preserve_fds = l->how->preserve_fds;
    r = make_pipes(l, err);
    if (r == 0)
        r = start_child(l, err);
    if (r == 0)
        r = release_child(l, err);
    if (r != 0) {
        undo(l);
        close_pair(l->out);
        close_pair(l->err);
    }
    close_trees(&l->child.trees);
    close_pair(l->go);
    close_pair(l->report);
    close_pair((int[2]){steal_fd(&l->out[1]), steal_fd(&l->err[1])});
    return r;
}

static void hand_over(struct launch *l, const char *cgroup_path, struct box_started *ret)
{
    struct box_started b = {.pidfd = l->pidfd, .out_fd = l->out[0], .err_fd = l->err[0], .report = l->rep};

    (void)str_copy(b.id.id, sizeof b.id.id, l->spec.id);
    (void)str_copy(b.id.cgroup_path, sizeof b.id.cgroup_path, cgroup_path);
    (void)str_copy(b.id.host_ip, sizeof b.id.host_ip, l->net.address);
    b.id.pid = l->pid;
    b.id.start_ticks = sys_proc_start(l->pid);
    b.id.net = l->spec.net;
    *ret = b;
}

/* Who asked by config.json gets an error for what does not hold; the agent gets a report (L9). */
static int fill_group(struct launch *l, const char *path, struct err *err)
{
    AUTO_MEM struct cgroup_list *own = NULL;
    struct cgroup_list *list = l->spec.resources;
    int r;

    if (!list) {
        list = own = mem_need(sizeof *own);
        cgroup_list_of_limits(&l->spec.limits, own);
        cgroup_list_standard_devices(own);
    }
    if ((r = cgroup_make_list(l->host, path, list, &l->cgroup, err)) < 0)
        return r;
    cgroup_list_report(list, &l->rep.cgroup);
    l->rep.devices = list->device_state;
    if (own || (r = cgroup_list_judge(list, err)) == 0)
        return 0;
    (void)cgroup_remove(l->cgroup, 1000, NULL);
    return r;
}

/* The group. What an earlier life left at its place goes first: its counts of kills are not ours. */
static int make_group(struct launch *l, const char *path, struct err *err)
{
    struct cgroup *old = NULL;
    bool empty = true;

    l->fresh_group = true;
    if (cgroup_open(l->host, path, &old, NULL) == 0) {
        empty = cgroup_is_empty(old);
        l->fresh_group = empty && cgroup_remove(old, 0, NULL) == 0;
    }
    (void)cgroup_free(old);
    if (!empty) /* and keep their limits */
        return err_set(err, ERR_CONFLICT, "processes of an earlier start still run in cgroup %s", path);
    return fill_group(l, path, err);
}

static int launch_in(struct launch *l, const char *cgroup_path, struct err *err)
{
    AUTO_FD int root = -1;
    int r;

    l->rootfs_fd = l->spec.rootfs_fd;
    if (l->rootfs_fd < 0) {
        root = l->rootfs_fd = open(l->spec.rootfs_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            return err_errno(err, errno, "rootfs %s", l->spec.rootfs_path);
        l->spec.rootfs_fd = root;
    }
    if ((r = make_group(l, cgroup_path, err)) < 0)
        return r;
    r = try_start(l, err);
    if (r == 1) {
        l->spec.userns = false;
        field(&l->rep.userns, CGROUP_DEGRADED, "no user namespace or no id-mapped mounts here");
        r = try_start(l, err);
    }
    if (r != 0)
        (void)cgroup_remove(l->cgroup, 1000, NULL);
    return r;
}

int box_launch(const struct cgroup_host *h, const struct spec *s, const struct box_how *how,
               struct box_started *ret, struct err *err)
{
    struct launch *l;
    char path[CGROUP_PATH_BYTES];
    int r = spec_check(s, err);

    if (r < 0)
        return r;
    if (!str_fmt(path, sizeof path, "%s%s", s->cgroup_path ? s->cgroup_path : "limpet/",
                 s->cgroup_path ? "" : s->id))
        return err_set(err, ERR_INVALID, "cgroup path too long");
    l = mem_need_zero(sizeof *l);
    l->host = h;
    l->how = how;
    l->spec = *s;
    field(&l->rep.network, s->net == SPEC_NET_HOST ? CGROUP_NOT_ASKED : CGROUP_ENFORCED, "");
    r = launch_in(l, path, err);
    if (r == 0)
        hand_over(l, path, ret);
    else
        (void)err_wrap(err, "%s", s->id);
    (void)cgroup_free(l->cgroup);
    free(l);
    return r;
}

int box_start(const struct cgroup_host *h, const struct spec *s, struct box_started *ret, struct err *err)
{
    static const struct box_how how = {.pipes = true, .stdio = {-1, -1, -1}, .hold_fd = -1};

    return box_launch(h, s, &how, ret, err);
}
