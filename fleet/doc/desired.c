#include "fleet/doc/desired.h"

#include <fcntl.h>
#include <string.h>

#include "fleet/base/mqtt.h"
#include "fleet/doc/relstore.h"
#include "fleet/doc/schema.h"
#include "platform/fs.h"

/* p at the first character of a comment: blanks until its end, line ends stay; returns what follows. */
static char *blank(char *p)
{
    bool block = p[1] == '*';

    p[0] = p[1] = ' ';
    for (p += 2; *p && (block ? strncmp(p, "*/", 2) != 0 : *p != '\n'); p++)
        if (*p != '\n')
            *p = ' ';
    if (block && *p) {
        p[0] = p[1] = ' ';
        p += 2;
    }
    return p;
}

void desired_strip(char *p)
{
    bool in_text = false;

    while (*p) {
        if (in_text && *p == '\\' && p[1]) {
            p += 2;
        } else if (!in_text && p[0] == '/' && (p[1] == '*' || p[1] == '/')) {
            p = blank(p);
        } else {
            in_text ^= *p == '"';
            p++;
        }
    }
}

int desired_read(const char *file, struct buf *ret_own, struct err *err)
{
    uint8_t *p = NULL;
    size_t len = 0;
    ssize_t n;

    if (strcmp(file, "-") != 0) {
        if (fs_read(AT_FDCWD, file, LIM_ENVELOPE_BYTES, &p, &len, err) < 0)
            return err_wrap(err, "%s", file);
    } else {
        p = mem_need_zero(LIM_ENVELOPE_BYTES + 1);
        n = fs_read_full(STDIN_FILENO, p, LIM_ENVELOPE_BYTES, err);
        if (n < 0) {
            free(p);
            return -(int)err->kind;
        }
        len = (size_t)n;
    }
    desired_strip((char *)p);
    *ret_own = buf_of(p, len);
    return 0;
}

int desired_target_parse(const struct args *a, struct target *ret, struct err *err)
{
    struct target t = {.device = args_str(a, OPT_DEVICE, NULL), .group = args_str(a, OPT_GROUP, NULL)};
    const char *name = t.device ? t.device : t.group;

    if (!t.device == !t.group)
        return err_set(err, ERR_USAGE, "give either -d DEVICE or -g GROUP");
    if (!str_is_name(name))
        return err_set(err, ERR_USAGE, "invalid name '%s'", name);
    *ret = t;
    return 0;
}

void desired_target_topic(const struct ctx *c, const struct target *t, char dst[200])
{
    (void)str_fmt(dst, 200, MQTT_ROOT "/%s/%c/%s/desired", c->fleet, t->device ? 'd' : 'g',
                  t->device ? t->device : t->group);
}

/* "64Mi", "64M", "5m" of the operator's file as the number that is signed. */
static bool read_unit(const char *key, const char *text, uint64_t *ret)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"K", 1ULL << 10},  {"M", 1ULL << 20},  {"G", 1ULL << 30}, {"Ki", 1ULL << 10},
                 {"Mi", 1ULL << 20}, {"Gi", 1ULL << 30}, {"k", 1ULL << 10}};
    size_t digits = strspn(text, "0123456789"), len = strlen(key);
    char number[16];
    uint64_t n, ms;

    if (strstr(key, "bytes")) {
        if (!digits || !str_fmt(number, sizeof(number), "%.*s", (int)digits, text) ||
            !str_u64(number, 0, 1ULL << 40, &n))
            return false;
        for (unsigned i = 0; i < COUNT_OF(units); i++)
            if (strcmp(text + digits, units[i].unit) == 0 && n <= LIM_INTEGER / units[i].bytes) {
                *ret = n * units[i].bytes;
                return true;
            }
        return false;
    }
    bool in_ms = len > 3 && strcmp(key + len - 3, "_ms") == 0,
         in_s = len > 2 && strcmp(key + len - 2, "_s") == 0;
    if ((!in_ms && !in_s) || !text[digits] || args_duration_ms(text, &ms, NULL) < 0)
        return false;
    *ret = in_ms ? ms : ms / 1000;
    return true;
}

