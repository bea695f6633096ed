/* keys: what there is, certificates for devices and brokers, rotation of signing keys. */
#include <inttypes.h>
#include <string.h>

#include "fleet/base/mqtt.h"
#include "fleet/doc/bundle.h"
#include "fleet/doc/keyring.h"
#include "fleet/doc/x509.h"
#include "fleet/verbs/verbs.h"
#include "fleet/view/doclist.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/json.h"

#define TRUST_DEFAULT (5 * 365ULL * 86400ULL * 1000ULL)

struct key_line {
    const char *kind, *name, *note;
    uint64_t until_s;
};

static void put_line(struct table *t, struct cJSON *list, const struct key_line *l)
{
    char age[24] = "";
    uint64_t now = clock_wall_s();

    if (l->until_s > now)
        (void)clock_age((l->until_s - now) * 1000, age, sizeof(age));
    else if (l->until_s)
        (void)str_copy(age, sizeof(age), "EXPIRED");
    if (list) {
        struct cJSON *o = json_push(list, json_obj());
        json_put_str(o, "kind", l->kind);
        json_put_str(o, "name", l->name);
        json_put_u64(o, "expires", l->until_s);
        json_put_str(o, "note", l->note);
        return;
    }
    out_table_row(t, (const char *const[]){l->kind, l->name, age, l->note},
                  l->until_s && l->until_s <= now ? TERM_BAD : TERM_NONE);
}

static void list_cert(const struct ctx *c, const char *stem, const char *name, struct table *t,
                      struct cJSON *list)
{
    AUTO_BUF pem = {NULL, 0};
    struct x509_info info = {.cn = ""};
    struct err why = ERR_INIT; /* not there: not listed */
    char file[256], key[256];

    (void)str_fmt(file, sizeof(file), "%s.pem", stem);
    (void)str_fmt(key, sizeof(key), "%s.key", stem);
    if (ctx_read(c, file, 65536, &pem, &why) < 0 || x509_info(pem, &info, &why) < 0)
        return;
    put_line(t, list,
             &(struct key_line){"certificate", name, ctx_has(c, key) ? "key is here" : "no key here",
                                info.until_s});
}

static int list_signing(const struct ctx *c, struct table *t, struct cJSON *list, struct err *err)
{
    struct trust_doc AUTO_MEM *doc = mem_need_zero(sizeof(*doc));
    char name[LIM_NAME_BYTES + 16], note[64];

    if (keyring_trust_load(c, keyring_trust_last_version(c), doc, err) < 0)
        return -(int)err->kind;
    for (unsigned r = 0; r < TRUST_ROLE_COUNT_; r++)
        for (unsigned i = 0; i < doc->roles[r].n; i++) {
            (void)str_fmt(name, sizeof(name), "keys/%s.key", doc->roles[r].ids[i]);
            (void)str_fmt(note, sizeof(note), "%s role, %u needed, %s", role_names[r],
                          doc->roles[r].threshold, ctx_has(c, name) ? "key is here" : "no key here");
            put_line(t, list, &(struct key_line){"signing", doc->roles[r].ids[i], note, 0});
        }
    (void)str_fmt(note, sizeof(note), "version %" PRIu64, doc->version);
    put_line(t, list, &(struct key_line){"trust", "trust", note, doc->expires_s});
    return 0;
}

static int keys_list(struct ctx *c, const struct args *a, struct err *err)
{
    static const char *const titles[] = {"KIND", "NAME", "EXPIRES-IN", "NOTE"};
    struct cJSON *list = c->output == OUT_JSON ? json_arr() : NULL;
    struct table *t = out_table_new(COUNT_OF(titles), titles);
    char **AUTO_MEM devices = ctx_list(c, "devices");
    char stem[128];
    int rc = list_signing(c, t, list, err);

    (void)a;
    list_cert(c, "pki/ca", "ca", t, list);
    list_cert(c, "pki/operator", "operator", t, list);
    list_cert(c, "pki/broker", "broker", t, list);
    for (char **d = devices; *d; d++) {
        (void)str_fmt(stem, sizeof(stem), "devices/%s/device", *d);
        list_cert(c, stem, *d, t, list);
    }
    if (rc == 0 && list)
        out_json(list);
    else if (rc == 0)
        out_table_print(t, stdout);
    out_table_free(t);
    return rc;
}

static int keys_device(struct ctx *c, const struct args *a, struct err *err)
{
    struct bundle_want w = {.state_dir = args_str(a, OPT_STATE_DIR, "/var/lib/limpet"),
                            .run_dir = args_str(a, OPT_RUN_DIR, "/run/limpet")};

    if (a->n_pos < 2)
        return err_set(err, ERR_USAGE, "usage: fleetctl keys device ID ...");
    if (ctx_lock(c, err) < 0)
        return -(int)err->kind;
    w.n_groups = args_all(a, OPT_GROUP, w.groups, LIM_GROUPS);
    for (unsigned i = 1; i < a->n_pos; i++) {
        int rc;
        w.id = a->pos[i];
        rc = bundle_device(c, &w, err);
        if (rc < 0)
            return rc;
        term_print(stdout, "%s  devices/%s\n", rc ? "made" : "kept", w.id);
    }
    return 0;
}

