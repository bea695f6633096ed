/* spec.c - defaults of a container and the one gate that every spec passes. Pure. See spec.h. */
#include "runtime/spec.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define TMP_BYTES (16ULL << 20)
#define SHM_BYTES (16ULL << 20)
#define RUN_BYTES (4ULL << 20)
#define DEV_BYTES (64ULL << 10)

/* Order matters: a mount below another one comes after it. */
static const struct spec_mount default_mounts[] = {
    {.kind = SPEC_MOUNT_PROC, .target = "/proc", .no_exec = true},
    {.kind = SPEC_MOUNT_TMPFS,
     .target = "/dev",
     .no_exec = true,
     .devices = true,
     .size_bytes = DEV_BYTES,
     .mode = 0755},
    {.kind = SPEC_MOUNT_DEVPTS, .target = "/dev/pts", .no_exec = true, .make_target = true},
    {.kind = SPEC_MOUNT_TMPFS,
     .target = "/dev/shm",
     .no_exec = true,
     .make_target = true,
     .size_bytes = SHM_BYTES,
     .mode = 01777},
    {.kind = SPEC_MOUNT_MQUEUE, .target = "/dev/mqueue", .no_exec = true, .make_target = true},
    {.kind = SPEC_MOUNT_SYSFS, .target = "/sys", .no_exec = true, .read_only = true},
    {.kind = SPEC_MOUNT_TMPFS, .target = "/tmp", .size_bytes = TMP_BYTES, .mode = 01777},
    {.kind = SPEC_MOUNT_TMPFS, .target = "/run", .size_bytes = RUN_BYTES, .mode = 0755},
};