static void copy_fields(const struct json_cur *from, const struct rule *rules, struct cJSON *to);

/* One member, with units as numbers; what fits no rule goes as it is, the check will tell. */
static void copy_field(const struct json_cur *from, const struct json_cur *m, const struct rule *rules,
                       struct cJSON *to)
{
    const struct rule *r = rules ? schema_find(rules, m->key) : NULL;
    struct json_cur list;
    const char *text;
    uint64_t n;

    if (r && r->type == RULE_NUMBER && json_as_str(m, 32, &text, NULL) == 0 && read_unit(m->key, text, &n)) {
        json_put_u64(to, m->key, n);
    } else if (r && r->members && json_is_object(m, NULL) == 0) {
        copy_fields(m, r->members, json_put(to, m->key, json_obj()));
    } else if (r && r->members && json_get_array(from, m->key, JSON_OPTIONAL, UINT32_MAX, &list, NULL) > 0) {
        struct cJSON *array = json_put(to, m->key, json_arr());
        for (unsigned i = 0; i < json_len(&list); i++) {
            struct json_cur e = json_at(&list, i);
            if (json_is_object(&e, NULL) < 0)
                json_push_copy(array, &e);
            else
                copy_fields(&e, r->members, json_push(array, json_obj()));
        }
    } else {
        json_put_copy(to, m->key, m);
    }
}

static void copy_fields(const struct json_cur *from, const struct rule *rules, struct cJSON *to)
{
    for (unsigned i = 0; i < json_len(from); i++) {
        struct json_cur m = json_member(from, i);
        copy_field(from, &m, rules, to);
    }
}

static void put_release(struct cJSON *app, const struct rel *r)
{
    struct cJSON *o = json_put(app, "release", json_obj());
    char text[SHA256_TEXT];

    json_put_str(o, "name", r->name);
    json_put_u64(o, "counter", r->counter);
    json_put_str(o, "digest", digest_text(&r->digest, text));
    json_put_u64(o, "size", r->bytes);
}

/* What has failed once is tried again when this number rises. The one that was used is kept in later
 * documents: without it the settings would be those that failed again. */
static void put_retry(const struct json_cur *app, const struct fill *f, struct cJSON *to)
{
    struct json_cur apps, given;

    if (f->retry) {
        json_put_u64(to, "retry", f->rev);
        return;
    }
    if (!f->old || doc_get(app, "retry", &given) || !doc_get(f->old, "apps", &apps))
        return;
    for (unsigned i = 0; i < json_len(&apps); i++) {
        struct json_cur was = json_at(&apps, i);
        if (strcmp(doc_str(&was, "name", ""), doc_str(app, "name", "")) == 0 &&
            doc_get(&was, "retry", &given))
            json_put_copy(to, "retry", &given);
    }
}

/* One app of the file; "release":"web:1.4.2" becomes what this directory knows of it. */
/* rules: of an app, or of the agent. */
static int fill_app(const struct ctx *c, const struct json_cur *app, const struct rule *rules,
                    const struct fill *f, struct cJSON *to, struct err *err)
{
    struct json_cur sources;
    const char *ref = NULL;
    struct rel r;

    if (json_is_object(app, err) < 0)
        return -(int)err->kind;
    ref = doc_str(app, "release", NULL);
    if (ref && relstore_find(c, ref, &r, err) < 0)
        return err_wrap(err, "release of app '%s'", doc_str(app, "name", "agent"));
    for (unsigned i = 0; i < json_len(app); i++) {
        struct json_cur m = json_member(app, i);
        if (ref && strcmp(m.key, "release") == 0)
            put_release(to, &r);
        else if (!f->retry || strcmp(m.key, "retry") != 0)
            copy_field(app, &m, rules, to);
    }
    if (ref && !doc_get(app, "sources", &sources))
        json_push_str(json_put(to, "sources", json_arr()), r.source);
    return 0;
}

