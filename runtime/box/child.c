/* child.c - the steps themselves: the namespaces exist, now set them up. See child.h. */
#include "runtime/box/child.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/box/child_mount.h"
#include "runtime/box/hooks.h"
#include "runtime/box/ns_why.h"
#include "runtime/net/net.h"

static int op_hide(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    if (!c->plain && prctl(PR_SET_DUMPABLE, 0) != 0)
        return err_errno(err, errno, "prctl");
    (void)setsid();
    (void)umask(0);
    return 0;
}

static int op_cgroup(struct child *c, const struct op *op, struct err *err)
{
    int rc = c->in_cgroup ? 0 : cgroup_attach_self(c->cgroup, c->in_v2);

    (void)op;
    return rc < 0 ? err_errno(err, -rc, "attach") : 0;
}

static int op_wait(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    if (read(c->go_fd, &c->go, sizeof(c->go)) != sizeof(c->go))
        return err_set(err, ERR_IO, "the parent has gone");
    if (c->plain && prctl(PR_SET_DUMPABLE, 0) != 0) /* nothing from the image has run yet */
        return err_errno(err, errno, "prctl");
    return 0;
}

static int op_be_root(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op;
    return child_be_root(err);
}

static int op_loopback(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    /* in its own network low ports need no privilege, and boxes have no capability to bind them (since
     * 4.11) */
    err_ignore(fs_write_text(c->proc_fd, "sys/net/ipv4/ip_unprivileged_port_start", "0", NULL));
    return net_inner_up("lo", NULL, NULL, err);
}

static int op_address(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return c->go.address[0] ? net_inner_up("eth0", c->go.address, c->go.address6, err) : 0;
}

static int op_hostname(struct child *c, const struct op *op, struct err *err)
{
    const char *name = c->spec->hostname ? c->spec->hostname : c->spec->id;

    (void)op;
    return sethostname(name, strlen(name)) == 0 ? 0 : err_errno(err, errno, "sethostname %s", name);
}

static int op_domainname(struct child *c, const struct op *op, struct err *err)
{
    const char *name = c->spec->domainname;

    (void)op;
    return setdomainname(name, strlen(name)) == 0 ? 0 : err_errno(err, errno, "setdomainname %s", name);
}

static int op_sysctl(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_sysctl *s = &c->spec->sysctls[op->index];
    char path[256];

    if (!str_fmt(path, sizeof(path), "sys/%s", s->path))
        return err_set(err, ERR_INVALID, "name too long");
    return fs_write_text(c->proc_fd, path, s->value, err);
}

static int op_cgroup_ns(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op;
    if (unshare(CLONE_NEWCGROUP) != 0 && errno != EINVAL) /* does not exist before 4.6 */
        return ns_why_kind(SPEC_NS_CGROUP, errno, err);
    return 0;
}

static int op_keyring(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op;
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EDQUOT)
        return err_errno(err, errno, "keyctl");
    return 0;
}

static int op_rlimit(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_rlimit *l = &c->spec->process.rlimits[op->index];
    struct rlimit r = {l->soft, l->hard};

    if (setrlimit(l->resource, &r) != 0)
        return err_errno(err, errno, "rlimit %d to %" PRIu64 ":%" PRIu64, l->resource, l->soft, l->hard);
    return 0;
}

static int op_stdio(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    for (int i = 0; i < 3; i++) {
        if (c->stdio[i] == i)
            continue;
        if (c->stdio[i] < 0 && c->null_fd < 0 && child_open_null(&c->null_fd, err) < 0)
            return -(int)err->kind;
        if (dup2(c->stdio[i] >= 0 ? c->stdio[i] : c->null_fd, i) <
            0) /* none of our others is below 3: see box.c */
            return err_errno(err, errno, "dup2");
    }
    if ((c->ctty || c->spec->process.terminal) && ioctl(0, TIOCSCTTY, 0) != 0)
        return err_errno(err, errno, "controlling terminal");
    return 0;
}

static void report(struct child *c, enum child_stage stage)
{
    struct child_report rep = {.stage = stage};

    (void)!write(c->report_fd, &rep, sizeof(rep));
}

