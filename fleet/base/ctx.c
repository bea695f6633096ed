#include "fleet/base/ctx.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/json.h"

#define FLEET_FILE    "fleet.json"
#define LIST_MAX      65536
#define DIR_MODE      0700
#define LOCK_TRIES    100 /* another one holds it while it reads, signs and publishes */
#define LOCK_PAUSE_US 100000

int ctx_path(const struct args *a, char *dst, size_t size, struct err *err)
{
    const char *dir = args_str(a, OPT_DIR, getenv("FLEETCTL_DIR"));
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    bool fits;

    if (dir && *dir)
        fits = str_copy(dst, size, dir);
    else if (config && *config)
        fits = str_fmt(dst, size, "%s/fleetctl", config);
    else if (home && *home)
        fits = str_fmt(dst, size, "%s/.config/fleetctl", home);
    else
        return err_set(err, ERR_USAGE, "no HOME: use -C DIR or FLEETCTL_DIR");
    return fits ? 0 : err_set(err, ERR_INVALID, "the directory's path is too long");
}

int ctx_parse_broker(const char *text, char host[256], uint16_t *ret_port, struct err *err)
{
    const char *open = text[0] == '[' ? text + 1 : text;
    const char *close = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *colon = close ? (close[1] == ':' ? close + 1 : NULL) : strrchr(text, ':');
    const char *end = close ? close : (colon ? colon : text + strlen(text));
    uint64_t port = 8883;

    if (end == open || end - open > 255 || (text[0] == '[' && !close) ||
        (close && close[1] && close[1] != ':'))
        return err_set(err, ERR_USAGE, "invalid broker '%s': write HOST:PORT", text);
    if (colon && !str_u64(colon + 1, 1, 65535, &port))
        return err_set(err, ERR_USAGE, "'%s' has no port from 1 to 65535", text);
    memcpy(host, open, (size_t)(end - open));
    host[end - open] = 0;
    *ret_port = (uint16_t)port;
    return 0;
}

/* path -> directory's fd (made) and last name. */
static int open_parent(const struct ctx *c, const char *name, bool make, int *ret_fd, const char **ret_last,
                       struct err *err)
{
    const char *slash = strrchr(name, '/');
    char dir[512];

    *ret_last = slash ? slash + 1 : name;
    if (!slash)
        dir[0] = '.', dir[1] = 0;
    else if (!str_fmt(dir, sizeof(dir), "%.*s", (int)(slash - name), name))
        return err_set(err, ERR_INVALID, "%s: path too long", name);
    return fs_open_dir(c->dir_fd, dir, make, DIR_MODE, ret_fd, err);
}