/* The device's own system; "release":"os:2.1" brings bundle and version along. */
static int fill_os(const struct ctx *c, const struct json_cur *os, struct cJSON *to, struct err *err)
{
    struct json_cur other;
    const char *ref = doc_str(os, "release", NULL);
    struct rel r;

    if (fill_app(c, os, schema_find(schema_root.members, "os")->members, &(struct fill){.retry = false}, to,
                 err) < 0)
        return -(int)err->kind;
    if (!ref)
        return 0;
    if (relstore_find(c, ref, &r, err) < 0)
        return err_wrap(err, "os.release");
    if (!doc_get(os, "version", &other))
        json_put_str(to, "version", r.version);
    if (!doc_get(os, "bundle", &other)) {
        struct cJSON *bundle = json_put(to, "bundle", json_obj());
        json_put_str(bundle, "digest", r.image);
        json_put_u64(bundle, "size", r.packed_bytes);
    }
    return 0;
}

/* Members that apply fills; in the file they may stand only with the same value. */
static int check_given(const struct json_cur *root, const char *key, const char *want, struct err *err)
{
    const char *got = doc_str(root, key, want);

    return strcmp(got, want) == 0
               ? 0
               : err_set(err, ERR_INVALID, "%s: \"%s\" in the file, but this is for \"%s\"", key, got, want);
}

static int fill_doc(const struct ctx *c, const struct json_cur *root, const struct fill *f, struct cJSON *out,
                    struct err *err)
{
    static const char *const filled[] = {"schema",  "fleet", "target", "rev",   "issued",
                                         "expires", "by",    "apps",   "agent", "os"};
    struct cJSON *target, *list;
    struct json_cur apps, agent, os;
    int has_apps;

    if (json_is_object(root, err) < 0 || check_given(root, "schema", "limpet.desired/1", err) < 0 ||
        check_given(root, "fleet", c->fleet, err) < 0 ||
        (has_apps = json_get_array(root, "apps", JSON_OPTIONAL, LIM_APPS, &apps, err)) < 0)
        return -(int)err->kind;
    json_put_str(out, "schema", "limpet.desired/1");
    json_put_str(out, "fleet", c->fleet);
    target = json_put(out, "target", json_obj());
    json_put_str(target, f->target.device ? "device" : "group",
                 f->target.device ? f->target.device : f->target.group);
    json_put_u64(out, "rev", f->rev);
    json_put_u64(out, "issued", f->issued_s);
    json_put_u64(out, "expires", f->expires_s);
    if (f->by)
        json_put_str(out, "by", f->by);
    list = has_apps ? json_put(out, "apps", json_arr()) : NULL;
    for (unsigned i = 0; has_apps && i < json_len(&apps); i++) {
        struct json_cur app = json_at(&apps, i);
        struct cJSON *to = json_push(list, json_obj());
        if (fill_app(c, &app, schema_find(schema_root.members, "apps")->members, f, to, err) < 0)
            return -(int)err->kind;
        put_retry(&app, f, to);
    }
    if (doc_get(root, "agent", &agent) &&
        fill_app(c, &agent, schema_find(schema_root.members, "agent")->members,
                 &(struct fill){.retry = false}, json_put(out, "agent", json_obj()), err) < 0)
        return -(int)err->kind;
    if (doc_get(root, "os", &os) && fill_os(c, &os, json_put(out, "os", json_obj()), err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < json_len(root); i++) {
        struct json_cur m = json_member(root, i);
        bool ours = false;
        for (unsigned k = 0; k < COUNT_OF(filled); k++)
            ours = ours || strcmp(m.key, filled[k]) == 0;
        if (!ours)
            copy_field(root, &m, schema_root.members, out);
    }
    return 0;
}

int desired_fill(const struct ctx *c, struct buf text, const struct fill *f, char **ret, struct err *err)
{
    AUTO_DOC *doc = NULL;
    AUTO_DOC *out = json_obj();
    char AUTO_MEM *made = NULL;
    struct json_cur root;

    if (json_parse(text, &json_limits_signed, &root, err) < 0)
        return -(int)err->kind;
    doc = root.node;
    (void)doc;
    if (fill_doc(c, &root, f, out, err) < 0)
        return -(int)err->kind;
    made = json_print(out, false);
    if (schema_check(buf_str(made), err) < 0)
        return -(int)err->kind;
    *ret = steal_ptr(&made);
    return 0;
}
