/* box.c - starts a box: the parent's side. See box.h, child.h. */
#include "runtime/box/box.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "platform/fs.h"
#include "platform/patience.h"
#include "platform/sys.h"
#include "runtime/box/box_int.h"
#include "runtime/box/enter.h"
#include "runtime/box/exe_guard.h"
#include "runtime/box/hooks.h"
#include "runtime/box/idmap.h"
#include "runtime/box/mount_clone.h"
#include "runtime/box/ns_why.h"
#include "runtime/net/net.h"
#include "runtime/net/netdev.h"
#include "runtime/spec/ns_kinds.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#define SETUP_MS 30000 /* set-up takes milliseconds; a source on a dead network file system never returns */

/* Everything used by one start; all of it is released again except what box_started takes. */
struct launch {
    const struct cgroup_host *host;
    const struct box_how *how;
    struct spec spec; /* a copy: what the kernel cannot do is removed from it */
    struct ops ops;
    struct child child;
    struct cgroup *cgroup;
    bool fresh_group;
    int rootfs_fd;
    int go[2], report[2], out[2], err[2];
    pid_t pid;
    int pidfd;
    struct net_box net;
    bool has_net; /* net_attach was done */
    struct netdev *devices;
    struct enter enter;
    struct box_report rep;
};

static void field(struct cgroup_field *f, enum cgroup_state state, const char *why)
{
    f->state = state;
    f->value = state == CGROUP_ENFORCED ? 1 : 0;
    (void)snprintf(f->why, sizeof(f->why), "%.95s", why);
}

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            (void)close(pair[i]);
    pair[0] = pair[1] = -1;
}

/* Both ends above 2, so that no dup2 in the child overwrites another descriptor. */
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

/* Remove from the spec what this kernel cannot do, and report it. */
static void degrade(struct launch *l)
{
    struct spec *s = &l->spec;
    struct spec_process *p = &s->process;

    if (!p->seccomp_default && !p->seccomp.code)
        field(&l->rep.seccomp, CGROUP_NOT_ASKED, "");
    else if (box_has_seccomp())
        field(&l->rep.seccomp, CGROUP_ENFORCED, "");
    else {
        field(&l->rep.seccomp, CGROUP_UNSUPPORTED, "kernel without CONFIG_SECCOMP_FILTER");
        p->seccomp_default = false;
        p->seccomp.code = NULL;
    }
    l->child.filter = box_filter(p);
    if (s->ns[SPEC_NS_USER].own)
        field(&l->rep.userns, CGROUP_ENFORCED, "");
    field(&l->rep.read_only_rootfs, s->rootfs_read_only ? CGROUP_ENFORCED : CGROUP_NOT_ASKED, "");
}

static int make_pipes(struct launch *l, struct err *err)
{
    const struct spec *s = &l->spec;
    bool shifted = s->ns[SPEC_NS_USER].own;
    uid_t uid = shifted ? spec_outer_id(&s->uid_maps, s->process.uid) : s->process.uid;
    gid_t gid = shifted ? spec_outer_id(&s->gid_maps, s->process.gid) : s->process.gid;
    int rc;

    for (int i = 0; i < 3; i++)
        l->child.stdio[i] = l->how->pipes ? -1 : l->how->stdio[i];
    if (!l->how->pipes)
        return 0;
    if ((rc = high_pipe(l->out, err)) < 0 || (rc = high_pipe(l->err, err)) < 0)
        return rc;
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
    static const enum spec_ns_kind by_clone[] = {SPEC_NS_USER, SPEC_NS_PID, SPEC_NS_NET, SPEC_NS_IPC,
                                                 SPEC_NS_UTS};
    uint64_t f = CLONE_NEWNS;

    for (size_t i = 0; i < COUNT_OF(by_clone); i++)
        f |= s->ns[by_clone[i]].own ? (uint64_t)ns_kinds[by_clone[i]].flag : 0;
    return f;
}

static bool joins(const struct spec *s)
{
    for (int i = 0; i < SPEC_NS_COUNT_; i++)
        if (s->ns[i].join)
            return true;
    return s->ns[SPEC_NS_TIME].own;
}

