/* ops.c - from a spec to the list of set-up steps. Pure. See ops.h. */
#include "runtime/box/ops.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "platform/mem.h"
#include "runtime/box/box.h"

static const char *const names[] = {
    [OP_HIDE] = "hide",
    [OP_CGROUP] = "join cgroup",
    [OP_PRIVATE] = "make mounts private",
    [OP_FIND_ROOT] = "find rootfs",
    [OP_WAIT] = "wait for the parent",
    [OP_BE_ROOT] = "become root of the user namespace",
    [OP_LOOPBACK] = "loopback up",
    [OP_ADDRESS] = "eth0 up",
    [OP_HOSTNAME] = "hostname",
    [OP_DOMAINNAME] = "domainname",
    [OP_SYSCTL] = "sysctl",
    [OP_ROOT] = "mount rootfs",
    [OP_MOUNT] = "mount",
    [OP_DEVICES] = "make devices",
    [OP_DEVICE] = "make device",
    [OP_READ_ONLY] = "read-only",
    [OP_MASK] = "mask",
    [OP_CONSOLE] = "open terminal",
    [OP_CREATE_HOOKS] = "create hooks",
    [OP_SEAL_DEV] = "seal /dev read-only",
    [OP_SEAL_ROOT] = "seal rootfs read-only",
    [OP_PIVOT] = "pivot root",
    [OP_PROPAGATION] = "propagation of /",
    [OP_CGROUP_NS] = "unshare cgroup",
    [OP_KEYRING] = "new session keyring",
    [OP_RLIMIT] = "rlimit",
    [OP_SCHEDULER] = "scheduling",
    [OP_PERSONALITY] = "personality",
    [OP_STDIO] = "connect stdio",
    [OP_LABEL] = "security label",
    [OP_CLOSE] = "close descriptors",
    [OP_SIGNALS] = "reset signals",
    [OP_SECCOMP_PRIVILEGED] = "seccomp filter (privileged)",
    [OP_BOUND] = "drop bounding set",
    [OP_USER] = "set user",
    [OP_CWD] = "chdir",
    [OP_PROGRAM] = "find program",
    [OP_JOIN] = "join cgroup as the last",
    [OP_HOLD] = "wait for start",
    [OP_START_HOOKS] = "startContainer hooks",
    [OP_NO_NEW_PRIVS] = "no new privileges",
    [OP_SECCOMP] = "seccomp filter",
    [OP_EXEC] = "exec",
};
static_assert(COUNT_OF(names) == OP_KIND_COUNT_, "each step has a name");

const char *ops_name(enum op_kind kind)
{
    return (unsigned)kind < OP_KIND_COUNT_ ? names[kind] : "?";
}

const char *ops_mount_type(enum spec_mount_kind kind)
{
    static const char *const types[] = {
        [SPEC_MOUNT_BIND] = "bind",     [SPEC_MOUNT_TMPFS] = "tmpfs",   [SPEC_MOUNT_PROC] = "proc",
        [SPEC_MOUNT_SYSFS] = "sysfs",   [SPEC_MOUNT_DEVPTS] = "devpts", [SPEC_MOUNT_MQUEUE] = "mqueue",
        [SPEC_MOUNT_CGROUP] = "cgroup", [SPEC_MOUNT_FS] = "fs",
    };

    static_assert(COUNT_OF(types) == SPEC_MOUNT_KIND_COUNT_, "each kind has a type");

    return types[kind];
}

unsigned long ops_mount_flags(const struct spec_mount *m)
{
    return m->kind == SPEC_MOUNT_DEVPTS ? m->flags & ~(unsigned long)MS_NODEV : m->flags;
}

/* Room for all steps of a spec at once: the single ones, and one for each element of its lists. */
static void init(const struct spec *s, struct ops *o)
{
    size_t n = OP_KIND_COUNT_ + s->n_mounts + s->n_devices + s->n_sysctls + s->process.n_rlimits;

    for (const char *const *p = s->masked; p && *p; p++)
        n++;
    for (const char *const *p = s->read_only_paths; p && *p; p++)
        n++;
    *o = (struct ops){.size = (unsigned)n, .list = mem_need(n * sizeof(*o->list))};
}

static void add(struct ops *o, enum op_kind kind, unsigned index, const char *path)
{
    assert(o->n < o->size);
    o->list[o->n++] = (struct op){kind, index, path};
}

void ops_done(struct ops *o)
{
    free(o->list);
    *o = (struct ops){0};
}

static bool is_dev(const struct spec_mount *m)
{
    return strcmp(m->target, "/dev") == 0;
}

bool ops_seals_dev(const struct spec_mount *m)
{
    return is_dev(m) && m->flags & MS_RDONLY && (m->kind == SPEC_MOUNT_TMPFS || m->kind == SPEC_MOUNT_FS);
}

/* The nodes go into the container's own /dev if there is one, into the image's if nothing is mounted, and
 * nowhere if the host's is bind-mounted. */
