#include "agent/manifest/config.h"

#include <fcntl.h>
#include <stdio.h>

#include "platform/fs.h"
#include "platform/log.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const int levels[] = {LOG_ERROR_, LOG_WARN_, LOG_INFO_, LOG_DEBUG_};

/* A string; if null or missing, dst keeps its value. */
static int get(const struct json_cur *o, const char *key, char *dst, size_t size, struct err *err)
{
    struct json_cur c;
    const char *s;
    int rc = json_get(o, key, JSON_OPTIONAL, &c, err);

    if (rc <= 0 || json_is_null(&c))
        return rc < 0 ? rc : 0;
    if (json_as_str(&c, size - 1, &s, err) < 0)
        return -(int)ERR_INVALID;
    (void)str_copy(dst, size, s);
    return 1;
}

static int get_path(const struct json_cur *o, const char *key, const char *directory, char *dst, size_t size,
                    struct err *err)
{
    char text[256] = "";
    int rc = get(o, key, text, sizeof(text), err);

    if (rc <= 0)
        return rc;
    bool fits =
        text[0] == '/' || !text[0] ? str_copy(dst, size, text) : str_fmt(dst, size, "%s/%s", directory, text);
    return fits ? 1 : json_fail(o, err, ERR_INVALID, "%s: path too long", key);
}

static int get_name(const struct json_cur *o, const char *key, char *dst, size_t size, struct err *err)
{
    int rc = get(o, key, dst, size, err);

    if (rc == 0 || (rc > 0 && !str_is_name(dst)))
        return json_fail(o, err, ERR_INVALID, "%s: a name ([a-z0-9][a-z0-9._-]*) is expected", key);
    return rc;
}

/* Plaintext must be requested explicitly: a missing file must not lead to it. */
static int judge_mqtt(const struct json_cur *o, const struct config *c, struct err *err)
{
    if (c->mqtt_plaintext && (c->mqtt_ca[0] || c->mqtt_cert[0] || c->mqtt_key[0]))
        return json_fail(o, err, ERR_INVALID, "plaintext: cannot be combined with ca, cert or key");
    if (!c->mqtt_plaintext && c->mqtt_host[0] && !c->mqtt_ca[0])
        return json_fail(o, err, ERR_INVALID,
                         "ca: missing: nothing would identify the broker (\"plaintext\": true is for "
                         "one on this machine)");
    if (!c->mqtt_cert[0] != !c->mqtt_key[0])
        return json_fail(o, err, ERR_INVALID, "cert and key must be given together");
    return 0;
}

static int read_mqtt(const struct json_cur *root, const char *directory, struct config *c, struct err *err)
{
    struct json_cur o;
    int rc = json_get_object(root, "mqtt", JSON_OPTIONAL, &o, err);

    if (rc <= 0)
        return rc; /* no broker: the device is fed by agentctl apply only */
    c->mqtt_port = 8883;
    c->reconnect_s = 45;
    if (get(&o, "host", c->mqtt_host, sizeof(c->mqtt_host), err) < 0 ||
        json_get_u64(&o, "port", JSON_OPTIONAL, 1, 65535, &c->mqtt_port, err) < 0 ||
        json_get_u64(&o, "keepalive_s", JSON_OPTIONAL, 5, 1200, &c->keepalive_s, err) < 0 ||
        json_get_u64(&o, "reconnect_s", JSON_OPTIONAL, 1, 300, &c->reconnect_s, err) < 0 ||
        get_path(&o, "ca", directory, c->mqtt_ca, sizeof(c->mqtt_ca), err) < 0 ||
        get_path(&o, "cert", directory, c->mqtt_cert, sizeof(c->mqtt_cert), err) < 0 ||
        get_path(&o, "key", directory, c->mqtt_key, sizeof(c->mqtt_key), err) < 0 ||
        json_get_bool(&o, "plaintext", JSON_OPTIONAL, &c->mqtt_plaintext, err) < 0 || json_done(&o, err) < 0)
        return -(int)err->kind;
    return judge_mqtt(&o, c, err);
}