/* 0 in the child. Tries the best way first: directly into the v2 group; then without; then the old call. */
static pid_t clone_box(struct launch *l)
{
    /* newer kernels (6.18) kill what is cloned into a group that had a cgroup.kill: only enter a new one */
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

/* The value read back counts. */
static int set_oom(struct launch *l, struct err *err)
{
    const struct spec_process *p = &l->spec.process;
    char name[40], text[16], why[96];
    struct err refused = ERR_INIT;
    long got;

    if (!p->oom_score_adj_set)
        return 0;
    (void)snprintf(name, sizeof(name), "/proc/%d/oom_score_adj", (int)l->pid);
    (void)snprintf(text, sizeof(text), "%d", p->oom_score_adj);
    if (fs_write_text(AT_FDCWD, name, text, &refused) < 0 && !p->oom_score_adj_soft)
        return err_set(err, refused.kind, "process.oomScoreAdj: %s", refused.msg);
    if (fs_read_text(AT_FDCWD, name, text, sizeof(text), NULL) <= 0)
        return 0; /* it has ended: detected elsewhere */
    got = strtol(text, NULL, 10);
    (void)snprintf(why, sizeof(why), "it stays %ld, where the agent is: lower needs CAP_SYS_RESOURCE", got);
    field(&l->rep.oom, got == p->oom_score_adj ? CGROUP_ENFORCED : CGROUP_DEGRADED,
          got == p->oom_score_adj ? "" : why);
    l->rep.oom.value = got < 0 ? CGROUP_UNSET : (uint64_t)got;
    return 0;
}

/* In its own user namespace the child must not raise hard limits any more: we do. It then sets them. */
static void raise_limits(const struct launch *l)
{
    const struct spec_process *p = &l->spec.process;

    for (unsigned i = 0; l->spec.ns[SPEC_NS_USER].own && i < p->n_rlimits; i++) {
        struct rlimit now;
        if (prlimit(l->pid, p->rlimits[i].resource, NULL, &now) != 0 || now.rlim_max >= p->rlimits[i].hard)
            continue;
        now.rlim_max = p->rlimits[i].hard;
        (void)prlimit(l->pid, p->rlimits[i].resource, &now, NULL);
    }
}

/* Ids for the new namespace, and files that show them. 1: not possible here. */
static int set_ids(struct launch *l, struct err *err)
{
    AUTO_FD int ns = -1;
    char name[40];
    int rc;

    if (l->spec.ns[SPEC_NS_USER].own) {
        if ((rc = idmap_write(l->pid, &l->spec.uid_maps, &l->spec.gid_maps, err)) < 0)
            return rc;
        (void)snprintf(name, sizeof(name), "/proc/%d/ns/user", (int)l->pid);
        if ((ns = openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC)) < 0)
            return err_errno(err, errno, "%s", name);
    }
    return idmap_shift(&l->spec, &l->child.trees, ns >= 0 ? ns : l->enter.ns[SPEC_NS_USER], l->rep.userns.why,
                       sizeof(l->rep.userns.why), err);
}

/* The child waits: do what only the host can do for it. 1: retry without user namespace. */
static int prepare_child(struct launch *l, struct err *err)
{
    int rc;

    raise_limits(l);
    if ((rc = set_ids(l, err)) != 0 || (rc = set_oom(l, err)) < 0)
        return rc;
    l->net.nat = l->rep.network;
    if ((rc = net_attach(l->pid, &l->spec, &l->net, err)) < 0)
        return rc;
    l->has_net = true;
    l->rep.network = l->net.nat;
    return netdev_attach(l->pid, &l->spec, &l->devices, err);
}

/* The namespaces exist: run hooks in ours (config.md, "prestart" and "createRuntime"), then the child
 * continues. */
static int run_hooks(struct launch *l, struct err *err)
{
    const struct spec_hooks *h = l->spec.hooks;
    struct hooks_state s = {.id = l->spec.id,
                            .status = "creating",
                            .bundle = l->how->bundle,
                            .annotations = l->how->annotations,
                            .pid = l->pid};
    int rc;

    if ((rc = hooks_run(&h[SPEC_HOOK_PRESTART], "prestart", &s, false, err)) < 0 ||
        (rc = hooks_run(&h[SPEC_HOOK_CREATE_RUNTIME], "createRuntime", &s, false, err)) < 0)
        return rc;
    return write(l->go[1], "h", 1) == 1 ? 0 : err_errno(err, errno, "release the child");
}