static void add_devices(const struct spec *s, struct ops *o)
{
    add(o, OP_DEVICES, 0, NULL);
    for (unsigned i = 0; i < s->n_devices; i++)
        add(o, OP_DEVICE, i, s->devices[i].path);
}

static void add_filesystem(const struct spec *s, struct ops *o)
{
    unsigned last = UINT32_MAX; /* the mount that ends up as /dev */

    for (unsigned i = 0; i < s->n_mounts; i++)
        if (is_dev(&s->mounts[i]))
            last = i;
    add(o, OP_ROOT, 0, NULL);
    for (unsigned i = 0; i < s->n_mounts; i++) {
        add(o, OP_MOUNT, i, NULL);
        if (i == last && s->mounts[i].kind != SPEC_MOUNT_BIND)
            add_devices(s, o);
    }
    if (last == UINT32_MAX)
        add_devices(s, o);
    for (const char *const *p = s->read_only_paths; p && *p; p++)
        add(o, OP_READ_ONLY, 0, *p);
    for (const char *const *p = s->masked; p && *p; p++)
        add(o, OP_MASK, 0, *p);
    if (s->process.terminal)
        add(o, OP_CONSOLE, 0, NULL);
    if (s->hooks[SPEC_HOOK_PRESTART].n + s->hooks[SPEC_HOOK_CREATE_RUNTIME].n +
        s->hooks[SPEC_HOOK_CREATE_CONTAINER].n)
        add(o, OP_CREATE_HOOKS, 0, NULL);
    if (last != UINT32_MAX && ops_seals_dev(&s->mounts[last]))
        add(o, OP_SEAL_DEV, 0, NULL);
    if (s->rootfs_read_only)
        add(o, OP_SEAL_ROOT, 0, NULL);
    add(o, OP_PIVOT, 0, NULL);
    if (s->propagation)
        add(o, OP_PROPAGATION, 0, NULL);
}

static bool has_label(const struct spec_process *p)
{
    return p->apparmor || p->selinux;
}

enum last { LAST_EXEC, LAST_HOLD, LAST_JOIN };

static void add_process(const struct spec *s, enum last last, struct ops *o)
{
    const struct spec_process *p = &s->process;
    bool filter = p->seccomp_default || p->seccomp.code;

    add(o, OP_KEYRING, 0, NULL);
    add(o, OP_STDIO, 0, NULL);
    if (has_label(p))
        add(o, OP_LABEL, 0, NULL);
    add(o, OP_SIGNALS, 0, NULL);
    add(o, OP_CLOSE, 0, NULL);
    /* afterwards: they may allow fewer descriptors than we had */
    for (unsigned i = 0; i < p->n_rlimits; i++)
        add(o, OP_RLIMIT, i, NULL);
    if (p->scheduler.set || p->io_priority_set || s->mempolicy_set)
        add(o, OP_SCHEDULER, 0, NULL);
    if (s->personality_set)
        add(o, OP_PERSONALITY, 0, NULL);
    if (filter && !p->no_new_privs) {
        if (last == LAST_JOIN) /* an outer filter may not let us write */
            add(o, OP_JOIN, 0, NULL);
        add(o, OP_SECCOMP_PRIVILEGED, 0, NULL);
    }
    add(o, OP_BOUND, 0, NULL);
    add(o, OP_USER, 0, NULL);
    add(o, OP_CWD, 0, NULL);
    add(o, OP_PROGRAM, 0, NULL);
    if (last == LAST_JOIN && !(filter && !p->no_new_privs))
        add(o, OP_JOIN, 0, NULL);
    if (last == LAST_HOLD)
        add(o, OP_HOLD, 0, NULL);
    if (s->hooks[SPEC_HOOK_START_CONTAINER].n)
        add(o, OP_START_HOOKS, 0, NULL);
    if (p->no_new_privs) {
        add(o, OP_NO_NEW_PRIVS, 0, NULL);
        if (filter)
            add(o, OP_SECCOMP, 0, NULL);
    }
    add(o, OP_EXEC, 0, NULL);
}

void ops_make(const struct spec *s, bool hold, struct ops *ret)
{
    struct ops *o = ret;

    init(s, o);
    add(o, OP_HIDE, 0, NULL);
    add(o, OP_CGROUP, 0, NULL);
    add(o, OP_PRIVATE, 0, NULL);
    add(o, OP_WAIT, 0, NULL);
    add(o, OP_FIND_ROOT, 0, NULL); /* with the ids mapped: directories on the path may be accessible to them
                                    * alone */
    if (s->ns[SPEC_NS_USER].own || s->ns[SPEC_NS_USER].join)
        add(o, OP_BE_ROOT, 0, NULL);
    if (s->ns[SPEC_NS_CGROUP]
            .own) /* before the mounts: a cgroup file system shows the namespace of its mounter */
        add(o, OP_CGROUP_NS, 0, NULL);
    if (s->net != SPEC_NET_HOST)
        add(o, OP_LOOPBACK, 0, NULL);
    if (s->net == SPEC_NET_BRIDGE)
        add(o, OP_ADDRESS, 0, NULL);
    if (s->ns[SPEC_NS_UTS].own || s->hostname)
        add(o, OP_HOSTNAME, 0, NULL);
    if (s->domainname)
        add(o, OP_DOMAINNAME, 0, NULL);
    for (unsigned i = 0; i < s->n_sysctls; i++)
        add(o, OP_SYSCTL, i, s->sysctls[i].path);
    add_filesystem(s, o);
    add_process(s, hold ? LAST_HOLD : LAST_EXEC, o);
}

