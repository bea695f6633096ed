/* spec_oci.c - config.json of the OCI runtime-spec 1.x into a spec. Pure. What we cannot do is refused, by
 * its path. */
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/spec_parse.h"

static const char *const cap_names[] = {"CHOWN",
                                        "DAC_OVERRIDE",
                                        "DAC_READ_SEARCH",
                                        "FOWNER",
                                        "FSETID",
                                        "KILL",
                                        "SETGID",
                                        "SETUID",
                                        "SETPCAP",
                                        "LINUX_IMMUTABLE",
                                        "NET_BIND_SERVICE",
                                        "NET_BROADCAST",
                                        "NET_ADMIN",
                                        "NET_RAW",
                                        "IPC_LOCK",
                                        "IPC_OWNER",
                                        "SYS_MODULE",
                                        "SYS_RAWIO",
                                        "SYS_CHROOT",
                                        "SYS_PTRACE",
                                        "SYS_PACCT",
                                        "SYS_ADMIN",
                                        "SYS_BOOT",
                                        "SYS_NICE",
                                        "SYS_RESOURCE",
                                        "SYS_TIME",
                                        "SYS_TTY_CONFIG",
                                        "MKNOD",
                                        "LEASE",
                                        "AUDIT_WRITE",
                                        "AUDIT_CONTROL",
                                        "SETFCAP",
                                        "MAC_OVERRIDE",
                                        "MAC_ADMIN",
                                        "SYSLOG",
                                        "WAKE_ALARM",
                                        "BLOCK_SUSPEND",
                                        "AUDIT_READ",
                                        "PERFMON",
                                        "BPF",
                                        "CHECKPOINT_RESTORE"};

static int read_caps(struct spec_ctx *x, const struct json_cur *caps, const char *key, uint64_t *ret)
{
    const char *const *list = NULL;
    uint64_t mask = 0;
    int r = spec_get_strings(x, caps, key, 64, &list);

    for (; r >= 0 && list && *list; list++) {
        size_t i = 0;
        while (i < COUNT_OF(cap_names) &&
               (strncmp(*list, "CAP_", 4) != 0 || strcmp(*list + 4, cap_names[i]) != 0))
            i++;
        if (i == COUNT_OF(cap_names))
            return err_set(x->err, ERR_INVALID, "process.capabilities.%s: unknown %.40s", key, *list);
        mask |= 1ULL << i;
    }
    if (r >= 0)
        *ret = mask;
    return r;
}