/* What tells about or reaches the host although the namespaces are private. */
static const char *const default_masked[] = {
    "/proc/acpi",          "/proc/asound",  "/proc/interrupts",
    "/proc/kcore",         "/proc/keys",    "/proc/latency_stats",
    "/proc/sched_debug",   "/proc/scsi",    "/proc/timer_list",
    "/proc/timer_stats",   "/sys/firmware", "/sys/kernel/debug",
    "/sys/kernel/tracing", "/sys/fs/bpf",   "/sys/devices/virtual/powercap",
};
static const char *const default_read_only[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

void spec_defaults(struct spec *s)
{
    *s = (struct spec){
        .rootfs_fd = -1,
        .rootfs_read_only = true,
        .cwd = "/",
        .umask = 022,
        .no_new_privs = true,
        .seccomp_default = true,
        .userns = true,
        .id_shift = SPEC_ID_SHIFT,
        .id_count = 65536,
        .ns_pid = true,
        .ns_mount = true,
        .ns_ipc = true,
        .ns_uts = true,
        .ns_cgroup = true,
        .net = SPEC_NET_NONE,
        .limits = CGROUP_LIMITS_NONE,
        .stop_signal = SIGTERM,
        .n_mounts = COUNT_OF(default_mounts),
    };
    memcpy(s->mounts, default_mounts, sizeof default_mounts);
    for (unsigned i = 0; i < s->n_mounts; i++)
        s->mounts[i].source_fd = -1;
    memcpy(s->masked, default_masked, sizeof default_masked);
    memcpy(s->read_only_paths, default_read_only, sizeof default_read_only);
}

static bool is_oci_id(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-");

    return n > 0 && n < LIM_NAME_BYTES && id[n] == '\0' && id[0] != '.' && id[0] != '-';
}

/* Absolute, printable enough, no ".." part. */
static bool is_inner_path(const char *p)
{
    if (!p || p[0] != '/' || strlen(p) >= LIM_PATH_BYTES)
        return false;
    for (const char *at = p; (at = strstr(at, "..")); at += 2)
        if (at[-1] == '/' && (at[2] == '/' || at[2] == '\0'))
            return false;
    return true;
}

static int check_strings(const char *const *list, const char *name, unsigned max, unsigned min,
                         struct err *err)
{
    unsigned n = 0;

    for (; list && list[n]; n++)
        if (n >= max || strlen(list[n]) >= LIM_TEXT_BYTES)
            return err_set(err, ERR_INVALID, "%s[%u]: too many or too long (%u of %d bytes)", name, n, max,
                           LIM_TEXT_BYTES);
    if (n < min)
        return err_set(err, ERR_INVALID, "%s: empty", name);
    for (unsigned i = 0; min == 0 && i < n; i++) /* the environment */
        if (!strchr(list[i], '=') || list[i][0] == '=')
            return err_set(err, ERR_INVALID, "%s[%u]: not NAME=VALUE", name, i);
    return 0;
}

static int check_mounts(const struct spec *s, struct err *err)
{
    if (s->n_mounts > COUNT_OF(s->mounts))
        return err_set(err, ERR_INVALID, "mounts: more than %zu", COUNT_OF(s->mounts));
    for (unsigned i = 0; i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[i];
        if ((unsigned)m->kind >= SPEC_MOUNT_KIND_COUNT_)
            return err_set(err, ERR_INVALID, "mounts[%u]: unknown kind", i);
        if (!is_inner_path(m->target) || strcmp(m->target, "/") == 0)
            return err_set(err, ERR_INVALID, "mounts[%u]: target is not an absolute path below /", i);
        if (m->kind == SPEC_MOUNT_BIND && m->source_fd < 0 && (!m->source || m->source[0] != '/'))
            return err_set(err, ERR_INVALID, "mounts[%u] (%s): source is not an absolute path", i, m->target);
    }
    return 0;
}

static int check_paths(const char *const *list, size_t n, const char *name, struct err *err)
{
    for (size_t i = 0; i < n && list[i]; i++)
        if (!is_inner_path(list[i]))
            return err_set(err, ERR_INVALID, "%s[%zu]: not an absolute path", name, i);
    if (list[n - 1])
        return err_set(err, ERR_INVALID, "%s: more than %zu", name, n - 1);
    return 0;
}

static int check_process(const struct spec *s, struct err *err)
{
    int r = check_strings(s->args, "args", LIM_ARGS, 1, err);

    if (r < 0 || (r = check_strings(s->env, "env", LIM_ENVS, 0, err)) < 0)
        return r;
    if (!is_inner_path(s->cwd))
        return err_set(err, ERR_INVALID, "cwd: not an absolute path");
    if (s->n_groups > COUNT_OF(s->groups) || s->n_rlimits > COUNT_OF(s->rlimits))
        return err_set(err, ERR_INVALID, "groups or rlimits: more than 16");
    for (unsigned i = 0; i < s->n_rlimits; i++)
        if (s->rlimits[i].soft > s->rlimits[i].hard)
            return err_set(err, ERR_INVALID, "rlimits[%u]: soft above hard", i);
    if (s->uid == UINT32_MAX || s->gid == UINT32_MAX)
        return err_set(err, ERR_INVALID, "user: 4294967295 is no id");
    if (s->oom_score_adj < -1000 || s->oom_score_adj > 1000)
        return err_set(err, ERR_INVALID, "oom_score_adj: not within -1000..1000");
    if (s->umask > 0777)
        return err_set(err, ERR_INVALID, "umask: not within 0..0777");
    if (s->stop_signal < 1 || s->stop_signal > 64)
        return err_set(err, ERR_INVALID, "stop_signal: not within 1..64");
    return 0;
}

/* Every id must have a place in the shifted range. */
static int check_ids(const struct spec *s, struct err *err)
{
    if (!s->userns)
        return 0;
    if (s->id_shift < 1 || s->id_count < 1 || s->id_shift > UINT32_MAX - s->id_count)
        return err_set(err, ERR_INVALID, "id_shift: the range must lie above 0 and below 2^32");
    if (s->uid >= s->id_count || s->gid >= s->id_count)
        return err_set(err, ERR_INVALID, "user: outside of the %u ids of its user namespace", s->id_count);
    for (unsigned i = 0; i < s->n_groups; i++)
        if (s->groups[i] >= s->id_count)
            return err_set(err, ERR_INVALID, "groups[%u]: outside of the user namespace", i);
    return 0;
}

static int check_limits(const struct cgroup_limits *l, struct err *err)
{
    if (l->memory_max_bytes != CGROUP_UNSET &&
        (l->memory_max_bytes < 65536 || l->memory_max_bytes > (1ULL << 50)))
        return err_set(err, ERR_INVALID, "limits.memory: not within 64 KiB..1 PiB");
    if (l->pids_max != CGROUP_UNSET && (l->pids_max < 1 || l->pids_max > 4194304))
        return err_set(err, ERR_INVALID, "limits.pids: not within 1..4194304");
    if (l->cpu_period_us < 1000 || l->cpu_period_us > 1000000)
        return err_set(err, ERR_INVALID, "limits.cpu.period: not within 1000..1000000 us");
    if (l->cpu_quota_us != CGROUP_UNSET && (l->cpu_quota_us < 1000 || l->cpu_quota_us > (1ULL << 40)))
        return err_set(err, ERR_INVALID, "limits.cpu.quota: below 1000 us or too large");
    if (l->cpu_weight != CGROUP_UNSET && (l->cpu_weight < 1 || l->cpu_weight > 10000))
        return err_set(err, ERR_INVALID, "limits.cpu.weight: not within 1..10000");
    return 0;
}

static int check_net(const struct spec *s, struct err *err)
{
    if ((unsigned)s->net >= SPEC_NET_COUNT_ || s->n_ports > COUNT_OF(s->ports))
        return err_set(err, ERR_INVALID, "network: unknown kind or too many ports");
    if (s->n_ports > 0 && s->net != SPEC_NET_BRIDGE)
        return err_set(err, ERR_INVALID, "ports: can only be published with the bridge network");
    for (unsigned i = 0; i < s->n_ports; i++) {
        if (s->ports[i].host == 0 || s->ports[i].container == 0)
            return err_set(err, ERR_INVALID, "ports[%u]: 0 is no port", i);
        for (unsigned j = 0; j < i; j++)
            if (s->ports[i].host == s->ports[j].host && s->ports[i].udp == s->ports[j].udp)
                return err_set(err, ERR_INVALID, "ports[%u]: host port %u is published twice", i,
                               s->ports[i].host);
    }
    return 0;
}

int spec_check(const struct spec *s, struct err *err)
{
    int r;

    if (!s->id || !is_oci_id(s->id))
        return err_set(err, ERR_INVALID, "id: not 1 to %d of [A-Za-z0-9+_.-]", LIM_NAME_BYTES - 1);
    if (s->rootfs_fd < 0 && (!s->rootfs_path || s->rootfs_path[0] != '/'))
        return err_set(err, ERR_INVALID, "rootfs: neither a folder nor an absolute path");
    if (!s->ns_mount || !s->ns_pid)
        return err_set(err, ERR_UNSUPPORTED, "a container without its own mount and pid namespace is none");
    if (s->hostname && (strlen(s->hostname) > 64 || s->hostname[0] == '\0'))
        return err_set(err, ERR_INVALID, "hostname: not 1 to 64 bytes");
    if (s->seccomp_extra && s->seccomp_default)
        return err_set(err, ERR_INVALID, "seccomp: our filter and another one");
    if ((r = check_process(s, err)) < 0 || (r = check_ids(s, err)) < 0 || (r = check_mounts(s, err)) < 0 ||
        (r = check_limits(&s->limits, err)) < 0 || (r = check_net(s, err)) < 0)
        return r;
    if ((r = check_paths(s->masked, COUNT_OF(s->masked), "masked", err)) < 0)
        return r;
    return check_paths(s->read_only_paths, COUNT_OF(s->read_only_paths), "read_only_paths", err);
}