static int keys_broker(struct ctx *c, const struct args *a, struct err *err)
{
    char stem[300];
    int rc;

    if (a->n_pos < 2)
        return err_set(err, ERR_USAGE, "usage: fleetctl keys broker HOST ...");
    if (strchr(a->pos[1], '/') || a->pos[1][0] == '.')
        return err_set(err, ERR_INVALID, "invalid host name '%s'", a->pos[1]);
    if (ctx_lock(c, err) < 0)
        return -(int)err->kind;
    (void)str_fmt(stem, sizeof(stem), "pki/broker-%s", a->pos[1]);
    rc = bundle_broker(c, stem, a->pos + 1, a->n_pos - 1, err);
    if (rc < 0)
        return rc;
    term_print(stdout, "%s  %s.pem, %s.key\n", rc ? "made" : "kept", stem, stem);
    return 0;
}

/* The number behind "<role>-" of the newest key file of a role, 0: none. */
static uint64_t last_key(const struct ctx *c, const char *role)
{
    char **AUTO_MEM names = ctx_list(c, "keys");
    size_t len = strlen(role);
    uint64_t last = 0, n;
    char digits[24];

    for (char **p = names; *p; p++) {
        const char *dot = strrchr(*p, '.');
        if (dot && strncmp(*p, role, len) == 0 && (*p)[len] == '-' &&
            str_fmt(digits, sizeof(digits), "%.*s", (int)(dot - *p - (long)len - 1), *p + len + 1) &&
            str_u64(digits, 1, 1000000, &n) && n > last)
            last = n;
    }
    return last;
}

/* Publish every trust version that is here: a device walks them one by one. */
static int push_trust(struct ctx *c, struct err *err)
{
    AUTO_FREE(mqtt) struct mqtt *m = NULL;
    uint64_t last = keyring_trust_last_version(c);
    char topic[160];

    if (mqtt_new(c, &m, err) < 0)
        return -(int)err->kind;
    for (uint64_t v = 1; v <= last; v++) {
        AUTO_BUF text = {NULL, 0};
        (void)str_fmt(topic, sizeof(topic), MQTT_ROOT "/%s/trust/%" PRIu64, c->fleet, v);
        if (keyring_trust_read(c, v, &text, err) < 0 ||
            mqtt_publish(m, &(struct mqtt_msg){.topic = topic, .payload = text, .retain = true}, err) < 0)
            return -(int)err->kind;
    }
    term_print(stdout, "published  trust versions 1 to %" PRIu64 "\n", last);
    return 0;
}

static int keys_push(struct ctx *c, const struct args *a, struct err *err)
{
    (void)a;
    return push_trust(c, err);
}

/* What devices do not take any more: a new or reinstalled one would take nothing. */
static int list_stale(const struct ctx *c, struct err *err)
{
    struct doclist l = {.n = 0};
    int rc = doclist_read(c, NULL, &l, err);

    if (rc == 0 && doclist_print(c, &l, true))
        out_note("these must be signed again (fleetctl apply; first publish, where it is the release): "
                 "devices that have "
                 "them keep them, others do not take them");
    doclist_done(&l);
    return rc;
}

static int keys_rotate(struct ctx *c, const struct args *a, struct err *err)
{
    struct trust_doc AUTO_MEM *old = mem_need_zero(sizeof(*old));
    struct trust_doc AUTO_MEM *next = mem_need_zero(sizeof(*next));
    uint64_t valid_ms = TRUST_DEFAULT;
    enum trust_role role;
    struct signing_key k;
    char id[LIM_NAME_BYTES];

    if (a->n_pos != 2)
        return err_set(err, ERR_USAGE, "usage: fleetctl keys rotate root|release|fleet");
    if (keyring_role_parse(a->pos[1], &role, err) < 0 || args_ms(a, OPT_EXPIRES, &valid_ms, err) < 0 ||
        ctx_lock(c, err) < 0 || keyring_trust_load(c, keyring_trust_last_version(c), old, err) < 0)
        return -(int)err->kind;
    (void)str_fmt(id, sizeof(id), "%s-%" PRIu64, role_names[role], last_key(c, role_names[role]) + 1);
    *next = *old;
    next->version++;
    next->issued_s = clock_wall_s();
    next->expires_s = next->issued_s + valid_ms / 1000;
    if (keyring_key_ensure(c, id, &k, NULL, err) < 0 ||
        keyring_trust_add(next, role, &k, !args_has(a, OPT_KEEP), err) < 0 ||
        keyring_trust_save(c, next, old, err) < 0)
        return -(int)err->kind;
    term_print(stdout, "made  keys/%s.key, trust/%" PRIu64 ".json\n", id, next->version);
    if (role == TRUST_RELEASE && !args_has(a, OPT_KEEP))
        out_note("releases signed by the old key are refused from now on: publish again what is in use");
    if (args_has(a, OPT_OFFLINE)) {
        out_note("next: fleetctl keys push, before anything is signed with the new key; then fleetctl get "
                 "documents "
                 "tells what must be signed again");
        return 0;
    }
    return push_trust(c, err) < 0 ? -(int)err->kind : list_stale(c, err);
}

static const struct verb key_verbs[] = {
    {.name = "list", .run = keys_list},     {.name = "device", .run = keys_device},
    {.name = "broker", .run = keys_broker}, {.name = "rotate", .run = keys_rotate},
    {.name = "push", .run = keys_push},
};

int verb_keys(struct ctx *c, const struct args *a, struct err *err)
{
    const struct verb *v = args_verb_find(key_verbs, COUNT_OF(key_verbs), a->pos[0]);

    if (!v)
        return err_set(err, ERR_USAGE, "'keys %s': write list, device, broker, rotate or push", a->pos[0]);
    return v->run(c, a, err);
}
