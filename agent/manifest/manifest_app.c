/* manifest_app.c - one app of a manifest: limits, network, mounts, restart, health ... */
#include <arpa/inet.h>
#include <stdio.h>

#include "agent/manifest/kernel_words.h"
#include "agent/manifest/manifest_fields.h"
#include "agent/manifest/manifest_int.h"
#include "platform/cgroup/cgroup.h"

static const char *const privileges_names[] = {WORDS_PRIVILEGES};
static const char *const limit_names[] = {WORDS_ENFORCE};
static const char *const switch_names[] = {WORDS_SWITCH};
static const char *const restart_names[] = {WORDS_RESTART};
static const char *const net_names[] = {WORDS_NETWORK};
static const char *const protocol_names[] = {WORDS_PROTOCOL};
static const char *const mount_names[] = {WORDS_MOUNT};
static const char *const action_names[] = {WORDS_ACTION};

static int read_env(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    void *room;
    int rc = manifest_map(r, app, FIELD_APP_ENV, &o, sizeof(*w->env), &room);

    if (rc <= 0)
        return rc;
    const char **list = room;
    for (unsigned i = 0; i < json_len(&o); i++) {
        struct json_cur c = json_member(&o, i);
        const char *value;
        if (json_as_str(&c, LIM_TEXT_BYTES, &value, r->err) < 0)
            return -(int)ERR_INVALID;
        if (!*c.key || strchr(c.key, '='))
            return json_fail(&c, r->err, ERR_INVALID, "invalid name of a variable");
        size_t size = strlen(c.key) + strlen(value) + 2;
        char *pair = arena_get(r->arena, size);
        if (!pair || !str_fmt(pair, size, "%s=%s", c.key, value))
            return err_set(r->err, ERR_NOMEM, "manifest: no memory");
        list[i] = pair;
    }
    w->env = list;
    return 1;
}

/* The last member of a limit's object: how strictly it is enforced. */
static int read_enforce(struct manifest_reader *r, const struct json_cur *o, enum policy_enforce *ret)
{
    int enforce = ENFORCE_BEST_EFFORT;

    if (json_get_enum(o, FIELD_LIMIT_ENFORCE, limit_names, COUNT_OF(limit_names), &enforce, r->err) < 0)
        return -(int)ERR_INVALID;
    *ret = (enum policy_enforce)enforce;
    return json_done(o, r->err);
}

static int read_memory(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    int rc = json_get_object(app, FIELD_APP_MEMORY, &o, r->err);

    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, FIELD_MEMORY_MAX_BYTES, &w->memory_max_bytes, r->err) < 0 ||
        json_get_u64(&o, FIELD_MEMORY_SWAP_BYTES, &w->swap_bytes, r->err) < 0)
        return -(int)ERR_INVALID;
    return read_enforce(r, &o, &w->memory_enforce);
}

static int read_cpu(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    int rc = json_get_object(app, FIELD_APP_CPU, &o, r->err);

    if (rc <= 0 || (rc = json_get_u64(&o, FIELD_CPU_PERCENT, &w->cpu_percent, r->err)) < 0)
        return rc;
    return read_enforce(r, &o, &w->cpu_enforce);
}

static int read_pids(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur o;
    int rc = json_get_object(app, FIELD_APP_PIDS, &o, r->err);

    if (rc <= 0 || (rc = json_get_u64(&o, FIELD_PIDS_MAX, &w->pids_max, r->err)) < 0)
        return rc;
    return read_enforce(r, &o, &w->pids_enforce);
}

static int read_limits(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    w->memory_max_bytes = w->cpu_percent = w->pids_max = CGROUP_UNSET;
    w->swap_bytes = 0;
    int userns = ENFORCE_BEST_EFFORT, seccomp = ENFORCE_BEST_EFFORT;
    if (read_memory(r, app, w) < 0 || read_cpu(r, app, w) < 0 || read_pids(r, app, w) < 0 ||
        json_get_enum(app, FIELD_APP_USERNS, switch_names, COUNT_OF(switch_names), &userns, r->err) < 0 ||
        json_get_enum(app, FIELD_APP_SECCOMP, switch_names, COUNT_OF(switch_names), &seccomp, r->err) < 0)
        return -(int)ERR_INVALID;
    w->userns = (enum policy_enforce)userns;
    w->seccomp = (enum policy_enforce)seccomp;
    return 0;
}

