/* spec_oci.c - parses config.json of the OCI runtime-spec 1.x into a spec. Pure. What we do not support is
 * refused, with its path. */
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>

#include "runtime/spec/ns_kinds.h"
#include "runtime/spec/spec_parse.h"

/* From headers since 5.19 and 5.12. */
#define FILTER_WAIT_KILLABLE_RECV (1UL << 5)
#define POLICY_NUMA_BALANCING     (1 << 13)

static int full(struct spec_ctx *x)
{
    return err_set(x->err, ERR_NOMEM, "config.json: too large");
}

static int read_namespaces(struct spec_ctx *x, const struct json_cur *lin)
{
    const char *types[SPEC_NS_COUNT_];
    struct spec *s = x->s;
    struct json_cur arr;
    int rc = json_get_array(lin, "namespaces", JSON_OPTIONAL, 16, &arr, x->err);

    for (unsigned i = 0; i < SPEC_NS_COUNT_; i++)
        types[i] = ns_kinds[i].name;
    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        const char *path = NULL;
        int type;
        if (json_get_enum(&c, "type", JSON_REQUIRED, types, COUNT_OF(types), &type, x->err) < 0 ||
            spec_get_text(x, &c, "path", LIM_PATH_BYTES, &path) < 0)
            return -(int)x->err->kind;
        if (s->ns[type].own || s->ns[type].join)
            return json_fail(&c, x->err, ERR_INVALID, "duplicate %s", types[type]);
        if (path && path[0] != '/')
            return json_fail(&c, x->err, ERR_INVALID, "path is not absolute");
        s->ns[type] = (struct spec_ns){.own = !path, .join = path};
    }
    s->net = s->ns[SPEC_NS_NET].own ? SPEC_NET_NONE : SPEC_NET_HOST;
    return rc < 0 ? rc : 0;
}

int spec_read_id_maps(struct spec_ctx *x, const struct json_cur *obj, const char *key,
                      struct spec_id_maps *ret)
{
    struct spec_id_maps maps = {0};
    struct json_cur arr;
    int rc = json_get_array(obj, key, JSON_OPTIONAL, SPEC_ID_MAPS, &arr, x->err);

    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        uint64_t inner = 0, outer = 0, count = 0;
        if (json_get_u64(&c, "containerID", JSON_REQUIRED, 0, UINT32_MAX - 1, &inner, x->err) < 0 ||
            json_get_u64(&c, "hostID", JSON_REQUIRED, 0, UINT32_MAX - 1, &outer, x->err) < 0 ||
            json_get_u64(&c, "size", JSON_REQUIRED, 1, UINT32_MAX, &count, x->err) < 0)
            return -(int)x->err->kind;
        if (inner + count > UINT32_MAX || outer + count > UINT32_MAX)
            return json_fail(&c, x->err, ERR_INVALID, "the range ends above 4294967294");
        maps.list[maps.n++] = (struct spec_id_map){(uint32_t)inner, (uint32_t)outer, (uint32_t)count};
    }
    if (rc == 1)
        *ret = maps;
    return rc;
}

static int read_mappings(struct spec_ctx *x, const struct json_cur *lin)
{
    struct spec *s = x->s;
    int rc;

    s->uid_maps.n = s->gid_maps.n = 0;
    if ((rc = spec_read_id_maps(x, lin, "uidMappings", &s->uid_maps)) < 0 ||
        (rc = spec_read_id_maps(x, lin, "gidMappings", &s->gid_maps)) < 0)
        return rc;
    if (s->ns[SPEC_NS_USER].own && !s->uid_maps.n != !s->gid_maps.n)
        return err_set(x->err, ERR_INVALID, "linux.uidMappings and linux.gidMappings go together");
    if (!s->ns[SPEC_NS_USER].own && s->uid_maps.n && !s->ns[SPEC_NS_USER].join)
        return err_set(x->err, ERR_INVALID,
                       "linux.uidMappings: without a user namespace in linux.namespaces");
    s->rootfs_idmap =
        s->ns[SPEC_NS_USER].own && s->uid_maps.n == 0; /* our own range: files are not prepared for it */
    return 0;
}

