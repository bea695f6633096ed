/* manifest_app.c - one app of a manifest: limits, network, mounts, restart, health ... */
#include <arpa/inet.h>
#include <stdio.h>

#include "agent/manifest/kernel_words.h"
#include "agent/manifest/manifest_int.h"
#include "platform/cgroup/cgroup.h"
#include "platform/limits.h"

static const char *const privileges_names[] = {"strip", "refuse"};
static const char *const enforce_names[] = {"best-effort", "required", "off"};
static const char *const restart_names[] = {"no", "on-failure", "always"};
static const char *const net_names[] = {
    [NET_NONE] = "none", [NET_HOST] = "host", [NET_BRIDGE] = "bridge", [NET_CNI] = "cni"};
static const char *const protocol_names[] = {"tcp", "udp"};
static const char *const mount_names[] = {"tmpfs", "volume"};
static const char *const action_names[] = {"none", "restart"};

static int read_env(struct manifest_reader *r, const struct json_cur *app, struct want *w)
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
static int read_limit(struct manifest_reader *r, const struct json_cur *app, const char *key,
                      const char *field, uint64_t min, uint64_t max, uint64_t *ret,
                      enum policy_enforce *ret_enforce, uint64_t *ret_swap)
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

static int read_limits(struct manifest_reader *r, const struct json_cur *app, struct want *w)
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

static int read_caps(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur a;
    int rc = json_get_array(app, "capabilities", JSON_OPTIONAL, WORD_CAPABILITIES, &a, r->err);

    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        if (json_as_str(&c, 32, &s, r->err) < 0)
            return -(int)ERR_INVALID;
        bool refused;
        int n = kernel_words_capability(s, &refused);
        if (n < 0)
            return json_fail(&c, r->err, ERR_INVALID,
                             "unknown capability \"%s\" (write NET_BIND_SERVICE, not CAP_..)", s);
        if (refused)
            return json_fail(&c, r->err, ERR_DENIED, "%s would open the host to the app", s);
        w->caps |= 1ULL << n;
    }
    return rc;
}

static int read_port(struct manifest_reader *r, const struct json_cur *c, struct spec_port *p)
{
    uint64_t host, container, last = 0;
    int protocol = 0;

    if (json_is_object(c, r->err) < 0 ||
        json_get_u64(c, "host", JSON_REQUIRED, 1, 65535, &host, r->err) < 0 ||
        json_get_u64(c, "last", JSON_OPTIONAL, host, host + LIM_PORT_RANGE - 1, &last, r->err) < 0 ||
        json_get_u64(c, "container", JSON_REQUIRED, 1, 65535, &container, r->err) < 0 ||
        json_get_enum(c, "protocol", JSON_OPTIONAL, protocol_names, 2, &protocol, r->err) < 0)
        return -(int)ERR_INVALID;
    int rc = manifest_text(r, c, "address", JSON_OPTIONAL, &p->host_ip);
    static const uint8_t any[16];
    uint8_t ip[16] = {0};
    if (rc > 0 && inet_pton(AF_INET, p->host_ip, ip) != 1 && inet_pton(AF_INET6, p->host_ip, ip) != 1)
        return json_fail(c, r->err, ERR_INVALID, "address: \"%.46s\" is not an IPv4 or IPv6 address",
                         p->host_ip);
    if (rc > 0 && memcmp(ip, any, sizeof(ip)) == 0)
        return json_fail(c, r->err, ERR_INVALID, "address: leave it out for all addresses");
    last = last ? last : host;
    if (last > 65535 || container + (last - host) > 65535)
        return json_fail(c, r->err, ERR_INVALID, "last: the range ends above 65535");
    if (rc < 0)
        return rc;
    p->host = (uint16_t)host;
    p->container = (uint16_t)container;
    p->count = (uint16_t)(last - host + 1);
    p->udp = protocol == 1;
    return json_done(c, r->err);
}

