#include "agent/manifest.h"

#include <stdio.h>

#include "agent/words.h"
#include "ota/source.h"
#include "platform/cgroup.h"

/* One document being read: where strings go, and what the walk fills. */
struct reader {
    struct arena *arena;
    struct err *err;
};

static const char *const privileges_names[] = {"strip", "refuse"};
static const char *const enforce_names[] = {"best-effort", "required", "off"};
static const char *const restart_names[] = {"no", "on-failure", "always"};
static const char *const net_names[] = {"none", "host", "bridge"};
static const char *const protocol_names[] = {"tcp", "udp"};
static const char *const mount_names[] = {"tmpfs", "volume"};
static const char *const action_names[] = {"none", "restart"};

static int keep(struct reader *r, const char *text, const char **ret)
{
    const char *copy = arena_str(r->arena, text);
    if (!copy)
        return err_set(r->err, ERR_NOMEM, "manifest: its strings need more than the arena holds");
    *ret = copy;
    return 0;
}

static int get_text(struct reader *r, const struct json_cur *o, const char *key, enum json_need need,
                    const char **ret)
{
    const char *s;
    int rc = json_get_str(o, key, need, LIM_TEXT_BYTES, &s, r->err);
    if (rc > 0 && keep(r, s, ret) < 0)
        return -(int)ERR_NOMEM;
    return rc;
}

/* A string that must pass a test; what: how the refusal goes on after the string. */
static int get_checked(struct reader *r, const struct json_cur *o, const char *key, enum json_need need,
                       size_t max_len, bool (*is_good)(const char *), const char *what, const char **ret)
{
    struct json_cur c;
    const char *s;
    int rc = json_get(o, key, need, &c, r->err);
    if (rc <= 0)
        return rc;
    if (json_as_str(&c, max_len, &s, r->err) < 0)
        return -(int)ERR_INVALID;
    if (!is_good(s))
        return json_fail(&c, r->err, ERR_INVALID, "\"%.60s\" is no %s", s, what);
    return keep(r, s, ret) < 0 ? -(int)ERR_NOMEM : 1;
}

static bool is_abs_path(const char *s)
{
    size_t n = strlen(s);
    return s[0] == '/' && !strstr(s, "/../") && !(n >= 3 && strcmp(s + n - 3, "/..") == 0);
}

static int get_name(struct reader *r, const struct json_cur *o, const char *key, enum json_need need,
                    const char **ret)
{
    return get_checked(r, o, key, need, LIM_NAME_BYTES - 1, str_is_name, "name ([a-z0-9][a-z0-9._-]*)", ret);
}

static int get_abs_path(struct reader *r, const struct json_cur *o, const char *key, enum json_need need,
                        const char **ret)
{
    return get_checked(r, o, key, need, 255, is_abs_path, "absolute path without \"..\"", ret);
}

static int get_digest(struct reader *r, const struct json_cur *o, const char *key, struct digest *ret)
{
    struct json_cur c;
    const char *s;
    if (json_get(o, key, JSON_REQUIRED, &c, r->err) < 0 || json_as_str(&c, 80, &s, r->err) < 0)
        return -(int)ERR_INVALID;
    return digest_parse(s, ret, NULL) < 0
               ? json_fail(&c, r->err, ERR_INVALID, "\"%s\" is no sha256: digest in lower-case hex", s)
               : 1;
}

/* An array of strings as a NULL-terminated list. */
static int get_list(struct reader *r, const struct json_cur *o, const char *key, unsigned max,
                    const char *const **ret)
{
    struct json_cur a;
    int rc = json_get_array(o, key, JSON_OPTIONAL, max, &a, r->err);
    if (rc <= 0)
        return rc;
    unsigned n = json_len(&a);
    const char **list = arena_get(r->arena, (n + 1) * sizeof(*list));
    if (!list)
        return err_set(r->err, ERR_NOMEM, "manifest: no memory");
    for (unsigned i = 0; i < n; i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        if (json_as_str(&c, LIM_TEXT_BYTES, &s, r->err) < 0)
            return -(int)ERR_INVALID;
        if (keep(r, s, &list[i]) < 0)
            return -(int)ERR_NOMEM;
    }
    *ret = list;
    return 1;
}

