#include "fleet/doc/bundle.h"

#include <string.h>

#include "fleet/doc/keyring.h"
#include "fleet/doc/x509.h"
#include "platform/clock.h"
#include "platform/json.h"

#define PEM_FILE_BYTES 8192
#define DAY_S          86400ULL
/* Devices that nobody can reach must not lose their fleet by a date: certificates outlive the hardware,
 * except the broker's. */
#define CA_DAYS     (30 * 365ULL)
#define CLIENT_DAYS (25 * 365ULL)
#define SERVER_DAYS (5 * 365ULL)

enum cert_kind { CERT_CA, CERT_CLIENT, CERT_SERVER };

struct cert_want {
    enum cert_kind kind;
    const char *stem; /* files <stem>.key and <stem>.pem */
    const char *cn;
    const char *const *hosts;
    unsigned n_hosts;
};

static int read_pair(const struct ctx *c, const char *stem, struct buf *ret_cert, struct buf *ret_key,
                     struct err *err)
{
    char name[256];

    if (!str_fmt(name, sizeof(name), "%s.key", stem))
        return err_set(err, ERR_INVALID, "%s: name too long", stem);
    if (ctx_read(c, name, PEM_FILE_BYTES, ret_key, err) < 0)
        return err_wrap(err, "%s/%s", c->path, name);
    (void)str_fmt(name, sizeof(name), "%s.pem", stem);
    if (ret_cert && ctx_read(c, name, PEM_FILE_BYTES, ret_cert, err) < 0)
        return err_wrap(err, "%s/%s", c->path, name);
    return 0;
}

/* The private key in <stem>.key, made when absent. */
static int ensure_key(const struct ctx *c, const char *stem, uint8_t priv[P256_PRIV_BYTES], struct err *err)
{
    char AUTO_MEM *pem = NULL;
    AUTO_BUF old = {NULL, 0};
    struct p256_pub pub;
    char name[256];

    (void)str_fmt(name, sizeof(name), "%s.key", stem);
    if (ctx_has(c, name))
        return read_pair(c, stem, NULL, &old, err) < 0 ? -(int)err->kind
                                                       : x509_key_parse(old, priv, &pub, err);
    if (p256_generate(priv, &pub, err) < 0 || x509_key_pem(priv, &pem, err) < 0)
        return -(int)err->kind;
    return ctx_create(c, name, buf_str(pem), 0600, err);
}

static uint64_t days_of(enum cert_kind kind)
{
    static const uint64_t days[] = {
        [CERT_CA] = CA_DAYS, [CERT_CLIENT] = CLIENT_DAYS, [CERT_SERVER] = SERVER_DAYS};

    return days[kind];
}

/* 1 made, 0 it was there. */
static int ensure_cert(const struct ctx *c, const struct cert_want *w, struct err *err)
{
    AUTO_BUF ca_cert = {NULL, 0};
    AUTO_BUF ca_key = {NULL, 0};
    char AUTO_MEM *pem = NULL;
    uint8_t priv[P256_PRIV_BYTES], ca_priv[P256_PRIV_BYTES];
    struct p256_pub pub;
    uint64_t now = clock_wall_s();
    struct x509_want x = {.cn = w->cn,
                          .org = c->fleet,
                          .ca = w->kind == CERT_CA,
                          .server = w->kind == CERT_SERVER,
                          .hosts = w->hosts,
                          .n_hosts = w->n_hosts,
                          .from_s = now - DAY_S,
                          .until_s = now + days_of(w->kind) * DAY_S};
    struct x509_issuer by = {.cert_pem = {NULL, 0}, .priv = priv};
    char name[256];

    if (!str_fmt(name, sizeof(name), "%s.pem", w->stem))
        return err_set(err, ERR_INVALID, "%s: name too long", w->stem);
    if (ctx_has(c, name))
        return 0;
    if (ensure_key(c, w->stem, priv, err) < 0)
        return -(int)err->kind;
    if (w->kind != CERT_CA) {
        if (read_pair(c, "pki/ca", &ca_cert, &ca_key, err) < 0 ||
            x509_key_parse(ca_key, ca_priv, &pub, err) < 0)
            return -(int)err->kind;
        by = (struct x509_issuer){.cert_pem = ca_cert, .priv = ca_priv};
    }
    if (x509_make(&x, priv, &by, &pem, err) < 0 || ctx_create(c, name, buf_str(pem), 0644, err) < 0)
        return -(int)err->kind;
    return 1;
}