static int read_offsets(struct spec_ctx *x, const struct json_cur *lin)
{
    struct {
        const char *key;
        int64_t *secs;
        uint32_t *nanosecs;
    } const clocks[] = {{"monotonic", &x->s->monotonic_offset_s, &x->s->monotonic_offset_ns},
                        {"boottime", &x->s->boot_offset_s, &x->s->boot_offset_ns}};
    struct json_cur all, c;
    uint64_t ns;
    int rc = json_get_object(lin, "timeOffsets", JSON_OPTIONAL, &all, x->err);

    if (rc != 1)
        return rc;
    if (json_len(&all) > 0 && !x->s->ns[SPEC_NS_TIME].own)
        return json_fail(&all, x->err, ERR_INVALID, "without a new time namespace in linux.namespaces");
    for (size_t i = 0; i < COUNT_OF(clocks); i++) {
        if ((rc = json_get_object(&all, clocks[i].key, JSON_OPTIONAL, &c, x->err)) < 0)
            return rc;
        if (rc == 0)
            continue;
        ns = 0;
        if ((rc = spec_get_i64(x, &c, "secs", clocks[i].secs)) < 0 ||
            (rc = json_get_u64(&c, "nanosecs", JSON_OPTIONAL, 0, 999999999, &ns, x->err)) < 0)
            return rc;
        *clocks[i].nanosecs = (uint32_t)ns;
    }
    return 0;
}

static int read_device(struct spec_ctx *x, const struct json_cur *c, void *ret)
{
    struct spec_device d = {.mode = 0666};
    const char *type = NULL;
    uint64_t mode = 0666, uid = 0, gid = 0;
    int64_t major = 0, minor = 0;
    int rc;

    if ((rc = json_get_str(c, "type", JSON_REQUIRED, 2, &type, x->err)) < 0 ||
        (rc = json_get_str(c, "path", JSON_REQUIRED, LIM_PATH_BYTES, &d.path, x->err)) < 0 ||
        (rc = spec_get_range(x, c, "major", 0, UINT32_MAX, &major)) < 0 ||
        (rc = spec_get_range(x, c, "minor", 0, UINT32_MAX, &minor)) < 0 ||
        (rc = json_get_u64(c, "fileMode", JSON_OPTIONAL, 0, 0177777, &mode, x->err)) < 0 ||
        (rc = json_get_u64(c, "uid", JSON_OPTIONAL, 0, UINT32_MAX - 1, &uid, x->err)) < 0 ||
        (rc = json_get_u64(c, "gid", JSON_OPTIONAL, 0, UINT32_MAX - 1, &gid, x->err)) < 0)
        return rc;
    if (strlen(type) != 1 || !strchr("cbup", type[0]))
        return json_fail(c, x->err, ERR_INVALID, "type: must be c, b, u or p");
    if (d.path[0] != '/')
        return json_fail(c, x->err, ERR_INVALID, "path is not absolute");
    d.type = type[0] == 'u' ? 'c' : type[0];
    d.path = spec_keep(x, d.path);
    d.major = (uint32_t)major;
    d.minor = (uint32_t)minor;
    d.mode = (uint32_t)mode & 07777;
    d.uid = (uint32_t)uid;
    d.gid = (uint32_t)gid;
    *(struct spec_device *)ret = d;
    return d.path ? 0 : full(x);
}

static int read_devices(struct spec_ctx *x, const struct json_cur *lin)
{
    const void *list = NULL;
    int rc = spec_get_list(x, lin, "devices", sizeof(*x->s->devices), read_device, &list, &x->s->n_devices);

    x->s->devices = list;
    return rc;
}

/* The namespace that a setting belongs to; SPEC_NS_COUNT_: the whole machine. */
static enum spec_ns_kind sysctl_space(const char *name)
{
    static const struct {
        const char *prefix;
        enum spec_ns_kind ns;
    } spaces[] = {{"net.", SPEC_NS_NET},
                  {"kernel.shm_rmid_forced", SPEC_NS_IPC},
                  {"kernel.shm", SPEC_NS_IPC},
                  {"kernel.msg", SPEC_NS_IPC},
                  {"kernel.sem", SPEC_NS_IPC},
                  {"fs.mqueue.", SPEC_NS_IPC},
                  {"kernel.auto_msgmni", SPEC_NS_IPC},
                  {"kernel.domainname", SPEC_NS_UTS},
                  {"kernel.hostname", SPEC_NS_UTS}};

    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        if (strncmp(name, spaces[i].prefix, strlen(spaces[i].prefix)) == 0)
            return spaces[i].ns;
    return SPEC_NS_COUNT_;
}