static int read_env(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    int rc = json_get_object(app, "env", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    unsigned n = json_len(&o);
    if (n > LIM_ENVS)
        return json_fail(&o, r->err, ERR_INVALID, "%u variables, at most %d are allowed", n, LIM_ENVS);
    const char **list = arena_get(r->arena, (n + 1) * sizeof(*list));
    if (!list)
        return err_set(r->err, ERR_NOMEM, "manifest: no memory");
    for (unsigned i = 0; i < n; i++) {
        struct json_cur c = json_member(&o, i);
        const char *value;
        if (json_as_str(&c, LIM_TEXT_BYTES, &value, r->err) < 0)
            return -(int)ERR_INVALID;
        if (!*c.key || strchr(c.key, '='))
            return json_fail(&c, r->err, ERR_INVALID, "no name for a variable");
        size_t size = strlen(c.key) + strlen(value) + 2;
        char *pair = arena_get(r->arena, size);
        if (!pair || !str_fmt(pair, size, "%s=%s", c.key, value))
            return err_set(r->err, ERR_NOMEM, "manifest: no memory");
        list[i] = pair;
    }
    w->env = list;
    return 1;
}

/* {"max_bytes":N,"enforce":..}: one limit with how strictly it is meant. */
static int read_limit(struct reader *r, const struct json_cur *app, const char *key, const char *field,
                      uint64_t min, uint64_t max, uint64_t *ret, enum policy_enforce *ret_enforce,
                      uint64_t *ret_swap)
{
    struct json_cur o;
    int enforce = ENFORCE_BEST_EFFORT;
    int rc = json_get_object(app, key, JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, field, JSON_REQUIRED, min, max, ret, r->err) < 0 ||
        json_get_enum(&o, "enforce", JSON_OPTIONAL, enforce_names, 2, &enforce, r->err) < 0)
        return -(int)ERR_INVALID;
    if (ret_swap && json_get_u64(&o, "swap_bytes", JSON_OPTIONAL, 0, 1ULL << 40, ret_swap, r->err) < 0)
        return -(int)ERR_INVALID;
    *ret_enforce = (enum policy_enforce)enforce;
    return json_done(&o, r->err);
}

static int read_limits(struct reader *r, const struct json_cur *app, struct want *w)
{
    w->memory_max_bytes = w->cpu_percent = w->pids_max = CGROUP_UNSET;
    w->swap_bytes = 0;
    if (read_limit(r, app, "memory", "max_bytes", 64 * 1024, 1ULL << 40, &w->memory_max_bytes,
                   &w->memory_enforce, &w->swap_bytes) < 0 ||
        read_limit(r, app, "cpu", "percent", 1, 25600, &w->cpu_percent, &w->cpu_enforce, NULL) < 0 ||
        read_limit(r, app, "pids", "max", 1, 1 << 22, &w->pids_max, &w->pids_enforce, NULL) < 0)
        return -(int)ERR_INVALID;
    int userns = ENFORCE_BEST_EFFORT, seccomp = ENFORCE_BEST_EFFORT;
    if (json_get_enum(app, "userns", JSON_OPTIONAL, enforce_names, 3, &userns, r->err) < 0 ||
        json_get_enum(app, "seccomp", JSON_OPTIONAL, enforce_names, 3, &seccomp, r->err) < 0)
        return -(int)ERR_INVALID;
    w->userns = (enum policy_enforce)userns;
    w->seccomp = (enum policy_enforce)seccomp;
    return 0;
}

static int read_caps(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur a;
    int rc = json_get_array(app, "capabilities", JSON_OPTIONAL, WORD_CAPABILITIES, &a, r->err);
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        if (json_as_str(&c, 32, &s, r->err) < 0)
            return -(int)ERR_INVALID;
        bool refused;
        int n = word_capability(s, &refused);
        if (n < 0)
            return json_fail(&c, r->err, ERR_INVALID,
                             "\"%s\" is no capability (write NET_BIND_SERVICE, not CAP_..)", s);
        if (refused)
            return json_fail(&c, r->err, ERR_DENIED, "%s would open the host to the app", s);
        w->caps |= 1ULL << n;
    }
    return rc;
}