static int read_caps(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur a;
    void *room;
    int rc = manifest_array(r, app, FIELD_APP_CAPABILITIES, &a, 0, &room);

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

    if (json_is_object(c, r->err) < 0 || json_get_u64(c, FIELD_PORT_HOST, &host, r->err) < 0 ||
        json_get_u64(c, FIELD_PORT_LAST, &last, r->err) < 0 ||
        json_get_u64(c, FIELD_PORT_CONTAINER, &container, r->err) < 0 ||
        json_get_enum(c, FIELD_PORT_PROTOCOL, protocol_names, COUNT_OF(protocol_names), &protocol, r->err) <
            0)
        return -(int)ERR_INVALID;
    int rc = manifest_text(r, c, FIELD_PORT_ADDRESS, &p->host_ip);
    static const uint8_t any[16];
    uint8_t ip[16] = {0};
    if (rc > 0 && inet_pton(AF_INET, p->host_ip, ip) != 1 && inet_pton(AF_INET6, p->host_ip, ip) != 1)
        return json_fail(c, r->err, ERR_INVALID, "address: \"%.46s\" is not an IPv4 or IPv6 address",
                         p->host_ip);
    if (rc > 0 && memcmp(ip, any, sizeof(ip)) == 0)
        return json_fail(c, r->err, ERR_INVALID, "address: leave it out for all addresses");
    last = last ? last : host;
    if (last < host || last - host >= LIM_PORT_RANGE || container + (last - host) > 65535)
        return json_fail(c, r->err, ERR_INVALID, "last: not a range of at most %d ports up to 65535",
                         LIM_PORT_RANGE);
    if (rc < 0)
        return rc;
    p->host = (uint16_t)host;
    p->container = (uint16_t)container;
    p->count = (uint16_t)(last - host + 1);
    p->udp = protocol == 1;
    return json_done(c, r->err);
}

/* A mode name, or "app:NAME". */
static int read_mode(struct manifest_reader *r, const struct json_cur *o, struct want *w)
{
    const char *text;
    int mode;

    if (json_get_str(o, FIELD_NETWORK_MODE, LIM_NAME_BYTES + 4, &text, r->err) > 0 &&
        strncmp(text, "app:", 4) == 0) {
        if (!str_is_name(text + 4))
            return json_fail(o, r->err, ERR_INVALID, "mode: \"%.68s\" is not \"app:\" and the name of an app",
                             text);
        w->net = NET_APP;
        return manifest_keep(r, text + 4, &w->net_name);
    }
    if (json_get_enum(o, FIELD_NETWORK_MODE, net_names, COUNT_OF(net_names), &mode, r->err) < 0)
        return -(int)ERR_INVALID;
    w->net = (enum net_mode)mode;
    return 0;
}

/* A shared bridge may have a name, a list of CNI plugins must. */
static int read_net_name(struct manifest_reader *r, const struct json_cur *o, struct want *w)
{
    const char *name = NULL;
    int rc = manifest_name(r, o, FIELD_NETWORK_NAME, &name);

    if (rc == 0 && w->net == NET_CNI)
        return json_fail(o, r->err, ERR_INVALID, "name: missing (mode \"cni\" needs the name of a list)");
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
    void *room = NULL;
    int rc = json_get_object(app, FIELD_APP_NETWORK, &o, r->err);

    if (rc <= 0)
        return rc;
    if (read_mode(r, &o, w) < 0 || read_net_name(r, &o, w) < 0)
        return -(int)r->err->kind;
    rc = manifest_array(r, &o, FIELD_NETWORK_PORTS, &a, sizeof(*w->ports), &room);
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
    int rc = manifest_array(r, app, FIELD_APP_MOUNTS, &a, sizeof(*w->mounts), &room);
    struct want_mount *mounts = room;
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        struct want_mount *m = &mounts[i];
        int type;
        m->size_bytes = 1024 * 1024;
        if (json_get_enum(&c, FIELD_MOUNT_TYPE, mount_names, COUNT_OF(mount_names), &type, r->err) < 0 ||
            manifest_path(r, &c, FIELD_MOUNT_TARGET, &m->target) < 0 ||
            json_get_bool(&c, FIELD_MOUNT_READ_ONLY, &m->read_only, r->err) < 0)
            return -(int)r->err->kind;
        m->volume = type == 1;
        int more = m->volume ? manifest_name(r, &c, FIELD_MOUNT_NAME, &m->name)
                             : json_get_u64(&c, FIELD_MOUNT_SIZE_BYTES, &m->size_bytes, r->err);
        if (m->volume && more == 0)
            return json_fail(&c, r->err, ERR_INVALID, "name: missing (a volume is kept by its name)");
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
    int rc = json_get_object(app, FIELD_APP_RESTART, &o, r->err);
    if (rc <= 0)
        return rc;
    struct want_restart *t = &w->restart;
    if (json_get_enum(&o, FIELD_RESTART_POLICY, restart_names, COUNT_OF(restart_names), &policy, r->err) <
            0 ||
        json_get_u64(&o, FIELD_RESTART_DELAY_MS, &t->delay_ms, r->err) < 0 ||
        json_get_u64(&o, FIELD_RESTART_MAX_DELAY_MS, &t->max_delay_ms, r->err) < 0 ||
        json_get_u64(&o, FIELD_RESTART_STABLE_MS, &t->stable_ms, r->err) < 0 ||
        json_get_u64(&o, FIELD_RESTART_MAX_TRIES, &t->max_tries, r->err) < 0)
        return -(int)ERR_INVALID;
    t->policy = (enum restart_policy)policy;
    return json_done(&o, r->err);
}

