/* spec_process.c - the process object of config.json (runtime-spec config.md, "Process"). Pure. */
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/spec/spec_parse.h"

static const char *const cap_names[] = {"CAP_CHOWN",
                                        "CAP_DAC_OVERRIDE",
                                        "CAP_DAC_READ_SEARCH",
                                        "CAP_FOWNER",
                                        "CAP_FSETID",
                                        "CAP_KILL",
                                        "CAP_SETGID",
                                        "CAP_SETUID",
                                        "CAP_SETPCAP",
                                        "CAP_LINUX_IMMUTABLE",
                                        "CAP_NET_BIND_SERVICE",
                                        "CAP_NET_BROADCAST",
                                        "CAP_NET_ADMIN",
                                        "CAP_NET_RAW",
                                        "CAP_IPC_LOCK",
                                        "CAP_IPC_OWNER",
                                        "CAP_SYS_MODULE",
                                        "CAP_SYS_RAWIO",
                                        "CAP_SYS_CHROOT",
                                        "CAP_SYS_PTRACE",
                                        "CAP_SYS_PACCT",
                                        "CAP_SYS_ADMIN",
                                        "CAP_SYS_BOOT",
                                        "CAP_SYS_NICE",
                                        "CAP_SYS_RESOURCE",
                                        "CAP_SYS_TIME",
                                        "CAP_SYS_TTY_CONFIG",
                                        "CAP_MKNOD",
                                        "CAP_LEASE",
                                        "CAP_AUDIT_WRITE",
                                        "CAP_AUDIT_CONTROL",
                                        "CAP_SETFCAP",
                                        "CAP_MAC_OVERRIDE",
                                        "CAP_MAC_ADMIN",
                                        "CAP_SYSLOG",
                                        "CAP_WAKE_ALARM",
                                        "CAP_BLOCK_SUSPEND",
                                        "CAP_AUDIT_READ",
                                        "CAP_PERFMON",
                                        "CAP_BPF",
                                        "CAP_CHECKPOINT_RESTORE"};