static int read_scrub(const struct json_cur *root, struct config *c, struct err *err)
{
    struct json_cur o;
    int rc = json_get_object(root, "scrub", JSON_OPTIONAL, &o, err);

    if (rc > 0 && (json_get_u64(&o, "interval_s", JSON_OPTIONAL, 0, 86400, &c->scrub_interval_s, err) < 0 ||
                   json_get_u64(&o, "bytes", JSON_OPTIONAL, 65536, 1ULL << 30, &c->scrub_bytes, err) < 0 ||
                   json_done(&o, err) < 0))
        return -(int)err->kind;
    return rc < 0 ? rc : 0;
}

static int read_apps(const struct json_cur *root, struct config *c, struct err *err)
{
    struct json_cur o;
    int rc = json_get_object(root, "apps", JSON_OPTIONAL, &o, err);

    if (rc > 0 && (json_get_u64(&o, "memory_max_bytes", JSON_OPTIONAL, 1 << 20, 1ULL << 40,
                                &c->apps_memory_bytes, err) < 0 ||
                   json_get_u64(&o, "pids_max", JSON_OPTIONAL, 16, 1 << 22, &c->apps_pids, err) < 0 ||
                   json_done(&o, err) < 0))
        return -(int)err->kind;
    return rc < 0 ? rc : 0;
}

static const char *const command_names[CONFIG_COMMAND_COUNT_] = {
    [CONFIG_REBOOT] = "reboot_command",
    [CONFIG_OS_INSTALL] = "os_install_command",
    [CONFIG_OS_CONFIRM] = "os_confirm_command",
    [CONFIG_OS_REVERT] = "os_revert_command",
};

static int read_command(const struct json_cur *root, const char *name, struct config_command *ret,
                        struct err *err)
{
    struct json_cur a;
    int rc = json_get_array(root, name, JSON_OPTIONAL, COUNT_OF(ret->text), &a, err);

    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur w = json_at(&a, i);
        const char *s;
        if (json_as_str(&w, sizeof(ret->text[0]) - 1, &s, err) < 0)
            return -(int)ERR_INVALID;
        if (i == 0 && s[0] == '\0')
            return json_fail(&w, err, ERR_INVALID, "no program");
        (void)str_copy(ret->text[i], sizeof(ret->text[0]), s);
    }
    return rc < 0 ? rc : 0;
}

/* Call when the configuration is at its final address: words points into it. */
static void point_at_words(struct config_command *c)
{
    for (unsigned i = 0; i < COUNT_OF(c->text) && c->text[i][0]; i++)
        c->words[i] = c->text[i];
}

static int read_os(const struct json_cur *root, struct config *c, struct err *err)
{
    static const char *const names[] = {"auto", "rauc", "swupdate", "none"};
    int updater = 0, rc = 0;

    if (json_get_enum(root, "os_updater", JSON_OPTIONAL, names, COUNT_OF(names), &updater, err) < 0 ||
        json_get_u64(root, "os_confirm_s", JSON_OPTIONAL, 5, 86400, &c->os_confirm_s, err) < 0 ||
        json_get_u64(root, "os_install_s", JSON_OPTIONAL, 5, 86400, &c->os_install_s, err) < 0)
        return -(int)err->kind;
    (void)str_copy(c->os_updater, sizeof(c->os_updater), names[updater]);
    for (int i = 0; rc == 0 && i < CONFIG_COMMAND_COUNT_; i++)
        rc = read_command(root, command_names[i], &c->commands[i], err);
    return rc;
}

static int read_rest(const struct json_cur *root, const char *directory, struct config *c, struct err *err)
{
    struct json_cur o, a;
    int level = 2;
    int rc = json_get_object(root, "fetch", JSON_OPTIONAL, &o, err);

    if (rc > 0 && (get_path(&o, "ca", directory, c->fetch_ca, sizeof(c->fetch_ca), err) < 0 ||
                   get_path(&o, "auth", directory, c->fetch_auth, sizeof(c->fetch_auth), err) < 0 ||
                   json_get_u64(&o, "rate_bytes_s", JSON_OPTIONAL, 0, 1ULL << 40, &c->fetch_rate, err) < 0 ||
                   json_done(&o, err) < 0))
        return -(int)err->kind;
    if (rc < 0)
        return rc;
    rc = json_get_array(root, "groups", JSON_OPTIONAL, LIM_GROUPS, &a, err);
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur g = json_at(&a, i);
        const char *s;
        if (json_as_str(&g, LIM_NAME_BYTES - 1, &s, err) < 0)
            return -(int)ERR_INVALID;
        if (!str_is_name(s))
            return json_fail(&g, err, ERR_INVALID, "\"%s\" is not a valid name", s);
        (void)str_copy(c->groups[c->n_groups++], LIM_NAME_BYTES, s);
    }
    if (rc < 0 || json_get_enum(root, "log_level", JSON_OPTIONAL, level_names, 4, &level, err) < 0 ||
        json_get_u64(root, "memory_max_bytes", JSON_OPTIONAL, 1 << 20, 1ULL << 40, &c->memory_max_bytes,
                     err) < 0 ||
        json_get_u64(root, "health_interval_s", JSON_OPTIONAL, 1, 86400, &c->health_interval_s, err) < 0)
        return -(int)err->kind;
    c->log_level = levels[level];
    return 0;
}