/* Read one report. 0: end of file. */
static ssize_t next_report(struct launch *l, struct child_report *ret, struct err *err)
{
    struct pollfd p = {.fd = l->report[0], .events = POLLIN};
    bool hooks = l->spec.hooks[SPEC_HOOK_CREATE_CONTAINER].n + l->spec.hooks[SPEC_HOOK_START_CONTAINER].n > 0;
    int limit_ms = hooks ? -1 : (int)patience_ms(SETUP_MS); /* hooks have their own timeouts */
    ssize_t n;

    for (;;) {
        int rc = poll(&p, 1, limit_ms);
        if (rc == 0)
            return err_set(err, ERR_TIMEOUT, "setup timed out after %d ms", limit_ms);
        if (rc < 0 && errno == EINTR)
            continue;
        n = read(l->report[0], ret, sizeof(*ret));
        if (n >= 0 || errno != EINTR)
            break;
    }
    return n == 0 || n == sizeof(*ret) ? n : err_set(err, ERR_IO, "the child's report is cut");
}

static int wait_report(struct launch *l, struct err *err)
{
    struct child_report rep;
    ssize_t n;
    int rc;

    (void)close(steal_fd(&l->report[1]));
    while ((n = next_report(l, &rep, err)) > 0 && rep.stage == CHILD_HOOKS)
        if ((rc = run_hooks(l, err)) < 0)
            return rc;
    if (n <= 0 || rep.stage == CHILD_READY)
        return (int)n < 0 ? (int)n : 0;
    rep.err.msg[sizeof(rep.err.msg) - 1] = '\0';
    return err_set(err, rep.err.kind, "%s", rep.err.msg);
}

/* The reports also end if exec never happened: was the child killed meanwhile (out of memory within its own
 * limit)? */