static int read_port(struct reader *r, const struct json_cur *c, struct want_port *p)
{
    uint64_t host, container;
    int protocol = 0;
    if (json_is_object(c, r->err) < 0 ||
        json_get_u64(c, "host", JSON_REQUIRED, 1, 65535, &host, r->err) < 0 ||
        json_get_u64(c, "container", JSON_REQUIRED, 1, 65535, &container, r->err) < 0 ||
        json_get_enum(c, "protocol", JSON_OPTIONAL, protocol_names, 2, &protocol, r->err) < 0)
        return -(int)ERR_INVALID;
    int rc = get_text(r, c, "address", JSON_OPTIONAL, &p->address);
    unsigned q[4];
    char end;
    if (rc > 0 && (sscanf(p->address, "%3u.%3u.%3u.%3u%c", &q[0], &q[1], &q[2], &q[3], &end) != 4 ||
                   q[0] > 255 || q[1] > 255 || q[2] > 255 || q[3] > 255))
        return json_fail(c, r->err, ERR_INVALID, "address: \"%.40s\" is no IPv4 address", p->address);
    if (rc < 0)
        return rc;
    p->host = (uint16_t)host;
    p->container = (uint16_t)container;
    p->udp = protocol == 1;
    return json_done(c, r->err);
}

static int read_network(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o, a;
    int mode;
    int rc = json_get_object(app, "network", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    if (json_get_enum(&o, "mode", JSON_REQUIRED, net_names, 3, &mode, r->err) < 0)
        return -(int)ERR_INVALID;
    w->net = (enum net_mode)mode;
    rc = json_get_array(&o, "ports", JSON_OPTIONAL, LIM_PORTS, &a, r->err);
    if (rc > 0 && w->net != NET_BRIDGE)
        return json_fail(&a, r->err, ERR_INVALID, "only mode \"bridge\" publishes ports");
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        if (read_port(r, &c, &w->ports[w->n_ports++]) < 0)
            return -(int)r->err->kind;
    }
    return rc < 0 ? rc : json_done(&o, r->err);
}

static int read_mounts(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur a;
    int rc = json_get_array(app, "mounts", JSON_OPTIONAL, LIM_MOUNTS, &a, r->err);
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        struct want_mount *m = &w->mounts[w->n_mounts++];
        int type;
        m->size_bytes = 1024 * 1024;
        if (json_get_enum(&c, "type", JSON_REQUIRED, mount_names, 2, &type, r->err) < 0 ||
            get_abs_path(r, &c, "target", JSON_REQUIRED, &m->target) < 0 ||
            json_get_bool(&c, "read_only", JSON_OPTIONAL, &m->read_only, r->err) < 0)
            return -(int)r->err->kind;
        m->volume = type == 1;
        int more = m->volume ? get_name(r, &c, "name", JSON_REQUIRED, &m->name)
                             : json_get_u64(&c, "size_bytes", JSON_OPTIONAL, 4096, 1ULL << 40, &m->size_bytes,
                                            r->err);
        if (more < 0 || json_done(&c, r->err) < 0)
            return -(int)r->err->kind;
    }
    return rc;
}