/* A word, or "app:NAME". */
static int read_mode(struct manifest_reader *r, const struct json_cur *o, struct want *w)
{
    const char *text;
    int mode;

    if (json_get_str(o, "mode", JSON_REQUIRED, LIM_NAME_BYTES + 4, &text, r->err) > 0 &&
        strncmp(text, "app:", 4) == 0) {
        if (!str_is_name(text + 4))
            return json_fail(o, r->err, ERR_INVALID, "mode: \"%.68s\" names no app", text);
        w->net = NET_APP;
        return manifest_keep(r, text + 4, &w->net_name);
    }
    if (json_get_enum(o, "mode", JSON_REQUIRED, net_names, COUNT_OF(net_names), &mode, r->err) < 0)
        return -(int)ERR_INVALID;
    w->net = (enum net_mode)mode;
    return 0;
}

/* Who has a name: a shared bridge may, a list of CNI plugins must. */
static int read_net_name(struct manifest_reader *r, const struct json_cur *o, struct want *w)
{
    const char *name = NULL;
    int rc = manifest_name(r, o, "name", w->net == NET_CNI ? JSON_REQUIRED : JSON_OPTIONAL, &name);

    if (rc <= 0)
        return rc;
    if (w->net != NET_BRIDGE && w->net != NET_CNI)
        return json_fail(o, r->err, ERR_INVALID, "name: only modes \"bridge\" and \"cni\" have one");
    if (w->net == NET_BRIDGE && strlen(name) > LIM_NET_NAME)
        return json_fail(o, r->err, ERR_INVALID,
                         "name: \"%s\" has more than %d bytes (an interface is named so)", name,
                         LIM_NET_NAME);
    w->net_name = name;
    return 0;
}

static int read_network(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o, a;
    int rc = json_get_object(app, "network", JSON_OPTIONAL, &o, r->err);

    if (rc <= 0)
        return rc;
    if (read_mode(r, &o, w) < 0 || read_net_name(r, &o, w) < 0)
        return -(int)r->err->kind;
    void *room = NULL;
    rc = manifest_array(r, &o, "ports", LIM_PORTS, &a, sizeof(*w->ports), &room);
    struct spec_port *ports = room;
    if (rc > 0 && w->net != NET_BRIDGE && w->net != NET_CNI)
        return json_fail(&a, r->err, ERR_INVALID, "only modes \"bridge\" and \"cni\" publish ports");
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        if (read_port(r, &c, &ports[i]) < 0)
            return -(int)r->err->kind;
    }
    if (rc > 0) {
        w->ports = ports;
        w->n_ports = json_len(&a);
    }
    return rc < 0 ? rc : json_done(&o, r->err);
}

static int read_mounts(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur a;

    void *room = NULL;
    int rc = manifest_array(r, app, "mounts", LIM_MOUNTS, &a, sizeof(*w->mounts), &room);
    struct want_mount *mounts = room;
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        struct want_mount *m = &mounts[i];
        int type;
        m->size_bytes = 1024 * 1024;
        if (json_get_enum(&c, "type", JSON_REQUIRED, mount_names, 2, &type, r->err) < 0 ||
            manifest_path(r, &c, "target", JSON_REQUIRED, &m->target) < 0 ||
            json_get_bool(&c, "read_only", JSON_OPTIONAL, &m->read_only, r->err) < 0)
            return -(int)r->err->kind;
        m->volume = type == 1;
        int more = m->volume ? manifest_name(r, &c, "name", JSON_REQUIRED, &m->name)
                             : json_get_u64(&c, "size_bytes", JSON_OPTIONAL, 4096, 1ULL << 40, &m->size_bytes,
                                            r->err);
        if (more < 0 || json_done(&c, r->err) < 0)
            return -(int)r->err->kind;
    }
    if (rc > 0) {
        w->mounts = mounts;
        w->n_mounts = json_len(&a);
    }
    return rc;
}

static int read_restart(struct manifest_reader *r, const struct json_cur *app, struct want *w)
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