bool ctx_has(const struct ctx *c, const char *name)
{
    return faccessat(c->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int ctx_read(const struct ctx *c, const char *name, size_t max, struct buf *ret_own, struct err *err)
{
    uint8_t *p = NULL;
    size_t len = 0;

    if (fs_read(c->dir_fd, name, max, &p, &len, err) < 0)
        return -(int)err->kind;
    *ret_own = buf_of(p, len);
    return 0;
}

int ctx_replace(const struct ctx *c, const char *name, struct buf bytes, mode_t mode, struct err *err)
{
    AUTO_FD int fd = -1;
    const char *last;

    if (open_parent(c, name, true, &fd, &last, err) < 0 || fs_write_durable(fd, last, bytes, mode, err) < 0)
        return err_wrap(err, "%s/%s", c->path, name);
    return 0;
}

int ctx_create(const struct ctx *c, const char *name, struct buf bytes, mode_t mode, struct err *err)
{
    if (ctx_has(c, name))
        return err_set(err, ERR_EXISTS, "%s/%s already exists and is not overwritten", c->path, name);
    return ctx_replace(c, name, bytes, mode, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **ctx_list(const struct ctx *c, const char *name)
{
    int fd = openat(c->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    size_t n = 0, bytes = 0, cap_bytes = (size_t)LIST_MAX * 8;
    char AUTO_MEM *text = mem_need(cap_bytes);
    char **list, *to;

    for (struct dirent *e; d && (e = readdir(d));) {
        size_t len = strlen(e->d_name) + 1;
        if (e->d_name[0] == '.' || n == LIST_MAX || bytes + len > cap_bytes)
            continue;
        memcpy(text + bytes, e->d_name, len);
        bytes += len;
        n++;
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    list = mem_need((n + 1) * sizeof(*list) + bytes);
    to = (char *)(list + n + 1);
    memcpy(to, text, bytes);
    for (size_t i = 0; i < n; i++, to += strlen(to) + 1)
        list[i] = to;
    list[n] = NULL;
    qsort(list, n, sizeof(*list), by_name);
    return list;
}

static int read_registry(const struct json_cur *root, struct ctx *c, struct err *err)
{
    struct json_cur reg;
    const char *ca = "", *auth = "";
    int rc = json_get_object(root, "registry", JSON_OPTIONAL, &reg, err);

    if (rc <= 0)
        return rc;
    if (json_get_str(&reg, "ca", JSON_OPTIONAL, sizeof(c->registry_ca) - 1, &ca, err) < 0 ||
        json_get_str(&reg, "auth", JSON_OPTIONAL, sizeof(c->registry_auth) - 1, &auth, err) < 0 ||
        json_done(&reg, err) < 0)
        return -(int)err->kind;
    (void)str_copy(c->registry_ca, sizeof(c->registry_ca), ca);
    (void)str_copy(c->registry_auth, sizeof(c->registry_auth), auth);
    return 0;
}

static int read_settings(const struct json_cur *root, struct ctx *c, struct err *err)
{
    const char *schema, *fleet, *host;
    struct json_cur broker;
    uint64_t port;

    if (json_get_str(root, "schema", JSON_REQUIRED, 64, &schema, err) < 0)
        return -(int)err->kind;
    if (strcmp(schema, "limpet.fleet/1") != 0)
        return err_set(err, ERR_UNSUPPORTED, "schema '%s'; this fleetctl knows limpet.fleet/1", schema);
    if (json_get_str(root, "fleet", JSON_REQUIRED, LIM_NAME_BYTES - 1, &fleet, err) < 0 ||
        json_get_object(root, "broker", JSON_REQUIRED, &broker, err) < 0 ||
        json_get_str(&broker, "host", JSON_REQUIRED, sizeof(c->host) - 1, &host, err) < 0 ||
        json_get_u64(&broker, "port", JSON_REQUIRED, 1, 65535, &port, err) < 0 ||
        json_done(&broker, err) < 0 || read_registry(root, c, err) < 0 || json_done(root, err) < 0)
        return -(int)err->kind;
    if (!str_is_name(fleet))
        return err_set(err, ERR_INVALID, "invalid fleet name '%s'", fleet);
    (void)str_copy(c->fleet, sizeof(c->fleet), fleet);
    (void)str_copy(c->host, sizeof(c->host), host);
    c->port = (uint16_t)port;
    return 0;
}

static int ctx_load(struct ctx *c, struct err *err)
{
    AUTO_BUF text = {NULL, 0};
    struct json_cur root;
    int rc;

    if (ctx_read(c, FLEET_FILE, LIM_ENVELOPE_BYTES, &text, err) < 0)
        return -(int)err->kind;
    if (json_parse(text, &json_limits_signed, &root, err) < 0)
        return err_wrap(err, "%s/" FLEET_FILE, c->path);
    rc = read_settings(&root, c, err);
    json_free(root.node);
    return rc < 0 ? err_wrap(err, "%s/" FLEET_FILE, c->path) : 0;
}

void ctx_close(struct ctx *c)
{
    mem_auto_close_(&c->lock_fd);
    mem_auto_close_(&c->dir_fd);
    c->lock_fd = c->dir_fd = -1;
}

int ctx_open(const struct args *a, struct ctx *ret, struct err *err)
{
    struct ctx c = {.dir_fd = -1, .lock_fd = -1};

    if (ctx_path(a, c.path, sizeof(c.path), err) < 0)
        return -(int)err->kind;
    if (out_format_parse(args_str(a, OPT_OUTPUT, NULL), &c.output, err) < 0)
        return -(int)err->kind;
    c.dir_fd = open(c.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c.dir_fd < 0 || !ctx_has(&c, FLEET_FILE)) {
        ctx_close(&c);
        return err_set(err, ERR_NOTFOUND, "no fleet in %s: run fleetctl init --fleet NAME, or use -C DIR",
                       c.path);
    }
    if (ctx_load(&c, err) < 0) {
        ctx_close(&c);
        return -(int)err->kind;
    }
    *ret = c;
    return 0;
}

static int create_settings(const struct ctx *c, const char *fleet, const char *host, uint16_t port,
                           struct err *err)
{
    struct cJSON *root = json_obj(), *broker;
    char AUTO_MEM *text = NULL;

    json_put_str(root, "schema", "limpet.fleet/1");
    json_put_str(root, "fleet", fleet);
    broker = json_put(root, "broker", json_obj());
    json_put_str(broker, "host", host);
    json_put_u64(broker, "port", port);
    text = json_print(root, true);
    json_free(root);
    return ctx_create(c, FLEET_FILE, buf_str(text), 0644, err);
}

int ctx_init(const struct args *a, const char *fleet, const char *host, uint16_t port, struct ctx *ret,
             struct err *err)
{
    struct ctx c = {.dir_fd = -1, .lock_fd = -1};
    int rc = ctx_path(a, c.path, sizeof(c.path), err);

    if (rc == 0)
        rc = fs_open_dir(AT_FDCWD, c.path, true, DIR_MODE, &c.dir_fd, err);
    if (rc == 0)
        rc = ctx_lock(&c, err);
    if (rc == 0 && !ctx_has(&c, FLEET_FILE))
        rc = create_settings(&c, fleet, host, port, err);
    if (rc == 0)
        rc = ctx_load(&c, err);
    if (rc == 0 && strcmp(c.fleet, fleet) != 0)
        rc = err_set(err, ERR_CONFLICT, "%s holds the fleet '%s', not '%s'", c.path, c.fleet, fleet);
    if (rc < 0)
        ctx_close(&c);
    else
        *ret = c;
    return rc;
}

int ctx_lock(struct ctx *c, struct err *err)
{
    int rc;

    if (c->lock_fd >= 0)
        return 0;
    for (unsigned i = 0; (rc = fs_lock(c->dir_fd, ".lock", &c->lock_fd, err)) == -(int)ERR_CONFLICT; i++) {
        if (i == LOCK_TRIES)
            return err_wrap(err, "another fleetctl is changing %s", c->path);
        usleep(LOCK_PAUSE_US);
    }
    return rc < 0 ? err_wrap(err, "%s", c->path) : 0;
}

void ctx_unlock(struct ctx *c)
{
    mem_auto_close_(&c->lock_fd);
    c->lock_fd = -1;
}