static int read_restart(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    int policy;
    w->restart = (struct want_restart){RESTART_ALWAYS, 1000, 300000, 60000, 0};
    int rc = json_get_object(app, "restart", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    struct want_restart *t = &w->restart;
    if (json_get_enum(&o, "policy", JSON_REQUIRED, restart_names, 3, &policy, r->err) < 0 ||
        json_get_u64(&o, "delay_ms", JSON_OPTIONAL, 10, 3600000, &t->delay_ms, r->err) < 0 ||
        json_get_u64(&o, "max_delay_ms", JSON_OPTIONAL, 10, 86400000, &t->max_delay_ms, r->err) < 0 ||
        json_get_u64(&o, "stable_ms", JSON_OPTIONAL, 0, 86400000, &t->stable_ms, r->err) < 0 ||
        json_get_u64(&o, "max_tries", JSON_OPTIONAL, 0, 1000000, &t->max_tries, r->err) < 0)
        return -(int)ERR_INVALID;
    t->policy = (enum restart_policy)policy;
    return json_done(&o, r->err);
}

static int read_probe(struct reader *r, const struct json_cur *o, struct want_health *h)
{
    struct json_cur p;
    uint64_t port = 0;
    unsigned kinds = 0;
    int rc = get_list(r, o, "exec", LIM_ARGS, &h->exec);
    if (rc > 0) {
        h->kind = HEALTH_EXEC;
        kinds++;
        if (!h->exec[0])
            return json_fail(o, r->err, ERR_INVALID, "exec: is empty");
    }
    static const struct {
        const char *key;
        enum health_kind kind;
    } nets[] = {{"http", HEALTH_HTTP}, {"tcp", HEALTH_TCP}};
    for (unsigned i = 0; rc >= 0 && i < COUNT_OF(nets); i++) {
        rc = json_get_object(o, nets[i].key, JSON_OPTIONAL, &p, r->err);
        if (rc <= 0)
            continue;
        kinds++;
        h->kind = nets[i].kind;
        h->path = "/";
        if (json_get_u64(&p, "port", JSON_REQUIRED, 1, 65535, &port, r->err) < 0 ||
            (h->kind == HEALTH_HTTP && get_abs_path(r, &p, "path", JSON_OPTIONAL, &h->path) < 0) ||
            json_done(&p, r->err) < 0)
            return -(int)r->err->kind;
        h->port = (uint16_t)port;
    }
    if (rc < 0)
        return rc;
    return kinds == 1 ? 0 : json_fail(o, r->err, ERR_INVALID, "exactly one of exec, http, tcp is expected");
}

static int read_health(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    struct want_health *h = &w->health;
    int action = 1;
    *h = (struct want_health){
        .interval_ms = 30000, .timeout_ms = 5000, .start_grace_ms = 10000, .retries = 3, .restart = true};
    int rc = json_get_object(app, "health", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    if (read_probe(r, &o, h) < 0)
        return -(int)r->err->kind;
    if (json_get_u64(&o, "interval_ms", JSON_OPTIONAL, 100, 86400000, &h->interval_ms, r->err) < 0 ||
        json_get_u64(&o, "timeout_ms", JSON_OPTIONAL, 50, 600000, &h->timeout_ms, r->err) < 0 ||
        json_get_u64(&o, "start_grace_ms", JSON_OPTIONAL, 0, 86400000, &h->start_grace_ms, r->err) < 0 ||
        json_get_u64(&o, "retries", JSON_OPTIONAL, 1, 1000, &h->retries, r->err) < 0 ||
        json_get_enum(&o, "action", JSON_OPTIONAL, action_names, 2, &action, r->err) < 0)
        return -(int)ERR_INVALID;
    h->restart = action == 1;
    return json_done(&o, r->err);
}

static int read_stop_and_log(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    const char *name = NULL;
    w->stop_signal = 0; /* the image's, else TERM */
    w->stop_grace_ms = 10000;
    w->log_bytes = LIM_LOG_RING_BYTES;
    int rc = json_get_object(app, "stop", JSON_OPTIONAL, &o, r->err);
    if (rc > 0) {
        if (json_get_str(&o, "signal", JSON_OPTIONAL, 16, &name, r->err) < 0 ||
            json_get_u64(&o, "grace_ms", JSON_OPTIONAL, 0, 600000, &w->stop_grace_ms, r->err) < 0)
            return -(int)ERR_INVALID;
        if (name && (w->stop_signal = word_signal(name)) == 0)
            return json_fail(&o, r->err, ERR_INVALID, "signal: \"%s\" is not known", name);
        rc = json_done(&o, r->err);
    }
    if (rc >= 0)
        rc = json_get_object(app, "log", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, "max_bytes", JSON_REQUIRED, 4096, LIM_LOG_RING_MAX_BYTES, &w->log_bytes, r->err) < 0)
        return -(int)ERR_INVALID;
    return json_done(&o, r->err);
}

static int read_sources(struct reader *r, const struct json_cur *from, const char **sources, unsigned *ret_n)
{
    struct json_cur a;
    if (json_get_array(from, "sources", JSON_REQUIRED, LIM_SOURCES, &a, r->err) < 0)
        return -(int)r->err->kind;
    *ret_n = json_len(&a);
    for (unsigned i = 0; i < *ret_n; i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        struct err why = ERR_INIT;
        if (json_as_str(&c, 512, &s, r->err) < 0)
            return -(int)ERR_INVALID;
        if (source_parse(s, NULL, &why) < 0)
            return json_fail(&c, r->err, ERR_INVALID, "%s", why.msg);
        if (keep(r, s, &sources[i]) < 0)
            return -(int)ERR_NOMEM;
    }
    return *ret_n ? 0 : json_fail(&a, r->err, ERR_INVALID, "at least one source is needed");
}

static int read_release(struct reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    if (json_get_object(app, "release", JSON_REQUIRED, &o, r->err) < 0 ||
        get_name(r, &o, "name", JSON_REQUIRED, &w->release_name) < 0 ||
        json_get_u64(&o, "counter", JSON_REQUIRED, 1, 1ULL << 53, &w->counter, r->err) < 0 ||
        get_digest(r, &o, "digest", &w->release) < 0 ||
        json_get_u64(&o, "size", JSON_REQUIRED, 1, LIM_ENVELOPE_BYTES, &w->release_bytes, r->err) < 0 ||
        json_done(&o, r->err) < 0)
        return -(int)r->err->kind;
    return read_sources(r, app, w->sources, &w->n_sources);
}

/* Fields that shape no box: a change in them needs no new start. */
static bool shapes_box(const char *key)
{
    static const char *const no[] = {"sources", "health", "restart", "stop", "image_privileges"};
    for (unsigned i = 0; i < COUNT_OF(no); i++)
        if (strcmp(no[i], key) == 0)
            return false;
    return true;
}

static int hash_app(struct reader *r, const struct json_cur *app, struct want *w)
{
    AUTO_FREE(sha256) struct sha256 *h = sha256_new();
    unsigned n = json_len(app);
    for (unsigned i = 0; i < n; i++) {
        struct json_cur m = json_member(app, i);
        if (!shapes_box(m.key))
            continue;
        char AUTO_MEM *text = json_print(m.node, false);
        int rc = sha256_add(h, buf_of(m.key, strlen(m.key) + 1), r->err);
        if (rc == 0)
            rc = sha256_add(h, buf_of(text, strlen(text) + 1), r->err);
        if (rc < 0)
            return rc;
    }
    return sha256_end(h, &w->hash, r->err);
}

static int read_privileges(struct reader *r, const struct json_cur *app, struct want *w)
{
    int refuse = 0;
    int rc = json_get_enum(app, "image_privileges", JSON_OPTIONAL, privileges_names, 2, &refuse, r->err);
    w->refuse_privileges = refuse == 1;
    return rc;
}

static int read_app(struct reader *r, const struct json_cur *app, struct want *w)
{
    *w = (struct want){.read_only = true};
    if (json_is_object(app, r->err) < 0 || get_name(r, app, "name", JSON_REQUIRED, &w->name) < 0 ||
        read_release(r, app, w) < 0 || get_list(r, app, "args", LIM_ARGS, &w->args) < 0 ||
        read_env(r, app, w) < 0 || get_abs_path(r, app, "cwd", JSON_OPTIONAL, &w->cwd) < 0 ||
        get_text(r, app, "user", JSON_OPTIONAL, &w->user) < 0 || read_limits(r, app, w) < 0 ||
        read_caps(r, app, w) < 0 ||
        json_get_bool(app, "read_only", JSON_OPTIONAL, &w->read_only, r->err) < 0 ||
        read_privileges(r, app, w) < 0 || read_network(r, app, w) < 0 || read_mounts(r, app, w) < 0 ||
        read_restart(r, app, w) < 0 || read_health(r, app, w) < 0 || read_stop_and_log(r, app, w) < 0 ||
        json_done(app, r->err) < 0)
        return -(int)r->err->kind;
    return hash_app(r, app, w);
}

/* Names are unique, and no two apps publish the same host port. */
static int check_apps(struct reader *r, const struct json_cur *apps, const struct desired *d)
{
    for (unsigned i = 0; i < d->n; i++)
        for (unsigned k = 0; k < i; k++) {
            const struct want *a = &d->apps[i], *b = &d->apps[k];
            struct json_cur c = json_at(apps, i);
            if (strcmp(a->name, b->name) == 0)
                return json_fail(&c, r->err, ERR_INVALID, "name: \"%s\" is there twice", a->name);
            for (unsigned p = 0; p < a->n_ports; p++)
                for (unsigned q = 0; q < b->n_ports; q++)
                    if (a->ports[p].host == b->ports[q].host && a->ports[p].udp == b->ports[q].udp)
                        return json_fail(&c, r->err, ERR_INVALID,
                                         "network.ports: host port %u is %s's already", a->ports[p].host,
                                         b->name);
        }
    return 0;
}

static int read_apps(struct reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur a;
    if (json_get_array(root, "apps", JSON_REQUIRED, LIM_APPS, &a, r->err) < 0)
        return -(int)ERR_INVALID;
    d->n = json_len(&a);
    d->apps = arena_get(r->arena, d->n * sizeof(d->apps[0]));
    if (!d->apps)
        return err_set(r->err, ERR_NOMEM, "apps: too many for one document");
    for (unsigned i = 0; i < d->n; i++) {
        struct json_cur c = json_at(&a, i);
        if (read_app(r, &c, &d->apps[i]) < 0)
            return -(int)r->err->kind;
    }
    return check_apps(r, &a, d);
}

static int read_target(struct reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o;
    if (json_get_object(root, "target", JSON_REQUIRED, &o, r->err) < 0 ||
        get_name(r, &o, "device", JSON_OPTIONAL, &d->device) < 0 ||
        get_name(r, &o, "group", JSON_OPTIONAL, &d->group) < 0 || json_done(&o, r->err) < 0)
        return -(int)r->err->kind;
    return !d->device != !d->group ? 0
                                   : json_fail(&o, r->err, ERR_INVALID, "either device or group is expected");
}

static int read_rollout(struct reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o;
    int rc = json_get_object(root, "rollout", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    if (!d->group)
        return json_fail(&o, r->err, ERR_INVALID, "only a group's document has one");
    d->has_rollout = true;
    if (get_text(r, &o, "salt", JSON_REQUIRED, &d->salt) < 0 ||
        json_get_u64(&o, "slots", JSON_REQUIRED, 0, 10000, &d->slots, r->err) < 0 ||
        json_get_u64(&o, "spread_ms", JSON_OPTIONAL, 0, 30ULL * 86400000, &d->spread_ms, r->err) < 0 ||
        json_get_u64(&o, "not_before", JSON_OPTIONAL, 0, 1ULL << 53, &d->not_before_s, r->err) < 0)
        return -(int)r->err->kind;
    return json_done(&o, r->err);
}

static int read_download(struct reader *r, const struct json_cur *update, struct want_download *d)
{
    struct json_cur o;
    const char *window = NULL;
    int rc = json_get_object(update, "download", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, "max_bytes", JSON_OPTIONAL, 1, 1ULL << 53, &d->max_bytes, r->err) < 0 ||
        json_get_u64(&o, "rate_bytes_s", JSON_OPTIONAL, 1024, 1ULL << 53, &d->rate_bytes_s, r->err) < 0 ||
        json_get_str(&o, "window", JSON_OPTIONAL, 16, &window, r->err) < 0 ||
        json_get_bool(&o, "full_fallback", JSON_OPTIONAL, &d->full_fallback, r->err) < 0)
        return -(int)r->err->kind;
    if (window && !manifest_window_read(window, d))
        return json_fail(&o, r->err, ERR_INVALID,
                         "window: write two times of the day in UTC, \"01:30-05:00\"");
    return json_done(&o, r->err);
}

static int read_os(struct reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o, b;
    int rc = json_get_object(root, "os", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    d->has_os = true;
    if (get_name(r, &o, "version", JSON_REQUIRED, &d->os.version) < 0 ||
        json_get_object(&o, "bundle", JSON_REQUIRED, &b, r->err) < 0 ||
        get_digest(r, &b, "digest", &d->os.bundle) < 0 ||
        json_get_u64(&b, "size", JSON_REQUIRED, 1, LIM_IMAGE_BYTES, &d->os.bundle_bytes, r->err) < 0 ||
        json_done(&b, r->err) < 0 || read_sources(r, &o, d->os.sources, &d->os.n_sources) < 0)
        return -(int)r->err->kind;
    return json_done(&o, r->err);
}

static int read_agent(struct reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o;
    int rc = json_get_object(root, "agent", JSON_OPTIONAL, &o, r->err);
    if (rc <= 0)
        return rc;
    d->has_agent = true;
    d->agent = (struct want){.name = "agent"};
    d->agent_confirm_s = 60;
    if (read_release(r, &o, &d->agent) < 0 ||
        json_get_u64(&o, "confirm_s", JSON_OPTIONAL, 5, 3600, &d->agent_confirm_s, r->err) < 0)
        return -(int)r->err->kind;
    return json_done(&o, r->err);
}

static int read_desired(struct reader *r, const struct json_cur *root, struct desired *d)
{
    const char *schema;
    struct json_cur u;
    if (json_get_str(root, "schema", JSON_REQUIRED, 64, &schema, r->err) < 0)
        return -(int)ERR_INVALID;
    if (strcmp(schema, "limpet.desired/1") != 0)
        return err_set(r->err, ERR_UNSUPPORTED,
                       "schema: \"%s\" is not limpet.desired/1, the one this agent knows", schema);
    d->probation_ms = 60000;
    d->download.full_fallback = true;
    if (get_name(r, root, "fleet", JSON_REQUIRED, &d->fleet) < 0 || read_target(r, root, d) < 0 ||
        json_get_u64(root, "rev", JSON_REQUIRED, 1, 1ULL << 53, &d->rev, r->err) < 0 ||
        json_get_u64(root, "issued", JSON_REQUIRED, 1, 1ULL << 53, &d->issued_s, r->err) < 0 ||
        json_get_u64(root, "expires", JSON_REQUIRED, 1, 1ULL << 53, &d->expires_s, r->err) < 0 ||
        get_text(r, root, "id", JSON_OPTIONAL, &d->id) < 0 ||
        get_text(r, root, "by", JSON_OPTIONAL, &d->by) < 0 || read_apps(r, root, d) < 0 ||
        read_os(r, root, d) < 0 || read_agent(r, root, d) < 0 || read_rollout(r, root, d) < 0)
        return -(int)r->err->kind;
    int rc = json_get_object(root, "update", JSON_OPTIONAL, &u, r->err);
    if (rc > 0 &&
        (json_get_u64(&u, "probation_ms", JSON_OPTIONAL, 0, 86400000, &d->probation_ms, r->err) < 0 ||
         read_download(r, &u, &d->download) < 0 || json_done(&u, r->err) < 0))
        return -(int)ERR_INVALID;
    return rc < 0 ? rc : json_done(root, r->err);
}

int manifest_parse(struct buf json, struct arena *arena, struct desired *ret, struct err *err)
{
    struct reader r = {arena, err};
    struct json_cur root;
    struct desired d = {.n = 0};
    int rc = json_parse(json, &json_limits_signed, &root, err);
    if (rc == 0) {
        rc = read_desired(&r, &root, &d);
        (void)json_free(root.node);
    }
    if (rc >= 0)
        *ret = d;
    return rc < 0 ? rc : 0;
}