/* What the connection may cost: these set the bytes per day; settings given explicitly take precedence. */
static int read_profile(const struct json_cur *root, struct config *c, struct err *err)
{
    static const char *const names[] = {"default", "metered", "sleepy"};
    static const struct {
        uint64_t keepalive_s, health_interval_s, scrub_interval_s;
    } profiles[] = {
        {.keepalive_s = 330, .health_interval_s = 300, .scrub_interval_s = 900},
        {.keepalive_s = 900, .health_interval_s = 3600, .scrub_interval_s = 3600},
        {.keepalive_s = 1200, .health_interval_s = 21600, .scrub_interval_s = 86400},
    };
    int which = 0, rc = json_get_enum(root, "profile", JSON_OPTIONAL, names, COUNT_OF(names), &which, err);

    c->keepalive_s = profiles[which].keepalive_s;
    c->health_interval_s = profiles[which].health_interval_s;
    c->scrub_interval_s = profiles[which].scrub_interval_s;
    return rc;
}

static int read_root(const struct json_cur *root, const char *directory, struct config *c, struct err *err)
{
    if (read_profile(root, c, err) < 0 || get_name(root, "device", c->device, sizeof(c->device), err) < 0 ||
        get_name(root, "fleet", c->fleet, sizeof(c->fleet), err) < 0 ||
        get_path(root, "state_dir", directory, c->state_dir, sizeof(c->state_dir), err) < 0 ||
        get_path(root, "run_dir", directory, c->run_dir, sizeof(c->run_dir), err) < 0 ||
        get_path(root, "trust", directory, c->trust, sizeof(c->trust), err) < 0 ||
        get(root, "user", c->user, sizeof(c->user), err) < 0 ||
        get_path(root, "watchdog", directory, c->watchdog, sizeof(c->watchdog), err) < 0 ||
        read_mqtt(root, directory, c, err) < 0 || read_scrub(root, c, err) < 0 ||
        read_apps(root, c, err) < 0 || read_os(root, c, err) < 0 || read_rest(root, directory, c, err) < 0)
        return -(int)err->kind;
    return json_done(root, err);
}

int config_read(const char *path, struct config *ret, struct err *err)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    char directory[256];
    struct json_cur root;
    struct config c = {.state_dir = "/var/lib/limpet",
                       .run_dir = "/run/limpet",
                       .trust = "/etc/limpet/trust.json",
                       .memory_max_bytes = 64ULL << 20,
                       .scrub_bytes = 4ULL << 20,
                       .os_confirm_s = 600,
                       .os_install_s = 3600};
    int rc = fs_read(AT_FDCWD, path, LIM_ENVELOPE_BYTES, &text, &len, err);

    if (rc < 0)
        return rc;
    const char *slash = strrchr(path, '/');
    if (!str_fmt(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : "."))
        return err_set(err, ERR_INVALID, "path too long: %s", path);
    rc = json_parse(buf_of(text, len), &json_limits_signed, &root, err);
    if (rc == 0) {
        rc = read_root(&root, directory, &c, err);
        (void)json_free(root.node);
    }
    if (rc == 0 && strlen(c.run_dir) > CONFIG_RUN_DIR_MAX)
        rc = err_set(err, ERR_INVALID, "run_dir: %zu bytes, at most %d: its sockets' names must fit",
                     strlen(c.run_dir), CONFIG_RUN_DIR_MAX);
    if (rc < 0)
        return err_wrap(err, "%s", path);
    *ret = c;
    for (int i = 0; i < CONFIG_COMMAND_COUNT_; i++)
        point_at_words(&ret->commands[i]);
    return 0;
}
