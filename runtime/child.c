/* child.c - the steps themselves: namespaces are there, now fill them. See child.h. */
#include "runtime/child.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/child_mount.h"
#include "runtime/net.h"

static int op_hide(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op;
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        return err_errno(err, errno, "prctl");
    (void)setsid();
    (void)umask(0);
    return 0;
}

static int op_cgroup(struct child *c, const struct op *op, struct err *err)
{
    int r = cgroup_attach_self(c->cgroup, c->in_v2);

    (void)op;
    return r < 0 ? err_errno(err, -r, "attach") : 0;
}

static int op_wait(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    if (read(c->go_fd, c->address, sizeof c->address) != sizeof c->address)
        return err_set(err, ERR_IO, "the parent has gone");
    return 0;
}

static int op_be_root(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op;
    if (syscall(SYS_setgroups, 0, NULL) != 0 || setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)
        return err_errno(err, errno, "user namespace");
    return 0;
}

static int op_loopback(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    /* a network of its own: its low ports are no privilege, and boxes have no capability to bind them
     * (since 4.11) */
    (void)fs_write_text(c->proc_fd, "sys/net/ipv4/ip_unprivileged_port_start", "0", NULL);
    return net_inner_up("lo", NULL, err);
}

static int op_address(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return c->address[0] ? net_inner_up("eth0", c->address, err) : 0;
}

static int op_hostname(struct child *c, const struct op *op, struct err *err)
{
    const char *name = c->spec->hostname ? c->spec->hostname : c->spec->id;

    (void)op;
    return sethostname(name, strlen(name)) == 0 ? 0 : err_errno(err, errno, "sethostname %s", name);
}

static int op_cgroup_ns(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op;
    if (unshare(CLONE_NEWCGROUP) != 0 && errno != EINVAL) /* before 4.6 there is none */
        return err_errno(err, errno, "unshare");
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
    const struct spec_rlimit *l = &c->spec->rlimits[op->index];
    struct rlimit r = {l->soft, l->hard};

    if (setrlimit(l->resource, &r) != 0)
        return err_errno(err, errno, "rlimit %d to %llu:%llu", l->resource, (unsigned long long)l->soft,
                         (unsigned long long)l->hard);
    return 0;
}

static int op_stdio(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    for (int i = 0; i < 3; i++) {
        int from = c->stdio[i] >= 0 ? c->stdio[i] : c->null_fd;
        if (from < 0)
            return err_set(err, ERR_INVALID, "no /dev in this container and no descriptor %d given", i);
        if (dup2(from, i) < 0) /* none of ours is below 3: see box.c */
            return err_errno(err, errno, "dup2");
    }
    return 0;
}

static int op_close(struct child *c, const struct op *op, struct err *err)
{
    int keep[2], n = 0, first = 3 + (int)c->preserve_fds;

    (void)op, (void)err;
    if (c->hold_fd >= 0)
        keep[n++] = c->hold_fd;
    keep[n++] = c->report_fd;
    if (n == 2 && keep[0] > keep[1]) {
        int swap = keep[0];
        keep[0] = keep[1];
        keep[1] = swap;
    }
    sys_close_from(first, keep, (unsigned)n);
    return 0;
}

void child_reset_signals(void)
{
    sigset_t none;
    struct sigaction dfl = {.sa_handler = SIG_DFL};

    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &dfl, NULL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int op_signals(struct child *c, const struct op *op, struct err *err)
{
    (void)c, (void)op, (void)err;
    child_reset_signals();
    return 0;
}

static int op_seccomp(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return c->filter ? child_filter(c->filter, c->n_filter, err) : 0;
}

static int op_bound(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return child_drop_bounding(c->spec->caps, err);
}

static int op_user(struct child *c, const struct op *op, struct err *err)
{
    const struct spec *s = c->spec;

    (void)op;
    return child_set_user(s->uid, s->gid, s->groups, s->n_groups, s->caps, err);
}

static int op_cwd(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    (void)umask((mode_t)c->spec->umask);
    return child_chdir(c->spec->cwd, err);
}

static int op_program(struct child *c, const struct op *op, struct err *err)
{
    (void)op;
    return child_find_program(c->spec->args[0], c->spec->env, c->program, sizeof c->program, err);
}

static int op_hold(struct child *c, const struct op *op, struct err *err)
{
    struct child_report rep = {.ready = true};
    char go;

    (void)op;
    (void)!write(c->report_fd, &rep, sizeof rep);
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
    return child_no_new_privs(err);
}

static int op_exec(struct child *c, const struct op *op, struct err *err)
{
    static const char *const no_env[] = {NULL};
    const char *const *env = c->spec->env ? c->spec->env : no_env;

    (void)op;
    (void)execve(c->program, (char *const *)(uintptr_t)c->spec->args, (char *const *)(uintptr_t)env);
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
    [OP_ROOT] = child_op_root,
    [OP_MOUNT] = child_op_mount,
    [OP_DEVICES] = child_op_devices,
    [OP_READ_ONLY] = child_op_read_only,
    [OP_MASK] = child_op_mask,
    [OP_SEAL_ROOT] = child_op_seal_root,
    [OP_PIVOT] = child_op_pivot,
    [OP_CGROUP_NS] = op_cgroup_ns,
    [OP_KEYRING] = op_keyring,
    [OP_RLIMIT] = op_rlimit,
    [OP_STDIO] = op_stdio,
    [OP_CLOSE] = op_close,
    [OP_SIGNALS] = op_signals,
    [OP_SECCOMP_PRIVILEGED] = op_seccomp,
    [OP_BOUND] = op_bound,
    [OP_USER] = op_user,
    [OP_CWD] = op_cwd,
    [OP_PROGRAM] = op_program,
    [OP_HOLD] = op_hold,
    [OP_NO_NEW_PRIVS] = op_no_new_privs,
    [OP_SECCOMP] = op_seccomp,
    [OP_EXEC] = op_exec,
};
static_assert(COUNT_OF(steps) == OP_KIND_COUNT_, "each step has a function");

void child_run(struct child *c)
{
    struct child_report rep = {.ready = false};
    char text[LIM_PATH_BYTES + 64];

    c->proc_fd = c->place_fd = c->root_fd = c->null_fd = -1;
    for (unsigned i = 0; i < c->ops->n; i++) {
        const struct op *op = &c->ops->list[i];
        if (steps[op->kind](c, op, &rep.err) >= 0)
            continue;
        (void)err_wrap(&rep.err, "%s", ops_text(c->spec, op, text, 120));
        if (c->report_fd >= 0)
            (void)!write(c->report_fd, &rep, sizeof rep);
        else
            (void)dprintf(2, "limpet: %s: %s\n", c->spec->id, rep.err.msg);
        break;
    }
    _exit(127);
}