int bundle_ensure(const struct ctx *c, unsigned *ret_made, struct err *err)
{
    char cn[LIM_NAME_BYTES + 8];
    int ca, op;

    (void)str_fmt(cn, sizeof(cn), "%s CA", c->fleet);
    cn[strlen(c->fleet)] = '-'; /* no blanks in a name */
    ca = ensure_cert(c, &(struct cert_want){.kind = CERT_CA, .stem = "pki/ca", .cn = cn}, err);
    if (ca < 0)
        return ca;
    op = ensure_cert(c, &(struct cert_want){.kind = CERT_CLIENT, .stem = "pki/operator", .cn = "operator"},
                     err);
    if (op < 0)
        return op;
    *ret_made = (unsigned)(ca + op);
    return 0;
}

int bundle_broker(const struct ctx *c, const char *stem, const char *const *hosts, unsigned n,
                  struct err *err)
{
    struct cert_want w = {.kind = CERT_SERVER, .stem = stem, .cn = hosts[0], .hosts = hosts, .n_hosts = n};

    return ensure_cert(c, &w, err);
}

static void put_mqtt(struct cJSON *root, const struct ctx *c)
{
    struct cJSON *m = json_put(root, "mqtt", json_obj());

    json_put_str(m, "host", c->host);
    json_put_u64(m, "port", c->port);
    json_put_str(m, "ca", "ca.pem");
    json_put_str(m, "cert", "device.pem");
    json_put_str(m, "key", "device.key");
}

static char *print_agentd(const struct ctx *c, const struct bundle_want *w)
{
    struct cJSON *root = json_obj(), *groups, *fetch;
    char *text;

    json_put_str(root, "device", w->id);
    json_put_str(root, "fleet", c->fleet);
    groups = json_put(root, "groups", json_arr());
    for (unsigned i = 0; i < w->n_groups; i++)
        json_push_str(groups, w->groups[i]);
    json_put_str(root, "state_dir", w->state_dir);
    json_put_str(root, "run_dir", w->run_dir);
    json_put_str(root, "trust", "trust.json");
    put_mqtt(root, c);
    fetch = json_put(root, "fetch", json_obj());
    json_put_str(fetch, "ca", NULL);
    json_put_str(fetch, "auth", NULL);
    json_put_u64(root, "memory_max_bytes", 64ULL << 20);
    json_put_str(root, "watchdog", NULL);
    json_put_str(root, "log_level", "info");
    text = json_print(root, true);
    json_free(root);
    return text;
}

/* Put a file into the bundle unless it is there. */
static int put_file(const struct ctx *c, const char *id, const char *file, struct buf bytes, unsigned *made,
                    struct err *err)
{
    char name[256];

    (void)str_fmt(name, sizeof(name), "devices/%s/%s", id, file);
    if (ctx_has(c, name))
        return 0;
    ++*made;
    return ctx_create(c, name, bytes, 0644, err);
}

static int check_bundle(const struct bundle_want *w, struct err *err)
{
    static const char *const taken[] = {"operator", "viewer", "broker"};

    if (!str_is_name(w->id))
        return err_set(err, ERR_INVALID, "invalid device id '%s': small letters, digits, . _ -, at most 63",
                       w->id);
    for (unsigned i = 0; i < COUNT_OF(taken); i++)
        if (strcmp(w->id, taken[i]) == 0)
            return err_set(err, ERR_INVALID, "'%s' is the broker's name for somebody else, not for a device",
                           w->id);
    for (unsigned i = 0; i < w->n_groups; i++)
        if (!str_is_name(w->groups[i]))
            return err_set(err, ERR_INVALID, "invalid group name '%s'", w->groups[i]);
    if (w->state_dir[0] != '/' || w->run_dir[0] != '/')
        return err_set(err, ERR_INVALID, "--state-dir and --run-dir are absolute paths");
    return 0;
}

int bundle_device(const struct ctx *c, const struct bundle_want *w, struct err *err)
{
    AUTO_BUF ca_cert = {NULL, 0};
    AUTO_BUF ca_key = {NULL, 0};
    AUTO_BUF trust = {NULL, 0};
    char AUTO_MEM *agentd = NULL;
    char stem[128];
    unsigned made = 0;
    int rc;

    if (check_bundle(w, err) < 0)
        return -(int)err->kind;
    (void)str_fmt(stem, sizeof(stem), "devices/%s/device", w->id);
    rc = ensure_cert(c, &(struct cert_want){.kind = CERT_CLIENT, .stem = stem, .cn = w->id}, err);
    if (rc < 0)
        return rc;
    made = (unsigned)rc;
    agentd = print_agentd(c, w);
    if (read_pair(c, "pki/ca", &ca_cert, &ca_key, err) < 0 ||
        keyring_trust_read(c, keyring_trust_last_version(c), &trust, err) < 0 ||
        put_file(c, w->id, "ca.pem", ca_cert, &made, err) < 0 ||
        put_file(c, w->id, "trust.json", trust, &made, err) < 0 ||
        put_file(c, w->id, "agentd.json", buf_str(agentd), &made, err) < 0)
        return err_wrap(err, "device %s", w->id);
    return made > 0;
}