/* Done last: from here on the program's limits apply to us too, and its neighbours' load. */
static int op_join(struct child *c, const struct op *op, struct err *err)
{
    char go;

    (void)op;
    report(c, CHILD_JOIN);
    if (read(c->join_fd, &go, 1) != 1)
        return err_set(err, ERR_IO, "the parent has gone");
    (void)close(c->join_fd);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void child_close_others(const struct child *c, const int *more, unsigned n_more)
{
    const int own[] = {c->report_fd, c->hold_fd, c->join_fd, c->listener_fd, c->init_fd};
    int keep[COUNT_OF(own) + CHILD_MORE_FDS];
    unsigned n = 0;

    assert(n_more <= CHILD_MORE_FDS);
    for (unsigned i = 0; i < COUNT_OF(own) + n_more; i++) {
        int fd = i < COUNT_OF(own) ? own[i] : more[i - COUNT_OF(own)];
        if (fd >= 3 + (int)c->preserve_fds)
            keep[n++] = fd;
    }
    qsort(keep, n, sizeof(*keep), compare);
    sys_close_from(3 + (int)c->preserve_fds, keep, n);
}

static int op_close(struct child *c, const struct op *op, struct err *err)
{
    (void)op, (void)err;
    child_close_others(c, NULL, 0);
    for (unsigned i = 0; i < c->preserve_fds; i++) /* the caller may have opened them O_CLOEXEC */
        (void)fcntl(3 + (int)i, F_SETFD, 0);
    return 0;
}

void child_init(struct child *c, const struct spec *s, const struct ops *o)
{
    int *const fds[] = {&c->trees.root, &c->report_fd,  &c->go_fd,       &c->parent_fd, &c->hold_fd,
                        &c->join_fd,    &c->console_fd, &c->listener_fd, &c->init_fd,   &c->stdio[0],
                        &c->stdio[1],   &c->stdio[2],   &c->proc_fd,     &c->place_fd,  &c->root_fd,
                        &c->null_fd,    &c->empty_fd};

    *c = (struct child){.spec = s, .ops = o};
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        *fds[i] = -1;
    for (size_t i = 0; i < COUNT_OF(c->trees.mounts); i++)
        c->trees.mounts[i] = -1;
}

static int op_signals(struct child *c, const struct op *op, struct err *err)
{
    (void)op, (void)err;
    sys_reset_signals(c->proc_fd);
    return 0;
}

static int op_cwd(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    (void)umask((mode_t)c->spec->process.umask);
    return child_chdir(c->spec->process.cwd, err);
}

static int run_hooks(struct child *c, enum spec_hook_kind kind, const char *name, const char *status,
                     struct err *err)
{
    struct hooks_state s = {.id = c->spec->id,
                            .status = status,
                            .bundle = c->bundle,
                            .annotations = c->annotations,
                            .pid = c->go.pid};

    return hooks_run(&c->spec->hooks[kind], name, &s, false, err);
}

/* Namespaces and mounts exist, the host's tree is still visible: the parent's hooks, then ours. */
static int op_create_hooks(struct child *c, const struct op *op, struct err *err)
{
    char go;

    (void)op;
    report(c, CHILD_HOOKS);
    if (read(c->go_fd, &go, 1) != 1)
        return err_set(err, ERR_IO, "the parent has gone");
    return run_hooks(c, SPEC_HOOK_CREATE_CONTAINER, "createContainer", "creating", err);
}

static int op_start_hooks(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return run_hooks(c, SPEC_HOOK_START_CONTAINER, "startContainer", "created", err);
}

static int op_hold(struct child *c, const struct op *op, struct err *err)
{
    char go;

    (void)op;
    report(c, CHILD_READY);
    (void)close(c->report_fd);
    c->report_fd = -1;
    if (read(c->hold_fd, &go, 1) != 1)
        return err_set(err, ERR_IO, "start never came");
    (void)close(c->hold_fd);
    return 0;
}

static int op_no_new_privs(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : err_errno(err, errno, "prctl");
}

/* Our init (init.c) gets the program and all of its arguments; it is not a file of the image, and needs
 * none. */
static void exec_init(struct child *c, char *const *args, char *const *env)
{
    char *list[LIM_CONFIG_LIST + 3] = {(char *)(uintptr_t) "init", c->program};
    unsigned n = 2;

    for (; *args && n < COUNT_OF(list) - 1; args++)
        list[n++] = *args;
    (void)syscall(SYS_execveat, c->init_fd, "", list, env, AT_EMPTY_PATH);
}

static int op_exec(struct child *c, const struct op *op, struct err *err)
{
    static const char *const no_env[] = {NULL};
    const struct spec_process *p = &c->spec->process;
    char *const *env = (char *const *)(uintptr_t)(p->env ? p->env : no_env);
    char *const *args = (char *const *)(uintptr_t)p->args;

    (void)op;
    if (c->init_fd >= 0)
        exec_init(c, args, env);
    else
        (void)execve(c->program, args, env);
    if (errno == ENOENT)
        return err_set(err, ERR_NOTFOUND, "%s: its interpreter is not in the image", c->program);
    if (errno == EACCES || errno == ENOEXEC)
        return err_set(err, ERR_DENIED, "%s: %s", c->program, strerror(errno));
    return err_errno(err, errno, "%s", c->program);
}

static int (*const steps[])(struct child *, const struct op *, struct err *) = {
    [OP_HIDE] = op_hide,
    [OP_CGROUP] = op_cgroup,
    [OP_PRIVATE] = child_op_private,
    [OP_FIND_ROOT] = child_op_find_root,
    [OP_WAIT] = op_wait,
    [OP_BE_ROOT] = op_be_root,
    [OP_LOOPBACK] = op_loopback,
    [OP_ADDRESS] = op_address,
    [OP_HOSTNAME] = op_hostname,
    [OP_DOMAINNAME] = op_domainname,
    [OP_SYSCTL] = op_sysctl,
    [OP_ROOT] = child_op_root,
    [OP_MOUNT] = child_op_mount,
    [OP_DEVICES] = child_op_devices,
    [OP_DEVICE] = child_op_device,
    [OP_READ_ONLY] = child_op_read_only,
    [OP_MASK] = child_op_mask,
    [OP_CONSOLE] = child_op_console,
    [OP_CREATE_HOOKS] = op_create_hooks,
    [OP_SEAL_DEV] = child_op_seal_dev,
    [OP_SEAL_ROOT] = child_op_seal_root,
    [OP_PIVOT] = child_op_pivot,
    [OP_PROPAGATION] = child_op_propagation,
    [OP_CGROUP_NS] = op_cgroup_ns,
    [OP_KEYRING] = op_keyring,
    [OP_RLIMIT] = op_rlimit,
    [OP_SCHEDULER] = child_op_scheduler,
    [OP_PERSONALITY] = child_op_personality,
    [OP_STDIO] = op_stdio,
    [OP_LABEL] = child_op_label,
    [OP_CLOSE] = op_close,
    [OP_SIGNALS] = op_signals,
    [OP_SECCOMP_PRIVILEGED] = child_op_seccomp,
    [OP_BOUND] = child_op_bound,
    [OP_USER] = child_op_user,
    [OP_CWD] = op_cwd,
    [OP_PROGRAM] = child_op_program,
    [OP_JOIN] = op_join,
    [OP_HOLD] = op_hold,
    [OP_START_HOOKS] = op_start_hooks,
    [OP_NO_NEW_PRIVS] = op_no_new_privs,
    [OP_SECCOMP] = child_op_seccomp,
    [OP_EXEC] = op_exec,
};
static_assert(COUNT_OF(steps) == OP_KIND_COUNT_, "each step has a function");

static void walk(struct child *c)
{
    struct child_report rep = {.stage = CHILD_FAILED};
    char text[LIM_PATH_BYTES + 64];

    for (unsigned i = 0; i < c->ops->n; i++) {
        const struct op *op = &c->ops->list[i];
        if (steps[op->kind](c, op, &rep.err) >= 0)
            continue;
        (void)err_wrap(&rep.err, "%s", ops_text(c->spec, op, text, 120));
        if (c->report_fd >= 0)
            (void)!write(c->report_fd, &rep, sizeof(rep));
        else
            (void)dprintf(2, "limpet: %s: %s\n", c->spec->id, rep.err.msg);
        break;
    }
}

void child_run(struct child *c)
{
    (void)close(c->parent_fd);
    c->proc_fd = c->place_fd = c->root_fd = c->null_fd = c->empty_fd = -1;
    walk(c);
    _exit(127);
}

void child_run_exec(struct child *c)
{
    c->place_fd = c->root_fd = c->null_fd = c->empty_fd = -1;
    walk(c);
    _exit(127);
}