static int read_user(struct spec_ctx *x, const struct json_cur *process)
{
    struct json_cur user, gids;
    uint64_t uid = 0, gid = 0, mask = 022;
    int r = json_get_object(process, "user", JSON_OPTIONAL, &user, x->err);

    if (r != 1)
        return r;
    if ((r = json_get_u64(&user, "uid", JSON_OPTIONAL, 0, UINT32_MAX - 1, &uid, x->err)) < 0 ||
        (r = json_get_u64(&user, "gid", JSON_OPTIONAL, 0, UINT32_MAX - 1, &gid, x->err)) < 0 ||
        (r = json_get_u64(&user, "umask", JSON_OPTIONAL, 0, 0777, &mask, x->err)) < 0 ||
        (r = json_get_array(&user, "additionalGids", JSON_OPTIONAL, 16, &gids, x->err)) < 0)
        return r;
    x->s->uid = (uint32_t)uid;
    x->s->gid = (uint32_t)gid;
    x->s->umask = (uint32_t)mask;
    for (unsigned i = 0; r == 1 && i < json_len(&gids); i++) {
        struct json_cur c = json_at(&gids, i);
        if (json_as_u64(&c, 0, UINT32_MAX - 1, &gid, x->err) < 0)
            return -(int)x->err->kind;
        x->s->groups[x->s->n_groups++] = (uint32_t)gid;
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

/* A limit; 2^64-1 is how the kernel and config.json write "none", and no double holds it exactly. */
static int get_rlimit(struct spec_ctx *x, const struct json_cur *obj, const char *key, uint64_t *ret)
{
    struct json_cur c;
    AUTO_MEM char *text = NULL;
    int r = json_get(obj, key, JSON_REQUIRED, &c, x->err);

    if (r < 0)
        return r;
    text = json_print(c.node, false);
    if (text[0] != '"' && strtod(text, NULL) == 18446744073709551616.0) {
        *ret = RLIM_INFINITY;
        return 1;
    }
    return json_as_u64(&c, 0, UINT64_MAX, ret, x->err);
}

static int read_rlimits(struct spec_ctx *x, const struct json_cur *process)
{
    struct json_cur arr;
    int r = json_get_array(process, "rlimits", JSON_OPTIONAL, COUNT_OF(x->s->rlimits), &arr, x->err);

    for (unsigned i = 0; r == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        struct spec_rlimit l = {0};
        if (json_get_enum(&c, "type", JSON_REQUIRED, rlimit_names, COUNT_OF(rlimit_names), &l.resource,
                          x->err) < 0 ||
            get_rlimit(x, &c, "soft", &l.soft) < 0 || get_rlimit(x, &c, "hard", &l.hard) < 0)
            return -(int)x->err->kind;
        x->s->rlimits[x->s->n_rlimits++] = l;
    }
    return r < 0 ? r : 0;
}

static int read_process(struct spec_ctx *x, const struct json_cur *root)
{
    static const char *const no[] = {"apparmorProfile", "selinuxLabel", "scheduler", "ioPriority",
                                     "execCPUAffinity"};
    struct json_cur p, caps;
    uint64_t bounding = 0, effective = 0;
    int64_t oom = 0;
    const char *cwd;
    int r = json_get_object(root, "process", JSON_REQUIRED, &p, x->err);

    if (r < 0 || (r = spec_refuse(x, &p, no, COUNT_OF(no))) < 0 || (r = read_user(x, &p)) < 0 ||
        (r = spec_get_strings(x, &p, "args", LIM_ARGS, &x->s->args)) < 0 ||
        (r = spec_get_strings(x, &p, "env", LIM_ENVS, &x->s->env)) < 0 || (r = read_rlimits(x, &p)) < 0 ||
        (r = json_get_bool(&p, "noNewPrivileges", JSON_OPTIONAL, &x->s->no_new_privs, x->err)) < 0 ||
        (r = json_get_bool(&p, "terminal", JSON_OPTIONAL, &x->s->terminal, x->err)) < 0 ||
        (r = json_get_str(&p, "cwd", JSON_REQUIRED, LIM_PATH_BYTES, &cwd, x->err)) < 0)
        return r;
    x->s->cwd = spec_keep(x, cwd);
    if (x->s->terminal)
        return err_set(x->err, ERR_UNSUPPORTED, "process.terminal: not supported yet");
    if ((r = spec_get_i64(x, &p, "oomScoreAdj", &oom)) < 0)
        return r;
    x->s->oom_score_adj_set = r == 1;
    x->s->oom_score_adj = oom < -1000 || oom > 1000 ? 9999 : (int)oom; /* spec_check refuses it */
    if ((r = json_get_object(&p, "capabilities", JSON_OPTIONAL, &caps, x->err)) != 1)
        return r;
    if ((r = read_caps(x, &caps, "bounding", &bounding)) < 0 ||
        (r = read_caps(x, &caps, "effective", &effective)) < 0)
        return r;
    x->s->caps = bounding & effective;
    return 0;
}

/* ---- mounts ---- */

static bool parse_size(const char *text, uint64_t *ret)
{
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    unsigned shift = *end == 'k' || *end == 'K'   ? 10
                     : *end == 'm' || *end == 'M' ? 20
                     : *end == 'g' || *end == 'G' ? 30
                                                  : 0;

    if (end == text || text[0] == '-' || (shift ? end[1] : end[0]) != '\0' || v > UINT64_MAX >> 31)
        return false;
    *ret = v << shift;
    return true;
}

/* One option of a mount. False: we do not do that. */
static bool take_option(struct spec_mount *m, const char *o)
{
    static const char *const harmless[] = {
        "defaults",      "rw",        "relatime", "norelatime", "strictatime", "noatime",
        "nodiratime",    "atime",     "private",  "rprivate",   "newinstance", "exec",
        "ptmxmode=0666", "mode=0620", "mode=620", "gid=5",      "async"};
    struct {
        const char *name;
        bool *flag, value;
    } const flags[] = {{"ro", &m->read_only, true},    {"nosuid", &m->suid, false},
                       {"suid", &m->suid, true},       {"nodev", &m->devices, false},
                       {"dev", &m->devices, true},     {"noexec", &m->no_exec, true},
                       {"bind", &m->recursive, false}, {"rbind", &m->recursive, true}};

    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (strcmp(o, flags[i].name) == 0) {
            *flags[i].flag = flags[i].value;
            if (o[strlen(o) - 1] == 'd' && strstr(o, "bind"))
                m->kind = SPEC_MOUNT_BIND;
            return true;
        }
    if (strncmp(o, "size=", 5) == 0)
        return parse_size(o + 5, &m->size_bytes);
    for (size_t i = 0; i < COUNT_OF(harmless); i++)
        if (strcmp(o, harmless[i]) == 0)
            return true;
    if (strncmp(o, "mode=", 5) == 0) {
        m->mode = (unsigned)strtoul(o + 5, NULL, 8) & 07777;
        return true;
    }
    return false;
}

static bool take_type(struct spec_mount *m, const char *type)
{
    static const struct {
        const char *name;
        enum spec_mount_kind kind;
    } types[] = {
        {"bind", SPEC_MOUNT_BIND},     {"none", SPEC_MOUNT_BIND},     {"tmpfs", SPEC_MOUNT_TMPFS},
        {"proc", SPEC_MOUNT_PROC},     {"sysfs", SPEC_MOUNT_SYSFS},   {"devpts", SPEC_MOUNT_DEVPTS},
        {"mqueue", SPEC_MOUNT_MQUEUE}, {"cgroup", SPEC_MOUNT_CGROUP}, {"cgroup2", SPEC_MOUNT_CGROUP}};

    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (strcmp(type, types[i].name) == 0) {
            m->kind = types[i].kind;
            return true;
        }
    return false;
}

static int read_mount(struct spec_ctx *x, const struct json_cur *c, struct spec_mount *m)
{
    const char *const *options = NULL;
    const char *type = "bind", *source = NULL, *target;

    *m = (struct spec_mount){
        .source_fd = -1, .make_target = true, .suid = true, .devices = true, .mode = 01777};
    if (json_get_str(c, "destination", JSON_REQUIRED, LIM_PATH_BYTES, &target, x->err) < 0 ||
        json_get_str(c, "type", JSON_OPTIONAL, 64, &type, x->err) < 0 ||
        json_get_str(c, "source", JSON_OPTIONAL, LIM_PATH_BYTES, &source, x->err) < 0 ||
        spec_get_strings(x, c, "options", 32, &options) < 0)
        return -(int)x->err->kind;
    if (!take_type(m, type))
        return json_fail(c, x->err, ERR_UNSUPPORTED, "type \"%.32s\" is not supported", type);
    for (; options && *options; options++)
        if (!take_option(m, *options))
            return json_fail(c, x->err, ERR_UNSUPPORTED, "option \"%.64s\" is not supported", *options);
    m->target = spec_keep(x, target);
    m->source = m->kind == SPEC_MOUNT_BIND && source ? spec_keep(x, source) : NULL;
    return 0;
}

static int read_mounts(struct spec_ctx *x, const struct json_cur *root)
{
    struct json_cur arr;
    int r = json_get_array(root, "mounts", JSON_OPTIONAL, COUNT_OF(x->s->mounts), &arr, x->err);

    for (unsigned i = 0; r == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        int one = read_mount(x, &c, &x->s->mounts[i]);
        if (one < 0)
            return one;
        x->s->n_mounts = i + 1;
    }
    return r < 0 ? r : 0;
}

/* ---- linux ---- */

static int read_namespaces(struct spec_ctx *x, const struct json_cur *lin)
{
    static const char *const types[] = {"pid", "mount", "ipc", "uts", "cgroup", "user", "network", "time"};
    struct spec *s = x->s;
    bool *flags[] = {&s->ns_pid, &s->ns_mount, &s->ns_ipc, &s->ns_uts, &s->ns_cgroup, &s->userns};
    struct json_cur arr;
    int r = json_get_array(lin, "namespaces", JSON_OPTIONAL, 16, &arr, x->err);

    for (unsigned i = 0; r == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        const char *path = "";
        int type;
        if (json_get_enum(&c, "type", JSON_REQUIRED, types, COUNT_OF(types), &type, x->err) < 0 ||
            json_get_str(&c, "path", JSON_OPTIONAL, LIM_PATH_BYTES, &path, x->err) < 0)
            return -(int)x->err->kind;
        if (path[0] || type == 7)
            return json_fail(&c, x->err, ERR_UNSUPPORTED,
                             type == 7 ? "time namespaces" : "joining a namespace");
        if (type == 6)
            s->net = SPEC_NET_NONE;
        else
            *flags[type] = true;
    }
    return r < 0 ? r : 0;
}

static int read_mapping(struct spec_ctx *x, const struct json_cur *lin, const char *key, uint64_t *host,
                        uint64_t *size)
{
    struct json_cur arr, c;
    uint64_t inner = 0;
    int r = json_get_array(lin, key, JSON_OPTIONAL, 8, &arr, x->err);

    if (r != 1 || json_len(&arr) == 0)
        return r;
    c = json_at(&arr, 0);
    if (json_get_u64(&c, "containerID", JSON_REQUIRED, 0, UINT32_MAX, &inner, x->err) < 0 ||
        json_get_u64(&c, "hostID", JSON_REQUIRED, 0, UINT32_MAX, host, x->err) < 0 ||
        json_get_u64(&c, "size", JSON_REQUIRED, 1, UINT32_MAX, size, x->err) < 0)
        return -(int)x->err->kind;
    if (json_len(&arr) > 1 || inner != 0)
        return json_fail(&arr, x->err, ERR_UNSUPPORTED, "only one range that begins with id 0");
    return 1;
}

static int read_mappings(struct spec_ctx *x, const struct json_cur *lin)
{
    uint64_t host[2] = {SPEC_ID_SHIFT, SPEC_ID_SHIFT}, size[2] = {65536, 65536};
    int r;

    if ((r = read_mapping(x, lin, "uidMappings", &host[0], &size[0])) < 0 ||
        (r = read_mapping(x, lin, "gidMappings", &host[1], &size[1])) < 0)
        return r;
    if (host[0] != host[1] || size[0] != size[1])
        return err_set(x->err, ERR_UNSUPPORTED, "linux.uidMappings, linux.gidMappings: must be alike");
    x->s->id_shift = (uint32_t)host[0];
    x->s->id_count = (uint32_t)size[0];
    return 0;
}

static int read_paths(struct spec_ctx *x, const struct json_cur *lin, const char *key, const char **dst,
                      unsigned max)
{
    const char *const *list = NULL;
    int r = spec_get_strings(x, lin, key, max - 1, &list);

    for (unsigned i = 0; r >= 0 && list && list[i]; i++)
        dst[i] = list[i];
    return r;
}

static int read_linux(struct spec_ctx *x, const struct json_cur *root)
{
    static const char *const no[] = {"sysctl",      "devices",     "mountLabel", "intelRdt",
                                     "personality", "timeOffsets", "netDevices"};
    struct json_cur lin, seccomp;
    const char *path = NULL;
    int r = json_get_object(root, "linux", JSON_REQUIRED, &lin, x->err);

    if (r < 0 || (r = spec_refuse(x, &lin, no, COUNT_OF(no))) < 0 || (r = read_namespaces(x, &lin)) < 0 ||
        (r = read_mappings(x, &lin)) < 0 || (r = spec_read_resources(x, &lin)) < 0 ||
        (r = read_paths(x, &lin, "maskedPaths", x->s->masked, COUNT_OF(x->s->masked))) < 0 ||
        (r = read_paths(x, &lin, "readonlyPaths", x->s->read_only_paths, COUNT_OF(x->s->read_only_paths))) <
            0 ||
        (r = json_get_str(&lin, "cgroupsPath", JSON_OPTIONAL, 150, &path, x->err)) < 0)
        return r;
    x->s->cgroup_path = path && path[0] ? spec_keep(x, path) : NULL;
    x->s->seccomp_replaced = json_get_object(&lin, "seccomp", JSON_OPTIONAL, &seccomp, NULL) == 1;
    x->s->seccomp_default = x->s->seccomp_replaced;
    return 0;
}

static int read_root(struct spec_ctx *x, const struct json_cur *doc)
{
    static const char *const no[] = {"hooks", "domainname", "solaris", "windows", "vm", "zos"};
    struct json_cur root;
    const char *path, *name = NULL, *version;
    int r = json_get_str(doc, "ociVersion", JSON_REQUIRED, 32, &version, x->err);

    if (r < 0)
        return r;
    if (strncmp(version, "1.", 2) != 0)
        return err_set(x->err, ERR_UNSUPPORTED, "ociVersion: %s is not 1.x", version);
    if ((r = spec_refuse(x, doc, no, COUNT_OF(no))) < 0 ||
        (r = json_get_object(doc, "root", JSON_REQUIRED, &root, x->err)) < 0 ||
        (r = json_get_str(&root, "path", JSON_REQUIRED, LIM_PATH_BYTES, &path, x->err)) < 0 ||
        (r = json_get_bool(&root, "readonly", JSON_OPTIONAL, &x->s->rootfs_read_only, x->err)) < 0 ||
        (r = json_get_str(doc, "hostname", JSON_OPTIONAL, 64, &name, x->err)) < 0)
        return r;
    x->s->rootfs_path = spec_keep(x, path);
    x->s->hostname = name && name[0] ? spec_keep(x, name) : NULL;
    return x->s->rootfs_path ? 0 : err_set(x->err, ERR_NOMEM, "config.json: too large");
}

/* Nothing of our defaults: config.json says all. */
static void start_from_nothing(struct spec *s)
{
    spec_defaults(s);
    s->n_mounts = 0;
    memset(s->masked, 0, sizeof s->masked);
    memset(s->read_only_paths, 0, sizeof s->read_only_paths);
    s->rootfs_read_only = s->no_new_privs = s->seccomp_default = s->userns = false;
    s->ns_pid = s->ns_mount = s->ns_ipc = s->ns_uts = s->ns_cgroup = false;
    s->net = SPEC_NET_HOST;
}

int spec_from_oci(struct buf config_json, struct arena *arena, struct spec *ret, struct err *err)
{
    struct json_cur doc;
    struct spec s;
    struct spec_ctx x = {arena, &s, err};
    int r = json_parse(config_json, &json_limits_oci, &doc, err);

    if (r < 0)
        return err_wrap(err, "config.json");
    start_from_nothing(&s);
    if ((r = read_root(&x, &doc)) >= 0 && (r = read_process(&x, &doc)) >= 0 &&
        (r = read_mounts(&x, &doc)) >= 0)
        r = read_linux(&x, &doc);
    (void)json_free(doc.node);
    if (r < 0)
        return err_wrap(err, "config.json");
    *ret = s;
    return 0;
}