static int read_sysctl(struct spec_ctx *x, const struct json_cur *c, struct spec_sysctl *ret)
{
    const char *value;
    char dotted[256], *path = arena_get(x->arena, strlen(c->key) + 1);
    enum spec_ns_kind ns;
    bool slashes = strcspn(c->key, "/") < strcspn(c->key, "."); /* sysctl(8): the first separator decides */
    int rc = json_as_str(c, LIM_TEXT_BYTES, &value, x->err);

    if (rc < 0)
        return rc;
    if (!path || !str_copy(dotted, sizeof(dotted), c->key))
        return json_fail(c, x->err, ERR_INVALID, "name too long");
    for (size_t i = 0; c->key[i]; i++) {
        path[i] = slashes ? c->key[i] : c->key[i] == '.' ? '/' : c->key[i] == '/' ? '.' : c->key[i];
        dotted[i] = path[i] == '/' ? '.' : path[i] == '.' ? '/' : path[i];
    }
    ns = sysctl_space(dotted);
    if (strstr(path, "..") || path[0] == '/' || path[0] == '\0')
        return json_fail(c, x->err, ERR_INVALID, "not the name of a setting");
    if (ns == SPEC_NS_COUNT_)
        return json_fail(c, x->err, ERR_INVALID, "belongs to the whole machine, not to a container");
    if (!x->s->ns[ns].own && !x->s->ns[ns].join)
        return json_fail(c, x->err, ERR_INVALID, "needs a namespace of its own in linux.namespaces");
    ret->path = path;
    ret->value = spec_keep(x, value);
    return ret->value ? 0 : full(x);
}

static int read_sysctls(struct spec_ctx *x, const struct json_cur *lin)
{
    struct json_cur obj;
    struct spec_sysctl *list;
    int rc = json_get_object(lin, "sysctl", JSON_OPTIONAL, &obj, x->err);

    if (rc != 1 || json_len(&obj) == 0)
        return rc;
    if (!(list = arena_get(x->arena, json_len(&obj) * sizeof(*list))))
        return full(x);
    for (unsigned i = 0; i < json_len(&obj); i++) {
        struct json_cur c = json_member(&obj, i);
        if ((rc = read_sysctl(x, &c, &list[i])) < 0)
            return rc;
    }
    x->s->sysctls = list;
    x->s->n_sysctls = json_len(&obj);
    return 0;
}