void ops_make_exec(const struct spec *s, struct ops *ret)
{
    init(s, ret);
    add(ret, OP_HIDE, 0, NULL);
    if (s->process.terminal)
        add(ret, OP_CONSOLE, 0, NULL);
    add_process(s, LAST_JOIN, ret);
}

static void text_mount(const struct spec_mount *m, char *dst, size_t size)
{
    unsigned long f = ops_mount_flags(m);
    char extra[48] = "";

    if (m->kind == SPEC_MOUNT_TMPFS)
        (void)snprintf(extra, sizeof(extra), ",size=%" PRIu64 ",mode=%04o", m->size_bytes, m->mode);
    (void)snprintf(dst, size, "mount %s %s%s%s %s%s%s%s%s%s%s",
                   m->kind == SPEC_MOUNT_FS ? m->type : ops_mount_type(m->kind),
                   m->kind != SPEC_MOUNT_BIND ? "" : (m->source ? m->source : "(fd)"),
                   m->kind == SPEC_MOUNT_BIND ? " " : "", m->target, f & MS_RDONLY ? "ro" : "rw",
                   f & MS_NOSUID ? ",nosuid" : "", f & MS_NODEV ? ",nodev" : "",
                   f & MS_NOEXEC ? ",noexec" : "", extra, m->data ? "," : "", m->data ? m->data : "");
}

static void text_user(const struct spec_process *s, char *dst, size_t size)
{
    size_t at = (size_t)snprintf(dst, size, "set user %u:%u groups", s->uid, s->gid);

    for (unsigned i = 0; i < s->n_groups && at < size; i++)
        at += (size_t)snprintf(dst + at, size - at, " %u", s->groups[i]);
    if (at < size)
        (void)snprintf(dst + at, size - at, "%s caps %" PRIx64, s->n_groups ? "" : " none",
                       s->caps.effective);
}

char *ops_text(const struct spec *s, const struct op *op, char *dst, size_t size)
{
    const char *name = ops_name(op->kind);

    switch (op->kind) {
    case OP_MOUNT:
        text_mount(&s->mounts[op->index], dst, size);
        break;
    case OP_USER:
        text_user(&s->process, dst, size);
        break;
    case OP_MASK:
    case OP_READ_ONLY:
    case OP_DEVICE:
    case OP_SYSCTL:
        (void)snprintf(dst, size, "%s %s", name, op->path);
        break;
    case OP_RLIMIT:
        (void)snprintf(dst, size, "%s %d %" PRIu64 " %" PRIu64, name, s->process.rlimits[op->index].resource,
                       s->process.rlimits[op->index].soft, s->process.rlimits[op->index].hard);
        break;
    case OP_HOSTNAME:
        (void)snprintf(dst, size, "%s %s", name, s->hostname ? s->hostname : s->id);
        break;
    case OP_CWD:
        (void)snprintf(dst, size, "umask %04o, %s %s", s->process.umask, name, s->process.cwd);
        break;
    case OP_EXEC:
        (void)snprintf(dst, size, "%s %s", name,
                       s->process.args && s->process.args[0] ? s->process.args[0] : "(nothing)");
        break;
    default:
        (void)snprintf(dst, size, "%s", name);
    }
    return dst;
}

char *box_describe(const struct spec *s)
{
    static const char *const spaces[SPEC_NS_COUNT_] = {
        [SPEC_NS_USER] = "user", [SPEC_NS_PID] = "pid",  [SPEC_NS_NET] = "net",
        [SPEC_NS_IPC] = "ipc",   [SPEC_NS_UTS] = "uts",  [SPEC_NS_CGROUP] = "cgroup",
        [SPEC_NS_TIME] = "time", [SPEC_NS_MOUNT] = "mnt"};
    char line[LIM_PATH_BYTES + 256], *text;
    size_t size, at;
    struct ops o;

    ops_make(s, false, &o);
    size = (o.n + 1) * sizeof(line);
    text = mem_need(size);
    at = (size_t)snprintf(text, size, "namespaces");
    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        if (s->ns[i].own || s->ns[i].join)
            at += (size_t)snprintf(text + at, size - at, " %s%s%s", spaces[i], s->ns[i].join ? "=" : "",
                                   s->ns[i].join ? s->ns[i].join : "");
    at += (size_t)snprintf(text + at, size - at, "\n");
    for (unsigned i = 0; i < o.n && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s\n", ops_text(s, &o.list[i], line, sizeof(line)));
    ops_done(&o);
    return text;
}
