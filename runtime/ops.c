/* ops.c - from a spec to the list of set-up steps. Pure. See ops.h. */
#include "runtime/ops.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "platform/mem.h"
#include "runtime/box.h"

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
    [OP_ROOT] = "mount rootfs",
    [OP_MOUNT] = "mount",
    [OP_DEVICES] = "make devices",
    [OP_READ_ONLY] = "read-only",
    [OP_MASK] = "mask",
    [OP_SEAL_ROOT] = "seal rootfs read-only",
    [OP_PIVOT] = "pivot root",
    [OP_CGROUP_NS] = "unshare cgroup",
    [OP_KEYRING] = "new session keyring",
    [OP_RLIMIT] = "rlimit",
    [OP_STDIO] = "connect stdio",
    [OP_CLOSE] = "close descriptors",
    [OP_SIGNALS] = "reset signals",
    [OP_SECCOMP_PRIVILEGED] = "seccomp filter (privileged)",
    [OP_BOUND] = "drop bounding set",
    [OP_USER] = "set user",
    [OP_CWD] = "chdir",
    [OP_PROGRAM] = "find program",
    [OP_HOLD] = "wait for start",
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
        [SPEC_MOUNT_CGROUP] = "cgroup",
    };
    static_assert(COUNT_OF(types) == SPEC_MOUNT_KIND_COUNT_, "each kind has a type");

    return types[kind];
}

unsigned long ops_mount_flags(const struct spec_mount *m)
{
    unsigned long f = 0;

    if (!m->suid)
        f |= MS_NOSUID;
    if (!m->devices && m->kind != SPEC_MOUNT_DEVPTS)
        f |= MS_NODEV;
    if (m->no_exec)
        f |= MS_NOEXEC;
    if (m->read_only)
        f |= MS_RDONLY;
    return f;
}

static void add(struct ops *o, enum op_kind kind, unsigned index, const char *path)
{
    assert(o->n < OPS_MAX);
    o->list[o->n++] = (struct op){kind, index, path};
}

static void add_filesystem(const struct spec *s, struct ops *o)
{
    add(o, OP_ROOT, 0, NULL);
    for (unsigned i = 0; i < s->n_mounts; i++) {
        add(o, OP_MOUNT, i, NULL);
        if (s->mounts[i].kind == SPEC_MOUNT_TMPFS && strcmp(s->mounts[i].target, "/dev") == 0) {
            add(o, OP_DEVICES, 0, NULL);
        }
    }
    for (unsigned i = 0; i < COUNT_OF(s->read_only_paths) && s->read_only_paths[i]; i++)
        add(o, OP_READ_ONLY, 0, s->read_only_paths[i]);
    for (unsigned i = 0; i < COUNT_OF(s->masked) && s->masked[i]; i++)
        add(o, OP_MASK, 0, s->masked[i]);
    if (s->rootfs_read_only)
        add(o, OP_SEAL_ROOT, 0, NULL);
    add(o, OP_PIVOT, 0, NULL);
}

static void add_process(const struct spec *s, bool hold, struct ops *o)
{
    bool filter = s->seccomp_default || s->seccomp_extra;

    add(o, OP_KEYRING, 0, NULL);
    for (unsigned i = 0; i < s->n_rlimits; i++)
        add(o, OP_RLIMIT, i, NULL);
    add(o, OP_STDIO, 0, NULL);
    add(o, OP_CLOSE, 0, NULL);
    add(o, OP_SIGNALS, 0, NULL);
    if (filter && !s->no_new_privs)
        add(o, OP_SECCOMP_PRIVILEGED, 0, NULL);
    add(o, OP_BOUND, 0, NULL);
    add(o, OP_USER, 0, NULL);
    add(o, OP_CWD, 0, NULL);
    add(o, OP_PROGRAM, 0, NULL);
    if (hold)
        add(o, OP_HOLD, 0, NULL);
    if (s->no_new_privs) {
        add(o, OP_NO_NEW_PRIVS, 0, NULL);
        if (filter)
            add(o, OP_SECCOMP, 0, NULL);
    }
    add(o, OP_EXEC, 0, NULL);
}