static int read_probe(struct manifest_reader *r, const struct json_cur *o, struct want_health *h)
{
    struct json_cur p;
    uint64_t port = 0;
    unsigned kinds = 0;
    int rc = manifest_list(r, o, "exec", LIM_ARGS, &h->exec);

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
            (h->kind == HEALTH_HTTP && manifest_path(r, &p, "path", JSON_OPTIONAL, &h->path) < 0) ||
            json_done(&p, r->err) < 0)
            return -(int)r->err->kind;
        h->port = (uint16_t)port;
    }
    if (rc < 0)
        return rc;
    return kinds == 1 ? 0 : json_fail(o, r->err, ERR_INVALID, "exactly one of exec, http, tcp is expected");
}

static int read_health(struct manifest_reader *r, const struct json_cur *app, struct want *w)
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

static int read_stop_and_log(struct manifest_reader *r, const struct json_cur *app, struct want *w)
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
        if (name && (w->stop_signal = kernel_words_signal(name)) == 0)
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

/* Fields that shape no box: a change in them needs no new start. */
static bool shapes_box(const char *key)
{
    static const char *const no[] = {"sources", "health", "restart", "stop", "image_privileges", "retry"};

    for (unsigned i = 0; i < COUNT_OF(no); i++)
        if (strcmp(no[i], key) == 0)
            return false;
    return true;
}

/* Where it comes from decides nothing about how it does. */
static bool shapes_trial(const char *key)
{
    return strcmp(key, "sources") != 0;
}

static int hash_app(struct manifest_reader *r, const struct json_cur *app, bool (*counts)(const char *key),
                    struct digest *ret)
{
    AUTO_FREE(sha256) struct sha256 *h = sha256_new();
    unsigned n = json_len(app);
    for (unsigned i = 0; i < n; i++) {
        struct json_cur m = json_member(app, i);
        if (!counts(m.key))
            continue;
        char AUTO_MEM *text = json_print(m.node, false);
        int rc = sha256_add(h, buf_of(m.key, strlen(m.key) + 1), r->err);
        if (rc == 0)
            rc = sha256_add(h, buf_of(text, strlen(text) + 1), r->err);
        if (rc < 0)
            return rc;
    }
    return sha256_end(h, ret, r->err);
}

static int read_privileges(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    int refuse = 0;
    int rc = json_get_enum(app, "image_privileges", JSON_OPTIONAL, privileges_names, 2, &refuse, r->err);

    w->refuse_privileges = refuse == 1;
    return rc;
}

int manifest_app(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    uint64_t retry;

    *w = (struct want){.read_only = true};
    if (json_is_object(app, r->err) < 0 || manifest_name(r, app, "name", JSON_REQUIRED, &w->name) < 0 ||
        manifest_release(r, app, w) < 0 || manifest_list(r, app, "args", LIM_ARGS, &w->args) < 0 ||
        read_env(r, app, w) < 0 || manifest_path(r, app, "cwd", JSON_OPTIONAL, &w->cwd) < 0 ||
        manifest_text(r, app, "user", JSON_OPTIONAL, &w->user) < 0 || read_limits(r, app, w) < 0 ||
        read_caps(r, app, w) < 0 ||
        json_get_bool(app, "read_only", JSON_OPTIONAL, &w->read_only, r->err) < 0 ||
        json_get_bool(app, "init", JSON_OPTIONAL, &w->init, r->err) < 0 || manifest_devices(r, app, w) < 0 ||
        read_privileges(r, app, w) < 0 || read_network(r, app, w) < 0 || read_mounts(r, app, w) < 0 ||
        read_restart(r, app, w) < 0 || read_health(r, app, w) < 0 || read_stop_and_log(r, app, w) < 0 ||
        json_get_u64(app, "retry", JSON_OPTIONAL, 0, LIM_INTEGER, &retry, r->err) < 0 ||
        json_done(app, r->err) < 0)
        return -(int)r->err->kind;
    int rc = hash_app(r, app, shapes_box, &w->hash);
    return rc < 0 ? rc : hash_app(r, app, shapes_trial, &w->trial);
}
