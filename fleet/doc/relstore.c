#include "fleet/doc/relstore.h"

#include <inttypes.h>
#include <string.h>

#include "fleet/base/doc.h"

#define INDEX_BYTES (4 * 1024 * 1024)
static const struct json_limits limits = {.max_bytes = INDEX_BYTES, .max_depth = 8, .max_tokens = 200000};

static int read_line(const struct json_cur *e, const char *name, struct rel *r, struct err *err)
{
    const char *version, *source, *image, *digest;

    if (json_get_u64(e, "counter", JSON_REQUIRED, 1, LIM_COUNTER, &r->counter, err) < 0 ||
        json_get_str(e, "version", JSON_REQUIRED, sizeof(r->version) - 1, &version, err) < 0 ||
        json_get_str(e, "digest", JSON_REQUIRED, SHA256_TEXT - 1, &digest, err) < 0 ||
        json_get_u64(e, "size", JSON_REQUIRED, 1, LIM_ENVELOPE_BYTES, &r->bytes, err) < 0 ||
        json_get_str(e, "source", JSON_REQUIRED, sizeof(r->source) - 1, &source, err) < 0 ||
        json_get_str(e, "image", JSON_REQUIRED, sizeof(r->image) - 1, &image, err) < 0 ||
        digest_parse(digest, &r->digest, err) < 0)
        return -(int)err->kind;
    r->issued_s = doc_u64(e, "issued");
    r->packed_bytes = doc_u64(e, "packed_bytes");
    (void)str_copy(r->name, sizeof(r->name), name);
    (void)str_copy(r->version, sizeof(r->version), version);
    (void)str_copy(r->source, sizeof(r->source), source);
    (void)str_copy(r->image, sizeof(r->image), image);
    return 0;
}

static int read_lines(const struct json_cur *root, const char *name, struct rel **ret, unsigned *ret_n,
                      struct err *err)
{
    struct json_cur list;
    struct rel AUTO_MEM *rels = NULL;
    unsigned n;

    if (json_get_array(root, "releases", JSON_REQUIRED, 100000, &list, err) < 0)
        return -(int)err->kind;
    n = json_len(&list);
    rels = mem_need_zero((n + 1) * sizeof(*rels));
    for (unsigned i = 0; i < n; i++) {
        struct json_cur e = json_at(&list, i);
        if (read_line(&e, name, &rels[i], err) < 0)
            return -(int)err->kind;
    }
    *ret = steal_ptr(&rels);
    *ret_n = n;
    return 0;
}

int relstore_load(const struct ctx *c, const char *name, struct rel **ret, unsigned *ret_n, struct err *err)
{
    AUTO_BUF text = {NULL, 0};
    struct json_cur root;
    char file[LIM_NAME_BYTES + 32];
    int rc;

    if (!str_is_name(name))
        return err_set(err, ERR_INVALID, "invalid release name '%s'", name);
    (void)str_fmt(file, sizeof(file), "releases/%s/index.json", name);
    if (!ctx_has(c, file)) {
        *ret = mem_need_zero(sizeof(**ret));
        *ret_n = 0;
        return 0;
    }
    if (ctx_read(c, file, INDEX_BYTES, &text, err) < 0 || json_parse(text, &limits, &root, err) < 0)
        return err_wrap(err, "%s/%s", c->path, file);
    rc = read_lines(&root, name, ret, ret_n, err);
    json_free(root.node);
    return rc < 0 ? err_wrap(err, "%s/%s", c->path, file) : 0;
}

static int none(const struct ctx *c, const char *ref, const char *name, const struct rel *rels, unsigned n,
                struct err *err)
{
    char list[200] = "";

    (void)c;
    if (n == 0)
        return err_set(err, ERR_NOTFOUND, "no release '%s' in this directory: fleetctl publish ... --name %s",
                       name, name);
    for (unsigned i = n > 6 ? n - 6 : 0; i < n; i++) {
        size_t len = strlen(list);
        (void)str_fmt(list + len, sizeof(list) - len, " %s@%" PRIu64 " (%s)", name, rels[i].counter,
                      rels[i].version);
    }
    return err_set(err, ERR_NOTFOUND, "no release '%s'; there is%s", ref, list);
}

int relstore_find(const struct ctx *c, const char *ref, struct rel *ret, struct err *err)
{
    const char *cut = strpbrk(ref, ":@"), *what = cut ? cut + 1 : "latest";
    struct rel AUTO_MEM *rels = NULL;
    char name[LIM_NAME_BYTES];
    unsigned n = 0;
    uint64_t counter = 0;

    if (!str_fmt(name, sizeof(name), "%.*s", (int)(cut ? cut - ref : (long)strlen(ref)), ref))
        return err_set(err, ERR_INVALID, "invalid release '%s'", ref);
    if (relstore_load(c, name, &rels, &n, err) < 0)
        return -(int)err->kind;
    if (cut && *cut == '@' && !str_u64(what, 1, LIM_COUNTER, &counter))
        return err_set(err, ERR_INVALID, "'%s': a counter follows the @", ref);
    for (unsigned i = n; i-- > 0;) {
        bool hit = counter ? rels[i].counter == counter
                           : strcmp(what, "latest") == 0 || strcmp(what, rels[i].version) == 0;
        if (!hit)
            continue;
        *ret = rels[i];
        return 0;
    }
    return none(c, ref, name, rels, n, err);
}

int relstore_by_digest(const struct ctx *c, const struct digest *d, struct rel *ret, struct err *err)
{
    char **AUTO_MEM names = ctx_list(c, "releases");

    for (char **p = names; *p; p++) {
        struct rel AUTO_MEM *rels = NULL;
        unsigned n = 0;
        if (relstore_load(c, *p, &rels, &n, err) < 0)
            continue;
        for (unsigned i = 0; i < n; i++)
            if (digest_eq(&rels[i].digest, d)) {
                *ret = rels[i];
                return 0;
            }
    }
    return err_set(err, ERR_NOTFOUND, "no release of this digest in %s", c->path);
}

static void push_line(struct cJSON *list, const struct rel *r)
{
    struct cJSON *e = json_push(list, json_obj());
    char text[SHA256_TEXT];

    json_put_u64(e, "counter", r->counter);
    json_put_str(e, "version", r->version);
    json_put_str(e, "digest", digest_text(&r->digest, text));
    json_put_u64(e, "size", r->bytes);
    json_put_str(e, "source", r->source);
    json_put_str(e, "image", r->image);
    json_put_u64(e, "packed_bytes", r->packed_bytes);
    json_put_u64(e, "issued", r->issued_s);
}

int relstore_add(const struct ctx *c, const struct rel *r, struct buf envelope, struct err *err)
{
    struct rel AUTO_MEM *rels = NULL;
    AUTO_DOC *root = json_obj();
    struct cJSON *list = json_put(root, "releases", json_arr());
    char AUTO_MEM *text = NULL;
    char file[LIM_NAME_BYTES + 40];
    unsigned n = 0;
    bool put = false;

    (void)str_fmt(file, sizeof(file), "releases/%s/%" PRIu64 ".json", r->name, r->counter);
    if (relstore_load(c, r->name, &rels, &n, err) < 0 || ctx_create(c, file, envelope, 0644, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < n; i++) {
        if (!put && rels[i].counter > r->counter) {
            push_line(list, r);
            put = true;
        }
        push_line(list, &rels[i]);
    }
    if (!put)
        push_line(list, r);
    text = json_print(root, true);
    (void)str_fmt(file, sizeof(file), "releases/%s/index.json", r->name);
    return ctx_replace(c, file, buf_str(text), 0644, err);
}