static int read_probe(struct manifest_reader *r, const struct json_cur *o, struct want_health *h)
{
    struct json_cur p;
    uint64_t port = 0;
    unsigned kinds = 0;
    int rc = manifest_list(r, o, FIELD_HEALTH_EXEC, &h->exec);

    if (rc > 0) {
        h->kind = HEALTH_EXEC;
        kinds++;
    }
    static const struct {
        const char *key;
        enum json_need need;
        enum health_kind kind;
    } nets[] = {{FIELD_HEALTH_HTTP, HEALTH_HTTP}, {FIELD_HEALTH_TCP, HEALTH_TCP}};
    for (unsigned i = 0; rc >= 0 && i < COUNT_OF(nets); i++) {
        rc = json_get_object(o, nets[i].key, nets[i].need, &p, r->err);
        if (rc <= 0)
            continue;
        kinds++;
        h->kind = nets[i].kind;
        h->path = "/";
        if (json_get_u64(&p, FIELD_PROBE_PORT, &port, r->err) < 0 ||
            (h->kind == HEALTH_HTTP && manifest_path(r, &p, FIELD_PROBE_PATH, &h->path) < 0) ||
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
    int rc = json_get_object(app, FIELD_APP_HEALTH, &o, r->err);
    if (rc <= 0)
        return rc;
    if (read_probe(r, &o, h) < 0)
        return -(int)r->err->kind;
    if (json_get_u64(&o, FIELD_HEALTH_INTERVAL_MS, &h->interval_ms, r->err) < 0 ||
        json_get_u64(&o, FIELD_HEALTH_TIMEOUT_MS, &h->timeout_ms, r->err) < 0 ||
        json_get_u64(&o, FIELD_HEALTH_START_GRACE_MS, &h->start_grace_ms, r->err) < 0 ||
        json_get_u64(&o, FIELD_HEALTH_RETRIES, &h->retries, r->err) < 0 ||
        json_get_enum(&o, FIELD_HEALTH_ACTION, action_names, COUNT_OF(action_names), &action, r->err) < 0)
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
    int rc = json_get_object(app, FIELD_APP_STOP, &o, r->err);
    if (rc > 0) {
        if (json_get_str(&o, FIELD_STOP_SIGNAL, 16, &name, r->err) < 0 ||
            json_get_u64(&o, FIELD_STOP_GRACE_MS, &w->stop_grace_ms, r->err) < 0)
            return -(int)ERR_INVALID;
        if (name && (w->stop_signal = kernel_words_signal(name)) == 0)
            return json_fail(&o, r->err, ERR_INVALID, "signal: unknown signal \"%s\"", name);
        rc = json_done(&o, r->err);
    }
    if (rc >= 0)
        rc = json_get_object(app, FIELD_APP_LOG, &o, r->err);
    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, FIELD_LOG_MAX_BYTES, &w->log_bytes, r->err) < 0)
        return -(int)ERR_INVALID;
    return json_done(&o, r->err);
}

/* Fields that do not affect the box: a change needs no restart. */
static bool shapes_box(const char *key)
{
    static const char *const no[] = {"sources", "health", "restart", "stop", "image_privileges", "retry"};

    for (unsigned i = 0; i < COUNT_OF(no); i++)
        if (strcmp(no[i], key) == 0)
            return false;
    return true;
}

/* The sources of an app do not affect whether it works. */
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
    int rc = json_get_enum(app, FIELD_APP_IMAGE_PRIVILEGES, privileges_names, COUNT_OF(privileges_names),
                           &refuse, r->err);

    w->refuse_privileges = refuse == 1;
    return rc;
}

int manifest_app(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    uint64_t retry;

    *w = (struct want){.read_only = true};
    if (json_is_object(app, r->err) < 0 || manifest_name(r, app, FIELD_APP_NAME, &w->name) < 0 ||
        manifest_release(r, app, w) < 0 || manifest_list(r, app, FIELD_APP_ARGS, &w->args) < 0 ||
        read_env(r, app, w) < 0 || manifest_path(r, app, FIELD_APP_CWD, &w->cwd) < 0 ||
        manifest_text(r, app, FIELD_APP_USER, &w->user) < 0 || read_limits(r, app, w) < 0 ||
        read_caps(r, app, w) < 0 || json_get_bool(app, FIELD_APP_READ_ONLY, &w->read_only, r->err) < 0 ||
        json_get_bool(app, FIELD_APP_INIT, &w->init, r->err) < 0 || manifest_devices(r, app, w) < 0 ||
        read_privileges(r, app, w) < 0 || read_network(r, app, w) < 0 || read_mounts(r, app, w) < 0 ||
        read_restart(r, app, w) < 0 || read_health(r, app, w) < 0 || read_stop_and_log(r, app, w) < 0 ||
        json_get_u64(app, FIELD_APP_RETRY, &retry, r->err) < 0 || json_done(app, r->err) < 0)
        return -(int)r->err->kind;
    int rc = hash_app(r, app, shapes_box, &w->hash);
    return rc < 0 ? rc : hash_app(r, app, shapes_trial, &w->trial);
}