bool spec_cap_by_name(const char *name, unsigned *ret)
{
    for (unsigned i = 0; i < COUNT_OF(cap_names); i++)
        if (strcasecmp(name, cap_names[i]) == 0 || strcasecmp(name, cap_names[i] + 4) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

const char *spec_cap_name(unsigned cap)
{
    return cap < COUNT_OF(cap_names) ? cap_names[cap] : NULL;
}

static int read_caps(struct spec_ctx *x, const struct json_cur *process, struct spec_caps *ret)
{
    struct {
        const char *key;
        uint64_t *mask;
    } const sets[] = {{"bounding", &ret->bounding},
                      {"effective", &ret->effective},
                      {"permitted", &ret->permitted},
                      {"inheritable", &ret->inheritable},
                      {"ambient", &ret->ambient}};
    struct json_cur caps;
    int rc = json_get_object(process, "capabilities", JSON_OPTIONAL, &caps, x->err);

    if (rc != 1)
        return rc;
    *ret = (struct spec_caps){0};
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        if ((rc = spec_get_flags(x, &caps, sets[i].key, cap_names, NULL, COUNT_OF(cap_names), sets[i].mask)) <
            0)
            return rc;
    return 0;
}

static int read_user(struct spec_ctx *x, const struct json_cur *process, struct spec_process *p)
{
    struct json_cur user, gids;
    uint64_t uid = p->uid, gid = p->gid, mask = p->umask;
    int rc = json_get_object(process, "user", JSON_OPTIONAL, &user, x->err);

    if (rc != 1)
        return rc;
    if ((rc = json_get_u64(&user, "uid", JSON_OPTIONAL, 0, UINT32_MAX - 1, &uid, x->err)) < 0 ||
        (rc = json_get_u64(&user, "gid", JSON_OPTIONAL, 0, UINT32_MAX - 1, &gid, x->err)) < 0 ||
        (rc = json_get_u64(&user, "umask", JSON_OPTIONAL, 0, 0777, &mask, x->err)) < 0 ||
        (rc = json_get_array(&user, "additionalGids", JSON_OPTIONAL, SPEC_GROUPS, &gids, x->err)) < 0)
        return rc;
    p->uid = (uint32_t)uid;
    p->gid = (uint32_t)gid;
    p->umask = (uint32_t)mask;
    p->n_groups = rc == 1 ? 0 : p->n_groups;
    for (unsigned i = 0; rc == 1 && i < json_len(&gids); i++) {
        struct json_cur c = json_at(&gids, i);
        if (json_as_u64(&c, 0, UINT32_MAX - 1, &gid, x->err) < 0)
            return -(int)x->err->kind;
        p->groups[p->n_groups++] = (uint32_t)gid;
    }
    return 0;
}

static const char *const rlimit_names[] = {
    [RLIMIT_CPU] = "RLIMIT_CPU",           [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
    [RLIMIT_DATA] = "RLIMIT_DATA",         [RLIMIT_STACK] = "RLIMIT_STACK",
    [RLIMIT_CORE] = "RLIMIT_CORE",         [RLIMIT_RSS] = "RLIMIT_RSS",
    [RLIMIT_NPROC] = "RLIMIT_NPROC",       [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
    [RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",   [RLIMIT_AS] = "RLIMIT_AS",
    [RLIMIT_LOCKS] = "RLIMIT_LOCKS",       [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
    [RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE", [RLIMIT_NICE] = "RLIMIT_NICE",
    [RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",     [RLIMIT_RTTIME] = "RLIMIT_RTTIME"};

static int read_rlimits(struct spec_ctx *x, const struct json_cur *process, struct spec_process *p)
{
    struct json_cur arr;
    unsigned seen = 0;
    int rc = json_get_array(process, "rlimits", JSON_OPTIONAL, COUNT_OF(p->rlimits), &arr, x->err);

    p->n_rlimits = rc == 1 ? 0 : p->n_rlimits;
    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        struct spec_rlimit l = {0};
        if (json_get_enum(&c, "type", JSON_REQUIRED, rlimit_names, COUNT_OF(rlimit_names), &l.resource,
                          x->err) < 0 ||
            spec_get_limit(x, &c, "soft", &l.soft) < 0 || spec_get_limit(x, &c, "hard", &l.hard) < 0)
            return -(int)x->err->kind;
        if (seen >> l.resource & 1)
            return json_fail(&c, x->err, ERR_INVALID, "duplicate %s", rlimit_names[l.resource]);
        seen |= 1u << l.resource;
        p->rlimits[p->n_rlimits++] = l;
    }
    return rc < 0 ? rc : 0;
}

static int read_scheduler(struct spec_ctx *x, const struct json_cur *process, struct spec_scheduler *ret)
{
    static const char *const policies[] = {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",      "SCHED_BATCH",
                                           "SCHED_ISO",   "SCHED_IDLE", "SCHED_DEADLINE"};
    static const char *const flags[] = {"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM",
                                        "SCHED_FLAG_DL_OVERRUN",    "SCHED_FLAG_KEEP_POLICY",
                                        "SCHED_FLAG_KEEP_PARAMS",   "SCHED_FLAG_UTIL_CLAMP_MIN",
                                        "SCHED_FLAG_UTIL_CLAMP_MAX"};
    struct spec_scheduler s = {.set = true};
    struct json_cur c;
    int64_t nice = 0, priority = 0;
    int policy, rc = json_get_object(process, "scheduler", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    if ((rc = json_get_enum(&c, "policy", JSON_REQUIRED, policies, COUNT_OF(policies), &policy, x->err)) <
            0 ||
        (rc = spec_get_range(x, &c, "nice", -20, 19, &nice)) < 0 ||
        (rc = spec_get_range(x, &c, "priority", 0, 99, &priority)) < 0 ||
        (rc = spec_get_flags(x, &c, "flags", flags, NULL, COUNT_OF(flags), &s.flags)) < 0 ||
        (rc = json_get_u64(&c, "runtime", JSON_OPTIONAL, 0, UINT64_MAX, &s.runtime_ns, x->err)) < 0 ||
        (rc = json_get_u64(&c, "deadline", JSON_OPTIONAL, 0, UINT64_MAX, &s.deadline_ns, x->err)) < 0 ||
        (rc = json_get_u64(&c, "period", JSON_OPTIONAL, 0, UINT64_MAX, &s.period_ns, x->err)) < 0)
        return rc;
    s.policy = (uint32_t)policy;
    s.nice = (int32_t)nice;
    s.priority = (uint32_t)priority;
    if (priority != 0 && policy != SCHED_FIFO && policy != SCHED_RR)
        return json_fail(&c, x->err, ERR_INVALID, "priority is for SCHED_FIFO and SCHED_RR alone");
    if (policy == 6 && s.runtime_ns == 0)
        return json_fail(&c, x->err, ERR_INVALID, "SCHED_DEADLINE needs runtime, deadline, period");
    if (policy != 6 && (s.runtime_ns | s.deadline_ns | s.period_ns))
        return json_fail(&c, x->err, ERR_INVALID,
                         "runtime, deadline and period are for SCHED_DEADLINE alone");
    *ret = s;
    return 1;
}

static int read_io_priority(struct spec_ctx *x, const struct json_cur *process, struct spec_process *p)
{
    static const char *const classes[] = {"IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE",
                                          "IOPRIO_CLASS_IDLE"};
    struct json_cur c;
    int64_t level = 0;
    int class, rc = json_get_object(process, "ioPriority", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    if ((rc = json_get_enum(&c, "class", JSON_REQUIRED, classes, COUNT_OF(classes), &class, x->err)) < 0 ||
        (rc = spec_get_range(x, &c, "priority", 0, 7, &level)) < 0)
        return rc;
    p->io_priority_set = true;
    p->io_priority = (unsigned)class << 13 | (unsigned)level;
    return 1;
}

/* "0-3,7": digits, dashes and commas; the kernel parses it when it is used. */
static int read_cpus(struct spec_ctx *x, const struct json_cur *obj, const char *key, const char **ret)
{
    int rc = spec_get_text(x, obj, key, 256, ret);

    if (rc == 1 && strspn(*ret, "0123456789-,") != strlen(*ret))
        return err_set(x->err, ERR_INVALID, "process.execCPUAffinity.%s: not a list like \"0-3,7\"", key);
    return rc;
}

static int read_affinity(struct spec_ctx *x, const struct json_cur *process, struct spec_process *p)
{
    struct json_cur c;
    int rc = json_get_object(process, "execCPUAffinity", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    rc = read_cpus(x, &c, "initial", &p->cpus_initial);
    return rc < 0 ? rc : read_cpus(x, &c, "final", &p->cpus_final);
}

static int read_console_size(struct spec_ctx *x, const struct json_cur *process, struct spec_process *p)
{
    struct json_cur c;
    uint64_t rows = 0, columns = 0;
    int rc = json_get_object(process, "consoleSize", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    if ((rc = json_get_u64(&c, "height", JSON_REQUIRED, 0, UINT16_MAX, &rows, x->err)) < 0 ||
        (rc = json_get_u64(&c, "width", JSON_REQUIRED, 0, UINT16_MAX, &columns, x->err)) < 0)
        return rc;
    p->rows = (unsigned short)rows;
    p->columns = (unsigned short)columns;
    return 0;
}

int spec_read_process(struct spec_ctx *x, const struct json_cur *c, struct spec_process *p)
{
    int64_t oom = 0;
    int rc;

    if ((rc = read_user(x, c, p)) < 0 ||
        (rc = spec_get_strings(x, c, "args", LIM_CONFIG_LIST, &p->args)) < 0 ||
        (rc = spec_get_strings(x, c, "env", LIM_CONFIG_LIST, &p->env)) < 0 ||
        (rc = read_rlimits(x, c, p)) < 0 ||
        (rc = json_get_bool(c, "noNewPrivileges", JSON_OPTIONAL, &p->no_new_privs, x->err)) < 0 ||
        (rc = json_get_bool(c, "terminal", JSON_OPTIONAL, &p->terminal, x->err)) < 0 ||
        (rc = spec_get_text(x, c, "cwd", LIM_PATH_BYTES, &p->cwd)) < 0 ||
        (rc = spec_get_text(x, c, "apparmorProfile", LIM_PATH_BYTES, &p->apparmor)) < 0 ||
        (rc = spec_get_text(x, c, "selinuxLabel", LIM_PATH_BYTES, &p->selinux)) < 0 ||
        (rc = read_caps(x, c, &p->caps)) < 0 || (rc = read_scheduler(x, c, &p->scheduler)) < 0 ||
        (rc = read_io_priority(x, c, p)) < 0 || (rc = read_affinity(x, c, p)) < 0 ||
        (rc = read_console_size(x, c, p)) < 0 ||
        (rc = spec_get_range(x, c, "oomScoreAdj", -1000, 1000, &oom)) < 0)
        return rc;
    if (rc == 1) {
        p->oom_score_adj_set = true;
        p->oom_score_adj = (int)oom;
    }
    return 0;
}