static int read_personality(struct spec_ctx *x, const struct json_cur *lin)
{
    static const char *const domains[] = {"LINUX", "LINUX32"};
    struct json_cur c, flags;
    int domain, rc = json_get_object(lin, "personality", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    if ((rc = json_get_enum(&c, "domain", JSON_REQUIRED, domains, COUNT_OF(domains), &domain, x->err)) < 0 ||
        (rc = json_get_array(&c, "flags", JSON_OPTIONAL, 16, &flags, x->err)) < 0)
        return rc;
    if (rc == 1 && json_len(&flags) > 0)
        return json_fail(&flags, x->err, ERR_UNSUPPORTED, "no flag is defined");
    x->s->personality_set = true;
    x->s->personality = domain == 1 ? PER_LINUX32 : PER_LINUX;
    return 0;
}

static int read_mempolicy(struct spec_ctx *x, const struct json_cur *lin)
{
    static const char *const modes[] = {
        "MPOL_DEFAULT",        "MPOL_PREFERRED",          "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_LOCAL",
        "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"};
    static const char *const flags[] = {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
                                        "MPOL_F_STATIC_NODES"};
    static const uint64_t values[] = {POLICY_NUMA_BALANCING, MPOL_F_RELATIVE_NODES, MPOL_F_STATIC_NODES};
    struct json_cur c;
    uint64_t mask = 0;
    int mode, rc = json_get_object(lin, "memoryPolicy", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    if ((rc = json_get_enum(&c, "mode", JSON_REQUIRED, modes, COUNT_OF(modes), &mode, x->err)) < 0 ||
        (rc = spec_get_text(x, &c, "nodes", 256, &x->s->mempolicy_nodes)) < 0 ||
        (rc = spec_get_flags(x, &c, "flags", flags, values, COUNT_OF(flags), &mask)) < 0)
        return rc;
    if (x->s->mempolicy_nodes &&
        strspn(x->s->mempolicy_nodes, "0123456789-,") != strlen(x->s->mempolicy_nodes))
        return json_fail(&c, x->err, ERR_INVALID, "nodes is not a list like \"0-3,7\"");
    x->s->mempolicy_set = true;
    x->s->mempolicy_mode = mode | (int)mask;
    return 0;
}

static int read_filter(struct spec_ctx *x, const struct json_cur *lin)
{
    static const char *const flags[] = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                                        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
    static const uint64_t values[] = {SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG,
                                      SECCOMP_FILTER_FLAG_SPEC_ALLOW, FILTER_WAIT_KILLABLE_RECV};
    struct spec_filter *f = &x->s->process.seccomp;
    struct json_cur c;
    AUTO_MEM char *text = NULL;
    uint64_t mask = 0;
    int rc = json_get_object(lin, "seccomp", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    if ((rc = spec_get_flags(x, &c, "flags", flags, values, COUNT_OF(flags), &mask)) < 0 ||
        (rc = spec_get_text(x, &c, "listenerPath", LIM_PATH_BYTES, &f->listener)) < 0 ||
        (rc = spec_get_text(x, &c, "listenerMetadata", LIM_TEXT_BYTES, &f->listener_metadata)) < 0)
        return rc;
    if (f->listener_metadata && !f->listener)
        return json_fail(&c, x->err, ERR_INVALID, "listenerMetadata without listenerPath");
    f->flags =
        (unsigned)mask &
        ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC; /* one thread: TSYNC has no effect, and excludes a listener */
    text = json_print(c.node, false);
    x->oci->seccomp = spec_keep(x, text);
    return x->oci->seccomp ? 0 : full(x);
}

static int read_propagation(struct spec_ctx *x, const struct json_cur *lin)
{
    const char *word = NULL;
    int rc = spec_get_text(x, lin, "rootfsPropagation", 16, &word);

    if (rc != 1)
        return rc;
    x->s->propagation = spec_propagation(word);
    return x->s->propagation
               ? 0
               : err_set(x->err, ERR_INVALID,
                         "linux.rootfsPropagation: %s is none of private, slave, shared, unbindable", word);
}

static int read_group(struct spec_ctx *x, const struct json_cur *lin)
{
    char group[CGROUP_PATH_BYTES];
    const char *path;
    int rc = spec_get_text(x, lin, "cgroupsPath", CGROUP_PATH_BYTES - 1, &path);

    if (rc != 1)
        return rc;
    if (!cgroup_path_read(path, group, sizeof(group)))
        return json_fail(lin, x->err, ERR_INVALID,
                         "cgroupsPath: \"%.80s\" is neither a path nor slice:prefix:name", path);
    x->s->cgroup_path = spec_keep(x, group);
    return 0;
}

int spec_read_linux(struct spec_ctx *x, const struct json_cur *root)
{
    struct json_cur lin, rdt;
    int rc = json_get_object(root, "linux", JSON_OPTIONAL, &lin, x->err);

    if (rc != 1)
        return rc < 0 ? rc : err_set(x->err, ERR_INVALID, "linux: missing");
    if ((rc = read_namespaces(x, &lin)) < 0 || (rc = spec_read_net_devices(x, &lin)) < 0 ||
        (rc = read_mappings(x, &lin)) < 0 || (rc = read_offsets(x, &lin)) < 0 ||
        (rc = spec_read_resources(x, &lin)) < 0 || (rc = read_devices(x, &lin)) < 0 ||
        (rc = read_sysctls(x, &lin)) < 0 || (rc = read_personality(x, &lin)) < 0 ||
        (rc = read_mempolicy(x, &lin)) < 0 || (rc = read_filter(x, &lin)) < 0 ||
        (rc = read_propagation(x, &lin)) < 0 ||
        (rc = spec_get_strings(x, &lin, "maskedPaths", LIM_CONFIG_LIST, &x->s->masked)) < 0 ||
        (rc = spec_get_strings(x, &lin, "readonlyPaths", LIM_CONFIG_LIST, &x->s->read_only_paths)) < 0 ||
        (rc = spec_get_text(x, &lin, "mountLabel", LIM_PATH_BYTES, &x->s->mount_label)) < 0 ||
        (rc = read_group(x, &lin)) < 0)
        return rc;
    if (json_get_object(&lin, "intelRdt", JSON_OPTIONAL, &rdt, NULL) == 1)
        spec_note(x, "linux.intelRdt is ignored: no cache or bandwidth allocation");
    return 0;
}

static int read_hook(struct spec_ctx *x, const struct json_cur *c, void *ret)
{
    struct spec_hook h = {0};
    int64_t timeout = 0;
    int rc;

    if ((rc = json_get_str(c, "path", JSON_REQUIRED, LIM_PATH_BYTES, &h.path, x->err)) < 0 ||
        (rc = spec_get_strings(x, c, "args", LIM_CONFIG_LIST, &h.args)) < 0 ||
        (rc = spec_get_strings(x, c, "env", LIM_CONFIG_LIST, &h.env)) < 0 ||
        (rc = spec_get_i64(x, c, "timeout", &timeout)) < 0)
        return rc;
    if (h.path[0] != '/')
        return json_fail(c, x->err, ERR_INVALID, "path is not absolute");
    if (rc == 1 && (timeout < 1 || timeout > 86400))
        return json_fail(c, x->err, ERR_INVALID, "timeout is not within 1..86400 s");
    h.timeout_s = (unsigned)timeout;
    h.path = spec_keep(x, h.path);
    *(struct spec_hook *)ret = h;
    return h.path ? 0 : full(x);
}

static int read_hooks(struct spec_ctx *x, const struct json_cur *doc)
{
    static const char *const kinds[SPEC_HOOK_COUNT_] = {
        [SPEC_HOOK_PRESTART] = "prestart",
        [SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
        [SPEC_HOOK_CREATE_CONTAINER] = "createContainer",
        [SPEC_HOOK_START_CONTAINER] = "startContainer",
        [SPEC_HOOK_POSTSTART] = "poststart",
        [SPEC_HOOK_POSTSTOP] = "poststop",
    };
    struct json_cur hooks;
    int rc = json_get_object(doc, "hooks", JSON_OPTIONAL, &hooks, x->err);

    for (unsigned k = 0; rc == 1 && k < SPEC_HOOK_COUNT_; k++) {
        struct spec_hooks *h = &x->s->hooks[k];
        const void *list = NULL;
        if (spec_get_list(x, &hooks, kinds[k], sizeof(*h->list), read_hook, &list, &h->n) < 0)
            return -(int)x->err->kind;
        h->list = list;
    }
    return rc < 0 ? rc : 0;
}

static int read_annotations(struct spec_ctx *x, const struct json_cur *doc)
{
    struct json_cur c;
    AUTO_MEM char *text = NULL;
    const char *value;
    int rc = json_get_object(doc, "annotations", JSON_OPTIONAL, &c, x->err);

    if (rc != 1)
        return rc;
    for (unsigned i = 0; i < json_len(&c); i++) {
        struct json_cur one = json_member(&c, i);
        if ((rc = json_as_str(&one, LIM_CONFIG_STRING, &value, x->err)) < 0)
            return rc;
    }
    text = json_print(c.node, false);
    x->oci->annotations = spec_keep(x, text);
    return x->oci->annotations ? 0 : full(x);
}

/* Any 1.x: additions of later versions are ignored, as the specification requires. */
static int read_version(struct spec_ctx *x, const struct json_cur *doc)
{
    const char *version;
    unsigned minor = 0;
    int rc = json_get_str(doc, "ociVersion", JSON_REQUIRED, 32, &version, x->err);

    if (rc < 0)
        return rc;
    if (sscanf(version, "1.%u", &minor) != 1)
        return err_set(x->err, ERR_UNSUPPORTED, "ociVersion: %s is not 1.x", version);
    if (minor > 3)
        spec_note(x, "ociVersion is newer than 1.3: what it added is passed over");
    return 0;
}

static int read_root(struct spec_ctx *x, const struct json_cur *doc)
{
    struct json_cur root;
    int rc;

    if ((rc = read_version(x, doc)) < 0 ||
        (rc = json_get_object(doc, "root", JSON_REQUIRED, &root, x->err)) < 0 ||
        (rc = spec_get_text(x, &root, "path", LIM_PATH_BYTES, &x->s->rootfs_path)) < 0)
        return rc;
    if (rc == 0)
        return err_set(x->err, ERR_INVALID, "root.path: missing");
    if ((rc = json_get_bool(&root, "readonly", JSON_OPTIONAL, &x->s->rootfs_read_only, x->err)) < 0 ||
        (rc = spec_get_text(x, doc, "hostname", 64, &x->s->hostname)) < 0 ||
        (rc = spec_get_text(x, doc, "domainname", 64, &x->s->domainname)) < 0)
        return rc;
    return 0;
}

/* Call once the namespaces are known. */
static int check_names(struct spec_ctx *x)
{
    const struct spec_ns *uts = &x->s->ns[SPEC_NS_UTS];

    if ((x->s->hostname || x->s->domainname) && !uts->own && !uts->join)
        return err_set(x->err, ERR_INVALID, "%s: needs a UTS namespace in linux.namespaces",
                       x->s->hostname ? "hostname" : "domainname");
    return 0;
}

/* None of our defaults: config.json is complete. */
static void start_from_nothing(struct spec *s)
{
    static const char *const none[] = {NULL};

    memset(s, 0, sizeof(*s));
    s->rootfs_fd = -1;
    s->process.umask = 022;
    s->process.cwd = "/";
    s->net = SPEC_NET_HOST;
    s->limits = CGROUP_LIMITS_NONE;
    s->stop_signal = SIGTERM;
    s->masked = s->read_only_paths = none;
}

static int read_process_of(struct spec_ctx *x, const struct json_cur *doc)
{
    struct json_cur p, cwd;
    int rc = json_get_object(doc, "process", JSON_OPTIONAL, &p, x->err);

    if (rc != 1) /* optional until start: there is nothing that could be started then */
        return rc < 0 ? rc : err_set(x->err, ERR_INVALID, "process: missing");
    if ((rc = json_get(&p, "cwd", JSON_REQUIRED, &cwd, x->err)) < 0)
        return rc;
    return spec_read_process(x, &p, &x->s->process);
}

int spec_from_oci(struct buf config_json, struct arena *arena, struct spec *ret, struct spec_oci *ret_oci,
                  struct err *err)
{
    struct json_cur doc;
    struct spec *s = mem_need_zero(sizeof(*s));
    struct spec_oci oci = {0};
    struct spec_ctx x = {arena, s, &oci, err};
    int rc = json_parse(config_json, &json_limits_config, &doc, err);

    if (rc == 0) {
        start_from_nothing(s);
        if ((rc = read_root(&x, &doc)) >= 0 && (rc = read_process_of(&x, &doc)) >= 0 &&
            (rc = spec_read_mounts(&x, &doc)) >= 0 && (rc = spec_read_linux(&x, &doc)) >= 0 &&
            (rc = check_names(&x)) >= 0 && (rc = read_hooks(&x, &doc)) >= 0)
            rc = read_annotations(&x, &doc);
        (void)json_free(doc.node);
    }
    if (rc >= 0) {
        *ret = *s;
        *ret_oci = oci;
    }
    free(s);
    return rc < 0 ? err_wrap(err, "config.json") : 0;
}

int spec_process_from_oci(struct buf process_json, struct arena *arena, struct spec_process *ret,
                          struct err *err)
{
    struct json_cur doc;
    struct spec_process p = *ret;
    struct spec_ctx x = {.arena = arena, .err = err};
    int rc = json_parse(process_json, &json_limits_config, &doc, err);

    if (rc == 0) {
        rc = spec_read_process(&x, &doc, &p);
        (void)json_free(doc.node);
    }
    if (rc < 0)
        return err_wrap(err, "process");
    *ret = p;
    return 0;
}

int spec_mounts_from_oci(struct buf mounts_json, struct arena *arena, struct spec *ret, struct err *err)
{
    struct json_cur doc;
    struct spec_oci oci = {0};
    struct spec_ctx x = {arena, ret, &oci, err};
    size_t size = mounts_json.len + 16; /* as a member like in config.json, so that messages name it so */
    AUTO_MEM char *text = mem_need(size);
    int n = snprintf(text, size, "{\"mounts\":%.*s}", (int)mounts_json.len, (const char *)mounts_json.p);
    int rc = json_parse(buf_of(text, (size_t)n), &json_limits_config, &doc, err);

    if (rc == 0) {
        rc = spec_read_mounts(&x, &doc);
        (void)json_free(doc.node);
    }
    return rc;
}
