/* spec.c - defaults of a container and the validation that every spec passes. Pure. See spec.h. */
#include "runtime/spec/spec.h"

#include "runtime/spec/net_plan.h"
#include <arpa/inet.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "runtime/spec/net_plan.h"

#define TMP_BYTES (16ULL << 20)
#define SHM_BYTES (16ULL << 20)
#define RUN_BYTES (4ULL << 20)
#define DEV_BYTES (64ULL << 10)

#define PLAIN (MS_NOSUID | MS_NODEV)

/* Order matters: a mount below another one must come after it. */
static const struct spec_mount default_mounts[] = {
    {.kind = SPEC_MOUNT_PROC, .target = "/proc", .flags = PLAIN | MS_NOEXEC},
    {.kind = SPEC_MOUNT_TMPFS,
     .target = "/dev",
     .flags = MS_NOSUID | MS_NOEXEC | MS_RDONLY, /* once its nodes are made */
     .size_bytes = DEV_BYTES,
     .mode = 0755},
    {.kind = SPEC_MOUNT_DEVPTS,
     .target = "/dev/pts",
     .flags = MS_NOSUID | MS_NOEXEC,
     .make_target = true,
     .data = "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {.kind = SPEC_MOUNT_TMPFS,
     .target = "/dev/shm",
     .flags = PLAIN | MS_NOEXEC,
     .make_target = true,
     .size_bytes = SHM_BYTES,
     .mode = 01777},
    {.kind = SPEC_MOUNT_MQUEUE, .target = "/dev/mqueue", .flags = PLAIN | MS_NOEXEC, .make_target = true},
    {.kind = SPEC_MOUNT_SYSFS, .target = "/sys", .flags = PLAIN | MS_NOEXEC | MS_RDONLY},
    {.kind = SPEC_MOUNT_TMPFS, .target = "/tmp", .flags = PLAIN, .size_bytes = TMP_BYTES, .mode = 01777},
    {.kind = SPEC_MOUNT_TMPFS, .target = "/run", .flags = PLAIN, .size_bytes = RUN_BYTES, .mode = 0755},
};