void ops_make(const struct spec *s, bool hold, struct ops *ret)
{
    ret->n = 0;
    add(ret, OP_HIDE, 0, NULL);
    add(ret, OP_CGROUP, 0, NULL);
    add(ret, OP_PRIVATE, 0, NULL);
    add(ret, OP_FIND_ROOT, 0, NULL);
    add(ret, OP_WAIT, 0, NULL);
    if (s->userns)
        add(ret, OP_BE_ROOT, 0, NULL);
    if (s->ns_cgroup) /* before the mounts: a cgroup file system shows the namespace of who mounts it */
        add(ret, OP_CGROUP_NS, 0, NULL);
    if (s->net != SPEC_NET_HOST)
        add(ret, OP_LOOPBACK, 0, NULL);
    if (s->net == SPEC_NET_BRIDGE)
        add(ret, OP_ADDRESS, 0, NULL);
    if (s->ns_uts)
        add(ret, OP_HOSTNAME, 0, NULL);
    add_filesystem(s, ret);
    add_process(s, hold, ret);
}

static void text_mount(const struct spec_mount *m, char *dst, size_t size)
{
    unsigned long f = ops_mount_flags(m);
    char extra[48] = "";

    if (m->kind == SPEC_MOUNT_TMPFS)
        (void)snprintf(extra, sizeof extra, ",size=%llu,mode=%04o", (unsigned long long)m->size_bytes,
                       m->mode);
    (void)snprintf(dst, size, "mount %s %s%s%s %s%s%s%s%s", ops_mount_type(m->kind),
                   m->kind != SPEC_MOUNT_BIND ? "" : (m->source ? m->source : "(fd)"),
                   m->kind == SPEC_MOUNT_BIND ? " " : "", m->target, f & MS_RDONLY ? "ro" : "rw",
                   f & MS_NOSUID ? ",nosuid" : "", f & MS_NODEV ? ",nodev" : "",
                   f & MS_NOEXEC ? ",noexec" : "", extra);
}

static void text_user(const struct spec *s, char *dst, size_t size)
{
    size_t at = (size_t)snprintf(dst, size, "set user %u:%u groups", s->uid, s->gid);

    for (unsigned i = 0; i < s->n_groups && at < size; i++)
        at += (size_t)snprintf(dst + at, size - at, " %u", s->groups[i]);
    if (at < size)
        (void)snprintf(dst + at, size - at, "%s caps %llx", s->n_groups ? "" : " none",
                       (unsigned long long)s->caps);
}

char *ops_text(const struct spec *s, const struct op *op, char *dst, size_t size)
{
    const char *name = ops_name(op->kind);

    switch (op->kind) {
    case OP_MOUNT:
        text_mount(&s->mounts[op->index], dst, size);
        break;
    case OP_USER:
        text_user(s, dst, size);
        break;
    case OP_MASK:
    case OP_READ_ONLY:
        (void)snprintf(dst, size, "%s %s", name, op->path);
        break;
    case OP_RLIMIT:
        (void)snprintf(dst, size, "%s %d %llu %llu", name, s->rlimits[op->index].resource,
                       (unsigned long long)s->rlimits[op->index].soft,
                       (unsigned long long)s->rlimits[op->index].hard);
        break;
    case OP_HOSTNAME:
        (void)snprintf(dst, size, "%s %s", name, s->hostname ? s->hostname : s->id);
        break;
    case OP_CWD:
        (void)snprintf(dst, size, "umask %04o, %s %s", s->umask, name, s->cwd);
        break;
    case OP_EXEC:
        (void)snprintf(dst, size, "%s %s", name, s->args && s->args[0] ? s->args[0] : "(nothing)");
        break;
    default:
        (void)snprintf(dst, size, "%s", name);
    }
    return dst;
}

char *box_describe(const struct spec *s)
{
    static const char *const net[] = {"net", NULL, "net"};
    struct {
        bool on;
        const char *name;
    } spaces[] = {{s->ns_pid, "pid"},
                  {s->ns_mount, "mnt"},
                  {s->ns_ipc, "ipc"},
                  {s->ns_uts, "uts"},
                  {s->net != SPEC_NET_HOST, net[s->net]},
                  {s->ns_cgroup, "cgroup"},
                  {s->userns, "user"}};
    size_t size = OPS_MAX * 160, at;
    char line[LIM_PATH_BYTES + 256], *text = mem_need(size);
    struct ops o;

    ops_make(s, false, &o);
    at = (size_t)snprintf(text, size, "namespaces");
    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        if (spaces[i].on)
            at += (size_t)snprintf(text + at, size - at, " %s", spaces[i].name);
    at += (size_t)snprintf(text + at, size - at, "\n");
    for (unsigned i = 0; i < o.n && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s\n", ops_text(s, &o.list[i], line, sizeof line));
    return text;
}