static int check_alive(struct launch *l, struct err *err)
{
    siginfo_t info = {0};
    struct cgroup_usage u;

    if (waitid(P_PID, (id_t)l->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0 ||
        info.si_code != CLD_KILLED)
        return 0;
    cgroup_usage(l->cgroup, &u);
    if (u.oom_kills != CGROUP_UNSET && u.oom_kills > 0)
        return err_set(err, ERR_NOMEM, "out of memory inside its ceiling of %" PRIu64 " bytes during start",
                       u.memory_limit_bytes);
    return 0; /* the program itself ran and was killed: the caller sees its status */
}

void box_reap(pid_t pid)
{
    const struct timespec pause = {0, 1000000};
    uint64_t limit_ms = patience_ms(UINT64_MAX);

    for (uint64_t ms = 0; waitpid(pid, NULL, WNOHANG) == 0 && ms < limit_ms; ms++)
        (void)nanosleep(&pause, NULL);
}

static void undo(struct launch *l)
{
    l->devices = netdev_undo(l->devices); /* before the namespace goes away, and virtual devices with it */
    if (l->pid > 0) {
        (void)sys_kill_fd(l->pidfd, l->pid, SIGKILL);
        box_reap(l->pid);
    }
    if (l->pidfd >= 0)
        (void)close(l->pidfd);
    l->pid = 0;
    l->pidfd = -1;
    if (l->has_net) /* otherwise the id's network is another box's */
        err_ignore(net_detach(l->spec.net, l->spec.id, l->net.address, NULL));
    l->has_net = false;
    l->net = (struct net_box){0};
}

static int spawn_child(struct launch *l, struct err *err)
{
    int rc;

    if (joins(&l->spec)) {
        if ((rc = enter_open_spec(&l->enter, &l->spec, err)) < 0)
            return rc;
        l->enter.clone_flags = clone_flags(&l->spec);
        l->enter.cgroup = l->cgroup;
        l->enter.time = l->spec.ns[SPEC_NS_TIME].own ? &l->spec : NULL;
        l->child.in_cgroup = true;
        rc = enter_spawn(&l->enter, &l->child, child_run, l->report[0], &l->pid, err);
        if (rc == 0)
            l->pidfd = sys_pidfd_open(l->pid);
        return rc;
    }
    l->pid = clone_box(l);
    if (l->pid == 0)
        child_run(&l->child);
    if (l->pid > 0)
        return 0;
    l->pid = 0;
    return ns_why(clone_flags(&l->spec), errno, err);
}

/* 1: retry without user namespace. */
static int start_child(struct launch *l, struct err *err)
{
    bool userns = l->spec.ns[SPEC_NS_USER].own;
    int rc;

    if ((rc = mount_clone_open(&l->spec, l->rootfs_fd, &l->child.trees, err)) < 0)
        return rc;
    l->child.modern = rc == 1;
    if (userns && l->spec.rootfs_idmap && !l->child.modern) {
        (void)err_set(err, ERR_UNSUPPORTED, "no id-mapped mounts on this machine");
        return 1;
    }
    ops_make(&l->spec, l->how->hold_fd >= 0, &l->ops);
    if ((rc = high_pipe(l->go, err)) < 0 || (rc = high_pipe(l->report, err)) < 0)
        return rc;
    l->child.go_fd = l->go[0];
    l->child.parent_fd = l->go[1];
    l->child.report_fd = l->report[1];
    if ((rc = spawn_child(l, err)) < 0)
        return userns && !l->how->exact ? 1 : rc;
    return prepare_child(l, err);
}

/* What the child knows only from us was written before "go", into memory that it does not share: send it
 * along. */
static int release_child(struct launch *l, struct err *err)
{
    struct child_go go = {.pid = l->pid};
    int rc;

    if (l->spec.net == SPEC_NET_BRIDGE) { /* plugins have set theirs already */
        memcpy(go.address, l->net.address, sizeof(go.address));
        memcpy(go.address6, l->net.address6, sizeof(go.address6));
    }
    if (write(l->go[1], &go, sizeof(go)) != sizeof(go))
        return err_errno(err, errno, "release the child");
    rc = wait_report(l, err);
    return rc < 0 ? rc : check_alive(l, err);
}

static void init_fds(struct launch *l)
{
    child_init(&l->child, &l->spec, &l->ops);
    l->go[0] = l->go[1] = l->report[0] = l->report[1] = -1;
    l->out[0] = l->out[1] = l->err[0] = l->err[1] = -1;
    l->pidfd = -1;
    enter_init(&l->enter);
}

static int try_start(struct launch *l, struct err *err)
{
    int rc;

    init_fds(l);
    degrade(l);
    l->child.cgroup = l->cgroup;
    l->child.hold_fd = l->how->hold_fd;
    l->child.preserve_fds = l->how->preserve_fds;
    l->child.console_fd = l->how->console_fd;
    l->child.listener_fd = l->child.filter.listener ? l->how->listener_fd : -1;
    l->child.no_pivot = l->how->no_pivot;
    l->child.plain = geteuid() != 0 && l->spec.ns[SPEC_NS_USER].own;
    l->child.bundle = l->how->bundle;
    l->child.annotations = l->how->annotations;
    rc = l->spec.init ? exe_guard_open_init(&l->child.init_fd, err) : 0;
    if (rc == 0)
        rc = make_pipes(l, err);
    if (rc == 0)
        rc = start_child(l, err);
    if (rc == 0)
        rc = release_child(l, err);
    if (rc != 0) {
        undo(l);
        close_pair(l->out);
        close_pair(l->err);
    }
    l->devices = netdev_free(l->devices);
    mount_clone_close(&l->child.trees);
    enter_done(&l->enter);
    ops_done(&l->ops);
    close_pair(l->go);
    close_pair(l->report);
    close_pair((int[2]){steal_fd(&l->out[1]), steal_fd(&l->err[1])});
    close_pair((int[2]){steal_fd(&l->child.init_fd), -1});
    return rc;
}

static void hand_over(struct launch *l, const char *cgroup_path, struct box_started *ret)
{
    struct box_started b = {.pidfd = l->pidfd, .out_fd = l->out[0], .err_fd = l->err[0], .report = l->rep};

    (void)str_copy(b.id.id, sizeof(b.id.id), l->spec.id);
    (void)str_copy(b.id.cgroup_path, sizeof(b.id.cgroup_path), cgroup_path);
    (void)str_copy(b.id.host_ip, sizeof(b.id.host_ip), l->net.address);
    (void)str_copy(b.id.host_ip6, sizeof(b.id.host_ip6), l->net.address6);
    b.id.pid = l->pid;
    b.id.start_ticks = sys_proc_start(l->pid);
    b.id.net = l->spec.net;
    *ret = b;
}

static int launch_in(struct launch *l, const char *cgroup_path, struct err *err)
{
    static const char no_idmap[] = "no id-mapped mounts on this file system";
    struct err why = ERR_INIT;
    AUTO_FD int root = -1;
    int rc;

    l->rootfs_fd = l->spec.rootfs_fd;
    if (l->rootfs_fd < 0) {
        root = l->rootfs_fd = openat(AT_FDCWD, l->spec.rootfs_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            return err_errno(err, errno, "rootfs %s", l->spec.rootfs_path);
        l->spec.rootfs_fd = root;
    }
    if ((rc = box_make_group(l->host, &l->spec, cgroup_path, &l->cgroup, &l->fresh_group, &l->rep, err)) < 0)
        return rc;
    rc = try_start(l, &why);
    if (rc == 1 && !l->how->exact) {
        l->spec.ns[SPEC_NS_USER].own = l->spec.rootfs_idmap = false;
        field(&l->rep.userns, CGROUP_DEGRADED, why.kind ? why.msg : no_idmap);
        rc = try_start(l, err);
    } else if (rc != 0) {
        rc = err_set(err, why.kind ? why.kind : ERR_UNSUPPORTED, "%s", why.kind ? why.msg : no_idmap);
    }
    if (rc != 0)
        err_ignore(cgroup_remove(l->cgroup, 1000, NULL));
    return rc;
}

/* A user namespace without mappings: our own range, or a plain user's own id. */
static void default_maps(struct spec *s)
{
    bool root;

    if (!s->ns[SPEC_NS_USER].own || s->uid_maps.n > 0)
        return;
    root = geteuid() == 0;
    s->uid_maps = spec_id_range(root ? SPEC_ID_SHIFT : geteuid(), root ? 65536 : 1);
    s->gid_maps = spec_id_range(root ? SPEC_ID_SHIFT : getegid(), root ? 65536 : 1);
    s->rootfs_idmap = s->rootfs_idmap && root;
}

int box_launch(const struct cgroup_host *h, const struct spec *s, const struct box_how *how,
               struct box_started *ret, struct err *err)
{
    struct launch *l;
    char path[CGROUP_PATH_BYTES];
    int rc = spec_check(s, err);

    if (rc < 0)
        return rc;
    if (!str_fmt(path, sizeof(path), "%s%s", s->cgroup_path ? s->cgroup_path : "limpet/",
                 s->cgroup_path ? "" : s->id))
        return err_set(err, ERR_INVALID, "cgroup path too long");
    l = mem_need_zero(sizeof(*l));
    l->host = h;
    l->how = how;
    l->spec = *s;
    default_maps(&l->spec);
    field(&l->rep.network, s->net == SPEC_NET_HOST ? CGROUP_NOT_ASKED : CGROUP_ENFORCED, "");
    rc = launch_in(l, path, err);
    if (rc == 0)
        hand_over(l, path, ret);
    else
        (void)err_wrap(err, "%s", s->id);
    (void)cgroup_free(l->cgroup);
    free(l);
    return rc;
}

int box_start(const struct cgroup_host *h, const struct spec *s, struct box_started *ret, struct err *err)
{
    static const struct box_how how = {
        .pipes = true, .stdio = {-1, -1, -1}, .hold_fd = -1, .console_fd = -1, .listener_fd = -1};

    return box_launch(h, s, &how, ret, err);
}

int box_start_held(const struct cgroup_host *h, const struct spec *s, struct box_started *ret,
                   int *ret_gate_fd, struct err *err)
{
    struct box_how how = {.pipes = true, .stdio = {-1, -1, -1}, .console_fd = -1, .listener_fd = -1};
    int gate[2], r = high_pipe(gate, err);

    if (r < 0)
        return r;
    how.hold_fd = gate[0];
    r = box_launch(h, s, &how, ret, err);
    if (r == 0)
        *ret_gate_fd = steal_fd(&gate[1]);
    close_pair(gate);
    return r;
}