/* What reveals or reaches the host despite private namespaces. */
static const char *const default_masked[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/fs/bpf",
    "/sys/devices/virtual/powercap",
    NULL,
};
static const char *const default_read_only[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

struct spec_caps spec_caps_of(uint64_t mask)
{
    return (struct spec_caps){.bounding = mask, .effective = mask, .permitted = mask};
}

void spec_set_net(struct spec *s, enum spec_net net)
{
    s->net = net;
    s->ns[SPEC_NS_NET] = (struct spec_ns){.own = net != SPEC_NET_HOST};
}

struct spec_id_maps spec_id_range(uint32_t outer, uint32_t count)
{
    return (struct spec_id_maps){.n = 1, .list = {{0, outer, count}}};
}

uint32_t spec_outer_id(const struct spec_id_maps *m, uint32_t inner)
{
    for (unsigned i = 0; i < m->n; i++)
        if (inner >= m->list[i].inner && inner - m->list[i].inner < m->list[i].count)
            return m->list[i].outer + (inner - m->list[i].inner);
    return UINT32_MAX;
}

void spec_defaults(struct spec *s)
{
    static const enum spec_ns_kind own[] = {SPEC_NS_USER, SPEC_NS_PID,    SPEC_NS_NET,  SPEC_NS_IPC,
                                            SPEC_NS_UTS,  SPEC_NS_CGROUP, SPEC_NS_MOUNT};

    memset(s, 0, sizeof(*s));
    s->rootfs_fd = -1;
    s->rootfs_read_only = s->rootfs_no_dev = s->rootfs_idmap = true;
    s->process.cwd = "/";
    s->process.umask = 022;
    s->process.no_new_privs = s->process.seccomp_default = true;
    for (size_t i = 0; i < COUNT_OF(own); i++)
        s->ns[own[i]].own = true;
    s->uid_maps = s->gid_maps = spec_id_range(SPEC_ID_SHIFT, 65536);
    s->net = SPEC_NET_NONE;
    s->limits = CGROUP_LIMITS_NONE;
    s->stop_signal = SIGTERM;
    s->n_mounts = COUNT_OF(default_mounts);
    memcpy(s->mounts, default_mounts, sizeof(default_mounts));
    for (unsigned i = 0; i < s->n_mounts; i++)
        s->mounts[i].source_fd = -1;
    s->masked = default_masked;
    s->read_only_paths = default_read_only;
}

static bool is_oci_id(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-");

    return n > 0 && n < LIM_ID_BYTES && id[n] == '\0' && id[0] != '.' && id[0] != '-';
}

/* Absolute, printable, no ".." component. */
static bool is_inner_path(const char *p)
{
    if (!p || p[0] != '/' || strlen(p) >= LIM_PATH_BYTES)
        return false;
    for (const char *at = p; (at = strstr(at, "..")); at += 2)
        if (at[-1] == '/' && (at[2] == '/' || at[2] == '\0'))
            return false;
    return true;
}

static int check_strings(const char *const *list, const char *name, unsigned min, struct err *err)
{
    unsigned n = 0;

    for (; list && list[n]; n++)
        if (n >= LIM_CONFIG_LIST || strlen(list[n]) >= LIM_CONFIG_STRING)
            return err_set(err, ERR_INVALID, "%s[%u]: too many or too long (%u of %u bytes)", name, n,
                           LIM_CONFIG_LIST, LIM_CONFIG_STRING);
    return n < min ? err_set(err, ERR_INVALID, "%s: empty", name) : 0;
}

static int check_mounts(const struct spec *s, struct err *err)
{
    if (s->n_mounts > COUNT_OF(s->mounts))
        return err_set(err, ERR_INVALID, "mounts: more than %zu", COUNT_OF(s->mounts));
    for (unsigned i = 0; i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[i];
        if ((unsigned)m->kind >= SPEC_MOUNT_KIND_COUNT_ || (m->kind == SPEC_MOUNT_FS && !m->type))
            return err_set(err, ERR_INVALID, "mounts[%u]: unknown kind", i);
        if (!is_inner_path(m->target) || strcmp(m->target, "/") == 0)
            return err_set(err, ERR_INVALID, "mounts[%u]: target is not an absolute path below /", i);
        if (m->kind == SPEC_MOUNT_BIND && m->source_fd < 0 && !m->source)
            return err_set(err, ERR_INVALID, "mounts[%u] (%s): no source", i, m->target);
        if (m->copy_up && m->kind != SPEC_MOUNT_TMPFS)
            return err_set(err, ERR_INVALID, "mounts[%u] (%s): tmpcopyup is for tmpfs alone", i, m->target);
        if (m->idmap && m->kind != SPEC_MOUNT_BIND)
            return err_set(err, ERR_INVALID, "mounts[%u] (%s): idmap is for bind mounts alone", i, m->target);
        if (m->idmap && !m->uid_maps && !s->ns[SPEC_NS_USER].own && !s->ns[SPEC_NS_USER].join)
            return err_set(err, ERR_INVALID, "mounts[%u] (%s): idmap needs mappings or a user namespace", i,
                           m->target);
    }
    return 0;
}

static int check_paths(const char *const *list, const char *name, struct err *err)
{
    for (unsigned i = 0; list && list[i]; i++)
        if (!is_inner_path(list[i]))
            return err_set(err, ERR_INVALID, "%s[%u]: not an absolute path", name, i);
    return 0;
}

int spec_process_check(const struct spec_process *p, struct err *err)
{
    int rc = check_strings(p->args, "args", 1, err);

    if (rc < 0 || (rc = check_strings(p->env, "env", 0, err)) < 0)
        return rc;
    if (!is_inner_path(p->cwd))
        return err_set(err, ERR_INVALID, "cwd: not an absolute path");
    if (p->n_groups > COUNT_OF(p->groups) || p->n_rlimits > COUNT_OF(p->rlimits))
        return err_set(err, ERR_INVALID, "groups or rlimits: too many");
    for (unsigned i = 0; i < p->n_rlimits; i++)
        if (p->rlimits[i].soft > p->rlimits[i].hard)
            return err_set(err, ERR_INVALID, "rlimits[%u]: soft above hard", i);
    if (p->uid == UINT32_MAX || p->gid == UINT32_MAX)
        return err_set(err, ERR_INVALID, "user: 4294967295 is not a valid id");
    if (p->oom_score_adj < -1000 || p->oom_score_adj > 1000)
        return err_set(err, ERR_INVALID, "oom_score_adj: not within -1000..1000");
    if (p->umask > 0777)
        return err_set(err, ERR_INVALID, "umask: not within 0..0777");
    if (p->seccomp.code && p->seccomp_default)
        return err_set(err, ERR_INVALID, "seccomp: our filter and another one");
    return 0;
}

static int check_maps(const struct spec_id_maps *m, const char *name, struct err *err)
{
    if (m->n < 1 || m->n > COUNT_OF(m->list))
        return err_set(err, ERR_INVALID, "%s: not 1 to %zu ranges", name, COUNT_OF(m->list));
    for (unsigned i = 0; i < m->n; i++)
        if (m->list[i].count < 1 || m->list[i].outer > UINT32_MAX - m->list[i].count ||
            m->list[i].inner > UINT32_MAX - m->list[i].count)
            return err_set(err, ERR_INVALID, "%s[%u]: the range is empty or ends above 4294967294", name, i);
    return 0;
}

/* Every id must be within the ranges. */
static int check_ids(const struct spec *s, struct err *err)
{
    const struct spec_process *p = &s->process;
    int rc;

    if (!s->ns[SPEC_NS_USER].own || (s->uid_maps.n == 0 && s->gid_maps.n == 0))
        return 0;
    if ((rc = check_maps(&s->uid_maps, "uid_maps", err)) < 0 ||
        (rc = check_maps(&s->gid_maps, "gid_maps", err)) < 0)
        return rc;
    if (spec_outer_id(&s->uid_maps, p->uid) == UINT32_MAX ||
        spec_outer_id(&s->gid_maps, p->gid) == UINT32_MAX)
        return err_set(err, ERR_INVALID, "user: %u:%u is outside of the ids of its user namespace", p->uid,
                       p->gid);
    for (unsigned i = 0; i < p->n_groups; i++)
        if (spec_outer_id(&s->gid_maps, p->groups[i]) == UINT32_MAX)
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
    if (s->n_ports > 0 && s->net != SPEC_NET_BRIDGE && s->net != SPEC_NET_CNI)
        return err_set(err, ERR_INVALID,
                       "ports: can only be published with the bridge network or by CNI plugins");
    if (s->net == SPEC_NET_CNI && !s->net_name)
        return err_set(err, ERR_INVALID, "network: the name of the CNI network is missing");
    if (s->net == SPEC_NET_BRIDGE && s->net_name && !net_plan_is_name(s->net_name))
        return err_set(err, ERR_INVALID, "network: \"%.40s\" is not a name of 1 to %d of [a-z0-9._-]",
                       s->net_name, NET_NAME_BYTES);
    for (unsigned i = 0; i < s->n_ports; i++) {
        const struct spec_port *p = &s->ports[i];
        uint8_t address[16];
        if (p->host == 0 || p->container == 0)
            return err_set(err, ERR_INVALID, "ports[%u]: 0 is not a port", i);
        if (spec_port_last(p) > 65535 || p->container + (spec_port_last(p) - p->host) > 65535 ||
            p->count > LIM_PORT_RANGE)
            return err_set(err, ERR_INVALID, "ports[%u]: the range ends above 65535 or has more than %d", i,
                           LIM_PORT_RANGE);
        if (p->host_ip && inet_pton(AF_INET, p->host_ip, address) != 1 &&
            inet_pton(AF_INET6, p->host_ip, address) != 1)
            return err_set(err, ERR_INVALID, "ports[%u]: host address \"%.46s\" is none", i, p->host_ip);
        for (unsigned j = 0; j < i; j++)
            if (spec_ports_meet(p, &s->ports[j]))
                return err_set(err, ERR_INVALID, "ports[%u]: host port %u is published twice", i, p->host);
    }
    return 0;
}

unsigned spec_port_last(const struct spec_port *p)
{
    return p->host + (p->count ? p->count - 1U : 0U);
}

bool spec_ports_meet(const struct spec_port *a, const struct spec_port *b)
{
    return a->udp == b->udp && a->host <= spec_port_last(b) && b->host <= spec_port_last(a) &&
           (!a->host_ip || !b->host_ip || strcmp(a->host_ip, b->host_ip) == 0);
}

int spec_check(const struct spec *s, struct err *err)
{
    const struct spec_ns *net = &s->ns[SPEC_NS_NET];
    int rc;

    if (!s->id || !is_oci_id(s->id))
        return err_set(err, ERR_INVALID, "id: not 1 to %d of [A-Za-z0-9+_.-]", LIM_ID_BYTES - 1);
    if (s->rootfs_fd < 0 && (!s->rootfs_path || s->rootfs_path[0] != '/'))
        return err_set(err, ERR_INVALID, "rootfs: neither a directory nor an absolute path");
    if (!s->ns[SPEC_NS_MOUNT].own)
        return err_set(err, ERR_UNSUPPORTED,
                       "linux.namespaces: a container without a mount namespace of its own is none");
    if (net->own != (s->net != SPEC_NET_HOST))
        return err_set(err, ERR_INVALID,
                       "network: the namespace and the kind of network contradict each other");
    if (s->hostname && (strlen(s->hostname) > 64 || s->hostname[0] == '\0'))
        return err_set(err, ERR_INVALID, "hostname: not 1 to 64 bytes");
    if (s->stop_signal < 1 || s->stop_signal > 64)
        return err_set(err, ERR_INVALID, "stop_signal: not within 1..64");
    if ((rc = spec_process_check(&s->process, err)) < 0 || (rc = check_ids(s, err)) < 0 ||
        (rc = check_mounts(s, err)) < 0 || (rc = check_limits(&s->limits, err)) < 0 ||
        (rc = check_net(s, err)) < 0)
        return rc;
    if ((rc = check_paths(s->masked, "masked", err)) < 0)
        return rc;
    return check_paths(s->read_only_paths, "read_only_paths", err);
}
